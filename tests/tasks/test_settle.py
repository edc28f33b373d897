"""Settling a period, in a real database."""

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from settlement.periods import Period
from tasks.posting.run import Clearinghouse, post_pending
from tasks.settle import PeriodNotOverError, due_period, summary_of
from tests.packets import Key
from tests.postings import clear
from tests.tasks.posting.scripted import ScriptedServer, answers
from tests.tasks.scene import HOUR, START, WHOLE, Scene, now, vehicle_of

ONE, TWO = "DE*V2G*E00001", "DE*V2G*E00002"
HALF_HOUR = range(120)


@pytest.fixture
def scene(plain_database: str) -> Scene:
    made = Scene(plain_database)
    made.set_up(ONE, TWO)
    return made


def test_a_period_is_settled_booked_and_made_ready_to_post(database: str) -> None:
    # given half an hour at 7.2 kW: over the hour 3.6 kW, the first tier
    scene = Scene(database)
    scene.set_up(ONE)
    scene.deliver(scene.packet(ONE, n) for n in HALF_HOUR)
    # when
    summary = scene.settle()
    # then 3.6 × 0.42 × 0.85 × 1.00 = 1.285200
    assert (summary.state, summary.paid_milliwh, summary.amount_minor) == (
        "settled",
        3_600_000,
        129,
    )
    assert scene.one("select amount_micros from line") == 1_285_200
    assert scene.owed() == {f"payable:owner:a-{vehicle_of(ONE)}": 129}
    assert scene.rows(
        "select amount_minor, state from posting join posting_state using (posting_id)"
    ) == [(129, "pending")]


def test_settling_again_books_nothing(scene: Scene) -> None:
    scene.deliver(scene.packet(ONE, n) for n in HALF_HOUR)
    assert scene.settle().revisions == 1
    again = scene.settle()
    assert (again.revisions, again.booked_minor, again.amount_minor) == (0, 0, 129)
    assert scene.one("select count(*) from settlement_run") == 2


def test_two_runs_of_one_period_at_the_same_time_make_one_settlement(scene: Scene) -> None:
    # given a period to settle, and four runs that start together
    scene.deliver(scene.packet(evse, n) for evse in (ONE, TWO) for n in HALF_HOUR)
    barrier = threading.Barrier(4)

    def settle(_: int) -> int:
        barrier.wait()
        return scene.settle().revisions

    # when
    with ThreadPoolExecutor(4) as threads:
        revisions = sorted(threads.map(settle, range(4)))
    # then one of them booked, and each settlement stands once
    assert revisions == [0, 0, 0, 2]
    assert scene.one("select count(*) from settlement") == 2
    assert scene.one("select count(*) from posting") == 2


def test_the_same_stream_shuffled_and_duplicated_gives_byte_identical_lines(servers) -> None:
    # given the packets of two chargers, with phases that straddle the event's edges
    from tests.conftest import _fresh_database

    rows = {}
    packets: list[bytes] = []
    keys: dict[str, Key] = {}
    for name in ("in order", "shuffled and duplicated"):
        with _fresh_database(servers("plain")) as dsn:
            scene = Scene(dsn, keys=keys)
            scene.set_up(ONE, TWO)
            if not packets:
                packets = [scene.packet(evse, n) for n in range(400) for evse in (ONE, TWO)]
            stream = list(packets)
            if name != "in order":
                shuffler = random.Random(11)
                stream = shuffler.sample(packets * 2, 2 * len(packets))
            # when they are landed in batches and settled
            for start in range(0, len(stream), 150):
                scene.deliver(stream[start : start + 150])
            scene.settle()
            rows[name] = [
                scene.rows(f"select * from {table} order by 1, 2")
                for table in ("line", "journal_line")
            ] + [
                scene.rows(
                    "select settlement_id, amount_minor, energy_milliwh from settlement order by 1"
                )
            ]
    # then
    assert rows["in order"] == rows["shuffled and duplicated"]
    assert rows["in order"][0]


