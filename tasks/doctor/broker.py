"""The broker: whether it takes the daemon's certificate over TLS, and what its configuration bounds.

Nobody logs in here: a certificate is one connection, and a second one with the daemon's would end the
daemon's. The handshake alone proves authority, host name and both certificates; the limits are read
from the broker's files, where it runs on this machine.
"""

import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from settlement.hosts import is_loopback
from tasks.certificate_state import RENEWED_BEFORE
from tasks.doctor.finding import Finding, State

CONNECT_WITHIN_S: Final = 5.0
REFUSED_WITHIN_S: Final = 1.0
"""Under TLS 1.3 the refusal of a client's certificate comes after the handshake; so long it is awaited."""
PLAIN_PORT: Final = 1883
FOLDER: Final = "etc/mosquitto"
FILE_MAX_BYTES: Final = 1024 * 1024
PACKET_BYTES: Final = 17_408
"""A packet kept as evidence, twice 8 KiB, and its topic: infra/mosquitto.conf."""

_EXPECTED: Final = "TLS with the daemon's certificate, and no port without TLS"


@dataclass(frozen=True, slots=True)
class Broker:
    """Where the broker is and what is shown to it; as the daemon's settings say.

    Attributes:
        host: its name or address; empty: none is used.
        port: with TLS.
        ca: file of its authority; None: no TLS.
        certificate: file of the daemon's certificate; None: none is shown.
        key: file of its private key.
        plain_port: on which nobody should listen.
        batch_rows: packets in one transaction of the daemon, which must fit into the broker's window.
    """

    host: str
    port: int
    ca: Path | None
    certificate: Path | None
    key: Path | None
    plain_port: int = PLAIN_PORT
    batch_rows: int = 5000


def reach(broker: Broker, *, now: datetime) -> Sequence[Finding]:
    """Shake hands with the broker, and try whether it also listens without TLS."""
    if not broker.host:
        return (Finding("broker", State.OK, "MQTT is switched off", _EXPECTED),)
    where = f"{broker.host}:{broker.port}"
    if broker.ca is None:
        return (_without_tls(broker, where),)
    try:
        context = ssl.create_default_context(cafile=str(broker.ca))
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if broker.certificate is not None:
            context.load_cert_chain(broker.certificate, broker.key)
        version, until = _shake_hands(broker, context)
    except (OSError, ssl.SSLError) as error:
        return (_unreached(where, error),)
    if broker.port != broker.plain_port and _listens(broker.host, broker.plain_port):
        found = f"{where} with {version}, and port {broker.plain_port} is open without TLS"
        repair = "delete every listener but those of infra/mosquitto.conf, and restart the broker"
        return (Finding("broker", State.BAD, found, _EXPECTED, repair),)
    found = f"{where} with {version}, certificate until {until:%Y-%m-%d}"
    if until - now < RENEWED_BEFORE:
        repair = "v2g certs renew DIR broker; install it and restart the broker"
        return (Finding("broker", State.WARN, found, _EXPECTED, repair),)
    return (Finding("broker", State.OK, found, _EXPECTED),)


def _without_tls(broker: Broker, where: str) -> Finding:
    repair = "V2G_MQTT_TLS_CA_FILE, …_CERT_FILE and …_KEY_FILE (infra/README.md, Broker)"
    if not _listens(broker.host, broker.port):
        found = f"{where}: nobody listens there, and no TLS is set up"
        return Finding("broker", State.BAD, found, _EXPECTED, repair)
    state = State.WARN if is_loopback(broker.host) else State.BAD
    return Finding("broker", state, f"{where} without TLS", _EXPECTED, repair)


def _shake_hands(broker: Broker, context: ssl.SSLContext) -> tuple[str, datetime]:
    """The TLS version and the end of the broker's certificate. Raises OSError: refused, or not there."""
    with (
        socket.create_connection((broker.host, broker.port), CONNECT_WITHIN_S) as plain,
        context.wrap_socket(plain, server_hostname=broker.host) as link,
    ):
        shown = link.getpeercert() or {}
        seconds = ssl.cert_time_to_seconds(str(shown["notAfter"]))
        link.settimeout(REFUSED_WITHIN_S)
        try:
            if not link.recv(1):
                raise ConnectionAbortedError("closed by the broker after the handshake")
        except TimeoutError:
            pass  # it waits for our first words: it has taken the certificate
        return link.version() or "TLS", datetime.fromtimestamp(seconds, UTC)


