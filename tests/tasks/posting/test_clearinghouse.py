"""One call over a real socket: whatever the other side does, it is an outcome, in time and memory."""

import asyncio
import socket
import ssl
import threading
import time
import tracemalloc
from base64 import b64decode
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from ipaddress import ip_address
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from settlement.posting import Outcome
from tasks.posting.call import Call, send
from tasks.posting.clearinghouse import Clearinghouse, InsecureAddressError, open_client
from tests.postings import echo, posting
from tests.tasks.posting.scripted import (
    Request,
    Script,
    ScriptedServer,
    answers,
    reset,
    response,
    right,
)

MIB = 1024 * 1024
TOKEN = "secret"
AT_MOST_S = 2.2
"""What a call that has 2.0 s may take, with what it takes to end it."""


def call(url, *, token=TOKEN, doubtful=False, **options) -> tuple[Call, float]:
    """One posting sent; what came of it, and how many seconds it took."""

    async def once() -> tuple[Call, float]:
        clearinghouse = Clearinghouse(url, token, **options)
        async with open_client(clearinghouse, connections=1) as client:
            began = time.monotonic()
            came = await send(client, clearinghouse, posting(), doubtful=doubtful)
            return came, time.monotonic() - began

    return asyncio.run(once())


def call_of(script: Script, **options) -> Call:
    with ScriptedServer(script) as server:
        return call(server.url, **options)[0]


def quickest(url) -> tuple[Call, float]:
    """The shortest of up to three calls: a busy machine can only make one longer."""
    came, took_s = call(url)
    for _ in range(2):
        if took_s <= AT_MOST_S:
            break
        came, took_s = min((came, took_s), call(url), key=lambda one: one[1])
    return came, took_s


@contextmanager
def until_done():
    """An event that lets a stalling server go once the test is over."""
    done = threading.Event()
    try:
        yield done
    finally:
        done.set()


# --- what is sent ----------------------------------------------------------------------------------


def test_a_call_carries_body_key_digest_and_token():
    # given
    with ScriptedServer(answers(201)) as server:
        # when
        outcome, _ = call(server.url + "/")

    # then
    [request] = server.requests
    assert outcome == Call(Outcome.ACKNOWLEDGED, "201: the echo is ours", 201)
    assert request.line == "POST /v1/postings HTTP/1.1"
    assert request.body == posting().body
    assert request.headers["idempotency-key"] == f'"{posting().posting_id}"'
    assert request.headers["authorization"] == "Bearer secret"
    assert request.headers["content-type"] == "application/json"
    algorithm, _, digest = request.headers["content-digest"].partition("=")
    assert (algorithm, b64decode(digest.strip(":"))) == ("sha-256", sha256(request.body).digest())
    assert request.headers["accept-encoding"] == "identity"


def test_without_a_token_a_call_carries_none():
    with ScriptedServer(answers(201)) as server:
        assert call(server.url, token="")[0].outcome is Outcome.ACKNOWLEDGED
    assert "authorization" not in server.requests[0].headers


def test_the_token_is_not_shown():
    assert "secret" not in repr(Clearinghouse("https://house.example", "secret"))


@pytest.mark.parametrize(
    "url",
    ["http://house.example", "http://10.0.0.1:80", "ftp://localhost", "localhost", "https://"],
)
def test_an_address_that_would_send_the_token_in_the_clear_is_refused(url):
    with pytest.raises(InsecureAddressError):
        Clearinghouse(url, "secret")


@pytest.mark.parametrize(
    "url", ["https://house.example", "http://localhost:1", "http://127.1.2.3", "http://[::1]:80"]
)
def test_https_and_this_machine_are_permitted(url):
    assert Clearinghouse(url, "secret").url == url


