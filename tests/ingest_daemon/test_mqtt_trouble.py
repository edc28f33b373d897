"""Trouble with the broker is told in words that say what to do. Real handshakes, real refusals."""

import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from embedded.processes import free_port, wait_until
from ingest_daemon import mqtt_trouble
from ingest_daemon.errors import SettingsError
from ingest_daemon.mqtt_client import Client
from ingest_daemon.settings import Settings
from tests.ingest_daemon.harness import Daemon, secret_file

DAY = timedelta(days=1)


class Authority:
    """Signs certificates for tests."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
        self.pem = self._certificate(
            self._name, self._key, x509.BasicConstraints(ca=True, path_length=0)
        ).public_bytes(serialization.Encoding.PEM)

    def _certificate(self, name, key, constraints, *, address="127.0.0.1", begins=-DAY, ends=DAY):
        now = datetime.now(UTC)
        made = (
            x509.CertificateBuilder().subject_name(name).issuer_name(self._name).public_key(key.public_key())
            .serial_number(x509.random_serial_number()).not_valid_before(now + begins).not_valid_after(now + ends)
            .add_extension(constraints, critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))]), critical=False)
        )  # fmt: skip
        return made.sign(self._key, hashes.SHA256())

    def issue(self, folder, name: str, **more):
        """Paths of a certificate and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = self._certificate(
            subject, key, x509.BasicConstraints(ca=False, path_length=None), **more
        )
        cert_file, key_file = folder / f"{name}.pem", folder / f"{name}.key"
        cert_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        secret_file(key_file, pem.decode())
        return cert_file, key_file


@pytest.fixture
def authority(tmp_path):
    made = Authority()
    (tmp_path / "ca.pem").write_bytes(made.pem)
    return made


@pytest.fixture
def tls_listener(authority, tmp_path):
    """Starts something that answers one TLS handshake with the given certificate; gives its port."""
    threads = []

    def start(certificate=None, *, ask_certificate=False, plain=False, **more) -> int:
        listener = socket.create_server(("127.0.0.1", 0))
        listener.settimeout(20)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*(certificate or authority.issue(tmp_path, "broker", **more)))
        if ask_certificate:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(tmp_path / "ca.pem")

        def serve() -> None:
            with listener, listener.accept()[0] as sock:
                try:
                    if plain:
                        sock.sendall(b"this is no TLS at all\r\n")
                        sock.recv(1000)
                    else:
                        with context.wrap_socket(sock, server_side=True) as secured:
                            secured.recv(1000)
                except OSError:
                    pass  # what the other side says about it is tested

        threads.append(threading.Thread(target=serve))
        threads[-1].start()
        return int(listener.getsockname()[1])

    yield start
    for thread in threads:
        thread.join(20)


def settings_for(tmp_path, port: int, **more) -> Settings:
    return Settings(
        database_url="x",
        intake_token_file=tmp_path / "token",
        mqtt_port=port,
        mqtt_tls_ca_file=tmp_path / "ca.pem",
        **more,
    )


def tls_of(settings: Settings) -> ssl.SSLContext | None:
    """As the daemon makes it from its settings."""
    return mqtt_trouble.tls_context(
        settings.mqtt_tls_ca_file,
        settings.mqtt_tls_cert_file,
        settings.mqtt_tls_key_file,
        prefix="V2G_MQTT_",
        now=datetime.now(UTC),
    )


def what_is_said(settings: Settings) -> str:
    client = Client(settings, lambda publish: None)
    context = tls_of(settings)
    if context is not None:
        client.tls_set_context(context)
    with pytest.raises((OSError, UnicodeError)) as caught:
        client.reconnect()
    return mqtt_trouble.unreachable(caught.value)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        pytest.param({"begins": -2 * DAY, "ends": -DAY}, "has expired", id="expired"),
        pytest.param(
            {"begins": DAY, "ends": 2 * DAY},
            "not yet valid: compare the clocks",
            id="not yet valid",
        ),
        pytest.param(
            {"address": "10.0.0.1"}, "for another address than V2G_MQTT_HOST", id="another address"
        ),
        pytest.param({"plain": True}, "no TLS is spoken on this port", id="no TLS"),
    ],
)
def test_a_broker_whose_certificate_will_not_do_is_described(tls_listener, tmp_path, more, words):
    port = tls_listener(**more)

    said = what_is_said(settings_for(tmp_path, port))

    assert words in said
    assert said.startswith("ERR_AUTH_EXPIRED: ") == ("plain" not in more)


def test_a_broker_of_an_unknown_authority_is_described(tls_listener, tmp_path):
    port = tls_listener(Authority().issue(tmp_path, "stranger"))

    assert "not signed by the authority in V2G_MQTT_TLS_CA_FILE" in what_is_said(
        settings_for(tmp_path, port)
    )


