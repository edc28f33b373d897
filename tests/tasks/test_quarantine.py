"""Quarantine that can be worked, in a real database: listed, shown, judged again, paid once."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest

from settlement.reasons import PacketReason
from settlement.signatures import DeviceKey
from storage import judging, reports
from storage.engine import Role, connect
from storage.keys import enrol_keys
from storage.readings import load_claims
from storage.runs import load
from tasks import quarantine
from tasks.quality import check_quality
from tasks.quarantine import NoSuchPacketError, RetrySummary, Selection
from tasks.settle import replay_period
from tasks.true_up import true_up
from tasks.verify_run import verify_run
from tests.packets import make_key
from tests.tasks.metered import WH_PER_STEP, Metered
from tests.tasks.scene import HOUR, START, WHOLE, Scene, now, vehicle_of

KNOWN, STRANGER = "DE*V2G*E00001", "DE*V2G*E00002"
HALF_HOUR = range(120)
DAY = timedelta(days=1)
RUNS = [
    {"name": "initial", "after_days": 1},
    {"name": "true_up", "after_days": 12},
    {"name": "final", "after_days": 55},
]


@pytest.fixture
def scene(plain_database: str) -> Scene:
    """Half an hour of two cars; the key of one charger is not enrolled, the contracts of both are."""
    made = Scene(plain_database)
    made.set_up(KNOWN)
    made.keys[STRANGER] = make_key()
    made.contract(STRANGER)
    made.program(version=2, valid_from=START - 2 * DAY, timezone="UTC", runs=RUNS)
    made.deliver(made.packet(evse, n) for evse in (KNOWN, STRANGER) for n in HALF_HOUR)
    return made


def enrol(scene: Scene, evse: str = STRANGER) -> None:
    key = scene.keys[evse]
    record = DeviceKey(key.key_id, evse, key.public_key, START - 30 * DAY)
    with connect(scene.dsn, Role.REGISTRY) as conn:
        enrol_keys(conn, [record], now=now())


def retry(scene: Scene, selection: Selection | None = None, **how: Any) -> RetrySummary:
    asked: dict[str, Any] = {"clock": now, "by": "anna", "threads": 2} | how
    return quarantine.retry(scene.dsn, selection or Selection(), **asked)


def after(days: int) -> Any:
    """A clock that shows so many days after the settled day's end, and a bit."""
    ahead = START.replace(hour=0, minute=1) + (days + 1) * DAY - now()
    return lambda: now() + ahead


def claimed(scene: Scene, known_at: datetime) -> dict[str, int]:
    with connect(scene.dsn, Role.READ) as conn:
        claims = load_claims(conn, WHOLE, known_at=known_at)
    return dict(claims.group_by("reason").len().iter_rows())


def doubted(scene: Scene) -> list[str]:
    """What the quality gate says against the packets of the period."""
    checks = check_quality(scene.dsn, WHOLE, now=now()).checks
    return [
        str(one["check"]) for one in checks if not one["passed"] and "become" in str(one["check"])
    ]


def test_what_an_enrolled_key_releases_is_booked_by_the_true_up_on_its_own_period(
    scene: Scene,
) -> None:
    # given a first run, which could not pay the charger nobody had enrolled
    (first,) = true_up(scene.dsn, clock=after(1)).runs
    assert first.summary is not None
    assert first.summary.booked_minor == 129
    assert [(one.reason, one.packets) for one in first.summary.quarantined] == [
        ("UNKNOWN_KEY", 120)
    ]
    # when its key is enrolled, and its packets are judged again, after that run
    enrol(scene)
    done = retry(scene, clock=after(2))
    # then they are readings
    assert (done.packets, done.released, done.readings, done.refused) == (120, 120, 120, {})
    assert (done.export_milliwh, done.started_at) == (3_600_000, START)
    # and the true-up books them as a correction on their original day
    (second,) = true_up(scene.dsn, clock=after(12)).runs
    assert second.summary is not None
    assert (second.day, second.summary.booked_minor) == (f"{START:%F}", 129)
    assert second.summary.quarantined == []
    assert scene.owed() == {f"payable:owner:a-{vehicle_of(one)}": 129 for one in (KNOWN, STRANGER)}
    assert scene.rows("select distinct period_at from journal_entry") == [(START.replace(hour=0),)]
    # and the first run still comes to what it came to then
    assert verify_run(scene.dsn, first.summary.run_id).stands


