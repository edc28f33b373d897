"""Nobody holds up the service: slow bodies, a queue at the database, a database that is away."""

import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import psycopg
import pytest

from tests.api.served import Served, problem

EVSE = "DE*V2G*E00001"


@pytest.mark.slow
def test_a_body_that_never_comes_is_not_waited_for_and_holds_up_nobody(plain_database, tmp_path):
    with Served(tmp_path, plain_database) as api:
        holds_up_nobody(api)


def holds_up_nobody(api):
    address = urlsplit(api.url)
    started = time.monotonic()
    with socket.create_connection((address.hostname, address.port), timeout=30) as sock:
        sock.sendall(
            b"POST /v1/enrolments HTTP/1.1\r\nHost: x\r\nContent-Type: application/jose\r\n"
            b"Content-Length: 900\r\n\r\neyJ"
        )
        assert api.get("/healthz", by=None) == {"state": "alive"}
        assert api.send("GET", "/v1/keys?limit=1").status_code == 200
        answer = sock.recv(65536)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert time.monotonic() - started < 20


@pytest.mark.slow
def test_requests_wait_their_turn_and_those_that_wait_too_long_are_told_to_come_again(
    plain_database, tmp_path
):
    """Somebody holds the registry's lock: two requests wait at the database, others for their turn."""
    with (
        Served(tmp_path, plain_database, database_connections=2, answer_within_s=1) as small,
        psycopg.connect(plain_database, user="v2g") as holder,
        ThreadPoolExecutor(6) as pool,
    ):
        holder.execute("select pg_advisory_xact_lock(%s)", [0x7632_675F_6B65])
        body = {"evse_id": EVSE}
        sent = [pool.submit(small.send, "POST", "/v1/keys/invitations", body) for _ in range(6)]
        told = threading.Event()

        def note(done):
            if done.result().status_code == 503:
                told.set()

        for one in sent:
            one.add_done_callback(note)
        assert told.wait(30)
        assert small.get("/healthz", by=None) == {"state": "alive"}
        holder.rollback()
        answers = [one.result() for one in sent]

    statuses = sorted(answer.status_code for answer in answers)
    assert statuses.count(201) >= 2
    for answer in answers:
        if answer.status_code != 201:
            assert problem(answer, 503)["error"] == "UNAVAILABLE"
            assert answer.headers["retry-after"]


@pytest.mark.slow
def test_a_database_that_is_away_is_a_503_and_its_address_is_told_to_nobody(tmp_path):
    with Served(tmp_path, "host=127.0.0.1 port=1 password=canary") as alone:
        document = problem(alone.send("GET", "/v1/keys"), 503)
        challenge = alone.send("POST", "/v1/enrolments/challenge", {"invitation": "x"}, by=None)
        assert problem(challenge, 503)["do"]
        assert "canary" not in json.dumps(document) + alone.log
        assert alone.end() == 0
        assert "event=stopped" in alone.log
