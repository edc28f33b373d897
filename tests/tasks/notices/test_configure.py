"""S17: a destination takes effect only after a signed test call to its pinned address succeeded."""

import logging
import socket
import ssl
import time

import psycopg
import pytest

from storage import destinations
from storage.destinations import operating
from tasks.notices.configure import configure, current, try_current
from tasks.notices.errors import DestinationRefusedError, SealError, TestFailedError
from tests.storage.authority import authority
from tests.tasks.notices.receiver import TOKEN, Receiver, status


@pytest.fixture
def receiver(tmp_path):
    with Receiver(tmp_path / "receiver") as running:
        yield running


@pytest.fixture
def means(receiver, plain_database):
    return receiver.means(plain_database)


def stored(dsn: str) -> str:
    """All that the database holds of destinations and notices, as text."""
    tables = ("webhook_destination", "notice", "notice_state", "notice_attempt")
    with psycopg.connect(dsn, user="v2g") as conn:
        return "\n".join(
            str(row)
            for table in tables
            for row in conn.execute(f"select t::text, row_to_json(t)::text from {table} t")
        )


def test_s17_a_destination_takes_effect_after_a_signed_test_call(means, receiver):
    # when a receiver that takes everything is configured
    made = configure(means, receiver.url, TOKEN, by="anna")

    # then it got one signed call with the token, under its name
    [call] = receiver.seen
    said = call.verified(made.secret)
    assert (said["type"], said["data"]) == ("webhook.test", {"url": receiver.url})
    assert call.headers["authorization"] == f"Bearer {TOKEN}"
    assert call.headers["host"] == f"localhost:{receiver.port}"
    assert call.headers["webhook-id"] == str(made.destination.destination_id)
    assert call.path == "/v2g"

    # and it is in force, with who and when
    destination, history = current(means.dsn)
    assert destination == made.destination == history[0]
    assert (destination.changed_by, destination.addresses) == ("anna", ["127.0.0.1"])


@pytest.mark.parametrize(
    "answer",
    [status(302, Location="https://hooks.example.com/"), status(307, Location="/other"),
     status(400), status(401), status(404), status(410), status(500), status(503)],
    ids=["302", "307", "400", "401", "404", "410", "500", "503"],
)  # fmt: skip
def test_s17_a_failed_test_call_leaves_the_old_destination_and_no_redirect_is_followed(
    means, receiver, answer
):
    # given a destination in force
    before = configure(means, receiver.url, TOKEN, by="anna").destination

    # when another one answers anything but 2xx
    receiver.answers(answer)
    with pytest.raises(TestFailedError):
        configure(means, f"{receiver.url}/elsewhere", "another-token", by="bert")

    # then it was called once, and the one before counts
    assert [one.path for one in receiver.seen] == ["/v2g", "/v2g/elsewhere"]
    destination, history = current(means.dsn)
    assert destination == before
    assert [(one.number, one.changed_by, one.outcome) for one in history] == [
        (2, "bert", "test_failed"), (1, "anna", "in_force"),
    ]  # fmt: skip


def test_s17_whoever_drips_hangs_or_floods_is_given_up_at_the_deadline(means, receiver):
    def floods(request):
        request.say(200, b"x" * 200_000)

    def drips(request):
        request.send_response(200)
        request.send_header("Content-Length", "1000")
        request.end_headers()
        for _ in range(100):
            request.wfile.write(b"x")
            time.sleep(0.05)  # the receiver's slowness is what is tested

    receiver.answers(floods)
    with pytest.raises(TestFailedError, match="more than 65536 bytes"):
        configure(means, receiver.url, TOKEN, by="anna")
    receiver.answers(drips)
    started = time.monotonic()
    with pytest.raises(TestFailedError, match="no whole answer within 2 s"):
        configure(means, receiver.url, TOKEN, by="anna")
    assert 1.9 <= time.monotonic() - started < 3.5


def test_s17_a_name_that_comes_to_mean_another_address_changes_nothing(means, receiver):
    # given a resolver that rebinds: the right address once, then another
    answers = [["127.0.0.1"], ["127.0.0.2"], ["127.0.0.3"]]
    asked = []

    def rebinding(host, port):
        asked.append((host, port))
        return answers[len(asked) - 1]

    given = receiver.means(means.dsn, resolver=rebinding)
    made = configure(given, receiver.url, TOKEN, by="anna")

    # when it is called again
    _, told = try_current(given)

    # then nobody was asked a second time, and the pinned address was called
    assert asked == [("localhost", receiver.port)]
    assert made.destination.addresses == ["127.0.0.1"]
    assert told.delivered
    assert len(receiver.seen) == 2


def test_s17_an_internal_address_is_refused_where_the_list_does_not_allow_it(means, receiver):
    for addresses in (["127.0.0.1"], ["8.8.8.8", "10.0.0.1"], ["169.254.169.254"]):
        given = receiver.means(means.dsn, resolver=lambda *_, found=addresses: found)
        with pytest.raises(DestinationRefusedError, match="not public"):
            configure(given, "https://hooks.example.com/v2g", TOKEN, by="anna")

    assert current(means.dsn) == (None, [])
    assert receiver.seen == []


