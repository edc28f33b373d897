"""A share of every run is settled again by the oracle: honest runs agree, a run with a bug is held."""

import json
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

import polars as pl
import pytest

import oracle
from settlement.matching import unpaid
from settlement.periods import Period
from settlement.pricing import lines
from settlement.rounding import divide
from storage import reports
from storage.engine import Role, connect
from tasks.second_opinion import SHARE_PPM, Sample, salt_of
from tasks.second_opinion.sample import LINES_AT_LEAST
from tasks.settings import Settings
from tasks.settle import SettleSummary, summary_of
from tests.tasks.scene import HOUR, START, WHOLE, Scene, rfc3339, vehicle_of

ONE, TWO, STRANGER = "DE*V2G*E00001", "DE*V2G*E00002", "DE*V2G*E00003"
MINUTES = timedelta(minutes=5)
BOOKED = ("settlement", "line", "journal_line", "posting")


@pytest.fixture
def scene(plain_database: str) -> Scene:
    """Two cars and a stranger over two events, three prices and time outside; one packet contradicted."""
    made = Scene(plain_database)
    made.enrol(ONE, TWO)
    made.enrol(STRANGER, contract=False)
    made.event()
    made.event("later", START + HOUR, START + 2 * HOUR, cancelled_at=START + timedelta(minutes=70))
    made.price(WHOLE.started_at, START + timedelta(minutes=20), 420_000)
    made.price(START + timedelta(minutes=20), START + timedelta(minutes=40), -30_000)
    made.price(START + timedelta(minutes=40), WHOLE.ended_at, 615_000)
    made.deliver(
        [
            *(five_minutes(made, evse, n) for evse in (ONE, TWO) for n in range(16)),
            *(five_minutes(made, STRANGER, n) for n in range(3)),
            five_minutes(made, ONE, 5, power_end_w="7201"),
        ]
    )
    return made


def five_minutes(scene: Scene, evse: str, number: int, **fields: Any) -> bytes:
    """A packet of five minutes at 7.2 kW."""
    started_at = START + number * MINUTES
    return scene.packet(
        evse,
        number,
        started_at=rfc3339(started_at),
        ended_at=rfc3339(started_at + MINUTES),
        export_start_wh=f"{1_000_000 + 600 * number}.000",
        export_end_wh=f"{1_000_600 + 600 * number}.000",
        **fields,
    )


def booked(scene: Scene) -> list[int]:
    return [scene.one(f"select count(*) from {table}") for table in BOOKED]


def one_too_many(numerator: Any, divisor: Any, *more: Any) -> pl.Expr:
    """A rounding that is off by one."""
    return divide(numerator, divisor, *more) + 1


def opinion_of(summary: SettleSummary) -> Any:
    assert summary.second_opinion is not None
    return summary.second_opinion


# --- agreement


def test_an_honest_run_is_confirmed_in_every_line_and_unpaid_row(scene: Scene) -> None:
    summary = scene.settle()

    opinion = opinion_of(summary)
    assert (summary.state, opinion.reason, opinion.differences) == ("settled", "", 0)
    assert (opinion.vehicles, opinion.passed_over, opinion.differing) == (3, {}, [])
    assert opinion.lines == scene.one("select count(*) from line") == 6
    assert opinion.settlements == scene.one("select count(*) from settlement")
    assert opinion.unpaid == scene.one("select count(*) from unpaid")
    reasons = {row for (row,) in scene.rows("select distinct reason from unpaid")}
    assert reasons >= {
        "ERR_DATA_INCONSISTENCY",
        "EVENT_CANCELLED",
        "NEGATIVE_PRICE",
        "NO_CONTRACT",
    }


def test_an_event_across_the_edge_of_a_period_is_confirmed_by_the_run_that_settles_it(
    scene: Scene,
) -> None:
    # given a period that ends in the middle of the first event, and the one after it
    edge = START + timedelta(minutes=27)
    periods = (Period(WHOLE.started_at, edge), Period(edge, WHOLE.ended_at))

    first, second = (opinion_of(scene.settle(period)) for period in periods)

    # then nothing is looked at twice, and nothing is forgotten
    assert (first.reason, second.reason) == ("", "")
    assert (first.lines, second.lines) == (0, 6)
    assert first.unpaid + second.unpaid == scene.one("select count(*) from unpaid")


