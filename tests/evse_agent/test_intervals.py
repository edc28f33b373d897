"""Samples into intervals: they touch, they cover everything, whatever is lost between."""

import json
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evse_agent.intervals import Interval, State, take
from evse_agent.samples import End, RefusedError, Sample, parse, to_json
from tests.evse_agent.harness import BEGINS, sample

EVERY = timedelta(seconds=15)


def no_records(_records):
    raise AssertionError("there are none")


def at(seconds, **changes):
    """A sample so many seconds after the beginning, at 2 Wh per second."""
    fields = sample(0) | {
        "at": (BEGINS + timedelta(seconds=seconds)).isoformat(),
        "export_wh": f"{1_000_000 + 2 * seconds}",
    }
    return parse(json.dumps(fields | changes).encode())


def again(one: Sample | None) -> Sample | None:
    """As it was stored and read back."""
    read = None if one is None else parse(to_json(one).encode())
    assert not isinstance(read, End)
    return read


def walk(lines, state=None, every=EVERY, times=no_records):
    """All intervals as (from, to) in seconds, and the state at the end."""
    state = state or State()
    found = []
    for line in lines:
        step = take(state, line, every, times)
        state = step.state
        found += [
            ((one.started_at - BEGINS).total_seconds(), (one.ended_at - BEGINS).total_seconds())
            for one in step.intervals
        ]
    return found, state


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        ([0], []),
        ([0, 5, 14], []),
        ([0, 5, 10, 15], [(0, 15)]),
        ([0, 5, 10, 16, 20, 31], [(0, 16), (16, 31)]),
        ([0, 15, 30], [(0, 15), (15, 30)]),
        ([0, 28], [(0, 28)]),
        ([0, 10, 40], [(0, 10), (10, 40)]),
        ([0, 40], [(0, 40)]),
        ([0, 10, 3610], [(0, 10), (10, 3610)]),
        ([0, 10, 3611], [(0, 10)]),
    ],
    ids=str,
)
def test_an_interval_ends_with_the_first_sample_after_its_time(seconds, expected):
    assert walk([at(one) for one in seconds])[0] == expected


def test_more_than_an_hour_without_a_sample_is_reported_as_uncovered():
    _, state = walk([at(0), at(10)])

    step = take(state, at(4000), EVERY, no_records)

    assert step.uncovered == (at(10).at, at(4000).at)
    assert step.state == State(at(4000), at(4000))


def test_the_end_of_a_session_closes_what_is_open_and_may_be_said_again():
    found, state = walk([at(0), at(15), at(20), End("SESSION-1"), End("SESSION-1")])

    assert (found, state.edge, state.last) == ([(0, 15), (15, 20)], None, None)


def test_another_session_ends_the_one_before():
    found, state = walk([at(0), at(10), at(12, session_id="S2", vehicle_id="V2"), End("S2")])

    assert (found, state.edge, state.last) == ([(0, 10)], None, None)


@pytest.mark.parametrize("closing", [End("SESSION-1"), at(20, session_id="S2", vehicle_id="V2")])
def test_lines_of_a_session_that_has_ended_make_no_packet_again(closing):
    """A controller that sends ahead of the answers says all of them again after a broken connection."""
    _, state = walk([at(0), at(15), closing])

    with pytest.raises(RefusedError, match="up to which session SESSION-1 is covered"):
        take(state, at(0), EVERY, no_records)
    found, _ = walk([at(15), at(30), End("SESSION-1")], state)

    assert found == [(15, 30)]  # the same session goes on where it was ended: a step of its power


def test_a_sample_that_is_said_again_counts_once():
    found, _ = walk([at(0), at(15), at(15), at(15, snr_db="5"), at(30)])

    assert found == [(0, 15), (15, 30)]


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"export_wh": "999999"}, "export_wh"),
        ({"import_wh": "249999.999"}, "import_wh"),
        ({"at": BEGINS.isoformat()}, "at"),
        ({"vehicle_id": "V9"}, "vehicle_id"),
    ],
)
def test_a_sample_that_does_not_follow_is_refused_with_what_was_expected(changes, where):
    _, state = walk([at(0), at(5)])

    with pytest.raises(RefusedError) as caught:
        take(state, at(10, **changes), EVERY, no_records)

    assert caught.value.where == where


