"""A whole reading over mutual TLS, and what of it survives a server that misbehaves."""

import resource
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256

import pytest

from grid.errors import ClockOffError, FeedRefusedError, FeedUnavailableError, FeedUnreadableError
from grid.sep2 import controls
from simulators.sep2 import Fault, FaultKind
from tests.grid.sep2.site import QUICK, Utility


@pytest.fixture
def evening(site: Utility) -> Utility:
    """Two programs of ours, one that is not, and an export tariff."""
    soon = site.time.second + timedelta(minutes=10)
    stress = site.world.add_program("Grid stress", primacy=0)
    site.world.add_control(
        stress, start=soon, duration_s=900, modes={"opModFixedW": 8_000}, randomize_start_s=60
    )
    second = site.world.add_program("Second", primacy=3)
    site.world.add_control(
        second, start=soon, duration_s=900, modes={"csipaus:opModExpLimW": 5_000}
    )
    site.world.add_program("Somebody else's", primacy=2)
    tariff = site.world.add_tariff("RTP export")
    export = site.world.add_rate(tariff)
    for number, price in enumerate(("0.2145", "-0.0100")):
        start = soon + timedelta(minutes=5 * number)
        site.world.add_price(export, start=start, duration_s=300, price=price)
    return site


TWO = [
    {"match": {"description": "Grid stress"}, "program": "energy", "group": "g"},
    {"match": {"description": "Second"}, "program": "capacity"},
]


def modes(reading) -> set[tuple[str, ...]]:
    return {event.modes for event in reading.events}


BOTH = {("opModFixedW",), ("csipaus:opModExpLimW",)}


def test_a_reading_has_the_events_and_prices_of_what_is_ours(evening):
    with evening.serve() as server:
        reading = evening.read(server.url, programs=TWO)

    first, second = sorted(reading.events, key=lambda one: one.primacy)
    control = evening.world.programs[0].controls[0]
    assert first.event_id == control.mrid
    assert (first.program, first.site_group, first.primacy) == ("energy", "g", 0)
    assert (second.program, second.site_group, second.primacy) == ("capacity", "", 3)
    assert first.started_at == control.contents[0].start
    assert first.ended_at - first.started_at == timedelta(seconds=900)
    assert (first.randomize_start_s, first.resumes, first.status) == (60, False, "scheduled")
    assert first.feed == "utility"
    assert [(one.price_micros_per_kwh, one.currency) for one in reading.prices] == [
        (214_500, "USD"),
        (-10_000, "USD"),
    ]
    assert reading.prices[0].ended_at == reading.prices[1].started_at
    assert reading.clock is not None
    assert abs(reading.clock.offset_us) <= reading.clock.uncertainty_us <= 25_000


def test_every_event_and_price_rests_on_a_document_that_is_handed_over(evening):
    with evening.serve() as server:
        reading = evening.read(server.url, programs=TWO)

    digests = {sha256(document.body).digest() for document in reading.documents}
    assert {event.source for event in reading.events} <= digests
    assert {price.digest for price in reading.prices} <= digests
    assert not any("/tm" in document.href for document in reading.documents)
    for event in reading.events:
        again = controls.controls(event.document, where="stored").items
        assert [one.mrid for one in again] == [event.event_id]


def test_a_program_that_is_not_ours_is_named_once_and_not_read(evening):
    with evening.serve() as server:
        reading = evening.read(server.url, programs=TWO)
        asked = [one.path for one in server.trail]

    [note] = reading.notes
    assert "Somebody else" in note
    assert "no line of `programs` fits" in note
    assert (reading.refused, reading.whole) == ([], True)
    assert "/derp/3/derc" not in asked


def test_what_a_program_says_of_its_primacy_goes_with_its_events(evening):
    with evening.serve() as server:
        evening.world.programs[0].primacy = 7
        reading = evening.read(server.url)

    assert [one.primacy for one in reading.events] == [7]


def test_what_says_the_same_has_the_same_document(evening):
    with evening.serve() as server:
        before, after = evening.read(server.url), evening.read(server.url)
    assert [one.document for one in before.events] == [one.document for one in after.events]


def test_a_control_below_many_devices_counts_once_and_each_of_them_answers(evening):
    with evening.serve() as server:
        reading = evening.read(server.url)
    assert len(reading.events) == 1
    devices = {one.lfdi for one in reading.responses}
    assert devices == {evening.client_pair.lfdi, *evening.devices}


def test_the_server_is_asked_again_when_it_wants_to_be(evening):
    evening.world.poll_rates_s |= {"derp": 120, "edev": 300, "fsa": 300, "tp": 300}
    with evening.serve() as server:
        assert evening.read(server.url).next_in == timedelta(seconds=120)
        evening.world.poll_rates_s |= {"derp": 1}
        assert evening.read(server.url).next_in == timedelta(seconds=10)
        server.faults.add(FaultKind.ERROR, path="/derp/1/dderc")
        evening.world.poll_rates_s |= {"derp": 120}
        assert evening.read(server.url).next_in == timedelta(seconds=60)


def test_it_is_read_again_when_the_next_thing_will_have_happened(evening):
    control = evening.world.programs[0].controls[0].contents[0]
    with evening.serve() as server:
        evening.time.go_to(control.start + timedelta(seconds=30))
        reading = evening.read(server.url)
    # Its randomised start is over a minute after its start.
    assert timedelta(seconds=10) <= reading.next_in <= timedelta(seconds=30)


# --- a server that misbehaves ------------------------------------------------------------------


