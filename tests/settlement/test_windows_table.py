"""Supersession and cancellation, situation by situation: which event is in force when, and why.

A row reads: the events, then the effective windows as ``event from-until began/ended``. Events are at 17:00
to 19:00 and created at 09:00 unless they say otherwise.
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from grid.sep2.controls import controls
from settlement.windows import Effective, State, Window, effective, trace
from tests.settlement.frames import at, window

FIXED, TARGET, EXPORT = "opModFixedW", "opModTargetW", "csipaus:opModExpLimW"
VOLT, CONNECT = "opModVoltVar", "opModConnect"
NEVER: list[str] = []


def one(name: str, start: str = "17:00", end: str = "19:00", *modes: str, **more: object) -> Window:
    if "cancelled" in more:
        more["cancelled_at"] = at(str(more.pop("cancelled")))
    if "random" in more:
        more["randomize_start_s"], more["randomize_duration_s"] = more.pop("random")  # type: ignore[misc]
    if "noticed" in more:
        more["noticed_at"] = at(str(more.pop("noticed")))
    return window(name, start, end, modes=modes, **more)  # type: ignore[arg-type]


def shown(found: Effective) -> str:
    clock = "%H:%M" if found.started_at.second + found.ended_at.second == 0 else "%H:%M:%S"
    span = f"{found.started_at:{clock}}-{found.ended_at:{clock}}"
    return f"{found.event_id} {span} {found.began}/{found.ended}"


def old(name: str, start: str = "17:00", end: str = "19:00", *modes: str, **more: object) -> Window:
    """An event of a server of the 2018 edition."""
    return one(name, start, end, *modes, resumes=False, **more)


SITUATIONS: dict[str, tuple[list[Window], list[str]]] = {
    # One event alone.
    "alone": ([one("a")], ["a 17:00-19:00 start/end"]),
    "none at all": ([], NEVER),
    "two that do not touch": (
        [one("a", "17:00", "18:00"), one("b", "18:30", "19:00")],
        ["a 17:00-18:00 start/end", "b 18:30-19:00 start/end"],
    ),
    "back to back": (
        [one("a", "17:00", "18:00"), one("b", "18:00", "19:00", created="12:00")],
        ["a 17:00-18:00 start/end", "b 18:00-19:00 start/end"],
    ),
    # Notice.
    "notice as it starts": ([one("a", created="17:00")], ["a 17:00-19:00 start/end"]),
    "late notice": ([one("a", created="17:40")], ["a 17:40-19:00 late notice/end"]),
    "notice as it ends": ([one("a", created="19:00")], NEVER),
    "notice after its end": ([one("a", created="20:00")], NEVER),
    "noticed in time, changed later": (
        [one("a", created="17:40", noticed="09:00")],
        ["a 17:00-19:00 start/end"],
    ),
    "late notice of the better one": (
        [one("a"), one("b", "17:00", "18:00", created="17:20")],
        [
            "a 17:00-17:20 start/superseded by b",
            "b 17:20-18:00 late notice/end",
            "a 18:00-19:00 after b/end",
        ],
    ),
    "a better one announced when it is over": (
        [one("a"), one("b", "17:00", "18:00", created="18:10")],
        ["a 17:00-19:00 start/end"],
    ),
    # Cancellation.
    "cancelled before it": ([one("a", cancelled="16:00")], NEVER),
    "cancelled as it starts": ([one("a", cancelled="17:00")], NEVER),
    "cancelled in flight": ([one("a", cancelled="17:40")], ["a 17:00-17:40 start/cancelled"]),
    "cancelled as it ends": ([one("a", cancelled="19:00")], ["a 17:00-19:00 start/end"]),
    "cancelled after it": ([one("a", cancelled="20:00")], ["a 17:00-19:00 start/end"]),
    "cancelled before its notice": ([one("a", created="17:40", cancelled="17:20")], NEVER),
    "cancelled after a late notice": (
        [one("a", created="17:20", cancelled="17:40")],
        ["a 17:20-17:40 late notice/cancelled"],
    ),
    "cancelled with randomization: paid to the moment, the tail is not": (
        [one("a", random=(600, 300), cancelled="18:00", cancelled_randomly=True)],
        ["a 17:10-18:00 randomised/cancelled"],
    ),
    "cancelled with randomization before any device began": (
        [one("a", random=(600, 0), cancelled="16:50", cancelled_randomly=True)],
        NEVER,
    ),
    "cancelled with randomization while devices begin": (
        [one("a", random=(600, 0), cancelled="17:05", cancelled_randomly=True)],
        NEVER,
    ),
    # Randomisation.
    "start drawn later": ([one("a", random=(600, 0))], ["a 17:10-19:00 randomised/end"]),
    "start drawn earlier": ([one("a", random=(-600, 0))], ["a 17:00-18:50 start/randomised"]),
    "duration drawn longer": ([one("a", random=(0, 600))], ["a 17:00-19:00 start/end"]),
    "duration drawn shorter": ([one("a", random=(0, -600))], ["a 17:00-18:50 start/randomised"]),
    "both later and longer": ([one("a", random=(600, 300))], ["a 17:10-19:00 randomised/end"]),
    "both earlier and shorter": ([one("a", random=(-600, -300))], ["a 17:00-18:45 start/randomised"]),
    "later and shorter": ([one("a", random=(600, -300))], ["a 17:10-18:55 randomised/randomised"]),
    "earlier and longer": ([one("a", random=(-600, 300))], ["a 17:00-18:50 start/randomised"]),
    "to the second": ([one("a", random=(7, -11))], ["a 17:00:07-18:59:49 randomised/randomised"]),
    "nobody is certain to be in it": ([one("a", "17:00", "17:10", random=(600, 0))], NEVER),
    "a second is certain": (
        [one("a", "17:00", "17:10", random=(300, -299))],
        ["a 17:05:00-17:05:01 randomised/randomised"],
    ),
    "a better one takes over only where it is certain": (
        [one("a"), one("b", "17:30", "18:00", created="12:00", random=(300, -300))],
        [
            "a 17:00-17:35 start/superseded by b",
            "b 17:35-17:55 randomised/randomised",
            "a 17:55-19:00 after b/end",
        ],
    ),
    "late notice after the randomised start": (
        [one("a", random=(600, 0), created="17:30")],
        ["a 17:30-19:00 late notice/end"],
    ),
    "late notice within the randomised start": (
        [one("a", random=(600, 0), created="17:05")],
        ["a 17:10-19:00 randomised/end"],
    ),
    # Primacy, creation time, id.
    "the lower primacy": (
        [one("a", primacy=1, created="12:00"), one("b", "17:30", "18:00", primacy=0)],
        [
            "a 17:00-17:30 start/superseded by b",
            "b 17:30-18:00 start/end",
            "a 18:00-19:00 after b/end",
        ],
    ),
    "primacy comes before creation": (
        [one("a", primacy=0), one("b", "17:30", "20:00", primacy=1, created="12:00")],
        ["a 17:00-19:00 start/end", "b 19:00-20:00 after a/end"],
    ),
    "the one created last": (
        [one("a"), one("b", "18:00", "20:00", created="12:00")],
        ["a 17:00-18:00 start/superseded by b", "b 18:00-20:00 start/end"],
    ),
    "created at one time: the highest id": (
        [one("a", "17:00", "18:30"), one("b", "18:00", "19:00")],
        ["a 17:00-18:00 start/superseded by b", "b 18:00-19:00 start/end"],
    ),
    "created at one time, the highest id begins first": (
        [one("b", "17:00", "18:30"), one("a", "18:00", "19:00")],
        ["b 17:00-18:30 start/end", "a 18:30-19:00 after b/end"],
    ),
    "the same interval": ([one("a"), one("b", created="12:00")], ["b 17:00-19:00 start/end"]),
    "nested three deep": (
        [
            one("a", "17:00", "20:00"),
            one("b", "17:30", "19:30", created="10:00"),
            one("c", "18:00", "19:00", created="11:00"),
        ],
        [
            "a 17:00-17:30 start/superseded by b",
            "b 17:30-18:00 start/superseded by c",
            "c 18:00-19:00 start/end",
            "b 19:00-19:30 after c/end",
            "a 19:30-20:00 after b/end",
        ],
    ),
    "a chain of three": (
        [
            one("a", "17:00", "18:00"),
            one("b", "17:40", "18:40", created="10:00"),
            one("c", "18:20", "19:20", created="11:00"),
        ],
        [
            "a 17:00-17:40 start/superseded by b",
            "b 17:40-18:20 start/superseded by c",
            "c 18:20-19:20 start/end",
        ],
    ),
    "a chain over primacies": (
        [one("a", primacy=2), one("b", "17:30", "18:30", primacy=1), one("c", "18:00", "19:00")],
        [
            "a 17:00-17:30 start/superseded by b",
            "b 17:30-18:00 start/superseded by c",
            "c 18:00-19:00 start/end",
        ],
    ),
    # The better one is cancelled.
    "superseder cancelled before it begins": (
        [one("a"), one("b", "18:00", "19:00", created="12:00", cancelled="17:30")],
        ["a 17:00-19:00 start/end"],
    ),
    "superseder cancelled while it runs": (
        [one("a"), one("b", "17:30", "19:00", created="12:00", cancelled="18:00")],
        [
            "a 17:00-17:30 start/superseded by b",
            "b 17:30-18:00 start/cancelled",
            "a 18:00-19:00 after b/end",
        ],
    ),
    "both cancelled": (
        [one("a", cancelled="18:30"), one("b", "17:30", "19:00", created="12:00", cancelled="18:00")],
        [
            "a 17:00-17:30 start/superseded by b",
            "b 17:30-18:00 start/cancelled",
            "a 18:00-18:30 after b/cancelled",
        ],
    ),
    "superseded one cancelled meanwhile": (
        [one("a", cancelled="18:00"), one("b", "17:30", "18:30", created="12:00")],
        ["a 17:00-17:30 start/superseded by b", "b 17:30-18:30 start/end"],
    ),
    # The edition of 2018: superseded is over.
    "2018: it does not go on": (
        [old("a"), old("b", "17:30", "18:00", created="12:00")],
        ["a 17:00-17:30 start/superseded by b", "b 17:30-18:00 start/end"],
    ),
    "2018: superseder cancelled in time, it was never superseded": (
        [old("a"), old("b", "18:00", "19:00", created="12:00", cancelled="17:30")],
        ["a 17:00-19:00 start/end"],
    ),
    "2018: superseder cancelled too late": (
        [old("a"), old("b", "17:30", "19:00", created="12:00", cancelled="18:00")],
        ["a 17:00-17:30 start/superseded by b", "b 17:30-18:00 start/cancelled"],
    ),
    "2018: another program's event only interrupts": (
        [old("a", primacy=1), old("b", "17:30", "18:00", primacy=0)],
        [
            "a 17:00-17:30 start/superseded by b",
            "b 17:30-18:00 start/end",
            "a 18:00-19:00 after b/end",
        ],
    ),
    "2018: only some of its modes were taken": (
        [old("a", "17:00", "19:00", FIXED, EXPORT), old("b", "17:30", "18:00", FIXED, created="12:00")],
        [
            "a 17:00-17:30 start/superseded by b",
            "b 17:30-18:00 start/end",
            "a 18:00-19:00 after b/end",
        ],
    ),
    "2018: two took its modes, each one": (
        [
            old("a", "17:00", "19:00", FIXED, EXPORT),
            old("b", "17:30", "18:00", FIXED, created="12:00"),
            old("c", "17:30", "18:00", EXPORT, created="12:00"),
        ],
        [
            "a 17:00-17:30 start/superseded by b",
            "b 17:30-18:00 start/end",
            "a 18:00-19:00 after b/end",
        ],
    ),
    "2018: all of its modes and more were taken": (
        [old("a", "17:00", "19:00", FIXED), old("b", "17:30", "18:00", FIXED, EXPORT, created="12:00")],
        ["a 17:00-17:30 start/superseded by b", "b 17:30-18:00 start/end"],
    ),
    "2018: an event that was over supersedes nobody any more": (
        [
            old("a", "18:30", "19:00", created="08:00"),
            old("b", "17:00", "19:00", created="09:00"),
            old("c", "17:30", "18:00", created="12:00"),
        ],
        [
            "b 17:00-17:30 start/superseded by c",
            "c 17:30-18:00 start/end",
            "a 18:30-19:00 start/end",
        ],
    ),
    "2018 beside 2023: each as its own server says": (
        [old("a"), one("b", "17:10", "19:00", created="10:00"), one("c", "17:30", "18:00", created="12:00")],
        [
            "a 17:00-17:10 start/superseded by b",
            "b 17:10-17:30 start/superseded by c",
            "c 17:30-18:00 start/end",
            "b 18:00-19:00 after c/end",
        ],
    ),
    # Control modes.
    "different modes: the dispatch is paid, the limit goes on beside it": (
        [one("limit", "17:00", "19:00", EXPORT, created="12:00"), one("a", "17:30", "18:30", FIXED)],
        [
            "limit 17:00-17:30 start/superseded by a",
            "a 17:30-18:30 start/end",
            "limit 18:30-19:00 after a/end",
        ],
    ),
    "a limit of better primacy does not take the dispatch": (
        [one("a", "17:00", "19:00", FIXED, primacy=1), one("limit", "17:30", "18:00", EXPORT)],
        ["a 17:00-19:00 start/end"],
    ),
    "target before fixed": (
        [one("a", "17:00", "19:00", FIXED), one("b", "17:30", "18:00", TARGET, created="08:00")],
        [
            "a 17:00-17:30 start/superseded by b",
            "b 17:30-18:00 start/end",
            "a 18:00-19:00 after b/end",
        ],
    ),
    "other modes by name, after the limits": (
        [one("a", "17:00", "18:00", VOLT), one("b", "17:00", "19:00", CONNECT, created="08:00")],
        ["b 17:00-19:00 start/end"],
    ),
    "some of its modes taken, and the paid one among them": (
        [one("a", "17:00", "19:00", FIXED, EXPORT), one("b", "17:30", "18:00", FIXED, created="12:00")],
        [
            "a 17:00-17:30 start/superseded by b",
            "b 17:30-18:00 start/end",
            "a 18:00-19:00 after b/end",
        ],
    ),
    "some of its modes taken, and not the paid one": (
        [one("a", "17:00", "19:00", FIXED, EXPORT), one("b", "17:30", "18:00", EXPORT, created="12:00")],
        ["a 17:00-19:00 start/end"],
    ),
    "no modes said competes with all": (
        [one("a", "17:00", "19:00", FIXED), one("b", "17:30", "18:00", created="12:00")],
        [
            "a 17:00-17:30 start/superseded by b",
            "b 17:30-18:00 start/end",
            "a 18:00-19:00 after b/end",
        ],
    ),
    "no modes said, and the newer one says one": (
        [one("a"), one("b", "17:30", "18:00", EXPORT, created="12:00")],
        [
            "a 17:00-17:30 start/superseded by b",
            "b 17:30-18:00 start/end",
            "a 18:00-19:00 after b/end",
        ],
    ),
    "primacy is decided mode by mode": (
        [
            one("a", "17:00", "19:00", FIXED, EXPORT, primacy=0),
            one("b", "17:00", "19:00", TARGET, EXPORT, primacy=5),
        ],
        ["b 17:00-19:00 start/end"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("situation", SITUATIONS)
def test_the_effective_windows_of_a_situation(situation: str) -> None:
    events, expected = SITUATIONS[situation]
    assert [shown(found) for found in effective(events)] == expected
    assert [shown(found) for found in effective(events[::-1])] == expected


def test_there_are_situations_enough() -> None:
    assert len(SITUATIONS) >= 60, len(SITUATIONS)


TRACES: dict[str, tuple[list[Window], dict[str, list[str]]]] = {
    "superseded for now names who took over": (
        [one("a"), one("b", "17:30", "18:00", created="12:00")],
        {
            "a": ["17:00 in force", "17:30 superseded b", "18:00 in force"],
            "b": ["17:30 in force"],
        },
    ),
    "superseded for good": (
        [old("a"), old("b", "17:30", "18:00", created="12:00")],
        {"a": ["17:00 in force", "17:30 over b"], "b": ["17:30 in force"]},
    ),
    "never in force": (
        [one("a"), one("b", created="12:00")],
        {"a": ["17:00 superseded b"], "b": ["17:00 in force"]},
    ),
    "a limit beside a dispatch": (
        [one("a", "17:00", "19:00", FIXED, EXPORT), one("b", "17:30", "18:00", FIXED, created="12:00")],
        {"a": ["17:00 in force", "17:30 beside b", "18:00 in force"], "b": ["17:30 in force"]},
    ),
    "cancelled with randomization": (
        [one("a", random=(-300, 600), cancelled="18:00", cancelled_randomly=True)],
        {"a": ["17:00 in force", "18:00 randomised", "18:10 cancelled"]},
    ),
    "the tail of a cancellation ends with the event": (
        [one("a", random=(0, 600), cancelled="18:55", cancelled_randomly=True)],
        {"a": ["17:00 in force", "18:55 randomised"]},
    ),
    "late, drawn, called off": (
        [one("a", created="17:05", random=(600, -600), cancelled="18:55")],
        {"a": ["17:00 late notice", "17:05 randomised", "17:10 in force", "18:50 randomised", "18:55 cancelled"]},
    ),
    "over, then cancelled": (
        [old("a", cancelled="18:30"), old("b", "17:30", "18:00", created="12:00")],
        {"a": ["17:00 in force", "17:30 over b", "18:30 cancelled"], "b": ["17:30 in force"]},
    ),
}  # fmt: skip


@pytest.mark.parametrize("situation", TRACES)
def test_what_became_of_each_event(situation: str) -> None:
    events, expected = TRACES[situation]
    found = {
        name: [
            f"{s.started_at:%H:%M} {s.standing.state.value} {s.standing.by}".rstrip()
            for s in stretches
        ]
        for name, stretches in trace(events).items()
    }
    assert found == expected


@pytest.mark.parametrize(
    ("night", "hours"),
    [("2026-03-29", 23), ("2026-10-25", 25), ("2026-07-01", 24)],
    ids=["clocks forward", "clocks back", "an ordinary day"],
)
def test_a_local_day_is_as_long_as_it_is(night: str, hours: int) -> None:
    # given an event over a local day in Berlin, as instants, and a better one in its last hour
    zone = ZoneInfo("Europe/Berlin")
    midnight = datetime.fromisoformat(night).replace(tzinfo=zone)
    start = midnight.astimezone(UTC)
    end = (midnight + timedelta(days=1)).astimezone(UTC)
    created = start - timedelta(days=1)
    day = Window("day", "p", start, end, created)
    last = Window("last", "p", end - timedelta(hours=1), end, created + timedelta(hours=1))
    # when, then
    found = effective([day, last])
    lengths = [one.ended_at - one.started_at for one in found]
    assert lengths == [timedelta(hours=hours - 1), timedelta(hours=1)]


# The documents of a running server, and the same situation made by hand.

REAL = Path(__file__).parents[3] / "shared" / "data" / "sep2"


def test_a_server_that_marks_an_event_as_superseded_is_not_believed() -> None:
    # given an event with two controls, and a later one for its middle with one of them, as envoy had it
    e3 = one("…03", "02:43", "03:13", FIXED, EXPORT, created="02:20")
    e4 = one("…04", "02:48", "03:03", FIXED, created="02:20")
    # when, then the first is in force before and after, and keeps its limit meanwhile
    assert [shown(found) for found in effective([e3, e4])] == [
        "…03 02:43-02:48 start/superseded by …04",
        "…04 02:48-03:03 start/end",
        "…03 03:03-03:13 after …04/end",
    ]
    assert trace([e3, e4])["…03"][1].standing.state is State.BESIDE


@pytest.mark.skipif(not REAL.is_dir(), reason="the documents are not part of the repository")
def test_the_windows_in_the_documents_of_a_running_server() -> None:
    # given the controls of both of its programs, by primacy
    windows = []
    for name, primacy in (("p2", 0), ("p1", 1)):
        body = (REAL / f"13_DERControlList_{name}.xml").read_bytes()
        windows += [
            Window(
                event_id=c.mrid[16:24],
                program="utility",
                started_at=c.started_at,
                ended_at=c.ended_at,
                created_at=c.created_at,
                primacy=primacy,
                cancelled_at=c.cancelled_at,
                modes=c.modes,
                randomize_start_s=c.randomize_start_s,
                randomize_duration_s=c.randomize_duration_s,
                resumes=False,
            )
            for c in controls(body, where=name).items
        ]
    # when, then: 2 was created as it ran, and its devices had drawn their starts by then; 1 only limits, and
    # is paid where nothing is dispatched; of 3, which the server calls superseded, all counts but the middle
    assert [shown(found) for found in effective(windows)] == [
        "00000002 02:23:17-02:36:16 late notice/end",
        "00000001 02:36:16-02:43:16 after 00000002/superseded by 00000003",
        "00000003 02:43:16-02:48:16 start/superseded by 00000004",
        "00000004 02:48:16-03:03:16 start/end",
        "00000003 03:03:16-03:13:16 after 00000004/end",
    ]
