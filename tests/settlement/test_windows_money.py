"""What effective windows make of money: energy once and with its reason, orders that are cut, charging around."""

from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from settlement import programs
from settlement.engine import Computed
from settlement.periods import Period
from settlement.windows import State, Window, effective, rank, trace
from tests.settlement.frames import (
    PROGRAM,
    at,
    computed,
    contract,
    example_program,
    facts,
    metered,
    price,
    reading,
    readings,
    window,
)

MINUTE = timedelta(minutes=1)
DAY = Period(at("00:00"), at("23:59"))
ALL_DAY = price("00:00", "23:59", 300_000)
REASONS = {
    State.CANCELLED: "EVENT_CANCELLED",
    State.OVER: "EVENT_SUPERSEDED",
    State.RANDOMISED: "EVENT_RANDOMISED",
    State.LATE_NOTICE: "LATE_NOTICE",
}


def metered_as(*spans: tuple[str, str, int, int]) -> list[dict[str, object]]:
    """Readings of one vehicle, 5 minutes each: from, to, and what each exports and imports in mWh."""
    rows = []
    for start, end, exported, imported in spans:
        begun = at(start)
        while begun < at(end):
            watts = (exported - imported) * 12 // 1000
            row = reading("v", begun, begun + 5 * MINUTE, exported)
            rows.append(
                row
                | {
                    "import_end_milliwh": imported,
                    "power_start_w": watts,
                    "power_end_w": watts,
                }
            )
            begun += 5 * MINUTE
    return metered(*rows)


def exported(rows: list[dict[str, object]]) -> int:
    return sum(row["export_end_milliwh"] - row["export_start_milliwh"] for row in rows)  # type: ignore[operator]


def unpaid(found: Computed) -> list[tuple[str, str, str, int]]:
    wanted = found.unpaid.select("program", "event_id", "reason", "energy_milliwh")
    return [tuple(row) for row in wanted.rows()]


@st.composite
def evenings(draw: st.DrawFn) -> list[Window]:
    """Some events between 12:00 and 15:30, on whole minutes."""
    made = []
    for number in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, 120))
        cancelled = draw(st.none() | st.integers(start - 20, start + 90))
        made.append(
            window(
                f"e{number}",
                "12:00",
                "13:00",
                created="09:00",
                primacy=draw(st.integers(0, 1)),
                modes=draw(
                    st.sampled_from(
                        [(), ("opModFixedW",), ("opModTargetW",), ("opModExpLimW", "opModFixedW")]
                    )
                ),
                randomize_start_s=draw(st.sampled_from([0, 0, 600, -420])),
                randomize_duration_s=draw(st.sampled_from([0, 0, 300, -3600])),
                resumes=draw(st.booleans()),
                cancelled_randomly=draw(st.booleans()),
            )
        )
        moved = {
            "started_at": at("12:00") + start * MINUTE,
            "ended_at": at("12:00") + (start + draw(st.integers(1, 90))) * MINUTE,
            "cancelled_at": None if cancelled is None else at("12:00") + cancelled * MINUTE,
            "noticed_at": draw(st.none() | st.just(at("12:30") + start * MINUTE)),
        }
        for name, value in moved.items():
            object.__setattr__(made[-1], name, value)
    return made


