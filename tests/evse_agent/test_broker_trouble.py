"""Trouble with the broker: named so that one knows what to do, waited out, and nothing is lost by it."""

import socket
import threading
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from embedded.processes import wait_until
from evse_agent.errors import AuthExpiredError
from evse_agent.tls import check_own
from tasks import certificates
from tests.evse_agent.harness import (
    EVSE_ID,
    Charger,
    Receiver,
    deliver,
    fields_of,
    sample,
)
from tests.tls import ClientFiles, Connection

DAEMON = certificates.DAEMON


def tls_charger(folder, site, *, files=None, **changes) -> Charger:
    files = files or site.client(EVSE_ID)
    broker = {
        "Host": site.host,
        "Port": site.port,
        "CaFile": str(site.ca),
        "CertFile": str(files.certificate),
        "KeyFile": str(files.key),
    }
    return Charger(folder, None, Broker=broker | changes.pop("Broker", {}), **changes)


def issued(folder, signer, name, *, ago=timedelta(0)) -> ClientFiles:
    folder.mkdir(exist_ok=True)
    key = certificates.new_key()
    made = certificates.client(signer, key.public_key(), name, now=datetime.now(UTC) - ago, days=1)
    files = ClientFiles(folder / "cert.pem", folder / "key.pem")
    files.certificate.write_bytes(made.public_bytes(Encoding.PEM))
    files.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    files.key.chmod(0o600)
    return files


def authority() -> certificates.Signer:
    key = certificates.new_key()
    now = datetime.now(UTC) - timedelta(days=30)
    return certificates.Signer(certificates.authority(key, now=now, name="test authority"), key)


def wait_why(charger: Charger, words: str) -> str:
    wait_until(
        lambda: words in str((charger.status()["broker"] or {}).get("why")),
        deadline_s=20,
        what=f"{words!r}, not {charger.status()['broker']}",
    )
    return str(charger.status()["broker"]["why"])


def test_under_the_shipped_configuration_packets_go_and_receipts_and_commands_come(
    tls_broker, tmp_path
):
    with (
        tls_broker.connect(DAEMON) as daemon,
        tls_charger(tmp_path / "c", tls_broker) as charger,
    ):
        assert daemon.subscribe("v2g/+/telemetry")
        charger.wait_up()
        deliver(charger, [sample(0), sample(1)])

        topic, packet = daemon.next_message()
        receipt_for(daemon, packet)
        charger.wait_waiting(0)
        with tls_broker.connect(certificates.GUARD) as guard:
            guard.publish(
                f"v2g/{EVSE_ID}/command",
                b'{"version":1,"command_id":"c","kind":"limit","limit_w":0}',
            )

        assert (topic, fields_of(packet)["evse_id"]) == (f"v2g/{EVSE_ID}/telemetry", EVSE_ID)
        assert charger.controller().heard()["limit_w"] == 0


def receipt_for(daemon: Connection, packet: bytes) -> None:
    from hashlib import sha256

    digest = sha256(packet).hexdigest()
    daemon.publish(
        f"v2g/{EVSE_ID}/receipt",
        b'{"version":1,"received":[{"digest":"%s","state":"landed"}]}' % digest.encode(),
    )


def test_an_expired_certificate_is_named_nothing_is_lost_and_a_renewed_one_is_taken_without_a_restart(
    tls_broker, tmp_path
):
    good = tls_broker.client(EVSE_ID)
    mine = issued(tmp_path / "mine", authority(), EVSE_ID, ago=timedelta(days=3))
    with tls_charger(tmp_path / "c", tls_broker, files=mine) as charger:
        why = wait_why(charger, "expired at")
        assert why.startswith("ERR_AUTH_EXPIRED Broker.CertFile")
        deliver(charger, [sample(0), sample(1)])
        assert charger.status()["waiting"] == 1

        mine.key.write_bytes(good.key.read_bytes())
        mine.certificate.write_bytes(good.certificate.read_bytes())

        charger.wait_up()


def test_an_authoritys_file_that_is_not_there_stops_nothing_and_is_taken_when_it_is(
    tls_broker, tmp_path
):
    ca = tmp_path / "ca.pem"
    with tls_charger(tmp_path / "c", tls_broker, Broker={"CaFile": str(ca)}) as charger:
        assert wait_why(charger, "cannot be used").startswith("ERR_AUTH_EXPIRED Broker.CaFile")
        deliver(charger, [sample(0), sample(1)])
        assert charger.status()["waiting"] == 1

        ca.write_bytes(tls_broker.ca.read_bytes())

        charger.wait_up()