def test_late_packets_are_booked_as_the_difference(scene: Scene) -> None:
    # given a settled half hour
    scene.deliver(scene.packet(ONE, n) for n in HALF_HOUR)
    scene.settle()
    # when the other half hour arrives late: now the duration tier is reached as well
    scene.deliver(scene.packet(ONE, n) for n in range(120, 240))
    summary = scene.settle()
    # then 7.2 × 0.42 × 0.85 × 1.265 = 3.251556, and 1.29 is booked already
    assert (summary.amount_minor, summary.booked_minor) == (325, 196)
    assert scene.rows("select amount_minor from posting order by created_at") == [(129,), (196,)]
    (first,), (second,) = scene.rows("select settlement_id from posting order by created_at")
    (body,) = scene.rows(
        "select convert_from(body, 'UTF8')::jsonb ->> 'supersedes' from posting order by created_at desc limit 1"
    )[0]
    assert body == first != second


def test_a_later_correction_goes_out_as_a_posting_of_its_own_that_refers_to_the_first(
    scene: Scene,
) -> None:
    def post(server: ScriptedServer) -> dict[str, Any]:
        clear(scene.dsn)
        post_pending(scene.dsn, Clearinghouse(server.url, "x"), clock=now, random=random.Random(1))
        return dict(server.requests[-1].fields)

    with ScriptedServer(answers(201)) as server:
        # given a settled half hour that the partner holds
        scene.deliver(scene.packet(ONE, n) for n in HALF_HOUR)
        scene.settle()
        first = post(server)

        # when the other half hour arrives late, and what differs is posted
        scene.deliver(scene.packet(ONE, n) for n in range(120, 240))
        scene.settle()
        second = post(server)

    # then the first is as it was, and the second says what it corrects
    assert len(server.requests) == 2
    assert (first["amount_minor"], first["supersedes"]) == ("129", None)
    assert (second["amount_minor"], second["supersedes"]) == ("196", first["settlement_id"])
    assert second["posting_id"] != first["posting_id"]


def test_a_conflict_found_later_takes_back_what_was_paid_for_it(scene: Scene) -> None:
    # given a settled half hour
    scene.deliver(scene.packet(ONE, n) for n in HALF_HOUR)
    scene.settle()
    # when a second, validly signed content appears for one of its packets
    scene.deliver([scene.packet(ONE, 5, power_end_w="7201")])
    summary = scene.settle()
    # then its 30 Wh are not paid any more
    assert summary.paid_milliwh == 3_570_000
    assert {one.reason: one.energy_milliwh for one in summary.unpaid} == {
        "ERR_DATA_INCONSISTENCY": 30_000
    }
    assert summary.booked_minor < 0


def test_a_missing_price_holds_and_its_arrival_settles(plain_database: str) -> None:
    # given an event without a price
    scene = Scene(plain_database)
    scene.enrol(ONE)
    scene.event()
    scene.deliver(scene.packet(ONE, n) for n in HALF_HOUR)
    # when it is settled before and after the price arrives
    before = scene.settle()
    scene.price(START, START + HOUR, 420_000)
    after = scene.settle()
    # then
    assert (before.held, before.amount_minor, before.booked_minor) == (1, 0, 0)
    assert (after.held, after.booked_minor) == (0, 129)


def test_a_revised_price_is_booked_as_the_difference(scene: Scene) -> None:
    scene.deliver(scene.packet(ONE, n) for n in HALF_HOUR)
    scene.settle()
    scene.price(WHOLE.started_at, WHOLE.ended_at, 210_000)
    assert scene.settle().booked_minor == 64 - 129


def test_an_event_cancelled_afterwards_is_taken_back(scene: Scene) -> None:
    scene.deliver(scene.packet(ONE, n) for n in HALF_HOUR)
    scene.settle()
    scene.event(status="cancelled")
    scene.approve(2)
    summary = scene.settle()
    assert (summary.amount_minor, summary.booked_minor) == (0, -129)
    assert scene.owed() == {}