def test_windows_that_are_drawn_late_superseded_and_approved_are_confirmed(scene: Scene) -> None:
    # given beside the two events one whose devices begin two minutes late at most, one that came late, one
    # that was superseded for good, by one that limits, and one that was approved after it had ended
    def clock(minutes: int) -> datetime:
        return START + timedelta(minutes=minutes)

    fixed, limit = ("opModFixedW",), ("csipaus:opModExpLimW",)
    scene.event("drawn", clock(70), clock(74), created_at=START, modes=fixed, randomize_start_s=120)
    scene.event("late", clock(74), clock(76), created_at=clock(75))
    scene.event("over", clock(76), clock(80), created_at=START, modes=limit, resumes=False)
    scene.event("by", clock(77), clock(78), created_at=clock(1), modes=limit)
    scene.event("approved", clock(79), clock(80), created_at=clock(90), primacy=0)
    scene.approve(1, "approved")

    summary = scene.settle()

    opinion = opinion_of(summary)
    assert (summary.state, opinion.reason, opinion.differences) == ("settled", "", 0)
    minute = 120_000  # of 7.2 kW
    unpaid = dict(
        scene.rows(
            f"""
            select event_id || ' ' || reason, (sum(energy_milliwh) / {minute})::int from unpaid
            where vehicle_id = '{vehicle_of(TWO)}' and event_id in ('drawn', 'late', 'over')
            group by 1
            """
        )
    )
    assert unpaid == {
        "drawn EVENT_RANDOMISED": 2,
        "late LATE_NOTICE": 1,
        "over EVENT_SUPERSEDED": 1,
    }


def test_a_run_of_other_programs_is_not_held_for_what_it_leaves_out(scene: Scene) -> None:
    summary = scene.settle(programs=frozenset({"another-program"}))

    assert (summary.state, opinion_of(summary).vehicles) == ("settled", 0)


# --- a deliberate bug


@pytest.mark.parametrize(
    ("module", "name", "sabotage", "field"),
    [
        pytest.param(lines, "divide", one_too_many, "lines_micros", id="an amount"),
        pytest.param(unpaid, "divide", one_too_many, "would_have_been_micros", id="unpaid"),
    ],
)
def test_a_bug_in_the_rules_holds_the_run_and_nothing_is_booked(
    scene: Scene,
    monkeypatch: pytest.MonkeyPatch,
    module: Any,
    name: str,
    sabotage: Callable[..., Any],
    field: str,
) -> None:
    monkeypatch.setattr(module, name, sabotage)

    summary = scene.settle()

    assert (summary.state, summary.booked_minor, booked(scene)) == ("held", 0, [0, 0, 0, 0])
    assert field in summary.reason
    assert vehicle_of(ONE) in summary.reason
    assert scene.rows("select state, reason from settlement_run") == [("held", summary.reason)]
    assert opinion_of(summary).differences > 0


def test_the_reason_names_vehicle_event_field_and_both_figures(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "divide", one_too_many)

    reason = scene.settle().reason

    told = f"vehicle {vehicle_of(ONE)}, event peak, settlement: lines_micros is "
    ours, _, theirs = reason.partition(told)[2].partition(" by the oracle")[0].partition(" in the ")
    assert int(ours) == int(theirs.removeprefix("run and ")) + 2  # two lines, one micro each


def test_an_oracle_that_fails_holds_the_run(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: oracle.Case) -> oracle.Result:
        raise ZeroDivisionError("of the oracle")

    monkeypatch.setattr(oracle, "settle", fail)

    summary = scene.settle()

    assert summary.state == "held"
    assert summary.reason == "the second opinion failed: ZeroDivisionError: of the oracle"
    assert booked(scene) == [0, 0, 0, 0]


def test_a_person_may_release_a_run_in_spite_of_it_and_the_difference_stays_on_record(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "divide", one_too_many)

    summary = scene.settle(released="the oracle is wrong here")

    assert (summary.state, summary.reason) == ("settled", "the oracle is wrong here")
    assert opinion_of(summary).differences > 0
    assert scene.one("select totals -> 'second_opinion' ->> 'reason' from settlement_run")


