from collections.abc import Iterator

import pytest

from embedded import mosquitto
from embedded.broker import Broker
from embedded.errors import BrokerUnavailableError
from embedded.postgres import PostgresServer, create_database
from storage.migrate import migrate
from tests.conftest import CACHE
from tests.ingest_daemon.harness import Publisher
from tests.packets import make_key


@pytest.fixture(scope="session")
def key():
    return make_key()


@pytest.fixture
def broker(tmp_path):
    with Broker(tmp_path / "broker", cache=CACHE) as running:
        if not running.keeps_sessions:
            pytest.skip(
                f"{running.kind} keeps nothing for a daemon that is away: {running.limitation}"
            )
        yield running


@pytest.fixture
def python_broker(tmp_path, monkeypatch):
    """The broker of a machine that has no mosquitto: MQTT 3.1.1 only."""

    def nowhere(*_arguments, **_settings):
        raise BrokerUnavailableError("kept out by the test")

    monkeypatch.setattr(mosquitto, "find", nowhere)
    with Broker(tmp_path / "python-broker", cache=CACHE) as running:
        yield running


@pytest.fixture
def publisher(broker):
    charger = Publisher(broker, "test-charger")
    yield charger
    charger.close()


@pytest.fixture
def own_postgres(tmp_path) -> Iterator[PostgresServer]:
    """A server that only this test kills."""
    with PostgresServer(tmp_path / "own-postgres") as server:
        yield server


@pytest.fixture
def own_database(own_postgres) -> str:
    dsn = create_database(own_postgres, "v2g")
    migrate(dsn)
    return dsn
