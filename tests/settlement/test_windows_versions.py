"""Which of the versions of an event counts: what comes too late waits for a person."""

from dataclasses import replace

import pytest

from settlement.windows import Decision, Outcome, Version, Window, changes, outcome
from tests.settlement.frames import at, window

YES, NO = Decision.APPROVED, Decision.REJECTED
FIRST = window("e", "17:00", "18:00")
LONGER = replace(FIRST, ended_at=at("19:00"))
LATER = replace(FIRST, started_at=at("17:30"), ended_at=at("18:30"))
CALLED_OFF = replace(FIRST, cancelled_at=at("17:40"))
NEVER = replace(FIRST, cancelled_at=at("17:00"))


def said(*rows: tuple[Window, str] | tuple[Window, str, Decision]) -> Outcome:
    return outcome(
        [
            Version(number, row[0], at(row[1]), row[2] if len(row) == 3 else None)
            for number, row in enumerate(rows, 1)
        ]
    )


CASES: dict[str, tuple[list[tuple[object, ...]], Window | None, int, list[int], list[int]]] = {
    # rows; what counts; its number; those that wait; those that needed a word
    "one version": ([(FIRST, "09:00")], FIRST, 1, [], []),
    "first heard of after its end, but created before": ([(FIRST, "23:00")], FIRST, 1, [], []),
    "created after its own end": (
        [(replace(FIRST, created_at=at("18:00")), "18:00")], None, 0, [1], [1],
    ),
    "created after its own end, approved": (
        [(replace(FIRST, created_at=at("18:00")), "18:00", YES)],
        replace(FIRST, created_at=at("18:00"), noticed_at=at("17:00")), 1, [], [1],
    ),
    "created after its own end, rejected": (
        [(replace(FIRST, created_at=at("18:00")), "18:00", NO)], None, 0, [], [1],
    ),
    "changed in time": ([(FIRST, "09:00"), (LONGER, "17:59")], LONGER, 2, [], []),
    "changed as it ends": ([(FIRST, "09:00"), (LONGER, "18:00")], FIRST, 1, [2], [2]),
    "changed after its end": ([(FIRST, "09:00"), (LONGER, "20:00")], FIRST, 1, [2], [2]),
    "changed after its end, approved": (
        [(FIRST, "09:00"), (LONGER, "20:00", YES)], replace(LONGER, noticed_at=at("09:00")), 2, [], [2],
    ),
    "changed after its end, rejected": ([(FIRST, "09:00"), (LONGER, "20:00", NO)], FIRST, 1, [], [2]),
    "cancelled in time": ([(FIRST, "09:00"), (CALLED_OFF, "17:40")], CALLED_OFF, 2, [], []),
    "cancelled after its end": ([(FIRST, "09:00"), (CALLED_OFF, "18:10")], FIRST, 1, [2], [2]),
    "a cancellation after its end of nothing": (
        [(FIRST, "09:00"), (replace(FIRST, cancelled_at=at("18:30")), "18:30")], FIRST, 2, [], [],
    ),
    "another status only": ([(FIRST, "09:00"), (FIRST, "17:00"), (FIRST, "20:00")], FIRST, 3, [], []),
    "another creation time only": (
        [(FIRST, "09:00"), (replace(FIRST, created_at=at("20:00")), "20:00")], FIRST, 2, [], [],
    ),
    "modes in another order": (
        [
            (replace(FIRST, modes=("a", "b")), "09:00"),
            (replace(FIRST, modes=("b", "a")), "20:00"),
        ],
        replace(FIRST, modes=("a", "b")), 2, [], [],
    ),
    "other modes": (
        [(replace(FIRST, modes=("a",)), "09:00"), (replace(FIRST, modes=("b",)), "20:00")],
        replace(FIRST, modes=("a",)), 1, [2], [2],
    ),
    "repeated while it waits": (
        [(FIRST, "09:00"), (LONGER, "20:00"), (LONGER, "20:05")], FIRST, 1, [2], [2],
    ),
    "repeated after it was approved": (
        [(FIRST, "09:00"), (LONGER, "20:00", YES), (LONGER, "20:05")],
        replace(LONGER, noticed_at=at("09:00")), 3, [], [2],
    ),
    "repeated after it was rejected": (
        [(FIRST, "09:00"), (LONGER, "20:00", NO), (LONGER, "20:05")], FIRST, 1, [], [2],
    ),
    "taken back by the utility before anybody decided": (
        [(FIRST, "09:00"), (LONGER, "20:00"), (FIRST, "21:00")], FIRST, 3, [], [2],
    ),
    "two wait": (
        [(FIRST, "09:00"), (LONGER, "20:00"), (LATER, "21:00")], FIRST, 1, [2, 3], [2, 3],
    ),
    "the second of two is approved, the first needs no word any more": (
        [(FIRST, "09:00"), (LONGER, "20:00"), (LATER, "21:00", YES)],
        replace(LATER, noticed_at=at("09:00")), 3, [], [2, 3],
    ),
    "what was rejected stays so, though its time would fit since": (
        [(FIRST, "09:00"), (LONGER, "18:30", YES), (LATER, "18:45", NO)],
        replace(LONGER, noticed_at=at("09:00")), 2, [], [2, 3],
    ),
    "changed after it was called off": (
        [(FIRST, "09:00"), (CALLED_OFF, "17:40"), (FIRST, "17:50")], CALLED_OFF, 2, [3], [3],
    ),
    "called off before it begins, and called again in time": (
        [(FIRST, "09:00"), (NEVER, "12:00"), (LONGER, "16:00")], LONGER, 3, [], [],
    ),
    "called off before it begins, and called again as it would have run": (
        [(FIRST, "09:00"), (NEVER, "12:00"), (LONGER, "17:10")], NEVER, 2, [3], [3],
    ),
    "another program": (
        [(FIRST, "09:00"), (replace(FIRST, program="other"), "20:00")], FIRST, 1, [2], [2],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_which_version_counts_and_which_waits(case: str) -> None:
    rows, counts, number, waiting, late = CASES[case]
    found = said(*rows)  # type: ignore[arg-type]
    assert (found.window, found.number) == (counts, number)
    assert [one.version.number for one in found.pending] == waiting
    assert [one.version.number for one in found.late] == late


@pytest.mark.parametrize(
    ("approved", "counts", "waits"),
    [("18:40", LATER, []), ("20:00", LONGER, [3])],
    ids=["the event ran on as the third came", "it was over as the third came"],
)
def test_what_is_approved_lets_in_nothing_that_came_before_the_approval(
    approved: str, counts: Window, waits: list[int]
) -> None:
    # given two changes after the end, of which a person approves the first at some time
    found = outcome(
        [
            Version(1, FIRST, at("09:00")),
            Version(2, LONGER, at("18:30"), YES, at(approved)),
            Version(3, LATER, at("18:45")),
        ]
    )
    # then the second counts by itself only if the first did already
    assert found.window is not None
    assert found.window.ended_at == counts.ended_at
    assert [one.version.number for one in found.pending] == waits


NOTICES = {
    "moved back while it was still to come: from its own creation": (
        [replace(FIRST, started_at=at("16:00"), created_at=at("16:30"))], "16:30",
    ),
    "longer, as it ran: from its first notice": ([replace(LONGER, created_at=at("17:30"))], "17:00"),
    "moved away and back": (
        [
            replace(FIRST, started_at=at("20:00"), ended_at=at("21:00"), created_at=at("10:00")),
            replace(FIRST, started_at=at("19:00"), ended_at=at("21:00"), created_at=at("19:30")),
        ],
        "19:30",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", NOTICES)
def test_a_change_counts_from_where_the_event_was_known(case: str) -> None:
    # given an event created at 09:00, and its later versions, each heard of as it was created
    later, expected = NOTICES[case]
    found = said((FIRST, "09:00"), *((w, f"{w.created_at:%H:%M}") for w in later))
    # when, then
    assert found.window is not None
    certain = found.window.certain
    assert certain is not None
    assert f"{certain.started_at:%H:%M}" == expected


def test_a_change_does_not_move_when_the_event_was_first_told_of() -> None:
    # given changes in time and too late, each created anew; what is measured since 09:00 can be shaped
    longer = replace(LONGER, created_at=at("17:30"))
    later = replace(LATER, created_at=at("20:00"))
    for rows in (
        [(longer, "17:30")],
        [(later, "20:00", YES)],
        [(longer, "17:30"), (later, "20:00", YES)],
    ):
        found = said((FIRST, "09:00"), *rows)
        assert found.window is not None
        assert found.window.created_at > at("09:00")
        assert found.window.told_at == at("09:00")


def test_what_waits_tells_what_it_would_change() -> None:
    [one] = said((FIRST, "09:00"), (replace(LONGER, primacy=3), "20:00")).pending
    assert changes(one.before, one.after) == {
        "ended_at": (at("18:00"), at("19:00")),
        "primacy": (0, 3),
    }
    assert changes(None, FIRST) == {}


def test_an_event_of_which_nothing_counts_waits_even_if_its_creation_time_is_changed() -> None:
    # given an event created after its end, which then says that it was created in time
    found = said((replace(FIRST, created_at=at("18:00")), "18:00"), (LONGER, "20:00"))
    # when, then it is heard of after its end all the same
    assert found.window is None
    assert [one.version.number for one in found.pending] == [1, 2]
