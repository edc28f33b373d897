"""What holds of effective windows whatever the events are, against a rule written down naively."""

from datetime import timedelta
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from settlement.windows import State, Window, effective, trace
from tests.settlement.frames import at

STEP = timedelta(minutes=1)
NOON = at("12:00")
# In the order in which they are paid.
MODES = ("opModTargetW", "opModFixedW", "csipaus:opModExpLimW", "opModVoltVar")
COUNTING = (State.IN_FORCE, State.BESIDE)


@st.composite
def events(draw: st.DrawFn, most: int = 6) -> list[Window]:
    """Events of a few hours, on whole minutes, that overlap in every way."""
    made = []
    for number in range(draw(st.integers(0, most))):
        start = draw(st.integers(0, 40))
        end = start + draw(st.integers(1, 40))
        cancelled = draw(st.none() | st.integers(start - 5, end + 5))
        made.append(
            Window(
                f"e{number}",
                draw(st.sampled_from(["p", "p", "q"])),
                NOON + start * STEP,
                NOON + end * STEP,
                NOON + draw(st.integers(-5, 30)) * STEP,
                draw(st.integers(0, 1)),
                cancelled_at=None if cancelled is None else NOON + cancelled * STEP,
                modes=tuple(sorted(draw(st.sets(st.sampled_from(MODES), max_size=2)))),
                randomize_start_s=60 * draw(st.sampled_from([0, 0, 0, -3, 2, 5])),
                randomize_duration_s=60 * draw(st.sampled_from([0, 0, 0, -4, 3])),
                resumes=draw(st.booleans()),
                cancelled_randomly=draw(st.booleans()),
                noticed_at=draw(st.none() | st.just(NOON)),
            )
        )
    return made