# --- answers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "outcome", "status"),
    [
        (answers(200), Outcome.ACKNOWLEDGED, 200),
        (answers(208), Outcome.ACKNOWLEDGED, 208),
        (answers(200, b"<!doctype html><p>hello", content_type="text/html"), Outcome.ECHO_DIFFERS, 200),
        (answers(200, echo(posting())[:50]), Outcome.ECHO_DIFFERS, 200),
        (answers(200, echo(posting(), amount_minor="1")), Outcome.ECHO_DIFFERS, 200),
        (answers(200, echo(posting(), digest=None)), Outcome.ECHO_DIFFERS, 200),
        (answers(208, echo(posting(2))), Outcome.ECHO_DIFFERS, 208),
        (answers(201, echo(posting(), posting_id=posting(2).posting_id)), Outcome.ECHO_DIFFERS, 201),
        (answers(201, echo(posting(), currency="EUR")), Outcome.ECHO_DIFFERS, 201),
        (answers(204, b""), Outcome.ECHO_DIFFERS, 204),
        (answers(400, b"{}"), Outcome.REJECTED, 400),
        (answers(401, b"{}"), Outcome.NOT_SERVED, 401),
        (answers(409, b'{"error":"conflict"}'), Outcome.CONFLICT, 409),
        (answers(429, b""), Outcome.REFUSED_TEMPORARILY, 429),
        (answers(500, b"oops"), Outcome.SERVER_FAILED, 500),
        (answers(502, b"<html>"), Outcome.SERVER_FAILED, 502),
        (answers(503, b""), Outcome.REFUSED_TEMPORARILY, 503),
        (answers(999, b""), Outcome.SERVER_FAILED, None),
        (answers(200, content_encoding="gzip"), Outcome.ACKNOWLEDGED, 200),
    ],
    ids=["200", "208", "html", "truncated", "wrong amount", "no digest", "208 of another", "wrong id",
         "wrong currency", "204", "400", "401",
         "409", "429", "500", "502", "503", "no status of ours", "a lie about gzip"],
)  # fmt: skip
def test_f14_f15_f16_an_answer_is_judged_by_its_content(script, outcome, status):
    came = call_of(script)
    assert (came.outcome, came.http_status) == (outcome, status)


def test_a_compressed_answer_is_not_unpacked():
    # given 1 MiB of blanks around the right echo, packed small
    import gzip

    packed = gzip.compress(echo(posting())[:-1] + b" " * MIB + b"}")

    # when
    came = call_of(answers(200, packed, content_encoding="gzip"))

    # then
    assert came.outcome is Outcome.ECHO_DIFFERS


def test_f13_what_the_clearinghouse_asks_for_is_passed_on():
    assert call_of(answers(429, b"", retry_after="17")).retry_after == "17"


