"""Lists in pages: whole ones, and those of a server that lies, repeats, shrinks or never ends."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grid.records import Document
from grid.sep2 import controls
from grid.sep2.paging import PAGE_ITEMS, PAGES_MAX, listed
from simulators.sep2 import FaultKind

NAMESPACE = "urn:ieee:std:2030.5:ns"
PROGRAMS = [
    {"match": {"description": "Grid stress"}, "program": "energy"},
    {"match": {"description": "Second"}, "program": "capacity"},
]


@pytest.fixture
def many(site):
    """Seven controls in one program, one in another; three on a page."""
    site.world.page_max = 3
    stress = site.world.add_program("Grid stress", primacy=0)
    soon = site.time.second + timedelta(hours=1)
    for number in range(7):
        site.world.add_control(
            stress,
            start=soon + timedelta(hours=number),
            duration_s=900,
            modes={"opModFixedW": 100 * number},
        )
    second = site.world.add_program("Second", primacy=3)
    site.world.add_control(second, start=soon, duration_s=900, modes={"opModTargetW": 5_000})
    return site


def read(site, server):
    reading = site.read(server.url, programs=PROGRAMS, tariffs=[])
    of = [[one for one in reading.events if one.program == p] for p in ("energy", "capacity")]
    named = [one for one in reading.refused if "/derp/1/derc" in one.where]
    return len(of[0]), len(of[1]), named


def test_a_list_of_several_pages_is_read_to_its_end_with_s_and_l(many):
    with many.serve() as server:
        assert read(many, server) == (7, 1, [])
        asked = [one.query for one in server.trail if one.path == "/derp/1/derc"]
    assert asked == [f"s={start}&l={PAGE_ITEMS}" for start in (0, 3, 6)]


@pytest.mark.parametrize(
    ("kind", "seen", "words"),
    [
        (FaultKind.ALL_LIES, 7, "all=12, 7 items, then none"),
        (FaultKind.RESULTS_LIES, 7, "results=8, 3 items"),
        (FaultKind.PAGES_REPEAT, 3, "once more"),
    ],
    ids=str,
)
def test_a_server_that_lies_is_named_and_what_it_showed_counts(many, kind, seen, words):
    with many.serve() as server:
        server.faults.add(kind, path="/derp/1/derc")
        energy, capacity, named = read(many, server)
    assert (energy, capacity) == (seen, 1)
    assert [words in one.found for one in named] == [True]


def test_a_list_that_never_ends_is_left(many):
    with many.serve() as server:
        server.faults.add(FaultKind.PAGES_ENDLESS, path="/derp/1/derc")
        energy, capacity, named = read(many, server)
        asked = sum(one.path == "/derp/1/derc" for one in server.trail)
    assert energy >= 3
    assert capacity == 1
    assert len(named) == 1
    assert asked <= PAGES_MAX


def test_one_control_that_cannot_be_read_does_not_stop_the_others(many):
    many.world.programs[0].controls[4].contents[0] = many.world.edit(
        many.world.programs[0].controls[4], duration_s=0
    )
    with many.serve() as server:
        energy, capacity, named = read(many, server)
    assert (energy, capacity) == (6, 1)
    assert "interval/duration" in named[0].where


# --- the walk by itself, on pages that no server of ours would give ------------------------------

SERVED = Callable[[int, int], tuple[int, list[int]]]


def walk(serve: SERVED) -> tuple[list[str], list[str], int]:
    """What was seen (mRIDs), what was named, how many pages were asked for; ``serve(s, asked)``: all, numbers."""
    asked = 0

    def fetch(href: str) -> Document:
        nonlocal asked
        start = int(href.partition("s=")[2].partition("&")[0])
        total, numbers = serve(start, asked)
        asked += 1
        items = "".join(
            f"<DERControl><mRID>{n:032x}</mRID><creationTime>1795400000</creationTime><EventStatus>"
            "<currentStatus>0</currentStatus><dateTime>1795400000</dateTime><potentiallySuperseded>"
            "false</potentiallySuperseded></EventStatus><interval><duration>60</duration><start>"
            "1795400000</start></interval><DERControlBase/></DERControl>"
            for n in numbers
        )
        body = (
            f'<DERControlList xmlns="{NAMESPACE}" all="{total}" results="{len(numbers)}">{items}'
            "</DERControlList>"
        )
        return Document(href, "application/sep+xml", body.encode())

    found = listed(fetch, "/derc", controls.controls, lambda one: one.mrid)
    mrids = [one.mrid for one, _ in found.each()]
    assert found.whole is not bool(found.refused)
    return mrids, [one.found for one in found.refused], asked


@given(total=st.integers(0, 40), most=st.integers(1, 10))
@settings(max_examples=60)
def test_every_item_is_seen_once_whatever_the_size_of_pages(total, most):
    seen, named, asked = walk(lambda s, _: (total, list(range(total))[s : s + most]))
    assert seen == [f"{n:032x}" for n in range(total)]
    assert not named
    assert asked == max(1, -(-total // most))


def test_a_list_that_changes_once_while_it_is_read_is_read_again():
    def serve(start: int, asked: int) -> tuple[int, list[int]]:
        total = 6 if asked == 0 else 5
        return total, list(range(total))[start : start + 3]

    seen, named, _ = walk(serve)
    assert len(seen) == 5
    assert not named


def test_a_list_that_changes_all_the_time_is_named():
    seen, named, asked = walk(lambda s, n: (9 - n % 2, list(range(9))[s : s + 3]))
    assert len(seen) == 9
    assert [one for one in named if "before" in one]
    assert asked <= 10


def test_a_list_that_shrinks_to_nothing_is_bounded():
    _, _, asked = walk(lambda s, n: (max(0, 30 - n), list(range(100))[s : s + 1]))
    assert asked <= 40


def test_a_page_that_overlaps_the_one_before_is_named():
    seen, named, _ = walk(lambda s, _: (6, [s, s + 1, s + 2] if s == 0 else [2, 3, 4]))
    assert len(seen) == 3
    assert "once more" in named[0]


def test_a_list_of_more_than_its_server_says_is_named():
    seen, named, _ = walk(lambda _s, _n: (2, [0, 1, 2]))
    assert len(seen) == 3
    assert named == ["all=2, 3 items"]