@settings(max_examples=25, deadline=None)
@given(evenings())
def test_all_energy_stands_once_and_unpaid_time_has_the_reason_of_the_best_event(
    events: list[Window],
) -> None:
    # given a vehicle that gives 0.1 kWh in each minute
    rows = metered_as(("11:30", "16:00", 500_000, 0))
    # when
    found = computed(readings(*rows), facts(events, [ALL_DAY], [contract("v")]), DAY)
    # then what is paid and what is not are what the naive account says, minute by minute
    in_force, became = effective(events), trace(events)
    expected: dict[tuple[str, str], int] = {}
    for number in range(270):
        now = at("11:30") + number * MINUTE
        there = [w for w in events if w.started_at <= now < w.ended_at]
        said = ("", "OUTSIDE_WINDOW")
        if any(one.started_at <= now < one.ended_at for one in in_force):
            said = ("", "")
        elif there:
            best = max(there, key=rank).event_id
            [stretch] = [s for s in became[best] if s.started_at <= now < s.ended_at]
            said = (best, REASONS[stretch.standing.state])
        expected[said] = expected.get(said, 0) + 100_000
    paid = expected.pop(("", ""), 0)
    assert found.matched["energy_milliwh"].sum() == paid
    told: dict[tuple[str, str], int] = {}
    for _, event, reason, energy in unpaid(found):
        told[event, reason] = told.get((event, reason), 0) + energy
    assert told == expected
    worth = found.unpaid.filter(found.unpaid["event_id"] != "")
    assert (worth["would_have_been_micros"] == worth["energy_milliwh"] * 255 // 1_000).all()


ORDER_BODY = yaml.safe_load(
    (Path(__file__).parents[2] / "programs" / "usef-flexibility-order.yaml").read_text()
)
OTHER = window("f", "17:10", "17:20", created="10:00")


@pytest.mark.parametrize(
    ("events", "lines"),
    [
        ([window("e", "17:00", "18:00")], [("17:00", 30, 3_000_000)]),
        (
            [window("e", "17:00", "18:00"), OTHER],
            [("17:00", 10, 1_000_000), ("17:20", 10, 1_000_000)],
        ),
        ([window("e", "17:00", "18:00", randomize_start_s=600)], [("17:10", 20, 2_000_000)]),
    ],
    ids=["in whole", "cut in two by another event", "its beginning is not certain"],
)
def test_an_order_of_which_the_event_has_a_part_is_paid_and_fined_for_that_part(
    events: list[Window], lines: list[tuple[str, int, int]]
) -> None:
    # given an order of 9 kW over half an hour, of which 6 are delivered throughout
    program = programs.parse(
        ORDER_BODY
        | {
            "program": PROGRAM,
            "order": {"price_per_kw": "9", "penalty_per_kw": "3", "cap_at_order": True},
        },
        "test",
    )
    order = {
        "event_id": "e",
        "vehicle_id": "v",
        "started_at": at("17:00"),
        "ended_at": at("17:30"),
        "ordered_w": 9_000,
    }
    against = {
        "vehicle_id": "v",
        "started_at": at("16:00"),
        "ended_at": at("19:00"),
        "baseline_w": 0,
    }
    known = facts(
        events,
        [],
        [contract("v", rate_ppm=1_000_000)],
        program,
        orders=[order],
        baselines=[against],
    )
    # when
    found = computed(readings(*metered_as(("17:00", "18:00", 500_000, 0))), known, DAY)
    # then each part has its share in time of 6 × 9, and of 3 × 3
    delivered, missing = (
        found.lines.filter(found.lines["term"] == t) for t in ("delivery", "shortfall")
    )
    assert [
        (f"{start:%H:%M}", (end - start) // MINUTE, energy)
        for start, end, energy in delivered.select(
            "started_at", "ended_at", "energy_milliwh"
        ).iter_rows()
    ] == lines
    shares = [minutes for _, minutes, _ in lines]
    assert delivered["amount_micros"].to_list() == [54_000_000 * one // 30 for one in shares]
    assert missing["amount_micros"].to_list() == [-9_000_000 * one // 30 for one in shares]


@pytest.mark.parametrize(
    ("event", "charged"),
    [
        (window("e", "17:00", "18:00"), 0),
        (window("e", "17:00", "18:00", randomize_start_s=600), 600_000),
        (window("e", "17:00", "18:00", created="17:10"), 600_000),
        (window("e", "17:00", "18:00", randomize_duration_s=-600), 600_000),
    ],
    ids=["certain", "starts are drawn", "late notice", "ends are drawn"],
)
def test_what_is_charged_in_an_event_before_its_certain_part_or_after_it_is_deducted(
    event: Window, charged: int
) -> None:
    # given a vehicle that charges for ten minutes at both ends of an event
    program = example_program(checks={"lookback_min": 60, "lookahead_min": 60})
    rows = metered_as(
        ("16:30", "17:00", 0, 0),
        ("17:00", "17:10", 0, 300_000),
        ("17:10", "17:50", 500_000, 0),
        ("17:50", "18:00", 0, 300_000),
    )
    # when
    found = computed(readings(*rows), facts([event], [ALL_DAY], [contract("v")], program), DAY)
    # then
    assert found.lines["energy_milliwh"].sum() == 4_000_000 - charged
    said = [energy for *_, reason, energy in unpaid(found) if reason == "CHARGED_BEFORE"]
    assert sum(said) == charged


def test_time_of_another_programs_event_that_is_not_paid_has_the_reason_of_that_event() -> None:
    # given a vehicle in two programs, and events that overlap, of which the second's is drawn and late
    first = example_program(program="a")
    second = example_program(program="b", price={"source": "fixed", "per_kwh": "0.5"})
    events = [
        Window("a1", "a", at("17:20"), at("17:40"), at("09:00"), cancelled_at=at("17:30")),
        Window("b1", "b", at("17:00"), at("18:00"), at("17:05"), randomize_start_s=600,
               cancelled_at=at("17:50")),
    ]  # fmt: skip
    rows = metered_as(("16:30", "18:30", 500_000, 0))
    known = facts(
        events, [ALL_DAY], [contract("v", program="a"), contract("v", program="b")], first, second
    )
    # when
    found = computed(readings(*rows), known, DAY)
    # then both are in force from 17:20 to 17:30; of the rest b has all that is of its event
    paid = found.matched["energy_milliwh"].sum()
    told = {(program, event, reason): 0 for program, event, reason, _ in unpaid(found)}
    for program, event, reason, energy in unpaid(found):
        told[program, event, reason] += energy
    assert paid == 3_000_000
    assert told == {
        ("a", "", "OUTSIDE_WINDOW"): 6_000_000,
        ("a", "a1", "DOUBLE_ENROLMENT"): 1_000_000,
        ("b", "b1", "LATE_NOTICE"): 500_000,
        ("b", "b1", "EVENT_RANDOMISED"): 500_000,
        ("b", "b1", "EVENT_CANCELLED"): 1_000_000,
    }
    assert paid + sum(told.values()) == exported(rows)
    worth = found.unpaid.filter(found.unpaid["event_id"] == "b1")
    assert worth["would_have_been_micros"].sum() == 2_000_000 * 500_000 * 85 // 100 // 1_000_000