def test_a_dry_run_shows_and_books_nothing(scene: Scene) -> None:
    scene.deliver(scene.packet(ONE, n) for n in HALF_HOUR)
    summary = scene.settle(dry_run=True)
    assert (summary.state, summary.amount_minor, summary.booked_minor) == ("dry_run", 129, 129)
    assert [
        scene.one(f"select count(*) from {t}")
        for t in ("settlement", "settlement_run", "unpaid", "posting")
    ] == [0] * 4


def test_a_held_period_is_recorded_and_books_nothing(scene: Scene) -> None:
    scene.deliver(scene.packet(ONE, n) for n in HALF_HOUR)
    held = scene.settle(hold="half of it is rubbish")
    assert (held.state, held.booked_minor) == ("held", 0)
    assert scene.rows("select state, reason from settlement_run") == [
        ("held", "half of it is rubbish")
    ]
    assert scene.one("select count(*) from settlement") == 0


def test_a_run_leaves_its_totals_to_be_read_again(scene: Scene) -> None:
    from storage import reports
    from storage.engine import Role, connect

    scene.deliver(
        [*(scene.packet(ONE, n) for n in HALF_HOUR), scene.packet(TWO, 3, header={"kid": "nobody"})]
    )
    summary = scene.settle()
    with connect(scene.dsn, Role.READ) as conn:
        assert summary_of(reports.last_run(conn)) == summary
    assert summary.quarantined[0].reason == "UNKNOWN_KEY"
    assert summary.quarantined[0].would_have_been_micros == 10_710


def test_a_run_that_finds_the_same_writes_one_row(scene: Scene) -> None:
    # given a settled period with energy that is not paid
    scene.deliver(scene.packet(ONE, n) for n in range(260))
    first = scene.settle()
    tables = ("settlement", "line", "unpaid", "journal_line", "posting", "difference")
    before = [scene.one(f"select count(*) from {name}") for name in tables]
    # when it is settled again
    again = scene.settle()
    # then the run is on record, and says under which run the unpaid energy stands
    assert [scene.one(f"select count(*) from {name}") for name in tables] == before
    assert before[2] > 0
    assert again.outputs_digest == first.outputs_digest
    assert scene.rows("select unpaid_of from settlement_run") == [(first.run_id,)] * 2
    assert again.unpaid == first.unpaid


def test_a_scheduled_run_leaves_to_the_calendar_what_its_first_run_is_to_book(scene: Scene) -> None:
    # given a program whose first run comes a day after the settled day
    scene.program(
        version=2,
        valid_from=START - timedelta(days=2),
        runs=[{"name": "initial", "after_days": 1}, {"name": "final", "after_days": 3}],
    )
    scene.deliver(scene.packet(ONE, n) for n in HALF_HOUR)
    # when the period is settled on schedule, then by hand
    scheduled = scene.settle(kind="scheduled")
    by_hand = scene.settle()
    # then the first computes and shows, the second books
    assert (scheduled.deferred, scheduled.amount_minor, scheduled.booked_minor) == (1, 129, 0)
    assert (by_hand.deferred, by_hand.booked_minor) == (0, 129)


def test_what_is_due_goes_from_the_last_settled_period_to_shortly_ago(scene: Scene) -> None:
    # given readings from 17:00 on, and nothing settled
    late = START + 2 * HOUR + timedelta(minutes=7)
    grace = timedelta(minutes=15)
    assert due_period(scene.dsn, now=late, grace=grace) is None
    scene.deliver([scene.packet(ONE, 0)])
    # when it is asked what is due, then settled, then asked again
    due = due_period(scene.dsn, now=late, grace=grace)
    assert due == Period(START, START + 2 * HOUR - timedelta(minutes=15))
    scene.settle(due)
    # then
    assert due_period(scene.dsn, now=late, grace=grace) is None
    assert due_period(scene.dsn, now=late + HOUR, grace=grace) == Period(
        due.ended_at, due.ended_at + HOUR
    )