def test_who_differed_is_looked_at_again_whatever_the_next_sample_would_be(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a held run, and a sample that would choose nobody
    with monkeypatch.context() as patch:
        patch.setattr(lines, "divide", one_too_many)
        differing = opinion_of(scene.settle()).differing
    monkeypatch.setattr("tasks.second_opinion.sample.LINES_AT_LEAST", 0)

    again = scene.settle(oracle_share_ppm=1)
    after = scene.settle(oracle_share_ppm=1)

    assert differing == [vehicle_of(ONE), vehicle_of(TWO)]
    assert (again.state, opinion_of(again).vehicles) == ("settled", 2)
    assert opinion_of(after).vehicles == 0


# --- off, dry, told


def test_a_share_of_zero_switches_it_off(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "divide", one_too_many)

    summary = scene.settle(oracle_share_ppm=0)

    assert (summary.state, summary.second_opinion) == ("settled", None)


def test_a_dry_run_reports_what_it_would_be_held_for(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = opinion_of(scene.settle(dry_run=True))
    monkeypatch.setattr(lines, "divide", one_too_many)
    wrong = scene.settle(dry_run=True)

    assert (honest.differences, honest.lines) == (0, 6)
    assert (wrong.state, booked(scene)) == ("dry_run", [0, 0, 0, 0])
    assert "lines_micros" in opinion_of(wrong).reason


def test_what_was_found_is_read_back_from_the_run(scene: Scene) -> None:
    summary = scene.settle()
    with connect(scene.dsn, Role.READ) as conn:
        stored = reports.last_run(conn)

    assert summary_of(stored) == summary
    assert json.loads(json.dumps(asdict(summary)))["second_opinion"]["lines"] == 6


def test_what_the_oracle_does_not_know_is_told_and_not_counted_as_agreement(scene: Scene) -> None:
    scene.program(
        version=2, valid_from=START - 2 * HOUR, season={"holidays": [f"{START:%F}"], "months": [7]}
    )

    opinion = opinion_of(scene.settle())

    assert opinion.passed_over == {"the key season.holidays": 3}
    assert (opinion.vehicles, opinion.lines) == (0, 0)


# --- who is chosen


def frame_of(vehicles: list[str], each: int = 1) -> pl.DataFrame:
    rows = [(vehicle, f"E-{vehicle}", 1, n) for vehicle in vehicles for n in range(each)]
    return pl.DataFrame(
        rows, schema=["vehicle_id", "evse_id", "stream_epoch", "sequence"], orient="row"
    )


def watched(sample: Sample, *frames: pl.DataFrame) -> Sample:
    for frame in frames:
        sample.watching(lambda _, frame=frame: frame)(WHOLE)  # type: ignore[misc]
    return sample


FLEET = [f"vehicle-{number:05}" for number in range(20_000)]


def test_the_share_of_a_large_run_is_what_was_asked_for() -> None:
    sample = watched(Sample(b"a run", SHARE_PPM), frame_of(FLEET))

    chosen = sample.choose(dict.fromkeys(FLEET, 2))

    assert 150 <= len(chosen) <= 250
    assert sample.readings(chosen)["vehicle_id"].sort().to_list() == sorted(chosen)


def test_a_small_share_is_filled_up_to_lines_enough_and_no_further() -> None:
    sample = watched(Sample(b"a run", 1), frame_of(FLEET))

    chosen = sample.choose(dict.fromkeys(FLEET, 2))

    assert len(chosen) * 2 == LINES_AT_LEAST


def test_all_of_them_means_all_of_them() -> None:
    sample = watched(Sample(b"a run", 1_000_000), frame_of(FLEET[:2_000]))

    assert len(sample.choose(dict.fromkeys(FLEET[:2_000], 2))) == 2_000


def test_a_run_chooses_the_same_however_its_readings_come_and_another_run_others() -> None:
    parts = [frame_of(FLEET[start::7]) for start in range(7)]
    counts = dict.fromkeys(FLEET, 2)
    salts = [salt_of(run, WHOLE, START) for run in ("run-1", "run-1", "run-2")]

    one, same, other = (
        watched(Sample(salt, SHARE_PPM), *frames).choose(counts)
        for salt, frames in zip(salts, (parts, parts[::-1], parts), strict=True)
    )

    assert one == same
    assert len(set(one) & set(other)) < len(one) / 4


def test_too_many_readings_leave_out_the_highest_ranks_with_all_that_they_have() -> None:
    sample = Sample(b"a run", 1_000_000, readings_max=500)
    watched(sample, frame_of(FLEET[:60], each=10), frame_of(FLEET[30:90], each=12))

    chosen = sample.choose(dict.fromkeys(FLEET[:90], 2))

    assert chosen == sorted(FLEET[:90], key=sample.rank)[: len(chosen)]
    assert 0 < sample.readings(chosen).height <= 500
    counts = dict(sample.readings(chosen)["vehicle_id"].value_counts().iter_rows())
    assert counts == {one: 12 if one in FLEET[30:90] else 10 for one in chosen}


def test_readings_of_others_at_the_same_evse_are_kept() -> None:
    sample = Sample(b"a run", 1, again=["a"])
    frame = pl.DataFrame(
        {
            "vehicle_id": ["a", "b", "c"],
            "evse_id": ["E1", "E1", "E2"],
            "stream_epoch": [1, 1, 1],
            "sequence": [1, 2, 1],
        }
    )

    readings = watched(sample, frame).readings(["a"])

    assert readings["vehicle_id"].to_list() == ["a", "b"]


def test_the_setting_and_the_step_agree_on_the_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("V2G_DATABASE_URL", "dbname=v2g")
    monkeypatch.delenv("V2G_ORACLE_SHARE_PPM", raising=False)

    assert Settings().oracle_share_ppm == SHARE_PPM