@pytest.mark.parametrize(
    ("header", "asked"),
    [
        (b"retry-after: 17", "17"),
        (b"retry-after: Wed, 01 Jul 2026 12:00:30 GMT", "Wed, 01 Jul 2026 12:00:30 GMT"),
        (b"retry-after: 99999999999999999999", "99999999999999999999"),
        (b"retry-after: -5", "-5"),
        (b"retry-after: soon", "soon"),
        (b"retry-after: 7\r\nRetry-After: 9", "7, 9"),
        (b"retry-after: \xff\xfe", "\xff\xfe"),
        (b"x: y", None),
    ],
    ids=["seconds", "date", "huge", "negative", "garbage", "twice", "bytes", "none"],
)
def test_f13_a_wait_in_any_form_is_taken_as_it_comes(header, asked):
    # given
    def busy(_: Request, connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 429 No\r\n" + header + b"\r\ncontent-length: 0\r\n\r\n")

    # when, then it is read by rules that are tested with them (tests/settlement/test_posting.py)
    assert call_of(busy) == Call(
        Outcome.REFUSED_TEMPORARILY, "429: no body was read", 429, retry_after=asked
    )


@pytest.mark.parametrize("doubtful", [False, True], ids=["sending", "asking"])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed_and_the_token_goes_nowhere_else(status, doubtful):
    # given somewhere else, which would say yes
    with ScriptedServer(answers(200)) as elsewhere:
        # when
        came = call_of(answers(status, b"", location=elsewhere.url), doubtful=doubtful)

    # then
    assert (came.outcome, came.http_status) == (Outcome.NOT_SERVED, status)
    assert elsewhere.requests == []


def test_a_partner_cannot_leave_cookies():
    # given a partner that sets one with each answer
    async def twice(url: str) -> None:
        clearinghouse = Clearinghouse(url, TOKEN)
        async with open_client(clearinghouse, connections=1) as client:
            for _ in range(2):
                await send(client, clearinghouse, posting())

    with ScriptedServer(answers(201, set_cookie="mark=you; Path=/")) as server:
        # when
        asyncio.run(twice(server.url))

    # then
    assert len(server.requests) == 2
    assert all("cookie" not in request.headers for request in server.requests)


def test_as_many_calls_can_be_out_as_there_are_connections():
    # given a clearinghouse that answers once all of them are there
    together = threading.Barrier(6, timeout=10)

    def meet(request: Request, connection: socket.socket) -> None:
        together.wait()
        connection.sendall(response(201, right(request)))

    async def six(url: str) -> list[Call]:
        clearinghouse = Clearinghouse(url, TOKEN)
        async with open_client(clearinghouse, connections=6) as client:
            calls = (send(client, clearinghouse, posting(n)) for n in range(6))
            return await asyncio.gather(*calls)

    # when, then
    with ScriptedServer(meet) as server:
        assert {one.outcome for one in asyncio.run(six(server.url))} == {Outcome.ACKNOWLEDGED}
    assert server.most_at_once == 6


def test_a_connection_is_free_again_whatever_came_of_its_call():
    # given one connection, and one way after another to lose it
    ways = iter([
        lambda _, connection: reset(connection),
        answers(200, b"x" * 100_000),
        lambda _, connection: time.sleep(0.4),
        lambda _, connection: connection.sendall(b"no HTTP\r\n\r\n"),
        answers(201),
    ])  # fmt: skip

    def next_way(request: Request, connection: socket.socket) -> None:
        next(ways)(request, connection)

    async def all_of(url: str) -> list[Outcome]:
        clearinghouse = Clearinghouse(url, TOKEN, deadline_s=0.2)
        async with open_client(clearinghouse, connections=1) as client:
            return [(await send(client, clearinghouse, posting())).outcome for _ in range(5)]

    # when
    with ScriptedServer(next_way) as server:
        came = asyncio.run(all_of(server.url))

    # then
    assert came == [
        Outcome.LOST, Outcome.ECHO_DIFFERS, Outcome.NO_ANSWER, Outcome.LOST, Outcome.ACKNOWLEDGED,
    ]  # fmt: skip


# --- signatures --------------------------------------------------------------------------------------


class Seal:
    """Signs by a word, and verifies by it; what real keys do is in test_signing.py."""

    def __init__(self, *, word: str = "ours", takes_s: float = 0.0, broken: str = "") -> None:
        self.word, self.takes_s, self.broken = word, takes_s, broken
        self.asked: list[tuple[str, int, bytes]] = []

    def check(self) -> None:
        """It always counts."""

    def sign(self, request: httpx.Request) -> None:
        time.sleep(self.takes_s)
        if self.broken:
            raise RuntimeError(self.broken)
        request.headers["signature"] = self.word

    def wrong(self, request: httpx.Request, response: httpx.Response, body: bytes) -> str:
        self.asked.append((request.method, response.status_code, body))
        return "" if response.headers.get("signature") == self.word else "none of ours"


@pytest.mark.parametrize("doubtful", [False, True], ids=["sending", "asking first"])
def test_every_request_is_signed(doubtful):
    # given
    with ScriptedServer(lambda r, c: c.sendall(response(404))) as server:
        # when
        call(server.url, signer=Seal(), doubtful=doubtful)

    # then
    assert [r.line.split()[0] for r in server.requests] == ["GET", "POST"][not doubtful :]
    assert all(request.headers["signature"] == "ours" for request in server.requests)


def test_what_cannot_be_signed_is_not_sent():
    # given
    with ScriptedServer(answers(201)) as server:
        # when
        came, _ = call(server.url, signer=Seal(broken="the token is away"))

    # then
    assert (came.outcome, came.detail) == (Outcome.NOT_SENT, "not signed: the token is away")
    assert isinstance(came.cause, RuntimeError)
    assert server.requests == []


def test_a_token_that_takes_its_time_takes_it_from_the_deadline_and_from_nobody_else():
    # given two calls, one of which waits for its signature for ever
    async def both(url: str) -> tuple[Call, Call]:
        slow = Clearinghouse(url, TOKEN, deadline_s=0.3, signer=Seal(takes_s=1.0))
        quick = Clearinghouse(url, TOKEN, deadline_s=0.3, signer=Seal())
        async with open_client(slow, connections=2) as client:
            return await asyncio.gather(
                send(client, slow, posting(1)), send(client, quick, posting(2))
            )

    # when
    with ScriptedServer(answers(201)) as server:
        waited, sent = asyncio.run(both(server.url))

    # then
    assert (waited.outcome, waited.detail) == (Outcome.NOT_SENT, "not signed: no signature in time")
    assert sent.outcome is Outcome.ACKNOWLEDGED


@pytest.mark.parametrize(
    ("script", "outcome", "proven"),
    [
        (answers(201, signature="ours"), Outcome.ACKNOWLEDGED, True),
        (answers(422, b"{}", signature="ours"), Outcome.REJECTED, True),
        (answers(503, b"", signature="ours"), Outcome.REFUSED_TEMPORARILY, True),
        (answers(201), Outcome.SIGNATURE_WRONG, False),
        (answers(201, signature="theirs"), Outcome.SIGNATURE_WRONG, False),
        (answers(200, b"<html>"), Outcome.SIGNATURE_WRONG, False),
        (answers(422, b"{}"), Outcome.SIGNATURE_WRONG, False),
        (answers(409, b"{}"), Outcome.SIGNATURE_WRONG, False),
        (answers(422, b"x" * 70_000, signature="ours"), Outcome.SIGNATURE_WRONG, False),
        (answers(429, b"", retry_after="3"), Outcome.REFUSED_TEMPORARILY, False),
        (answers(302, b""), Outcome.NOT_SERVED, False),
        (answers(500, b""), Outcome.SERVER_FAILED, False),
    ],
    ids=["201", "422", "503", "201 unsigned", "201 of another", "html", "422 unsigned", "409 unsigned",
         "more than is read", "429 unsigned", "302 unsigned", "500 unsigned"],
)  # fmt: skip
def test_f16_of_a_partner_that_signs_only_what_is_signed_decides(script, outcome, proven):
    came = call_of(script, verifier=Seal())
    assert (came.outcome, came.proven) == (outcome, proven)


def test_an_answer_is_verified_with_its_request_and_the_bytes_as_they_came():
    # given
    seal = Seal()

    # when
    came = call_of(answers(200, b'{"held":0}', signature="ours"), verifier=seal, doubtful=True)

    # then the question's answer, and the posting's
    assert came.outcome is Outcome.ECHO_DIFFERS
    assert seal.asked == [("GET", 200, b'{"held":0}'), ("POST", 200, b'{"held":0}')]


def test_f16_an_unsigned_yes_to_a_status_query_proves_nothing():
    # given somebody in between who says that it is held
    def in_between(request: Request, connection: socket.socket) -> None:
        body = right(request) if request.body else echo(posting())
        connection.sendall(response(200, body))

    # when
    with ScriptedServer(in_between) as server:
        came, _ = call(server.url, verifier=Seal(), doubtful=True)

    # then it is sent again, and disputed
    assert [r.line.split()[0] for r in server.requests] == ["GET", "POST"]
    assert came.outcome is Outcome.SIGNATURE_WRONG


# --- what must not reach a call --------------------------------------------------------------------------


def test_the_environment_cannot_divert_a_call(monkeypatch, tmp_path):
    # given a proxy, certificates and passwords in the environment
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login thief password thief")
    with ScriptedServer(answers(200)) as proxy, ScriptedServer(answers(200)) as server:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
            monkeypatch.setenv(name.lower(), proxy.url)
        monkeypatch.setenv("NO_PROXY", "")
        monkeypatch.setenv("NETRC", str(netrc))

        # when
        came, _ = call(server.url)

    # then
    assert came.outcome is Outcome.ACKNOWLEDGED
    assert proxy.requests == []
    assert server.requests[0].headers["authorization"] == "Bearer secret"


# --- no answer ---------------------------------------------------------------------------------------


def test_f11_headers_that_do_not_come_are_awaited_for_two_seconds():
    # given
    with until_done() as done:

        def stall(request: Request, connection: socket.socket) -> None:
            done.wait(30)

        with ScriptedServer(stall) as server:
            # when
            came, took_s = quickest(server.url)

    # then
    assert came.outcome is Outcome.NO_ANSWER
    assert came.http_status is None
    assert 1.8 <= took_s <= AT_MOST_S


def test_f17_a_body_that_drips_is_read_for_two_seconds_in_all():
    # given an answer that is right, at a byte every 50 ms
    with until_done() as done:

        def drip(request: Request, connection: socket.socket) -> None:
            whole = response(200, right(request))
            head = whole.index(b"\r\n\r\n") + 4
            connection.sendall(whole[:head])
            for byte in whole[head:]:
                connection.sendall(bytes([byte]))
                if done.wait(0.05):
                    return

        with ScriptedServer(drip) as server:
            # when
            came, took_s = quickest(server.url)

    # then
    assert came.outcome is Outcome.NO_ANSWER
    assert 1.8 <= took_s <= AT_MOST_S


@pytest.mark.parametrize("status", [200, 500])
def test_f17_two_hundred_mebibytes_are_not_read(status):
    # given a server that counts what it gets rid of
    written = 0
    chunk = b"x" * 65_536

    def flood(request: Request, connection: socket.socket) -> None:
        nonlocal written
        connection.sendall(response(status, b"", length=200 * MIB))
        while written < 200 * MIB:
            connection.sendall(chunk)
            written += len(chunk)

    with ScriptedServer(flood) as server:
        tracemalloc.start()
        try:
            # when
            came, took_s = call(server.url)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

    # then
    assert came.outcome is (Outcome.ECHO_DIFFERS if status == 200 else Outcome.SERVER_FAILED)
    assert written < 16 * MIB  # what the sockets' buffers swallow
    assert peak < 8 * MIB
    assert took_s < 2.3


@pytest.mark.parametrize(
    ("size", "outcome"), [(65_536, Outcome.ACKNOWLEDGED), (65_537, Outcome.ECHO_DIFFERS)]
)
def test_f17_an_answer_may_have_sixty_four_kibibytes_and_not_a_byte_more(size, outcome):
    short = echo(posting())
    assert call_of(answers(200, short + b" " * (size - len(short)))).outcome is outcome


def test_f17_a_flood_of_1xx_is_read_for_two_seconds_and_kept_nowhere():
    # given
    with until_done() as done:

        def flood(request: Request, connection: socket.socket) -> None:
            while not done.is_set():
                connection.sendall(b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n" * 50)

        with ScriptedServer(flood) as server:
            # when
            came, took_s = quickest(server.url)
            tracemalloc.start()
            try:
                call(server.url, deadline_s=0.5)
                _, peak = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()

    # then it is cut between two pieces of what came
    assert came.outcome is Outcome.NO_ANSWER
    assert took_s <= 2.4
    assert peak < 8 * MIB


@pytest.mark.parametrize("status", [100, 101, 103, 199])
def test_a_1xx_that_nothing_follows_is_no_answer(status):
    def hint(request: Request, connection: socket.socket) -> None:
        connection.sendall(f"HTTP/1.1 {status} Whatever\r\n\r\n".encode())

    assert call_of(hint, deadline_s=0.5).outcome in {
        Outcome.LOST, Outcome.NO_ANSWER, Outcome.SERVER_FAILED,
    }  # fmt: skip


def test_f17_endless_headers_are_cut_off():
    def endless(request: Request, connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        for _ in range(200):
            connection.sendall(b"x-more: " + b"y" * 8000 + b"\r\n")

    assert call_of(endless).outcome is Outcome.LOST


@pytest.mark.parametrize(
    "script",
    [
        lambda _, connection: reset(connection),
        lambda _, connection: connection.close(),
        lambda request, connection: connection.sendall(response(200, right(request), length=9_999)),
        lambda _, connection: connection.sendall(b"\x16\x03\x01 nonsense\r\n\r\n"),
    ],
    ids=["reset", "closed", "closed within the body", "no HTTP"],
)
def test_f12_a_connection_that_breaks_after_sending_leaves_the_effect_unknown(script):
    came = call_of(script)
    assert (came.outcome, came.http_status) == (Outcome.LOST, None)


def test_a_closed_port_means_that_nothing_was_sent():
    # given a port on which nobody listens
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    # when, then
    assert call(f"http://127.0.0.1:{port}")[0].outcome is Outcome.CONNECTION_FAILED


def test_a_connection_that_is_not_accepted_in_time_means_that_nothing_was_sent():
    # given a listener whose queue is full, so that further connections hang
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        waiting = []
        for _ in range(4):
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
            waiting.append(one)

        # when
        came, took_s = call(f"http://127.0.0.1:{listener.getsockname()[1]}", deadline_s=0.5)

        for one in waiting:
            one.close()

    # then
    assert came == Call(Outcome.CONNECTION_FAILED, "no connection within 0.5 s")
    assert took_s < 0.8


# --- TLS -----------------------------------------------------------------------------------------------


NOW = datetime.now(UTC)
YEAR = timedelta(days=365)


def _certificate(
    subject, key, issuer, signer, *, of_ca, starts=NOW - YEAR, ends=NOW + YEAR, host="127.0.0.1"
) -> x509.Certificate:
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(starts)
        .not_valid_after(ends)
        .add_extension(x509.BasicConstraints(ca=of_ca, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
    )
    if not of_ca:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address(host))]), critical=False
        )
    return builder.sign(signer, hashes.SHA256())


