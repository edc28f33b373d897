"""Mosquitto under a host's own configuration: what is replaced in it, and what is not."""

import os
import socket
from pathlib import Path

import pytest

from embedded import places
from embedded.errors import ChildExitedError, EmbeddedError
from embedded.tls_broker import TlsBroker, adapted
from tests.tls import CACHE, ROOT, TlsSite

CONFIGURATION = ROOT / "infra" / "mosquitto.conf"


def lines(text: str) -> list[str]:
    """Its settings, comments left out."""
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def test_only_ports_paths_and_the_log_are_replaced():
    text = CONFIGURATION.read_text()

    given = set(lines(text))
    made = set(lines(adapted(text, [1, 2], {})))

    assert given - made == {
        "listener 8883",
        "listener 8884",
        "acl_file /etc/mosquitto/v2g.acl",
        "cafile /etc/v2g/ca.pem",
        "certfile /etc/v2g/broker_cert.pem",
        "keyfile /etc/v2g/broker_private.key",
        "persistence_location /var/lib/mosquitto/",
        "log_dest syslog",
    }
    assert made - given == {
        "listener 1 127.0.0.1",
        "listener 2 127.0.0.1",
        "socket_domain ipv4",
        "acl_file acl_file",
        "cafile cafile",
        "certfile certfile",
        "keyfile keyfile",
        "persistence_location state/",
        "log_dest stderr",
        "log_timestamp_format %Y-%m-%dT%H:%M:%S",
    }


def test_a_setting_that_is_not_there_cannot_be_replaced_silently():
    text = CONFIGURATION.read_text()
    with pytest.raises(EmbeddedError, match="no line 'autosave_intervall"):
        adapted(text, [1, 2], {"autosave_intervall": "1"})
    with pytest.raises(EmbeddedError, match="no line 'acl_file"):
        adapted(text.replace("acl_file", "access"), [1, 2], {})


def test_only_loopback_is_listened_on(tls_broker: TlsSite):
    listening = "0A"
    ports = {f"{port:04X}" for port in tls_broker.broker.ports}
    rows = [
        line.split()
        for file in ("/proc/net/tcp", "/proc/net/tcp6")
        for line in Path(file).read_text().splitlines()[1:]
    ]
    found = {row[1] for row in rows if row[3] == listening and row[1].split(":")[1] in ports}

    assert found == {f"0100007F:{port}" for port in ports}


def test_it_comes_back_on_the_same_ports(tls_broker: TlsSite):
    broker = tls_broker.broker
    ports, first = broker.ports, broker.pid
    broker.kill()
    assert not broker.running
    broker.start()
    assert broker.ports == ports
    assert broker.pid != first
    broker.start()
    with tls_broker.connect("EVSE-1") as charger:
        assert charger.answer == "Success"


@pytest.mark.parametrize("listener", [0, 1], ids=["mqtt", "websockets"])
def test_a_port_that_was_taken_in_the_meantime_is_told(tls_broker: TlsSite, listener):
    broker = tls_broker.broker
    broker.stop()
    with (
        socket.create_server(("127.0.0.1", broker.ports[listener])),
        pytest.raises(ChildExitedError, match=r"already in use|Unable to create websockets"),
    ):
        broker.start()


@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user's broker runs as that user")
def test_under_root_it_is_nobody_and_its_key_is_nobodys_alone(tls_broker: TlsSite):
    assert Path(f"/proc/{tls_broker.broker.pid}").stat().st_uid == places.NOBODY
    key = (tls_broker.broker.folder / "broker" / "keyfile").stat()
    assert (key.st_uid, key.st_mode & 0o777) == (places.NOBODY, 0o600)


def test_a_broker_that_was_never_started_has_no_port(tmp_path):
    broker = TlsBroker(tmp_path, cache=CACHE, configuration=CONFIGURATION, files={})
    with pytest.raises(EmbeddedError, match=r"call start\(\)"):
        _ = broker.port