SPOILT = {
    FaultKind.ERROR: "HTTP 503",
    FaultKind.EMPTY: "an empty body",
    FaultKind.HTML: "Content-Type 'text/html'",
    FaultKind.TRUNCATED: "no well-formed XML",
    FaultKind.DTD: "a document type declaration",
    FaultKind.ENTITY: "a document type declaration",
    FaultKind.DEEP: "deep",
    FaultKind.ENCODING: "no UTF-8",
    FaultKind.MEDIA_TYPE: "Content-Type 'text/plain'",
    FaultKind.RESET: "disconnected",
    FaultKind.SHORT: "",
    FaultKind.HUGE: "a longer body",
    FaultKind.REDIRECT: "a link to https://127.0.0.1:9/dcap",
}


@pytest.mark.parametrize("kind", SPOILT, ids=str)
def test_one_broken_list_is_named_and_the_other_program_is_read(evening, kind):
    with evening.serve() as server:
        server.faults.add(kind, path="/derp/1/derc")
        reading = evening.read(server.url, programs=TWO)

    assert modes(reading) == {("csipaus:opModExpLimW",)}
    named = [one for one in reading.refused if "/derp/1/derc" in one.where]
    assert named, reading.refused
    assert SPOILT[kind].lower() in named[0].found.lower()
    assert len(reading.prices) == 2


def test_a_server_that_recovers_in_time_is_read(evening):
    with evening.serve() as server:
        server.faults.add(FaultKind.ERROR, times=1, path="/dcap")
        server.faults.add(FaultKind.RESET, times=1, path="/derp/1/derc")
        reading = evening.read(server.url, programs=TWO)
    assert modes(reading) == BOTH


@pytest.mark.parametrize(
    ("kind", "seconds"), [(FaultKind.STALL, 30.0), (FaultKind.DRIP, 0.02)], ids=str
)
def test_a_list_that_stalls_or_drips_is_given_up_and_the_other_program_is_read(
    evening, kind, seconds
):
    evening.take_real_time()
    bounds = replace(QUICK, silence_s=0.3, document_s=0.6)
    with evening.serve() as server:
        server.faults.add(kind, path="/derp/1/derc", seconds=seconds)
        reading = evening.read(server.url, bounds=bounds, programs=TWO)
    assert modes(reading) == {("csipaus:opModExpLimW",)}
    [named] = [one for one in reading.refused if "/derp/1/derc" in one.where]
    assert "in time" in named.found or "no whole answer within" in named.found


@pytest.mark.parametrize(
    ("kind", "error", "words"),
    [
        (FaultKind.ERROR, FeedUnavailableError, "HTTP 503"),
        (FaultKind.HTML, FeedUnreadableError, "text/html"),
        (FaultKind.HUGE, FeedUnreadableError, "a longer body"),
        (FaultKind.ENTITY, FeedUnreadableError, "document type declaration"),
        (FaultKind.REDIRECT, FeedUnreadableError, "as in `url`"),
    ],
)
def test_without_its_root_nothing_is_said(evening, kind, error, words):
    with evening.serve(faults=[Fault(kind, path="/dcap")]) as server:
        with pytest.raises(error, match=words):
            evening.read(server.url)
        assert {one.path for one in server.trail} == {"/dcap"}


def test_a_server_that_does_not_know_us_says_whom_to_ask(evening):
    with evening.serve() as server:
        server.faults.add(FaultKind.ERROR, path="/dcap", number=403)
        with pytest.raises(
            FeedRefusedError, match=f"registered us: LFDI {evening.client_pair.lfdi}, SFDI"
        ):
            evening.read(server.url)
        assert len(server.trail) == 1  # it is not asked a second time


def test_a_body_of_a_hundred_megabytes_is_not_taken_in(evening):
    with evening.serve() as server:
        server.faults.add(FaultKind.HUGE, path="/derp/1/derc", number=100_000_000)
        evening.read(server.url, programs=TWO)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        evening.read(server.url, programs=TWO)
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert (after - before) * 1024 < 30_000_000


# --- its clock ---------------------------------------------------------------------------------


@pytest.mark.parametrize("offset_s", [0.06, -0.06, 10.0, -10.0])
def test_a_clock_that_is_off_puts_nothing_in_force(evening, offset_s):
    evening.world.clock.jump(offset_s)
    with evening.serve() as server, pytest.raises(ClockOffError) as caught:
        evening.read(server.url)
    assert abs(caught.value.clock.offset_us - offset_s * 1e6) <= caught.value.clock.uncertainty_us


def test_a_clock_that_is_off_by_less_than_agreed_is_taken(evening):
    evening.world.clock.jump(0.06)
    with evening.serve() as server:
        reading = evening.read(server.url, clock_tolerance_ms=100)
    assert reading.clock is not None
    assert abs(reading.clock.offset_us - 60_000) <= reading.clock.uncertainty_us


def test_a_clock_that_is_set_midway_puts_nothing_in_force(evening):
    with evening.serve() as server:
        server.faults.add(FaultKind.CLOCK_JUMP, path="/derp/1/derc", seconds=10.0, times=1)
        with pytest.raises(ClockOffError, match=r"its clock was set during the reading"):
            evening.read(server.url)


def test_a_server_without_a_readable_clock_puts_nothing_in_force(evening):
    with evening.serve() as server:
        server.faults.add(FaultKind.ERROR, path="/tm", number=500)
        with pytest.raises(FeedUnavailableError, match=r"GET /tm: HTTP 500"):
            evening.read(server.url)
