"""Who gets into the shipped broker, and what each may say and hear there. Real mosquitto, real TLS."""

import ssl
from datetime import timedelta

import pytest

from embedded.processes import wait_until
from tasks import certificate_folder, certificates
from tests.infra.conftest import written
from tests.tls import ClientFiles, Connection

A = "DE*V2G*E00001"
B = "DE*V2G*E00002"
DAEMON = certificates.DAEMON
GUARD = certificates.GUARD
SUCCESS = "Success"
TAKEN = {SUCCESS, "No matching subscribers"}
"""Both mean that the publish was allowed; the second, that nobody was there to hear it."""


def test_a_chargers_packet_reaches_the_daemon_and_the_receipt_comes_back(site, websockets):
    with (
        site.connect(DAEMON) as daemon,
        site.connect(A, websockets=websockets) as charger,
    ):
        assert (daemon.answer, charger.answer) == (SUCCESS, SUCCESS)
        daemon.subscribe("v2g/+/telemetry")
        charger.subscribe(f"v2g/{A}/receipt")

        assert charger.publish(f"v2g/{A}/telemetry", b"packet") == SUCCESS
        assert daemon.next_message() == (f"v2g/{A}/telemetry", b"packet")
        assert daemon.publish(f"v2g/{A}/receipt", b"landed") == SUCCESS
        assert charger.next_message() == (f"v2g/{A}/receipt", b"landed")


def test_the_daemon_may_connect_over_websockets_too(site):
    with site.connect(DAEMON, websockets=True) as daemon, site.connect(A) as charger:
        daemon.subscribe("v2g/+/telemetry")
        charger.publish(f"v2g/{A}/telemetry", b"packet")

        assert daemon.next_message() == (f"v2g/{A}/telemetry", b"packet")


def test_a_command_of_the_guard_reaches_its_charger_and_the_answer_comes_back(site, websockets):
    with site.connect(GUARD) as guard, site.connect(A, websockets=websockets) as charger:
        guard.subscribe("v2g/+/status")
        charger.subscribe(f"v2g/{A}/command")

        guard.publish(f"v2g/{A}/command", b"limit")
        assert charger.next_message() == (f"v2g/{A}/command", b"limit")
        charger.publish(f"v2g/{A}/status", b"obeyed")
        assert guard.next_message() == (f"v2g/{A}/status", b"obeyed")


# --- who gets in -----------------------------------------------------------------------------------


def test_plain_tcp_is_refused(site, websockets):
    port = site.websockets_port if websockets else site.port
    with Connection(site.host, port, None, websockets=websockets) as plain:
        assert plain.answer != SUCCESS


def test_nobody_enters_without_a_certificate(site, websockets):
    with site.connect(None, websockets=websockets) as nobody:
        assert nobody.answer != SUCCESS


def test_a_name_and_a_password_do_not_replace_a_certificate(site, websockets):
    with site.connect(None, account=(DAEMON, "x"), websockets=websockets) as nobody:
        assert nobody.answer != SUCCESS


def test_a_name_beside_a_certificate_changes_nothing(site, websockets):
    with site.connect(A, account=(DAEMON, "x"), websockets=websockets) as charger:
        assert charger.answer == SUCCESS
        assert charger.publish(f"v2g/{B}/receipt", b"forged") == "Not authorized"


def test_a_certificate_of_another_authority_is_refused(site, foreign, websockets):
    with site.connect(None, files=foreign, websockets=websockets) as stranger:
        assert stranger.answer != SUCCESS


def test_an_expired_certificate_is_refused(site, tmp_path, websockets):
    signer = certificate_folder._signer(site.folder, None)
    over = written(tmp_path, signer, A, ago=timedelta(days=2))

    with site.connect(None, files=over, websockets=websockets) as late:
        assert late.answer != SUCCESS
    # and one of the same age that is not over is taken
    fresh = written(tmp_path, signer, A, ago=timedelta(hours=23))
    with site.connect(None, files=fresh, websockets=websockets) as early:
        assert early.answer == SUCCESS


def test_the_brokers_own_certificate_is_nobodys_ticket(site):
    pair = certificate_folder.place(site.folder, certificate_folder.BROKER)
    assert pair.key
    with site.connect(None, files=ClientFiles(pair.certificate, pair.key)) as thief:
        assert thief.answer != SUCCESS


