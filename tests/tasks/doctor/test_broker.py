"""The broker's handshake against the shipped broker, and its configuration in a root of the test's own."""

import socket
import threading
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from embedded.processes import free_port
from tasks import certificate_folder
from tasks.doctor.broker import FOLDER, Broker, limits, reach
from tasks.doctor.finding import State
from tests.tls import ROOT, TlsSite

SHIPPED = (ROOT / "infra" / "mosquitto.conf").read_text()


@pytest.fixture
def there(tls_broker: TlsSite) -> Broker:
    files = tls_broker.client("v2g-settlement")
    return Broker(
        tls_broker.host,
        tls_broker.port,
        tls_broker.ca,
        files.certificate,
        files.key,
        plain_port=free_port(),
    )


def look(broker: Broker, *, now: datetime | None = None):
    (found,) = reach(broker, now=now or datetime.now(UTC))
    return found


@contextmanager
def listening():
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        yield server.getsockname()[1]


def test_the_shipped_broker_is_good_and_the_daemon_keeps_its_connection(tls_broker, there):
    # given the daemon, connected
    files = tls_broker.client("v2g-settlement")
    context = tls_broker.trusting(tls_broker.ca, files)
    from tests.tls import Connection

    with Connection(tls_broker.host, tls_broker.port, context) as daemon:
        assert daemon.answer == "Success"

        # when the doctor looks with the daemon's certificate
        found = look(there)

        # then it is taken, and the daemon was not thrown out
        assert found.state is State.OK
        assert "TLSv1.3" in found.found
        assert daemon.subscribe("v2g/+/telemetry") == ["Granted QoS 1"]


def test_each_way_to_be_refused_is_told_apart(tls_broker, there, tmp_path):
    # given another authority
    other = tmp_path / "other"
    certificate_folder.init(other, ["127.0.0.1"], now=datetime.now(UTC))
    theirs = certificate_folder.place(other, "v2g-settlement")

    # then its name, ours, none at all and a missing file are each bad in their own words
    stranger = look(replace(there, certificate=theirs.certificate, key=theirs.key))
    untrusted = look(replace(there, ca=other / "ca.pem"))
    nobody = look(replace(there, certificate=None, key=None))
    missing = look(replace(there, key=tmp_path / "none.key"))
    closed = look(replace(there, port=there.plain_port))
    found = [stranger, untrusted, nobody, missing, closed]
    assert {one.state for one in found} == {State.BAD}
    assert all(one.repair for one in found)
    assert "its certificate" in untrusted.found
    assert "none.key" in missing.found or "No such file" in missing.found
    assert "mosquitto" in closed.repair


def test_a_brokers_certificate_that_ends_soon_is_warned_of(there):
    found = look(there, now=datetime.now(UTC) + timedelta(days=380))

    assert found.state is State.WARN
    assert "renew" in found.repair


def test_a_port_without_tls_is_bad(there):
    with listening() as port:
        found = look(replace(there, plain_port=port))

    assert found.state is State.BAD
    assert f"port {port} is open without TLS" in found.found


def test_a_broker_that_says_nothing_is_waited_for_only_so_long(there):
    # given somebody who takes connections and never answers
    with listening() as port:
        done: list[State] = []
        thread = threading.Thread(
            target=lambda: done.append(look(replace(there, port=port)).state), daemon=True
        )
        thread.start()
        thread.join(60)

    assert done == [State.BAD]


def test_without_tls_this_machine_is_warned_of_and_no_one_there_is_bad():
    with listening() as port:
        assert look(Broker("127.0.0.1", port, None, None, None)).state is State.WARN
    assert look(Broker("127.0.0.1", port, None, None, None)).state is State.BAD


def test_mqtt_that_is_switched_off_is_good():
    assert look(Broker("", 1883, None, None, None)).state is State.OK


# --- its configuration -------------------------------------------------------------------------------


def configured(root: Path, text: str | None):
    folder = root / FOLDER / "conf.d"
    folder.mkdir(parents=True)
    if text is not None:
        (folder / "v2g.conf").write_text(text)
    (found,) = limits(root, Broker("127.0.0.1", 8883, None, None, None))
    return found


def test_the_shipped_limits_are_good(tmp_path):
    assert configured(tmp_path, SHIPPED).state is State.OK


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("max_queued_bytes 2147483648", "", "no bound"),
        ("max_queued_messages 0", "max_queued_messages 1000", "max_queued_messages 1000"),
        ("max_inflight_messages 8192", "", "max_inflight_messages 20"),
        ("max_packet_size 17408", "max_packet_size 4096", "max_packet_size 4096"),
        ("allow_anonymous false", "allow_anonymous true", "allow_anonymous true"),
        ("persistence true", "persistence false", "persistence false"),
        ("listener 8883", "listener 1883", "without TLS"),
        ("require_certificate true", "require_certificate false", "require_certificate"),
    ],
)
def test_a_limit_that_was_taken_out_is_named(tmp_path, old, new, told):
    found = configured(tmp_path, SHIPPED.replace(f"{old}\n", f"{new}\n"))

    assert found.state is State.BAD
    assert told in found.found
    assert found.repair


def test_a_broker_elsewhere_is_unknown_and_not_good(tmp_path):
    assert configured(tmp_path, None).state is State.UNKNOWN
