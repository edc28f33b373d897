"""What a server of IEEE 2030.5 says changes midway, leads elsewhere, is too much, or is taken back."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from grid.config import Sep2Match, Sep2Program
from grid.errors import FeedUnreadableError
from grid.feeds import ResponseDue
from grid.records import Document
from grid.sep2.bounds import Bounds
from grid.sep2.controls import controls
from grid.sep2.discovery import Place
from grid.sep2.errors import Sep2Error
from grid.sep2.events import Seen, events
from grid.sep2.fields import ERRORS_MAX
from grid.sep2.programs import Program
from simulators.sep2 import FaultKind
from tests.grid.sep2.site import Utility
from tests.grid.sep2.test_responses import AT, MINUTE, control

PROGRAM = Program("/derp/1", "ab", "Grid stress", 1, 0, "/derc", None, "", "", "")
OURS = Sep2Program(match=Sep2Match(href="/derp/1"), program="energy")


def seen(href: str, **more: Any) -> Seen:
    one = control("ab", href=href, **more)
    page = Document(href, "application/sep+xml", href.encode())
    return Seen(one, Place(PROGRAM, href), OURS, page)


def taken(*places: Seen):
    return events(places, feed="utility", edition=2018, received_at=AT)


def test_a_control_that_changes_while_it_is_read_is_taken_as_it_became():
    begun = seen("/b", status=1, status_at=AT)
    made, answered, refused = taken(seen("/a"), begun, seen("/c"))
    assert ([one.status for one in made], refused) == (["active"], [])
    # each place keeps its own address to answer to, and answers to what it became
    assert {one.control.href for one in answered["ab"]} == {"/a", "/b", "/c"}
    assert {one.control.status for one in answered["ab"]} == {1}

    edited = seen("/b", version=1, duration_s=1800)
    made, _, refused = taken(seen("/a"), edited)
    assert (made[0].ended_at, refused) == (AT + 30 * MINUTE, [])


def test_what_no_version_or_status_explains_is_still_contradictory():
    for other in (
        seen("/b", duration_s=1800),
        seen("/b", status=1),  # at the same time
        replace(seen("/b", version=1), place=Place(replace(PROGRAM, primacy=2), "/b")),
    ):
        made, _, refused = taken(seen("/a"), other)
        assert (made, len(refused)) == ([], 1)
    cancelled = seen("/a", status=2)
    assert taken(cancelled, seen("/b", status=1, status_at=AT))[0] == []


def test_a_page_of_rubbish_is_given_up_before_it_fills_memory():
    rubbish = b"\n<DERControl/>" * (ERRORS_MAX + 1)
    body = b'<DERControlList xmlns="urn:ieee:std:2030.5:ns" all="1">%s</DERControlList>' % rubbish
    with pytest.raises(Sep2Error, match="items that cannot be read, and more"):
        controls(body, where="/derc")


def test_all_documents_together_have_a_bound(site: Utility):
    with site.serve() as server, pytest.raises(FeedUnreadableError, match="at most 700"):
        site.feed(server.url, bounds=Bounds(all_bytes=700)).read(site.time.now)


def test_an_incomplete_list_is_told_as_such(site: Utility):
    program = site.world.add_program("Grid stress", primacy=1)
    site.world.add_control(
        program, start=site.time.second, duration_s=900, modes={"opModTargetW": 5_000}
    )
    with site.serve() as server:
        assert site.read(server.url).whole
        server.faults.add(FaultKind.ALL_LIES, path="/derp/1/derc")
        reading = site.read(server.url)
    assert (reading.whole, len(reading.events)) == (False, 1)


@pytest.mark.parametrize(
    "to",
    [
        "https://elsewhere.example/rsp",
        "//elsewhere.example/rsp",
        "http://localhost/rsp",
        "javascript:alert(1)",
        "file:///etc/passwd",
        "https://user:password@localhost/rsp",
        "/" + "x" * 70_000,
    ],
)
def test_no_answer_goes_anywhere_but_to_the_server(site: Utility, to: str):
    with site.serve() as server:
        due = ResponseDue("utility", "ab", "C" * 40, 1, to, site.time.now())
        [sent] = site.feed(server.url).respond([due], site.time.now)
        assert not [one for one in server.trail if one.method == "POST"]
    assert sent.state == "refused"
    assert len(sent.detail) < 1000


def test_answers_for_which_there_is_no_time_are_not_said_to_have_failed(site: Utility):
    with site.serve() as server:
        feed = site.feed(server.url, deadline_s=3)
        due = [
            ResponseDue("utility", f"{n:02x}", "C" * 40, 1, "/nowhere", site.time.now())
            for n in range(9)
        ]
        seconds = site.time

        def later() -> float:
            seconds.sleep(0.1)
            return seconds.passed_s

        feed._monotonic = later
        sent = feed.respond(due, site.time.now)
    assert 0 < len(sent) < len(due)


def test_a_cancelled_price_is_a_refusal_only_where_no_other_one_stands(site: Utility):
    world, start = site.world, site.time.second
    export = world.add_rate(world.add_tariff("RTP export"))
    first = world.add_price(export, start=start, duration_s=600, price="0.3000")
    world.cancel(first)
    with site.serve() as server:
        alone = site.read(server.url)
        world.add_price(export, start=start, duration_s=300, price="0.2000")
        half = site.read(server.url)
        world.add_price(export, start=start + timedelta(minutes=5), duration_s=300, price="0.1000")
        whole = site.read(server.url)
    [refusal] = alone.refused
    assert "one that was stored earlier stays in force" in refusal.expected
    assert (start + timedelta(minutes=5)).isoformat() in half.refused[0].expected
    assert whole.refused == []
    assert "others stand in its place" in whole.notes[0]
    assert [one.price_micros_per_kwh for one in whole.prices] == [200_000, 100_000]