def test_the_environment_sends_nothing_through_a_proxy(means, receiver, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        for name in ("HTTPS_PROXY", "ALL_PROXY", "https_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.getsockname()[1]}")
        configure(means, receiver.url, TOKEN, by="anna")
        proxy.settimeout(0.05)
        with pytest.raises(TimeoutError):
            proxy.accept()
    assert len(receiver.seen) == 1


def test_a_certificate_of_another_name_or_authority_is_refused(plain_database, tmp_path):
    with Receiver(tmp_path / "other", certified="hooks.example.com") as other:
        with pytest.raises(TestFailedError, match=r"(?i)certificate"):
            configure(other.means(plain_database), other.url, TOKEN, by="anna")
        strangers = authority(tmp_path, "localhost").ca_file
        with pytest.raises(TestFailedError, match=r"(?i)certificate"):
            configure(other.means(plain_database, ca_file=strangers), other.url, TOKEN, by="anna")
        with pytest.raises(TestFailedError):
            configure(other.means(plain_database, ca_file=None), other.url, TOKEN, by="anna")
        assert other.seen == []
    assert ssl.create_default_context().check_hostname


def test_the_next_address_is_called_where_the_first_takes_no_connection(means, receiver):
    given = receiver.means(means.dsn, resolver=lambda *_: ["127.9.9.9", "127.0.0.1"])

    made = configure(given, receiver.url, TOKEN, by="anna")

    assert made.destination.addresses == ["127.9.9.9", "127.0.0.1"]


@pytest.mark.parametrize("token", ["", "with space", "line\r\nX: 1", "ünsafe", "x" * 3000])
def test_a_token_that_cannot_stand_in_a_header_is_refused_and_not_quoted(means, receiver, token):
    with pytest.raises(DestinationRefusedError) as caught:
        configure(means, receiver.url, token, by="anna")

    assert caught.value.where == "auth_token"
    assert not token or token not in str(caught.value)
    assert receiver.seen == []


def test_s17_neither_token_nor_secret_stands_anywhere_in_the_clear(means, receiver, caplog):
    # given every way to configure, in debugging logs
    with caplog.at_level(logging.DEBUG):
        made = configure(means, receiver.url, TOKEN, by="anna")
        receiver.answers(status(500))
        with pytest.raises(TestFailedError) as failed:
            configure(means, receiver.url, TOKEN, by="anna")
        with pytest.raises(DestinationRefusedError) as refused:
            configure(means, "https://evil.example/", TOKEN, by="anna")

    # then no table, log line, error or shown record holds either
    shown = [caplog.text, stored(means.dsn), repr(made), repr(means), *map(str, (failed, refused))]
    for secret in (TOKEN, made.secret, made.secret.removeprefix("whsec_"), TOKEN.encode().hex()):
        assert [text for text in shown if secret in text] == []


def test_without_its_key_or_its_host_in_the_list_nothing_is_called(means, receiver):
    configure(means, receiver.url, TOKEN, by="anna")

    with pytest.raises(SealError, match="V2G_SEAL_KEY_FILE"):
        configure(receiver.means(means.dsn, sealer=None), receiver.url, TOKEN, by="anna")
    with pytest.raises(SealError):
        try_current(receiver.means(means.dsn, sealer=None))
    with pytest.raises(DestinationRefusedError):
        try_current(receiver.means(means.dsn, allowed=type(means.allowed)({})))
    assert len(receiver.seen) == 1


def test_the_last_of_many_at_once_is_in_force_and_all_are_numbered(means, receiver):
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: configure(means, receiver.url, f"t{n}", by="anna"), range(4)))

    with operating(means.dsn) as conn:
        history = destinations.history(conn)
        latest = destinations.current(conn)
    assert [one.number for one in history] == [4, 3, 2, 1]
    assert latest == history[0]


def test_s17_a_receiver_that_repeats_the_token_in_no_http_puts_it_into_no_history(means, receiver):
    def repeats(request):
        request.wfile.write(b"HTTP/1.1 " + request.headers["authorization"].encode() + b"\r\n\r\n")

    receiver.answers(repeats)
    with pytest.raises(TestFailedError) as refused:
        configure(means, receiver.url, TOKEN, by="anna")
    assert "ProtocolError" in str(refused.value)
    assert TOKEN not in f"{refused.value} {current(means.dsn)}"


def test_the_environment_takes_no_secrets_of_sessions(means, receiver, monkeypatch, tmp_path):
    log = tmp_path / "secrets"
    monkeypatch.setenv("SSLKEYLOGFILE", str(log))
    configure(means, receiver.url, TOKEN, by="anna")
    assert not log.exists() or "TRAFFIC_SECRET" not in log.read_text()