def _unreached(where: str, error: OSError) -> Finding:
    match error:
        case ssl.SSLCertVerificationError():
            told = f"its certificate: {error.verify_message}"
            repair = "V2G_MQTT_TLS_CA_FILE must be its authority, V2G_MQTT_HOST a name in its certificate"
        case ssl.SSLError():
            told = f"TLS: {error.reason or error}"
            repair = "look at our certificate and key: v2g certs show; at the broker's log: who signed what"
        case FileNotFoundError() | PermissionError():
            told = f"{error.filename or 'a file of V2G_MQTT_TLS_…'}: {error.strerror}"
            repair = "look at V2G_MQTT_TLS_…_FILE, and run this as the services' user"
        case ConnectionAbortedError():
            told = str(error)
            repair = "it does not take our certificate: v2g certs show, and the broker's log"
        case _:
            told = error.strerror or str(error) or type(error).__name__
            repair = (
                "systemctl status mosquitto; look at V2G_MQTT_HOST, V2G_MQTT_PORT and the firewall"
            )
    return Finding("broker", State.BAD, f"{where}: {told}", _EXPECTED, repair)


def _listens(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), REFUSED_WITHIN_S).close()
    except OSError:
        return False
    return True


def limits(root: Path, broker: Broker) -> Sequence[Finding]:
    """What the broker's configuration says of access and of how much may wait.

    Args:
        root: of files; ``etc/mosquitto`` below it is read.
        broker: whose ``batch_rows`` must fit into the broker's window.
    """
    expected = "certificates wanted, everything that may wait bounded: infra/mosquitto.conf"
    folder = root / FOLDER
    try:
        files = [folder / "mosquitto.conf", *sorted((folder / "conf.d").glob("*.conf"))]
        text = "\n".join(_read(file) for file in files if file.exists())
    except OSError as error:
        told = f"{error.filename}: {error.strerror}"
        return (Finding("broker limits", State.UNKNOWN, told, expected, "run this as root"),)
    if not text:
        told = (
            f"{folder}: no configuration here; the broker is on another machine, or not configured"
        )
        return (
            Finding("broker limits", State.UNKNOWN, told, expected, "look at it on its machine"),
        )
    wrong = _wrong(text, broker)
    repair = "take infra/mosquitto.conf as /etc/mosquitto/conf.d/v2g.conf, restart the broker"
    state = State.BAD if wrong else State.OK
    found = "; ".join(wrong) or "as expected"
    return (Finding("broker limits", state, found, expected, repair if wrong else ""),)


def _wrong(text: str, broker: Broker) -> list[str]:
    lines = [line.split(None, 1) for line in text.splitlines() if line.strip()]
    words = [
        (one[0], one[1].strip()) for one in lines if len(one) > 1 and not one[0].startswith("#")
    ]
    last = dict(words)
    ports = [value.split()[0] for name, value in words if name in {"listener", "port"}]
    wrong = [f"listener on {port}, without TLS" for port in ports if port == str(broker.plain_port)]
    if sum(one == ("require_certificate", "true") for one in words) < max(1, len(ports)):
        wrong.append("a listener without require_certificate true")
    for name, value in (
        ("allow_anonymous", "false"),
        ("persistence", "true"),
        ("max_queued_messages", "0"),
    ):
        if last.get(name) != value:
            wrong.append(f"{name} {last.get(name, 'not set')}, not {value}")
    if _number(last, "max_queued_bytes") == 0:
        wrong.append("max_queued_bytes: no bound on what waits in memory")
    if 0 < _number(last, "max_packet_size") < PACKET_BYTES:
        wrong.append(
            f"max_packet_size {last['max_packet_size']}, below {PACKET_BYTES}: evidence is lost"
        )
    window = _number(last, "max_inflight_messages", absent=20)
    if 0 < window < broker.batch_rows:
        wrong.append(f"max_inflight_messages {window}, below V2G_BATCH_ROWS {broker.batch_rows}")
    return wrong


def _number(words: dict[str, str], name: str, *, absent: int = 0) -> int:
    value = words.get(name, "")
    return int(value) if value.isdecimal() else absent


def _read(file: Path) -> str:
    with file.open("rb") as stream:
        return stream.read(FILE_MAX_BYTES).decode("utf-8", "replace")