def test_an_unchanged_fault_stays_quarantined_with_the_retry_recorded(scene: Scene) -> None:
    # when nothing was put right, twice
    first, second = retry(scene), retry(scene, by="bert")
    # then
    assert (first.packets, first.released, first.refused) == (120, 0, {"UNKNOWN_KEY": 120})
    assert second == first
    (one, *_) = quarantine.listed(scene.dsn, Selection(), limit=1).packets
    shown = quarantine.show(scene.dsn, one.packet_digest.hex())
    assert [(r.retry, r.retried_by, r.outcome) for r in shown.retries] == [
        (1, "anna", "UNKNOWN_KEY"),
        (2, "bert", "UNKNOWN_KEY"),
    ]
    assert scene.one("select count(*) from reading") == 120


def test_a_retry_that_is_repeated_finds_nothing_more(scene: Scene) -> None:
    # given
    enrol(scene)
    retry(scene)
    # when
    again = retry(scene)
    # then
    assert (again.packets, again.readings) == (0, 0)
    assert scene.one("select count(*) from reading") == 240
    assert scene.one("select count(*) from quarantine_retry") == 120


def test_a_retry_goes_in_passes_and_resumes_where_it_was_stopped(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given passes of fifty packets, and a retry that is stopped after the first
    enrol(scene)
    monkeypatch.setattr(quarantine, "PACKETS_PER_PASS", 50)

    def stop(count: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        retry(scene, progress=stop)
    assert scene.one("select count(*) from reading") == 120 + 50
    # when
    seen: list[int] = []
    rest = retry(scene, progress=seen.append)
    # then
    assert (rest.packets, seen) == (70, [50, 70])
    assert scene.one("select count(*) from reading") == 240


def test_two_retries_at_once_pay_once(scene: Scene) -> None:
    # given
    enrol(scene)
    barrier = threading.Barrier(2)

    def one(name: str) -> RetrySummary:
        barrier.wait()
        return retry(scene, by=name)

    # when two people ask at the same time
    with ThreadPoolExecutor(2) as threads:
        both = list(threads.map(one, ("anna", "bert")))
    # then each packet was released by one of them
    assert sum(summary.released for summary in both) == 120
    assert scene.one("select count(*) from reading") == 240
    assert scene.settle().amount_minor == 2 * 129


def test_without_the_judges_lock_too_the_database_releases_a_packet_once(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a lock that holds nobody off, and two who have both read what is quarantined
    enrol(scene)
    monkeypatch.setattr(judging, "lock", lambda _: True)
    barrier = threading.Barrier(2, timeout=30)

    def prepare(conn: Any, verdicts: Any, _prepare: Any = judging.prepare) -> None:
        _prepare(conn, verdicts)
        barrier.wait()

    monkeypatch.setattr(judging, "prepare", prepare)

    # when both judge them again
    with ThreadPoolExecutor(2) as threads:
        both = list(threads.map(lambda name: retry(scene, by=name), ("anna", "bert")))
    # then to one of them they were released already
    assert sorted(summary.released for summary in both) == [0, 120]
    assert [one.refused for one in both if one.refused] == [{"DUPLICATE_CONTENT": 120}]
    assert scene.one("select count(*) from reading") == 240
    assert scene.one("select count(*) from quarantine_retry where outcome = 'READING'") == 120
    assert quarantine.listed(scene.dsn, Selection(), limit=9).packets == []


def test_while_a_judge_is_at_work_nothing_is_done(scene: Scene) -> None:
    with connect(scene.dsn, Role.SETTLE) as conn:
        assert judging.lock(conn)
        assert retry(scene).busy
    assert scene.one("select count(*) from quarantine_retry") == 0


def test_only_what_is_chosen_is_judged_again(scene: Scene) -> None:
    # given a third charger's packets beside those of the stranger
    third = "DE*V2G*E00003"
    scene.keys[third] = make_key()
    scene.deliver([scene.packet(third, 1), b"garbage"])
    (one, *_) = quarantine.listed(scene.dsn, Selection(evse_id=third), limit=9).packets
    # then
    for selection, expected in (
        (Selection(reasons=frozenset({PacketReason.UNREADABLE})), 1),
        (Selection(evse_id=third), 1),
        (Selection(digest=one.packet_digest), 1),
        (Selection(since=now() + HOUR), 0),
        (Selection(since=now() - HOUR), 122),
    ):
        assert retry(scene, selection).packets == expected


def test_the_reason_that_counts_is_the_latest(scene: Scene) -> None:
    # given a packet of a stranger, and its twin whose signature is broken
    third = "DE*V2G*E00003"
    scene.keys[third] = make_key()
    packet = scene.packet(third, 1)
    scene.deliver([packet[:-8] + b"AAAAAAAA"])
    before = now()
    # when its key is enrolled
    enrol(scene, third)
    done = retry(scene, Selection(evse_id=third))
    # then
    assert done.refused == {"BAD_SIGNATURE": 1}
    (one,) = quarantine.listed(scene.dsn, Selection(evse_id=third), limit=9).packets
    assert (one.reason, one.first_reason, one.retries) == ("BAD_SIGNATURE", "UNKNOWN_KEY", 1)
    assert claimed(scene, before)["UNKNOWN_KEY"] == 121
    assert claimed(scene, now()) == {"UNKNOWN_KEY": 120, "BAD_SIGNATURE": 1}


def test_what_was_released_counts_as_quarantined_nowhere_any_more(scene: Scene) -> None:
    # given a run that knew it as quarantined
    before = scene.settle()
    assert [(one.reason, one.packets) for one in before.quarantined] == [("UNKNOWN_KEY", 120)]
    assert doubted(scene) == ["packets become readings"]
    # when
    enrol(scene)
    retry(scene)
    # then neither by the gate, nor among the claims, nor in the reports
    assert doubted(scene) == []
    assert scene.settle().quarantined == []
    with connect(scene.dsn, Role.READ) as conn:
        assert reports.quarantined(conn) == {}
        known_then = load(conn, before.run_id).known_at
    assert quarantine.listed(scene.dsn, Selection(), limit=9).packets == []
    # and as known at the time of that run it still is
    then = replay_period(scene.dsn, WHOLE, as_of=known_then)
    assert then.quarantined == before.quarantined


def test_a_packet_is_shown_with_all_that_is_known_of_it(scene: Scene) -> None:
    # given packets that came in different ways
    third = "DE*V2G*E00003"
    scene.keys[third] = make_key()
    garbage, foreign = b"\0\xffgarbage", scene.packet(third, 1)
    scene.deliver([garbage])
    scene.land([foreign], topic="DE*V2G*E00666")
    scene.judge()
    # when
    found = {
        one.reason: quarantine.show(scene.dsn, one.packet_digest.hex()[:12])
        for one in quarantine.listed(scene.dsn, Selection(since=now() - HOUR), limit=200).packets
        if one.evse_id != STRANGER
    }
    # then
    assert found["UNREADABLE"].packet == garbage
    assert (found["UNREADABLE"].why_aside, found["UNREADABLE"].topic) == ("unreadable", None)
    assert found["UNKNOWN_KEY"].packet == foreign
    assert (found["UNKNOWN_KEY"].why_aside, found["UNKNOWN_KEY"].topic) == (
        "wrong_topic",
        "DE*V2G*E00666",
    )
    one = found["UNKNOWN_KEY"].quarantined
    assert (one.evse_id, one.vehicle_id, one.key_id) == (
        third,
        vehicle_of(third),
        scene.keys[third].key_id,
    )
    assert one.claimed_export_milliwh == 30_000


@pytest.mark.parametrize("digest", ["00000000", "0000", "no digits", "0" * 65])
def test_a_digest_that_names_no_packet_is_refused(scene: Scene, digest: str) -> None:
    with pytest.raises(NoSuchPacketError, match=digest[:8]):
        quarantine.show(scene.dsn, digest)


@pytest.mark.parametrize("name", ["", "  ", "a\nb"])
def test_a_retry_has_a_name_under_it(plain_database: str, name: str) -> None:
    with pytest.raises(ValueError, match="expected the name"):
        retry(Scene(plain_database), by=name)


def test_a_meters_records_are_joined_when_its_key_comes_late(scene: Scene) -> None:
    # given a meter that nobody had enrolled, and one whose curve nobody had allowed
    world = Metered(scene)
    world.deliver([world.record(n) for n in (0, 1)])
    # when
    world.enrol(evse_id=KNOWN)
    world.deliver([world.record(2)])
    done = retry(scene, Selection(reasons=frozenset({PacketReason.UNKNOWN_KEY})))
    # then the interval to the record that came afterwards is there too
    assert (done.records, done.readings) == (2, 2)
    assert world.intervals() == [(n, n + 1, WH_PER_STEP) for n in range(2)]


def test_quarantine_and_retries_cannot_be_rewritten(scene: Scene) -> None:
    # given
    retry(scene)
    with connect(scene.dsn, Role.SETTLE) as conn:
        for statement in (
            "update quarantine_retry set outcome = 'READING'",
            "delete from quarantine_retry",
            "update meter_record set evse_id = ''",
            "delete from refused_interval",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                conn.execute(statement)
            conn.rollback()