def test_what_returns_to_an_earlier_version_is_in_force_again(scene: Scene) -> None:
    # given a settled half hour whose event is cancelled, and whose price is revised
    scene.deliver(scene.packet(ONE, n) for n in HALF_HOUR)
    first = scene.settle().amount_minor
    scene.event(status="cancelled")
    scene.approve(2)
    scene.price(WHOLE.started_at, WHOLE.ended_at, 210_000)
    assert scene.settle().amount_minor == 0
    # when both return, word for word, to what they were
    scene.event()
    scene.approve(3)
    scene.price(WHOLE.started_at, WHOLE.ended_at, 420_000)
    # then so does the amount; and the same again is no further version
    assert scene.settle().amount_minor == first
    scene.event()
    assert scene.rows("select version, status from event_version order by 1") == [
        (1, "scheduled"),
        (2, "cancelled"),
        (3, "scheduled"),
    ]


def test_a_released_period_is_booked_and_says_why(scene: Scene) -> None:
    # given a period that its quality has held
    scene.deliver(scene.packet(ONE, n) for n in HALF_HOUR)
    scene.settle(hold="half of it is rubbish")
    # when a person settles it all the same
    released = scene.settle(released="looked at, the rubbish is one charger's")
    # then
    assert (released.state, released.booked_minor) == ("settled", 129)
    assert scene.rows("select state, reason from settlement_run order by known_at") == [
        ("held", "half of it is rubbish"),
        ("settled", "looked at, the rubbish is one charger's"),
    ]


def test_an_event_that_another_run_has_settled_is_not_paid_again_by_the_outer_one(
    scene: Scene,
) -> None:
    # given a newer, short event inside a long one
    quarter = timedelta(minutes=15)
    scene.event("outer", START, START + HOUR)
    scene.event("inner", START + quarter, START + 2 * quarter, created_at=START)
    scene.deliver(scene.packet(ONE, n) for n in range(240))
    scene.event("peak", status="cancelled")
    scene.approve(2)
    # when the inner one is settled in an earlier period than the outer one
    first = scene.settle(Period(START, START + 2 * quarter))
    second = scene.settle(Period(START + 2 * quarter, START + HOUR))
    # then each kWh is paid once
    assert (first.paid_milliwh, second.paid_milliwh) == (1_800_000, 5_400_000)


def test_a_tariff_of_later_does_not_change_a_period_of_before(scene: Scene) -> None:
    # given a settled period, and a new version of the program valid from today
    scene.deliver(scene.packet(ONE, n) for n in HALF_HOUR)
    scene.settle()
    scene.program(version=2, valid_from=now(), negative_price="pass_through", tiers={})
    # when the period is settled again
    again = scene.settle()
    # then nothing has changed
    assert (again.revisions, again.amount_minor) == (0, 129)


def test_a_gap_that_a_run_by_hand_has_left_is_not_forgotten(scene: Scene) -> None:
    scene.deliver([scene.packet(ONE, 0)])
    scene.settle(Period(START + HOUR, START + 2 * HOUR))
    due = due_period(scene.dsn, now=START + 3 * HOUR, grace=timedelta(0))
    assert due == Period(START, START + 3 * HOUR)


def test_a_held_period_waits_for_a_person_and_does_not_drown_in_a_longer_one(scene: Scene) -> None:
    scene.deliver([scene.packet(ONE, 0)])
    scene.settle(Period(START, START + HOUR), hold="doubtful")
    due = due_period(scene.dsn, now=START + 2 * HOUR, grace=timedelta(0))
    assert due == Period(START + HOUR, START + 2 * HOUR)


def test_a_period_that_is_not_over_is_refused(scene: Scene) -> None:
    with pytest.raises(PeriodNotOverError, match="not over"):
        scene.settle(Period(START, now() + HOUR))