def minutes(windows: list[Window]) -> dict[int, str]:
    """Which event is in force in each minute, from the effective windows."""
    found: dict[int, str] = {}
    for one in effective(windows):
        for minute in range((one.started_at - NOON) // STEP, (one.ended_at - NOON) // STEP):
            assert minute not in found, "two effective windows overlap"
            found[minute] = one.event_id
    return found


def naive(windows: list[Window]) -> dict[int, str]:
    """The same, minute by minute: every draw of a device is tried, and every event asks every other."""

    def certainly_in(event: Window, minute: int) -> bool:
        now = NOON + minute * STEP
        for drawn_start in (0, event.randomize_start_s):
            for drawn_duration in (0, event.randomize_duration_s):
                start = event.started_at + timedelta(seconds=drawn_start)
                length = event.ended_at - event.started_at + timedelta(seconds=drawn_duration)
                if not start <= now < start + length:
                    return False
        announced = event.noticed_at if event.noticed_at is not None else event.created_at
        return now >= announced and (event.cancelled_at is None or now < event.cancelled_at)

    def beats(one: Window, other: Window) -> bool:
        if one.primacy != other.primacy:
            return one.primacy < other.primacy
        return (one.created_at, one.event_id) > (other.created_at, other.event_id)

    def wants(event: Window, mode: str) -> bool:
        return not event.modes or mode in event.modes

    found: dict[int, str] = {}
    gone: set[str] = set()
    for minute in range(-5, 90):
        there = [w for w in windows if certainly_in(w, minute) and w.event_id not in gone]
        for loser in [w for w in there if not w.resumes]:
            for winner in there:
                whole = not winner.modes or (loser.modes and set(loser.modes) <= set(winner.modes))
                alike = (winner.program, winner.primacy) == (loser.program, loser.primacy)
                if whole and alike and winner is not loser and beats(winner, loser):
                    gone.add(loser.event_id)
        there = [w for w in there if w.event_id not in gone]
        for mode in sorted(
            {mode for w in there for mode in w.modes} or {""}, key=([*MODES, ""]).index
        ):
            rivals = [w for w in there if wants(w, mode)]
            best = [w for w in rivals if all(w is x or beats(w, x) for x in rivals)]
            if best:
                found[minute] = best[0].event_id
                break
    return found


@settings(max_examples=120, deadline=None)
@given(events())
def test_effective_windows_are_what_the_naive_rule_says_minute_by_minute(
    windows: list[Window],
) -> None:
    assert minutes(windows) == naive(windows)


@settings(max_examples=50, deadline=None)
@given(events())
def test_no_two_overlap_and_each_lies_within_the_certain_part_of_its_event(
    windows: list[Window],
) -> None:
    known = {w.event_id: w for w in windows}
    found = effective(windows)
    for one, after in pairwise(found):
        assert one.ended_at <= after.started_at
    for one in found:
        event, certain = known[one.event_id], known[one.event_id].certain
        assert certain is not None
        assert event.started_at <= certain.started_at <= one.started_at < one.ended_at
        assert one.ended_at <= certain.ended_at <= event.until <= event.ended_at


@settings(max_examples=50, deadline=None)
@given(events())
def test_all_certain_time_is_in_force_but_where_an_event_is_over_for_good(
    windows: list[Window],
) -> None:
    lasting = [w for w in windows if w.resumes]
    certain = {
        minute
        for w in lasting
        if w.certain is not None
        for minute in range(
            (w.certain.started_at - NOON) // STEP, (w.certain.ended_at - NOON) // STEP
        )
    }
    assert set(minutes(lasting)) == certain
    assert set(minutes(windows)) >= certain


@settings(max_examples=50, deadline=None)
@given(events(), st.randoms(use_true_random=False))
def test_the_order_in_which_events_come_does_not_matter(
    windows: list[Window], random: object
) -> None:
    mixed = list(windows)
    random.shuffle(mixed)  # type: ignore[attr-defined]
    assert effective(mixed) == effective(windows)
    assert trace(mixed) == trace(windows)


@settings(max_examples=50, deadline=None)
@given(events(5), events(1))
def test_an_event_of_worse_rank_lengthens_no_other_and_shortens_none_in_its_modes(
    windows: list[Window], more: list[Window]
) -> None:
    for new in more:
        worst = Window(
            "a0",
            "p",
            new.started_at,
            new.ended_at,
            NOON - STEP,
            9,
            modes=new.modes,
            resumes=new.resumes,
        )
        # An event that names no modes takes those that are named, and so a mode that only the new one names.
        named = [w for w in windows if w.modes]
        before, after = minutes(named), minutes([*named, worst])
        others = {minute: name for minute, name in after.items() if name != "a0"}
        assert others.items() <= before.items()
        if not new.modes:
            assert others == before


@settings(max_examples=50, deadline=None)
@given(events())
def test_a_trace_covers_each_interval_without_gaps_and_agrees_with_the_effective_windows(
    windows: list[Window],
) -> None:
    found = trace(windows)
    in_force: dict[int, str] = {}
    for w in windows:
        stretches = found[w.event_id]
        assert (stretches[0].started_at, stretches[-1].ended_at) == (w.started_at, w.ended_at)
        for one, after in pairwise(stretches):
            assert one.ended_at == after.started_at
            assert one.standing != after.standing
        for one in stretches:
            if one.standing.state is State.IN_FORCE:
                span = range((one.started_at - NOON) // STEP, (one.ended_at - NOON) // STEP)
                in_force.update(dict.fromkeys(span, w.event_id))
            named = one.standing.state in (State.SUPERSEDED, State.OVER, State.BESIDE)
            assert bool(one.standing.by) == named
    assert in_force == minutes(windows)


def test_a_season_of_thousands_of_events_is_swept_at_once() -> None:
    # given a day of overlapping events for each of 2,000 days: pairs, one within the other
    day = timedelta(days=1)
    windows = [
        Window(f"{name}-{n}", "p", NOON + n * day, NOON + n * day + length, NOON - STEP)
        for n in range(2_000)
        for name, length in (("long", timedelta(hours=4)), ("short", timedelta(hours=1)))
    ]
    assert len(effective(windows)) == 4_000