@pytest.mark.parametrize("what", ["key open to others", "not a pair", "no certificate"])
def test_files_that_cannot_be_used_are_err_auth_expired(tls_broker, tmp_path, what):
    mine = issued(tmp_path / "mine", authority(), EVSE_ID)
    if what == "key open to others":
        mine.key.chmod(0o640)
        expected = "has mode 0640, open to others"
    elif what == "not a pair":
        mine.key.write_bytes(tls_broker.client(EVSE_ID).key.read_bytes())
        expected = "cannot be used together"
    else:
        mine.certificate.write_bytes(b"nothing")
        expected = "cannot be read"
    with tls_charger(tmp_path / "c", tls_broker, files=mine) as charger:
        assert wait_why(charger, expected).startswith("ERR_AUTH_EXPIRED Broker.")
        deliver(charger, [sample(0), sample(1)])


def test_a_broker_of_another_authority_or_name_is_not_spoken_to(tls_broker, tmp_path):
    other = tmp_path / "other-ca.pem"
    other.write_bytes(authority().certificate.public_bytes(Encoding.PEM))
    with tls_charger(tmp_path / "c", tls_broker, Broker={"CaFile": str(other)}) as charger:
        why = wait_why(charger, "an authority that is not in Broker.CaFile")
        assert why.startswith("ERR_AUTH_EXPIRED the broker")
    with tls_charger(tmp_path / "d", tls_broker, Broker={"Host": "127.0.0.2"}) as charger:
        why = wait_why(charger, "127.0.0.2")
        # Nobody listens there, or the certificate is for another address: either way no word goes out.
        assert "nobody listens" in why or why.startswith("ERR_AUTH_EXPIRED")


def test_a_certificate_that_is_not_yet_valid_points_at_the_clock(tmp_path):
    mine = issued(tmp_path / "mine", authority(), EVSE_ID)

    with pytest.raises(AuthExpiredError, match="look at this machine's clock"):
        check_own(mine.certificate, now=datetime(2025, 1, 1, tzinfo=UTC))


def test_a_name_without_rights_keeps_its_packets_and_says_whom_to_ask(tls_broker, tmp_path):
    # The certificate is another charger's: its topics are not ours.
    files = tls_broker.client("DE*V2G*OTHER")
    with tls_charger(tmp_path / "c", tls_broker, files=files, ReceiptTimeout=1) as charger:
        deliver(charger, [sample(0), sample(1)])
        wait_until(
            lambda: "event=mqtt_not_taken" in charger.log or "event=mqtt_down" in charger.log
            or "event=no_receipt" in charger.log,
            deadline_s=20,
            what="word of the refusal",
        )  # fmt: skip
        assert charger.status()["waiting"] == 1


def test_a_wrong_password_is_named(broker, tmp_path):
    with Charger(tmp_path / "c", broker) as charger:
        charger.process.stop()
        (tmp_path / "c" / "password").write_text("wrong")
        charger.start()

        assert "Broker.Username" in wait_why(charger, "Not authorized")


def test_an_answer_that_is_no_mqtt_breaks_nothing(tmp_path):
    connections: list[socket.socket] = []

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            connections.append(connection)
            connection.recv(4096)
            # CONNACK whose properties are none: the library cannot read it.
            connection.sendall(bytes([0x20, 0x05, 0x00, 0x00, 0x02, 0xFF, 0xFF]))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, daemon=True).start()
        port = listener.getsockname()[1]
        with Charger(tmp_path / "c", None, Broker={"Port": port}) as charger:
            wait_until(lambda: len(connections) >= 3, deadline_s=30, what="further attempts")
            deliver(charger, [sample(0), sample(1)])
            assert charger.status()["waiting"] == 1
            assert charger.process.stop() == 0


def test_a_broker_that_is_restarted_is_found_again(broker, tmp_path):
    with Charger(tmp_path / "c", broker) as charger:
        charger.wait_up()
        broker.stop()
        deliver(charger, [sample(n) for n in range(4)])
        broker.start()

        with Receiver(broker) as receiver:
            receiver.wait_packets(3)
            charger.wait_waiting(0)