@contextmanager
def tls_house(folder: Path, *, newest=None, **changes):
    """A clearinghouse behind TLS, and the file with the authority that signed its certificate."""
    authority, key = (
        ec.generate_private_key(ec.SECP256R1()),
        ec.generate_private_key(ec.SECP256R1()),
    )
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "an authority")])
    host = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a clearinghouse")])
    ca_file, served = folder / "ca.pem", folder / "served.pem"
    ca_file.write_bytes(
        _certificate(name, authority, name, authority, of_ca=True).public_bytes(Encoding.PEM)
    )
    served.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        + _certificate(host, key, name, authority, of_ca=False, **changes).public_bytes(
            Encoding.PEM
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(served)
    if newest is not None:
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = newest
    with ScriptedServer(answers(200), tls=context) as server:
        yield server, ca_file


def test_a_certificate_of_a_trusted_authority_is_accepted(tmp_path):
    with tls_house(tmp_path) as (server, ca_file):
        assert call(server.url, ca_file=ca_file)[0].outcome is Outcome.ACKNOWLEDGED


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"starts": NOW - YEAR, "ends": NOW - timedelta(days=1)}, "expired"),
        ({"starts": NOW + timedelta(days=1)}, "not yet valid"),
        ({"host": "127.0.0.2"}, "IP address mismatch"),
        ({"newest": ssl.TLSVersion.TLSv1_1}, "TLS|SSL"),
    ],
    ids=["expired", "not yet valid", "another host", "TLS 1.1"],
)
def test_f18_a_connection_that_cannot_be_trusted_gets_nothing(tmp_path, changes, told):
    # given
    with tls_house(tmp_path, **changes) as (server, ca_file):
        # when
        came, _ = call(server.url, ca_file=ca_file)

    # then
    assert came.outcome is Outcome.CONNECTION_FAILED
    assert any(word in came.detail for word in told.split("|"))
    assert server.requests == []


def test_f18_an_unknown_authority_gets_nothing(tmp_path):
    with tls_house(tmp_path) as (server, _):
        came, _ = call(server.url)
    assert came.outcome is Outcome.CONNECTION_FAILED
    assert "CERTIFICATE_VERIFY_FAILED" in came.detail
    assert server.requests == []
