"""The HTTP intake, as a charger's operator meets it: real daemon, real database.

One daemon serves all of these tests; each has an EVSE of its own.
"""

import contextlib
import json
import socket
import time
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from embedded.processes import wait_until
from settlement import packets
from tests.conftest import _fresh_database
from tests.ingest_daemon.harness import METRICS_TOKEN, TOKEN, Daemon, rows
from tests.packets import make_packet, rfc3339, sign


@pytest.fixture(scope="module")
def database(plain_postgres):
    with _fresh_database(plain_postgres) as dsn:
        yield dsn


@pytest.fixture(scope="module")
def http_daemon(database, tmp_path_factory):
    with Daemon(tmp_path_factory.mktemp("daemon"), database) as running:
        yield running


@pytest.fixture
def evse():
    return f"E-{uuid.uuid4().hex[:12]}"


def landed(database: str, evse: str) -> list[bytes]:
    return [
        bytes(row[0])
        for row in rows(database, "select packet from raw_packet where evse_id = %s", evse)
    ]


def digest_of(packet: bytes) -> str:
    return packets.split(packet).digest.hex()


def verified_before(database: str, packet: bytes, *, digest: bytes = b"\1" * 32) -> None:
    """As judging would have written it: this identity belongs to a content with this digest."""
    identity = packets.identify(packets.split(packet))
    with psycopg.connect(database, user="v2g") as conn:
        conn.execute(
            "insert into packet_identity (evse_id, stream_epoch, sequence, digest, started_at) values (%s, %s, %s, %s, %s)",
            (
                identity.evse_id,
                identity.stream_epoch,
                identity.sequence,
                digest,
                identity.signed_at,
            ),
        )


def test_a_packet_lands_once_and_is_known_ever_after(http_daemon, database, evse, key):
    packet = make_packet(key, evse_id=evse, sequence=1)

    first, again = http_daemon.post(packet), http_daemon.post(packet)

    assert (first.status_code, first.json()) == (
        200,
        {"state": "landed", "digest": digest_of(packet)},
    )
    assert (again.status_code, again.json()) == (
        208,
        {"state": "already_landed", "digest": digest_of(packet)},
    )
    assert landed(database, evse) == [packet]


def test_a_line_end_after_the_packet_is_not_part_of_it(http_daemon, database, evse, key):
    packet = make_packet(key, evse_id=evse, sequence=2)

    answer = http_daemon.post(packet + b"\r\n")

    assert answer.status_code == 200
    assert landed(database, evse) == [packet]


