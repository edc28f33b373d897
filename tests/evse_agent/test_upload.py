"""Batches over HTTP, against real servers: what the answer names is settled, and nothing else."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from evse_agent.store import Stored
from evse_agent.upload import BODY_MAX_BYTES, Outcome, Upload, fitting, read_answer
from tasks import certificates
from tests.ingest_daemon.harness import secret_file

BATCH = [Stored(1, number, 0, b"packet-%d" % number) for number in range(4)]


def items(*statuses):
    return {"items": [{"index": n, "status": status} for n, status in enumerate(statuses)]}


@contextmanager
def server(answer, *, tls=None) -> Iterator[tuple[str, list[Any]]]:
    """``answer``: (status, headers, content) or a function that writes itself."""
    seen: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            seen.append((self.path, dict(self.headers), body))
            status, headers, content = answer
            content = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            for name, value in {"Content-Length": str(len(content)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        if tls is not None:
            running.socket = tls.wrap_socket(running.socket, server_side=True)
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        scheme = "http" if tls is None else "https"
        yield f"{scheme}://127.0.0.1:{running.server_address[1]}", seen
        running.shutdown()
        thread.join(10)


@pytest.fixture
def token(tmp_path):
    return secret_file(tmp_path / "token", "the-token")


def test_a_batch_is_one_packet_per_line_with_the_token_and_its_statuses_settle_it(token):
    with server((200, {}, items(200, 208, 503, 409))) as (url, seen):
        outcome = Upload(url, token, None).send(BATCH)

    [(path, headers, body)] = seen
    assert path == "/v1/packets/batch"
    assert headers["Authorization"] == "Bearer the-token"
    assert headers["Content-Type"] == "application/x-ndjson"
    assert body == b"packet-0\npacket-1\npacket-2\npacket-3\n"
    assert [(digest, state) for digest, state, _ in outcome.settled] == [
        (sha256(b"packet-0").digest(), "landed"),
        (sha256(b"packet-1").digest(), "already_landed"),
        (sha256(b"packet-3").digest(), "conflict"),
    ]
    assert outcome.trouble == "1 packets of 4 not stored"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ((503, {"Retry-After": "7"}, {"error": "UNAVAILABLE"}), {"wait_s": 7.0}),
        ((503, {"Retry-After": "999999999999"}, {}), {"wait_s": 300.0}),
        ((503, {"Retry-After": "soon"}, {}), {"wait_s": 0.0}),
        ((413, {}, {"error": "TOO_LARGE"}), {"smaller": True}),
        ((401, {}, {"error": "UNAUTHENTICATED"}), {}),
        ((302, {"Location": "http://127.0.0.1:1/"}, {}), {}),
        ((200, {}, b"<html>"), {}),
        ((200, {}, {"items": [{"status": 200}]}), {}),
        ((200, {}, []), {}),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_no_answer_settles_nothing_and_says_why(token, answer, expected):
    with server(answer) as (url, seen):
        outcome = Upload(url, token, None).send(BATCH)

    assert outcome.settled == ()
    assert outcome.trouble
    assert len(seen) == 1, "redirects are not followed"
    for name, value in expected.items():
        assert getattr(outcome, name) == value


@pytest.mark.parametrize("index", [-1, 4, 10**9, True, "0", None])
def test_an_index_of_no_packet_settles_nothing(index):
    outcome = read_answer(BATCH, json.dumps({"items": [{"index": index, "status": 200}]}).encode())

    assert outcome.settled == ()


def test_nobody_there_is_trouble_that_passes(token):
    outcome = Upload("http://127.0.0.1:1", token, None).send(BATCH)

    assert "nobody listens at 127.0.0.1" in outcome.trouble


def test_a_token_that_others_can_read_is_not_sent(token):
    token.chmod(0o644)
    with server((200, {}, items(200))) as (url, seen):
        outcome = Upload(url, token, None).send(BATCH)

    assert outcome.trouble.startswith("ERR_AUTH_EXPIRED UploadTokenFile")
    assert seen == []


def test_the_environments_proxy_is_not_used(token, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with server((200, {}, items(200, 200, 200, 200))) as (url, _):
        assert len(Upload(url, token, None).send(BATCH).settled) == 4


def test_the_intakes_certificate_is_verified(token, tmp_path):
    import ssl

    now = datetime.now(UTC)
    key = certificates.new_key()
    signer = certificates.Signer(certificates.authority(key, now=now, name="test authority"), key)
    ca = tmp_path / "ca.pem"
    ca.write_bytes(signer.certificate.public_bytes(Encoding.PEM))

    def served(hosts, ago=timedelta(0)):
        own = certificates.new_key()
        made = certificates.server(signer, own.public_key(), hosts, now=now - ago, days=1)
        file = tmp_path / "server.pem"
        file.write_bytes(
            own.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            + made.public_bytes(Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context

    good: Any = (200, {}, items(200, 200, 200, 200))
    with server(good, tls=served(["127.0.0.1"])) as (url, seen):
        assert len(Upload(url, token, ca).send(BATCH).settled) == 4
        unknown = Upload(url, token, None).send(BATCH)
        assert (
            "ERR_AUTH_EXPIRED the intake: its certificate comes from an authority"
            in unknown.trouble
        )
        assert len(seen) == 1
    with server(good, tls=served(["10.9.8.7"])) as (url, seen):
        other = Upload(url, token, ca).send(BATCH)
        assert (
            "ERR_AUTH_EXPIRED the intake: its certificate is for another address" in other.trouble
        )
    with server(good, tls=served(["127.0.0.1"], ago=timedelta(days=3))) as (url, seen):
        expired = Upload(url, token, ca).send(BATCH)
        assert "ERR_AUTH_EXPIRED the intake: its certificate has expired" in expired.trouble
        assert seen == []


def test_a_batch_fits_the_body_that_the_intake_takes():
    large = [Stored(1, n, 0, b"x" * 8000) for n in range(1000)]

    chosen = fitting(large)

    assert sum(len(one.packet) + 1 for one in chosen) <= BODY_MAX_BYTES
    assert len(chosen) == BODY_MAX_BYTES // 8001
    assert len(fitting([Stored(1, n, 0, b"x") for n in range(2000)])) == 1000


def test_an_outcome_of_nothing_is_nothing():
    assert read_answer([], b'{"items": []}') == Outcome()