def test_a_charger_cannot_stand_in_for_the_broker(site):
    # given a listener with a charger's certificate, which the authority has signed
    files = site.client(A)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(files.certificate, files.key)
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    impostor = server.wrap_bio(there, back, server_side=True)

    # when another charger speaks with it, even one that does not look at the name
    trusting = site.context(B)
    trusting.check_hostname = False
    charger = trusting.wrap_bio(back, there)
    with pytest.raises(ssl.SSLWantReadError):
        charger.do_handshake()
    with pytest.raises(ssl.SSLWantReadError):
        impostor.do_handshake()

    # then it says no
    with pytest.raises(ssl.SSLCertVerificationError, match="unsuitable certificate purpose"):
        charger.do_handshake()


@pytest.mark.parametrize(
    ("version", "taken"),
    [
        (ssl.TLSVersion.TLSv1, False),
        (ssl.TLSVersion.TLSv1_1, False),
        (ssl.TLSVersion.TLSv1_2, True),
        (ssl.TLSVersion.TLSv1_3, True),
    ],
    ids=lambda value: getattr(value, "name", None),
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tls_from_1_2_on_is_spoken(site, websockets, version, taken):
    # given a client that knows one version only, and is not squeamish itself
    context = site.context(A)
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    port = site.websockets_port if websockets else site.port

    # when
    with Connection(site.host, port, context, websockets=websockets) as client:
        # then
        assert (client.answer == SUCCESS) is taken


# --- what each may say and hear ----------------------------------------------------------------------


def test_a_publish_on_anothers_topic_is_not_delivered_and_told(site, websockets):
    with site.connect(DAEMON) as daemon:
        daemon.subscribe("v2g/+/telemetry")
        with site.connect(A, websockets=websockets) as charger:
            assert charger.publish(f"v2g/{B}/telemetry", b"forged") == "Not authorized"
            if not websockets:
                assert charger.ended.get(timeout=20)
        with site.connect(B) as owner:
            owner.publish(f"v2g/{B}/telemetry", b"genuine")

        assert daemon.next_message() == (f"v2g/{B}/telemetry", b"genuine")
        assert daemon.messages.empty()


@pytest.mark.parametrize("topic", ["receipt", "command"])
@pytest.mark.parametrize("whose", [A, B])
def test_a_charger_writes_no_receipts_and_no_commands(site, topic, whose):
    with site.connect(A) as charger:
        assert charger.publish(f"v2g/{whose}/{topic}", b"forged") == "Not authorized"


@pytest.mark.parametrize("topic", ["v2g", "v2g/telemetry", f"v2g/{A}", f"v2g/{A}/other", "$SYS/x"])
def test_a_charger_writes_nowhere_else(site, topic):
    with site.connect(A) as charger:
        assert charger.publish(topic, b"anything") == "Not authorized"


@pytest.mark.parametrize(
    "topic", [f"v2g/{B}/receipt", "v2g/+/receipt", "v2g/+/command", "v2g/#", "#", "$share/x/v2g/#"]
)
def test_a_charger_hears_nothing_that_is_for_another(site, websockets, topic):
    with (
        site.connect(DAEMON) as daemon,
        site.connect(GUARD) as guard,
        site.connect(A, websockets=websockets) as spy,
    ):
        spy.subscribe(topic)
        spy.subscribe(f"v2g/{A}/receipt")

        daemon.publish(f"v2g/{B}/receipt", b"for B")
        guard.publish(f"v2g/{B}/command", b"for B")
        with site.connect(B) as other:
            other.publish(f"v2g/{B}/telemetry", b"of B")
        daemon.publish(f"v2g/{A}/receipt", b"for A")

        assert spy.next_message() == (f"v2g/{A}/receipt", b"for A")


def test_not_even_retained_status_of_another_is_heard(site):
    third = "DE*V2G*E00003"
    with site.connect(third) as other:
        other.client.publish(f"v2g/{third}/status", b"online", qos=1, retain=True)
        assert other.published.get(timeout=20) in TAKEN
    with site.connect(A) as spy, site.connect(DAEMON) as daemon:
        spy.subscribe("v2g/+/status")
        spy.subscribe(f"v2g/{A}/receipt")
        daemon.publish(f"v2g/{A}/receipt", b"for A")

        assert spy.next_message() == (f"v2g/{A}/receipt", b"for A")
        # while the daemon hears it
        daemon.subscribe(f"v2g/{third}/status")
        assert daemon.next_message() == (f"v2g/{third}/status", b"online")


def test_a_last_will_on_anothers_topic_is_not_delivered(site, websockets):
    # given a charger whose last will speaks for another, and one whose speaks for itself
    with site.connect(DAEMON) as daemon:
        for name in (A, B):
            daemon.subscribe(f"v2g/{name}/status")
        for whose in (B, A):
            charger = site.connect(
                A, will=(f"v2g/{whose}/status", b"offline"), websockets=websockets
            )
            assert charger.answer == SUCCESS
            # when both are cut off
            charger.cut()

        # then only the honest one is heard
        assert daemon.next_message() == (f"v2g/{A}/status", b"offline")
        with site.connect(B) as other:
            other.publish(f"v2g/{B}/status", b"online")
        assert daemon.next_message() == (f"v2g/{B}/status", b"online")


@pytest.mark.parametrize("topic", ["telemetry", "status", "command"])
def test_the_daemon_cannot_forge_packets_or_answers_and_commands_nobody(site, topic):
    with site.connect(DAEMON) as daemon:
        assert daemon.publish(f"v2g/{A}/{topic}", b"forged") == "Not authorized"


@pytest.mark.parametrize("topic", ["telemetry", "status", "receipt"])
def test_the_guard_commands_and_does_nothing_else(site, topic):
    with site.connect(GUARD) as guard:
        assert guard.publish(f"v2g/{A}/{topic}", b"forged") == "Not authorized"


def test_the_guard_reads_no_packet(site):
    with site.connect(GUARD) as guard, site.connect(A) as charger:
        guard.subscribe("v2g/+/telemetry")
        guard.subscribe(f"v2g/{A}/status")
        charger.publish(f"v2g/{A}/telemetry", b"packet")
        charger.publish(f"v2g/{A}/status", b"online")
        assert guard.next_message() == (f"v2g/{A}/status", b"online")


# --- one certificate, one connection -----------------------------------------------------------------


def test_a_client_id_is_worth_nothing_without_its_certificate(site, websockets):
    with site.connect(A) as charger:
        # when another takes the first one's client id
        with site.connect(B, client_id=A, websockets=websockets) as thief:
            assert thief.answer == SUCCESS
            # then it is only itself
            assert thief.publish(f"v2g/{A}/telemetry", b"forged") == "Not authorized"
        # and the first one was not disturbed
        assert charger.publish(f"v2g/{A}/telemetry", b"packet") in TAKEN
        assert charger.ended.empty()


def test_a_second_connection_of_the_same_certificate_ends_the_first(site):
    with site.connect(A, client_id="one") as first, site.connect(A, client_id="two") as second:
        assert first.ended.get(timeout=20)
        assert second.publish(f"v2g/{A}/telemetry", b"packet") in TAKEN


def test_several_daemons_share_the_packets_by_a_certificate_each(site):
    # given two daemons in one group
    with site.connect(DAEMON) as one, site.connect(f"{DAEMON}-2") as two:
        for daemon in (one, two):
            assert daemon.subscribe("$share/ingest/v2g/+/telemetry") == ["Granted QoS 1"]

        # when ten packets come
        sent = {b"packet %d" % number for number in range(10)}
        with site.connect(A) as charger:
            for packet in sent:
                charger.publish(f"v2g/{A}/telemetry", packet)

        # then each has some, and none is there twice
        heard = [daemon.next_message()[1] for daemon in (one, two)]
        wait_until(
            lambda: one.messages.qsize() + two.messages.qsize() == len(sent) - len(heard),
            deadline_s=20,
            what="all packets",
        )
        for daemon in (one, two):
            heard += [daemon.next_message()[1] for _ in range(daemon.messages.qsize())]
        assert sorted(heard) == sorted(sent)
        assert two.publish(f"v2g/{A}/receipt", b"landed") in TAKEN