def test_a_port_on_which_nobody_listens_is_described(tmp_path, authority):
    assert "is the broker running" in what_is_said(settings_for(tmp_path, free_port()))


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a..b", "x" * 70])
def test_a_host_that_does_not_exist_is_described(tmp_path, authority, host):
    said = what_is_said(settings_for(tmp_path, 8883, mqtt_host=host))

    assert "V2G_MQTT_HOST" in said


@pytest.mark.parametrize(
    ("spoil", "variable", "words"),
    [
        pytest.param(
            lambda folder: (folder / "ca.pem").unlink(),
            "V2G_MQTT_TLS_CA_FILE",
            "No such file",
            id="no authority",
        ),
        pytest.param(
            lambda folder: (folder / "ca.pem").write_text("x"),
            "V2G_MQTT_TLS_CA_FILE",
            "ca.pem",
            id="no PEM",
        ),
        pytest.param(
            lambda folder: (folder / "daemon.key").chmod(0o640),
            "V2G_MQTT_TLS_KEY_FILE",
            "others can read",
            id="open key",
        ),
        pytest.param(
            lambda folder: (folder / "daemon.key").unlink(),
            "V2G_MQTT_TLS_KEY_FILE",
            "No such file",
            id="no key",
        ),
        pytest.param(
            lambda folder: Authority().issue(folder, "daemon")[0].write_bytes(b""),
            "V2G_MQTT_TLS_CERT_FILE",
            "daemon.pem",
            id="no certificate",
        ),
    ],
)
def test_files_that_cannot_be_used_are_named_before_anything_starts(
    authority, tmp_path, spoil, variable, words
):
    cert_file, key_file = authority.issue(tmp_path, "daemon")
    spoil(tmp_path)

    with pytest.raises(SettingsError) as caught:
        tls_of(
            settings_for(tmp_path, 8883, mqtt_tls_cert_file=cert_file, mqtt_tls_key_file=key_file)
        )

    [wrong] = caught.value.wrong
    assert wrong.variable == variable
    assert words in wrong.found


@pytest.mark.parametrize(
    ("more", "words"),
    [
        pytest.param({"begins": -2 * DAY, "ends": -DAY}, "has expired: renew it", id="expired"),
        pytest.param({"begins": DAY, "ends": 2 * DAY}, "compare the clocks", id="not yet valid"),
    ],
)
def test_a_broker_that_refuses_our_certificate_for_its_time_is_described(
    tls_listener, authority, tmp_path, more, words
):
    """As when it expires while the daemon runs: TLS 1.3 tells it only after the handshake."""
    port = tls_listener(ask_certificate=True)
    cert_file, key_file = authority.issue(tmp_path, "daemon", **more)
    context = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
    context.load_cert_chain(cert_file, key_file)

    with (
        pytest.raises(ssl.SSLError) as caught,
        socket.create_connection(("127.0.0.1", port), timeout=20) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as secured,
    ):
        secured.recv(1)

    said = mqtt_trouble.unreachable(caught.value)
    assert said.startswith("ERR_AUTH_EXPIRED: ")
    assert words in said


def test_an_encrypted_key_is_refused_instead_of_asking_for_its_password(authority, tmp_path):
    cert_file, key_file = authority.issue(tmp_path, "daemon")
    key = serialization.load_pem_private_key(key_file.read_bytes(), None)
    locked = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"x"),
    )
    key_file.write_bytes(locked)

    with pytest.raises(SettingsError, match="unencrypted"):
        tls_of(
            settings_for(tmp_path, 8883, mqtt_tls_cert_file=cert_file, mqtt_tls_key_file=key_file)
        )


def test_a_daemon_with_the_wrong_password_says_so_and_keeps_trying(
    plain_database, broker, tmp_path
):
    wrong = secret_file(tmp_path / "wrong", "not-the-password")
    daemon = Daemon(tmp_path, plain_database, broker=broker, mqtt_password_file=wrong)
    try:
        daemon.start(ready=False)
        wait_until(
            lambda: "event=mqtt_down" in daemon.log, deadline_s=20, what="the refusal to be logged"
        )

        said = daemon.get("/readyz").json()["checks"]["mqtt"]["detail"]

        assert "V2G_MQTT_USERNAME" in said
        assert daemon.readiness() == 503
        assert "not-the-password" not in daemon.log
    finally:
        daemon.process.stop()


def test_two_daemons_with_one_name_learn_of_each_other(plain_database, broker, tmp_path):
    (tmp_path / "other").mkdir()
    with (
        Daemon(tmp_path, plain_database, broker=broker) as first,
        Daemon(tmp_path / "other", plain_database, broker=broker),
    ):
        wait_until(
            lambda: "same V2G_MQTT_CLIENT_ID" in first.log,
            deadline_s=20,
            what="the first to learn of the second",
        )