@given(
    st.lists(st.integers(1, 3000), min_size=1, max_size=40),
    st.integers(1, 600),
    st.data(),
)
def test_whatever_the_samples_and_wherever_it_is_resumed_the_intervals_cover_all_of_the_meter(
    steps, every_s, data
):
    seconds = [0]
    for step in steps:
        seconds.append(seconds[-1] + step)
    lines = [at(one) for one in seconds]
    state = State()
    found: list[Interval] = []
    for line in [*lines, End("SESSION-1")]:
        step = take(state, line, timedelta(seconds=every_s), no_records)
        found += step.intervals
        # Killed here, and begun again from what was stored.
        state = State(again(step.state.edge), again(step.state.last), step.state.ended)
        if data.draw(st.booleans()):
            found += take(state, line, timedelta(seconds=every_s), no_records).intervals

    assert [found[0].start, found[-1].end] == [lines[0], lines[-1]]
    assert all(one.end == other.start for one, other in pairwise(found))
    energy = sum(one.end.export_milliwh - one.start.export_milliwh for one in found)
    assert energy == lines[-1].export_milliwh - lines[0].export_milliwh
    assert all(timedelta(0) < one.ended_at - one.started_at <= timedelta(hours=1) for one in found)


def test_records_of_single_times_are_paired_and_those_that_span_a_time_stand_alone():
    times = {
        "OCMF|a": (BEGINS,),
        "OCMF|b": (BEGINS + EVERY,),
        "OCMF|c": (BEGINS + EVERY, BEGINS + 2 * EVERY),
    }

    def of(records):
        return tuple(sorted({moment for one in records for moment in times[one]}))

    a, b = at(0, records=["OCMF|a"]), at(16, records=["OCMF|b"])
    step = take(walk([a], times=of)[1], b, EVERY, of)
    [pair] = step.intervals
    assert (pair.records, pair.started_at, pair.ended_at) == (
        ("OCMF|a", "OCMF|b"),
        BEGINS,
        BEGINS + EVERY,
    )

    still = replace(b, at=b.at + EVERY, export_wh="1000090")
    assert take(step.state, still, EVERY, of).intervals == ()
    assert take(step.state, still, EVERY, of).state.edge == b

    spanned = take(step.state, at(40, records=["OCMF|c"]), EVERY, of)
    [alone] = spanned.intervals
    assert (alone.records, alone.ended_at) == (("OCMF|c",), BEGINS + 2 * EVERY)


def test_a_session_has_records_in_all_samples_or_in_none():
    _, state = walk([at(0)])

    with pytest.raises(RefusedError, match="records: 1 records"):
        take(state, at(15, records=["OCMF|x"]), EVERY, lambda _: (BEGINS,))


@pytest.mark.parametrize(
    ("records", "points", "fits"),
    [
        (["OCMF|a", "OCMF|b"], 1, True),
        (["OCMF|a", "OCMF|b", "OCMF|c"], 1, False),
        (["OCMF|a", "OCMF|b", "OCMF|c"], 2, True),
        (["OCMF|" + "x" * 2480], 1, True),
        (["OCMF|" + "x" * 2500], 1, False),
        (["OCMF|" + "x" * 4980], 2, True),
        (["OCMF|" + '"' * 2500], 2, False),
    ],
)
def test_records_for_which_no_packet_has_room_are_refused_when_they_come(records, points, fits):
    def times(_records):
        return tuple(BEGINS + n * EVERY for n in range(points))

    if fits:
        take(State(), at(0, records=records), EVERY, times)
        return
    with pytest.raises(RefusedError, match="a packet has room"):
        take(State(), at(0, records=records), EVERY, times)
