"""One Prefect server for all tests of flows, with this process and its children pointed at it."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from prefect.client.orchestration import SyncPrefectClient
from prefect.logging.handlers import APILogHandler
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_URL,
    PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
    PREFECT_HOME,
    temporary_settings,
)

from embedded.prefect_server import PrefectServer
from embedded.timescale import DEFAULT_CACHE
from flows import deploy
from flows.deploy import Deployed
from simulators.clearinghouse import WELL_BEHAVED, ClearingHouse
from simulators.utility import Utility
from storage import registry
from storage.engine import Role, connect

ROOT = Path(__file__).parents[2]
TOKEN = "token-of-the-test"


def secret(path: Path) -> Path:
    """A file that keeps the token."""
    path.touch(mode=0o600)
    path.write_text(TOKEN)
    return path


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory) -> Iterator[PrefectServer]:
    # An empty database is copied where an earlier run has left one: it takes 6 s to make.
    with PrefectServer(tmp_path_factory.mktemp("prefect"), spare=DEFAULT_CACHE) as server:
        yield server


@pytest.fixture(scope="session")
def client(prefect_server) -> Iterator[SyncPrefectClient]:
    with SyncPrefectClient(prefect_server.api_url, auth_string=prefect_server.login) as one:
        yield one


@pytest.fixture(scope="session")
def deployed(prefect_server, client) -> Deployed:
    """What ``prefect.yaml`` says, on the server, beside a deployment that once stood in it."""
    from flows.sync_grid_events import sync_grid_events

    flow_id = client.create_flow(sync_grid_events)
    done = deploy.deploy_all(prefect_server.api_url, auth_string=prefect_server.login)
    client.create_deployment(flow_id, name="taken-out", work_pool_name="v2g")
    return done


@pytest.fixture
def here(prefect_server, tmp_path) -> Iterator[None]:
    """Flows that are called in this process report to the server."""
    settings = {
        PREFECT_API_URL: prefect_server.api_url,
        PREFECT_API_AUTH_STRING: prefect_server.login,
        PREFECT_HOME: tmp_path,
        # Heartbeats make a run wait up to a second for its end.
        PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None,
    }
    with temporary_settings(settings):
        yield
        # What is still to be logged must not look for the server after it has stopped.
        APILogHandler().flush()


@pytest.fixture
def environment(plain_database: str, monkeypatch) -> str:
    """V2G_* of a fresh database; its dsn."""
    monkeypatch.setenv("V2G_DATABASE_URL", plain_database)
    return plain_database


@pytest.fixture
def utility(monkeypatch, tmp_path) -> Iterator[Utility]:
    """A utility with one event and its price, and V2G_* that lead to it."""
    feed = {
        "events": [
            {
                "event_id": "event-1",
                "program": "example-energy",
                "started_at": "2026-07-01T17:00:00Z",
                "ended_at": "2026-07-01T18:00:00Z",
                "created_at": "2026-06-30T10:00:00Z",
                "status": "scheduled",
            }
        ],
        "prices": [
            {
                "program": "example-energy",
                "started_at": "2026-07-01T17:00:00Z",
                "ended_at": "2026-07-01T18:00:00Z",
                "price_per_kwh": "0.42000",
                "currency": "USD",
            }
        ],
    }
    secret(tmp_path / "utility-token")
    with Utility(feed, token=TOKEN) as one:
        # Wants to be read again at once: a test does not wait a minute for news.
        lab = {"name": "lab", "kind": "json", "url": one.url, "token_file": "utility-token"}
        grid_file = tmp_path / "grid.yaml"
        grid_file.write_text(yaml.safe_dump({"feeds": [lab | {"every_s": 1}]}))
        monkeypatch.setenv("V2G_GRID_FILE", str(grid_file))
        yield one


@pytest.fixture
def enrolled(environment: str) -> str:
    """A database that knows the tariff and the car's contract."""
    tariff = yaml.safe_load((ROOT / "programs" / "example-energy.yaml").read_text())
    valid_from = datetime(2026, 1, 1, tzinfo=UTC)
    contract = registry.Contract(
        "contract", "car", "example-energy", 850_000, "account", valid_from
    )
    with connect(environment, Role.SETTLE) as conn:
        registry.put_program(
            conn, tariff, valid_from=valid_from, source="example-energy.yaml", now=valid_from
        )
        registry.put_contracts(conn, [contract], now=valid_from)
    return environment


@pytest.fixture
def clearinghouse(monkeypatch, tmp_path):
    monkeypatch.setenv(
        "V2G_CLEARINGHOUSE_TOKEN_FILE", str(secret(tmp_path / "clearinghouse-token"))
    )
    with ClearingHouse(token=TOKEN, misbehaviour=WELL_BEHAVED) as one:
        monkeypatch.setenv("V2G_CLEARINGHOUSE_URL", one.url)
        yield one
