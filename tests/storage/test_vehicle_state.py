"""The last known state of vehicles, in the database and in a real Redis: the same promises."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis

from embedded.errors import PackageFetchError
from embedded.processes import wait_until
from embedded.redis import Redis
from storage.engine import Role, connect
from storage.errors import (
    CacheUnavailableError,
    InsecureSecretError,
    StorageError,
    UnusableCacheAddressError,
)
from storage.vehicle_state import DatabaseStates, VehicleState
from storage.vehicle_state_redis import INDEX, PIPELINE_MAX, PREFIX, RedisStates
from tests.storage.authority import authority

CACHE = Path(__file__).parents[2] / ".cache"
KEEP = timedelta(hours=24)
NOW = datetime.now(UTC)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    made = Redis(tmp_path_factory.mktemp("redis"), cache=CACHE)
    try:
        made.start()
    except PackageFetchError as error:
        pytest.skip(f"no Redis here: {error}")
    yield made
    made.stop()


@pytest.fixture
def secret(server, tmp_path):
    return password_file(tmp_path, server.password)


@pytest.fixture
def bare(server):
    """The Redis, emptied, without anything of ours between."""
    with redis.Redis(
        host=server.host, port=server.port, password=server.password, decode_responses=True
    ) as client:
        client.flushall()
        yield client


@pytest.fixture(params=["database", "redis"])
def states(request):
    if request.param == "database":
        return DatabaseStates(request.getfixturevalue("plain_database"), keep=KEEP)
    request.getfixturevalue("bare")
    return in_redis(request.getfixturevalue("server"), request.getfixturevalue("secret"))


def password_file(folder: Path, password: str) -> Path:
    file = folder / "redis.password"
    file.write_text(password)
    file.chmod(0o600)
    return file


def in_redis(server: Redis, secret: Path | None, **how) -> RedisStates:
    return RedisStates(
        f"redis://{server.host}:{server.port}/0", keep=KEEP, password_file=secret, **how
    )


def state(vehicle: str = "V1", ago: timedelta = timedelta(minutes=1), **fields) -> VehicleState:
    known: dict[str, Any] = {"evse_id": "E1", "soc_ppm": 615_000, "power_w": -7_200} | fields
    return VehicleState(vehicle, measured_at=NOW - ago, **known)


def test_what_was_put_is_what_is_told(states):
    # given
    assert states.put([state(), state("V2", soc_ppm=None, power_w=None)], now=NOW) == 2
    # then
    assert states.get("V1", now=NOW) == state()
    assert states.get("V2", now=NOW) == state("V2", soc_ppm=None, power_w=None)
    assert states.get("V3", now=NOW) is None


def test_a_state_never_goes_back_in_time(states):
    # given
    states.put([state(soc_ppm=500_000)], now=NOW)
    # when an older one comes late, and the same moment says something else
    older = states.put([state(ago=timedelta(hours=2), soc_ppm=900_000)], now=NOW)
    same = states.put([state(soc_ppm=900_000)], now=NOW)
    # then
    assert (older, same) == (0, 0)
    assert states.get("V1", now=NOW) == state(soc_ppm=500_000)
    # and a newer one replaces it, by a microsecond
    newer = state(ago=timedelta(minutes=1) - timedelta(microseconds=1), soc_ppm=400_000)
    assert states.put([newer], now=NOW) == 1
    assert states.get("V1", now=NOW) == newer


def test_of_many_writers_at_once_the_newest_state_wins(states):
    # given eight writers with the same vehicles at other moments
    rounds = [
        [state(f"V{n}", timedelta(seconds=60 + ago), soc_ppm=ago) for n in range(50)]
        for ago in range(8)
    ]
    barrier = threading.Barrier(8)

    def write(some: list[VehicleState]) -> None:
        barrier.wait()
        states.put(some, now=NOW)

    # when
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(write, rounds))
    # then
    told = states.newest(limit=100, now=NOW)
    assert {one.vehicle_id: one.soc_ppm for one in told} == {f"V{n}": 0 for n in range(50)}


def test_what_has_outlived_its_time_is_not_told(states):
    # given one state that is old, and one about to be
    states.put([state("old", KEEP), state("soon", KEEP - timedelta(hours=1))], now=NOW)
    # then the old one was not even kept
    assert states.get("old", now=NOW) is None
    assert [one.vehicle_id for one in states.newest(limit=9, now=NOW)] == ["soon"]
    # and two hours later neither is told
    later = NOW + timedelta(hours=2)
    assert states.get("soon", now=later) is None
    assert states.newest(limit=9, now=later) == []


def test_the_newest_come_first_and_no_more_than_asked_for(states):
    states.put([state(f"V{n}", timedelta(minutes=n)) for n in range(20)], now=NOW)

    assert [one.vehicle_id for one in states.newest(limit=3, now=NOW)] == ["V0", "V1", "V2"]


def test_more_states_than_a_pipeline_holds_are_all_kept(states):
    many = [state(f"V{n}") for n in range(2 * PIPELINE_MAX + 1)]

    assert states.put(many, now=NOW) == len(many)
    assert len(states.newest(limit=9_999, now=NOW)) == len(many)


def test_a_vehicle_may_be_called_anything_a_packet_allows(states):
    for name in ("index", "state:V1", "} {", "ü " * 20, "'; drop table reading --"):
        states.put([state(name)], now=NOW)
        assert states.get(name, now=NOW) == state(name)


# --- the database ------------------------------------------------------------------------------


def test_what_has_expired_leaves_the_table_with_the_next_write(plain_database):
    # given
    states = DatabaseStates(plain_database, keep=KEEP)
    states.put([state("V1"), state("V2", timedelta(hours=20))], now=NOW)
    # when
    states.put([], now=NOW + timedelta(hours=5))
    # then
    with connect(plain_database, Role.READ) as conn:
        assert conn.execute("select vehicle_id from vehicle_state").fetchall() == [("V1",)]


def test_only_settling_may_write_the_table_and_nobody_may_rename_a_vehicle(database):
    for role in (Role.INGEST, Role.POSTER, Role.READ):
        with connect(database, role) as conn, pytest.raises(psycopg.errors.InsufficientPrivilege):
            conn.execute("delete from vehicle_state")
    with (
        connect(database, Role.SETTLE) as conn,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        conn.execute("update vehicle_state set vehicle_id = 'another'")


def test_a_database_that_makes_it_wait_is_given_up_on_soon(plain_database):
    # given somebody who holds the table
    with psycopg.connect(plain_database, user="v2g") as other:
        other.execute("lock table vehicle_state in access exclusive mode")
        # when, then
        started = datetime.now(UTC)
        with pytest.raises(StorageError, match="keeping states of vehicles"):
            DatabaseStates(plain_database, keep=KEEP).put([state()], now=NOW)
        assert datetime.now(UTC) - started < timedelta(seconds=10)


# --- Redis -------------------------------------------------------------------------------------


def test_every_key_has_our_prefix_and_a_time_to_live(server, secret, bare):
    in_redis(server, secret).put([state(f"V{n}") for n in range(5)], now=NOW)

    keys = list(bare.scan_iter())
    assert len(keys) == 6
    for key in keys:
        assert key.startswith(PREFIX)
        assert 0 < bare.pttl(key) <= KEEP / timedelta(milliseconds=1)


def test_redis_itself_forgets_a_state_when_its_time_is_over(server, secret, bare):
    # given a state with a moment to live
    states = in_redis(server, secret)
    states.put([state(ago=KEEP - timedelta(milliseconds=300))], now=datetime.now(UTC))
    # when that moment is over by the server's own clock
    wait_until(lambda: not bare.keys(), deadline_s=10, what="the state to expire")
    # then nothing is left, its place in the index included
    assert bare.keys() == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        "{}",
        json.dumps({"evse_id": "E", "measured_at": "2026-07-01", "soc_ppm": 1, "power_w": 1}),
        json.dumps(
            {
                "evse_id": "E",
                "measured_at": NOW.isoformat(),
                "soc_ppm": "all of it",
                "power_w": 1,
            }
        ),
    ],
)
def test_what_somebody_else_wrote_under_our_keys_is_refused_by_name(server, secret, bare, text):
    bare.hset(PREFIX + "state:V1", "state", text)
    bare.zadd(INDEX, {"V1": NOW.timestamp() * 2000})

    states = in_redis(server, secret)
    for ask in (lambda: states.get("V1", now=NOW), lambda: states.newest(limit=9, now=NOW)):
        with pytest.raises(CacheUnavailableError, match="something else"):
            ask()


def test_a_redis_that_is_not_there_or_refuses_is_named_and_costs_a_moment_only(server, tmp_path):
    wrong = password_file(tmp_path, "guessed")
    closed = RedisStates("redis://127.0.0.1:1/0", keep=KEEP)
    for states in (in_redis(server, wrong), in_redis(server, None), closed):
        started = datetime.now(UTC)
        with pytest.raises(CacheUnavailableError, match=r"127\.0\.0\.1"):
            states.put([state()], now=NOW)
        assert datetime.now(UTC) - started < timedelta(seconds=10)


def test_a_redis_that_hangs_is_given_up_on_soon():
    # given a port that accepts and never answers
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        states = RedisStates(f"redis://127.0.0.1:{silent.getsockname()[1]}", keep=KEEP)
        # when, then
        started = datetime.now(UTC)
        with pytest.raises(CacheUnavailableError, match="Timeout"):
            states.get("V1", now=NOW)
        assert datetime.now(UTC) - started < timedelta(seconds=10)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("redis://redis.example:6379/0", "another machine"),
        ("redis://10.0.0.7", "another machine"),
        ("rediss://:hunter2@redis.example", "password"),
        ("rediss://redis.example?ssl_cert_reqs=none", "options"),
        ("rediss://redis.example/one", "number"),
        ("rediss://redis.example:port", "URL"),
        ("http://127.0.0.1", "scheme"),
        ("127.0.0.1:6379", "scheme"),
        ("rediss://", "scheme"),
    ],
)
def test_an_address_that_may_not_be_used_is_refused_without_being_quoted(url, why):
    with pytest.raises(UnusableCacheAddressError, match=why) as refused:
        RedisStates(url, keep=KEEP)
    assert "hunter2" not in str(refused.value)


def test_a_password_that_others_could_read_is_refused(tmp_path):
    file = password_file(tmp_path, "hunter2")
    file.chmod(0o644)

    with pytest.raises(InsecureSecretError, match="chmod 600"):
        RedisStates("redis://127.0.0.1", keep=KEEP, password_file=file)


@contextmanager
def secure(folder: Path, name: str):
    """A Redis with TLS under a certificate for ``name``, and the file of its authority."""
    made = authority(folder, name)
    server = Redis(folder, cache=CACHE, certificate=(made.certificate, made.key))
    try:
        server.start()
    except PackageFetchError as error:
        pytest.skip(f"no Redis here: {error}")
    try:
        yield server, made.ca_file
    finally:
        server.stop()


def test_over_tls_the_server_must_prove_who_it_is(tmp_path):
    with secure(tmp_path, "localhost") as (server, ca_file):
        secret = password_file(tmp_path, server.password)

        def at(host: str, ca: Path | None) -> RedisStates:
            url = f"rediss://{host}:{server.port}"
            return RedisStates(url, keep=KEEP, password_file=secret, ca_file=ca)

        # given our authority and the certificate's own name
        trusted = at("localhost", ca_file)
        assert trusted.put([state()], now=NOW) == 1
        assert trusted.get("V1", now=NOW) == state()
        # then neither an unknown authority nor another name is spoken to
        for strange in (at("localhost", None), at("127.0.0.1", ca_file)):
            with pytest.raises(CacheUnavailableError, match="certificate"):
                strange.get("V1", now=NOW)