def test_another_content_under_a_verified_identity_is_a_conflict_and_kept(
    http_daemon, database, evse, key
):
    packet = make_packet(key, evse_id=evse, sequence=3)
    verified_before(database, packet)

    answers = [http_daemon.post(packet) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [409, 409]
    body = answers[0].json()
    assert body["state"] == "conflict"
    assert body["error"] == "ERR_DATA_INCONSISTENCY"
    assert "sequence 3" in body["where"]
    assert len(landed(database, evse)) == 1


def test_the_verified_content_itself_is_no_conflict(http_daemon, database, evse, key):
    packet = make_packet(key, evse_id=evse, sequence=4)
    verified_before(database, packet, digest=packets.split(packet).digest)

    assert http_daemon.post(packet).status_code == 200


@pytest.mark.parametrize(
    ("make", "error", "where"),
    [
        pytest.param(lambda key: b"hello", "unreadable", "packet", id="no packet at all"),
        pytest.param(lambda key: make_packet(key)[:-7], "unreadable", "signature", id="cut short"),
        pytest.param(lambda key: make_packet(key, evse_id=None), "unreadable", "payload.evse_id", id="a field missing"),
        pytest.param(lambda key: sign(key, b"[]"), "unreadable", "payload", id="not an object"),
        pytest.param(lambda key: make_packet(key, padding="x" * 9000), "unreadable", "packet", id="longer than a packet may be"),
        pytest.param(
            lambda key: make_packet(key, ended_at=rfc3339(datetime.now(UTC) + timedelta(days=30))), "odd_time", "payload.ended_at", id="a month ahead",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_with_its_place_and_kept_as_evidence(
    http_daemon, database, evse, key, make, error, where
):
    packet = make(key)
    before = http_daemon.figure("v2g_ingest_aside_packets_total", reason=error)

    answer = http_daemon.post(packet)

    body = answer.json()
    assert answer.status_code == 400
    assert (body["error"], body["where"]) == (error, where)
    assert all(body[name] for name in ("found", "expected", "do"))
    assert rows(database, "select why from packet_aside where packet = %s", packet) == [(error,)]
    assert http_daemon.figure("v2g_ingest_aside_packets_total", reason=error) == before + 1
    again = http_daemon.post(packet)  # whatever is sent again is told the same again
    assert (again.status_code, again.json()["error"], again.json()["where"]) == (400, error, where)


@pytest.mark.parametrize(
    ("path", "token"),
    [
        (path, token)
        for path, mine, other in [
            ("/v1/packets", TOKEN, METRICS_TOKEN),
            ("/v1/packets/batch", TOKEN, METRICS_TOKEN),
            ("/metrics", METRICS_TOKEN, TOKEN),
        ]
        for token in (None, "wrong", mine + "x", mine[:-1], other)
    ],
)
def test_nothing_is_said_or_taken_without_the_token(http_daemon, database, evse, key, token, path):
    if path == "/metrics":
        answer = http_daemon.get(path, token=token)
    else:
        answer = http_daemon.post(make_packet(key, evse_id=evse), path=path, token=token)

    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert TOKEN not in answer.text
    assert METRICS_TOKEN not in answer.text
    assert len(landed(database, evse)) == 0


def test_health_and_readiness_are_open_but_tell_details_only_to_those_with_the_token(http_daemon):
    strange, known = http_daemon.get("/readyz", token=None), http_daemon.get("/readyz")

    assert http_daemon.get("/healthz", token=None).json() == {"state": "alive"}
    assert strange.json() == {"state": "ready"}
    assert http_daemon.get("/readyz", token=TOKEN).json() == {"state": "ready"}
    assert set(known.json()["checks"]) == {"daemon", "database"}
    assert known.json()["checks"]["database"] == {"up": True, "detail": "answers"}


@pytest.mark.parametrize(
    "media", ["application/octet-stream", "text/html", "", "application/jose+json"]
)
def test_another_media_type_is_refused_with_the_right_ones(http_daemon, key, evse, media):
    answer = http_daemon.post(make_packet(key, evse_id=evse), media=media)

    assert answer.status_code == 415
    assert answer.headers["accept"].startswith("application/jose, application/ocmf")
    assert "application/json" in answer.json()["expected"]


def test_a_compressed_body_is_refused(http_daemon, evse, key):
    answer = http_daemon.post(make_packet(key, evse_id=evse), **{"Content-Encoding": "gzip"})

    assert answer.status_code == 415
    assert answer.json()["where"] == "header Content-Encoding"


def test_a_body_that_is_declared_too_large_is_refused_before_it_is_sent(http_daemon):
    head = (
        f"POST /v1/packets HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
        "Content-Type: application/jose\r\nContent-Length: 1000000000\r\n\r\n"
    )
    address = urlsplit(http_daemon.url)

    with socket.create_connection((address.hostname, address.port), timeout=10) as sock:
        sock.sendall(head.encode())
        answer = sock.recv(65536)

    assert answer.startswith(b"HTTP/1.1 413 ")


def test_a_body_of_undeclared_length_is_cut_off_at_the_limit(http_daemon):
    address = urlsplit(http_daemon.url)
    assert http_daemon.post(b"x" * 20_000).status_code == 413
    before = http_daemon.figure("v2g_ingest_refused_requests_total", status="413")
    sent = 0

    with socket.create_connection((address.hostname, address.port), timeout=10) as sock:
        sock.sendall(
            f"POST /v1/packets/batch HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
            "Content-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        )
        chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
        # Until it closes its side, which is what is tested.
        with contextlib.suppress(OSError):
            while sent < 64 * 2**20:
                sock.sendall(chunk)
                sent += 0x10000

    assert sent < 32 * 2**20
    assert http_daemon.figure("v2g_ingest_refused_requests_total", status="413") > before


def test_too_many_packets_in_one_batch_are_refused_as_a_whole(http_daemon, database, evse, key):
    packet = make_packet(key, evse_id=evse)

    answer = http_daemon.post_batch([packet] * 1001)

    assert answer.status_code == 413
    assert answer.json()["found"] == "1001 lines"
    assert len(landed(database, evse)) == 0


def test_headers_beyond_the_limit_are_refused(http_daemon):
    address = urlsplit(http_daemon.url)
    sent = 0

    with socket.create_connection((address.hostname, address.port), timeout=10) as sock:
        sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n")
        with contextlib.suppress(OSError):
            while sent < 64 * 2**20:
                sock.sendall(b"X-More: " + b"x" * 1000 + b"\r\n")
                sent += 1000

    assert sent < 32 * 2**20


def test_a_batch_is_answered_item_by_item(http_daemon, database, evse, key):
    known, new, other = (
        make_packet(key, evse_id=evse, sequence=sequence) for sequence in (10, 11, 12)
    )
    http_daemon.post(known)
    verified_before(database, other)

    answer = http_daemon.post_batch([known, new, new, other, b"rubbish", b"", b"x" * 20_000, new])

    items = answer.json()["items"]
    assert answer.status_code == 200
    assert [item["index"] for item in items] == list(range(8))
    assert [item["status"] for item in items] == [208, 200, 208, 409, 400, 400, 400, 208]
    assert items[1] == {"index": 1, "status": 200, "state": "landed", "digest": digest_of(new)}
    assert [items[4]["state"], items[5]["state"], items[6]["state"]] == [
        "aside",
        "refused",
        "refused",
    ]
    assert len(landed(database, evse)) == 3


def test_a_batch_sent_again_whole_adds_nothing(http_daemon, database, evse, key):
    batch = [make_packet(key, evse_id=evse, sequence=sequence) for sequence in range(1000)]

    first, again = http_daemon.post_batch(batch), http_daemon.post_batch(batch)

    assert {item["status"] for item in first.json()["items"]} == {200}
    assert {item["status"] for item in again.json()["items"]} == {208}
    assert len(landed(database, evse)) == 1000


def test_a_batch_cut_anywhere_and_sent_again_lands_every_packet_once(
    http_daemon, database, evse, key
):
    """The connection ends at each class of position: in the headers, in a packet, between two."""
    batch = [make_packet(key, evse_id=evse, sequence=sequence) for sequence in range(20)]
    body = b"\n".join(batch)
    head = (
        f"POST /v1/packets/batch HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
        f"Content-Type: application/x-ndjson\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode()
    address = urlsplit(http_daemon.url)
    for cut in (
        10,
        len(head) - 2,
        len(head),
        len(head) + 5,
        len(head) + len(batch[0]),
        len(head) + len(body) - 1,
    ):
        with socket.create_connection((address.hostname, address.port), timeout=10) as sock:
            sock.sendall((head + body)[:cut])

    answers = []

    def taken() -> bool:
        # 503 while the daemon still reads what was cut off: sent again, as the answer says.
        answers.append(http_daemon.post_batch(batch))
        return bool(answers[-1].status_code != 503)

    wait_until(taken, deadline_s=30, what="the batch to be taken")
    assert {item["status"] for item in answers[-1].json()["items"]} == {200}
    assert len(landed(database, evse)) == 20


def test_an_empty_batch_is_answered_with_no_items(http_daemon):
    answer = http_daemon.post(b"", path="/v1/packets/batch", media="application/x-ndjson")

    assert (answer.status_code, answer.json()) == (200, {"items": []})


def test_unknown_routes_and_methods_are_answered_in_json(http_daemon):
    assert http_daemon.get("/v1/nothing").json()["error"] == "NO_SUCH_ROUTE"
    assert http_daemon.get("/v1/packets").status_code == 405
    assert http_daemon.get("/v1/packets").headers["allow"] == "POST"


def test_the_answer_names_no_software(http_daemon):
    assert "server" not in http_daemon.get("/healthz").headers


def test_the_figures_tell_what_happened(http_daemon, key, evse):
    batch = [make_packet(key, evse_id=evse, sequence=sequence) for sequence in range(7)]
    names = (
        "landed_packets_total",
        "duplicate_packets_total",
        "batch_rows_sum",
        "batch_rows_count",
        "batch_seconds_count",
    )
    before = {name: http_daemon.figure(f"v2g_ingest_{name}") for name in names}

    http_daemon.post_batch(batch)
    http_daemon.post_batch([*batch[:3], f"rubbish of {evse}".encode()])

    figure = http_daemon.figure
    risen = {name: figure(f"v2g_ingest_{name}") - before[name] for name in names}
    assert risen == {
        "landed_packets_total": 7, "duplicate_packets_total": 3, "batch_rows_sum": 11, "batch_rows_count": 2, "batch_seconds_count": 2,
    }  # fmt: skip
    assert figure("v2g_ingest_aside_packets_total", reason="wrong_topic") == 0
    assert (
        figure("v2g_ingest_queue_packets")
        == figure("v2g_ingest_queue_bytes")
        == figure("v2g_ingest_lag_seconds")
        == 0
    )
    assert figure("v2g_ingest_database_up") == 1
    assert 0 < figure("v2g_ingest_signed_age_seconds") < 3 * 86_400


def test_a_slow_body_is_not_waited_for(http_daemon):
    address = urlsplit(http_daemon.url)
    started = time.monotonic()

    with socket.create_connection((address.hostname, address.port), timeout=30) as sock:
        sock.sendall(
            f"POST /v1/packets HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
            "Content-Type: application/jose\r\nContent-Length: 900\r\n\r\neyJ".encode()
        )
        answer = sock.recv(65536)

    assert answer.startswith(b"HTTP/1.1 408 ")
    assert time.monotonic() - started < 20


def test_secrets_do_not_appear_in_the_log_or_the_arguments(http_daemon, evse, key):
    packet = make_packet(key, evse_id=evse)
    http_daemon.post(packet)
    http_daemon.post(b"rubbish", token="canary-of-a-wrong-token")

    arguments = Path(f"/proc/{http_daemon.process.pid}/cmdline").read_bytes()
    for secret in (TOKEN, "canary-of-a-wrong-token", packet.decode()[-40:]):
        assert secret not in http_daemon.log
        assert secret.encode() not in arguments


def test_every_line_of_the_log_is_one_event_with_its_time(http_daemon, evse, key):
    http_daemon.post(make_packet(key, evse_id='X" event=forged'))

    for line in http_daemon.log.splitlines():
        assert line[:2] == "20"
        assert " level=" in line
        assert " event=" in line
    assert json.dumps(http_daemon.get("/readyz").json())
