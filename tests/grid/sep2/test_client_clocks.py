"""Several clocks on one server, and a server that uses up the time of a whole reading."""

import time
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from grid.feeds import open_feed
from grid.sep2.bounds import Bounds
from simulators.sep2 import FaultKind, ServerClock
from simulators.sep2.server import Suites, _context
from simulators.serving import LoopbackServer
from storage import secrets
from tests.grid.sep2.site import QUICK, Utility

NAMESPACE = 'xmlns="urn:ieee:std:2030.5:ns"'
MRID = "{:032x}"


@contextmanager
def two_clocks(site: Utility, *, root_time: bool, second_off_s: float):
    """A server with two assignments, each with a Time and a program of its own."""
    lfdi, start = site.devices[0], int(site.time.now().timestamp()) + 600

    def listed(name: str, items: str, count: int) -> str:
        return f'<{name} {NAMESPACE} all="{count}" results="{count}">{items}</{name}>'

    def assignment(n: int) -> str:
        return (
            f'<FunctionSetAssignments href="/fsa/{n}"><DERProgramListLink href="/derp/{n}" all="1"/>'
            f'<TimeLink href="/tm/{n}"/><mRID>{MRID.format(n)}</mRID></FunctionSetAssignments>'
        )

    def program(n: int) -> str:
        return (
            f'<DERProgram href="/p/{n}"><mRID>{MRID.format(16 + n)}</mRID><description>P{n}'
            f'</description><DERControlListLink href="/derc/{n}" all="1"/><primacy>{n}</primacy>'
            "</DERProgram>"
        )

    def control(n: int) -> str:
        return (
            f"<DERControl><mRID>{MRID.format(32 + n)}</mRID><creationTime>{start - 900}</creationTime>"
            f"<EventStatus><currentStatus>0</currentStatus><dateTime>{start - 900}</dateTime>"
            "<potentiallySuperseded>false</potentiallySuperseded></EventStatus><interval><duration>60"
            f"</duration><start>{start}</start></interval><DERControlBase><opModConnect>true"
            "</opModConnect></DERControlBase></DERControl>"
        )

    own = (
        f'<EndDevice href="/edev/1"><lFDI>{lfdi}</lFDI><sFDI>{site.world.devices[1].sfdi}</sFDI>'
        f'<changedTime>{start}</changedTime><FunctionSetAssignmentsListLink href="/fsa" all="2"/>'
        "</EndDevice>"
    )
    link = '<TimeLink href="/tm/1"/>' if root_time else ""
    documents = {
        "/dcap": f'<DeviceCapability {NAMESPACE} href="/dcap">{link}<EndDeviceListLink href="/edev"'
        ' all="1"/></DeviceCapability>',
        "/edev": listed("EndDeviceList", own, 1),
        "/fsa": listed("FunctionSetAssignmentsList", assignment(1) + assignment(2), 2),
    }
    for n in (1, 2):
        documents[f"/derp/{n}"] = listed("DERProgramList", program(n), 1)
        documents[f"/derc/{n}"] = listed("DERControlList", control(n), 1)

    def serve(request: Request) -> Response:
        path = request.url.path
        if path in {"/tm/1", "/tm/2"}:
            off = second_off_s if path == "/tm/2" else 0.0
            now = int(site.time.now().timestamp() + off)
            body = f"<Time {NAMESPACE}><currentTime>{now}</currentTime><quality>4</quality></Time>"
        else:
            body = documents[path]
        return Response(body, media_type="application/sep+xml")

    pair = site.server_pair
    tls = _context(
        pair.certificate,
        pair.key,
        site.authority.certificate,
        suites=Suites.BOTH,
        tls13_only=False,
    )
    with LoopbackServer(Starlette(routes=[Route("/{path:path}", serve)]), tls=tls) as server:
        yield server.url


PROGRAMS = [{"match": {"description": f"P{n}"}, "program": f"ours-{n}"} for n in (1, 2)]


@pytest.mark.parametrize("root_time", [True, False])
def test_events_run_on_the_clock_beside_them_and_only_those_of_a_bad_one_are_left_out(
    site, root_time
):
    with two_clocks(site, root_time=root_time, second_off_s=10.0) as url:
        reading = site.read(url, programs=PROGRAMS)

    assert [one.program for one in reading.events] == ["ours-1"]
    [refusal] = [one for one in reading.refused if one.where == "/tm/2"]
    assert refusal.found.startswith("its clock is")
    assert reading.clock is not None
    assert abs(reading.clock.offset_us) <= 50_000


def test_two_good_clocks_put_both_in_force(site):
    with two_clocks(site, root_time=True, second_off_s=0.0) as url:
        reading = site.read(url, programs=PROGRAMS)
    assert [one.program for one in reading.events] == ["ours-1", "ours-2"]


def test_a_reading_ends_with_its_deadline_and_keeps_what_it_has(site):
    # Our own program is read first; the lists of the other two devices never answer.
    program = site.world.add_program("Grid stress")
    site.world.add_control(
        program,
        start=site.time.second + timedelta(hours=1),
        duration_s=60,
        modes={"opModConnect": True},
    )
    site.take_real_time()
    with site.serve() as server:
        for number in (2, 3):
            server.faults.add(FaultKind.STALL, path=f"/edev/{number}/*", seconds=30.0)
        feed = site.feed(
            server.url,
            bounds=replace(QUICK, silence_s=5.0, document_s=5.0, attempts=3),
            deadline_s=2,
        )
        began = time.monotonic()
        reading = feed.read(site.time.now)
        took = time.monotonic() - began

    assert len(reading.events) == 1
    named = [one.where for one in reading.refused]
    assert [where.partition("?")[0] for where in named] == ["GET /edev/2/fsa", "GET /edev/3/fsa"]
    assert took < 2.0


def test_no_more_documents_are_fetched_than_one_reading_may_have(site):
    for number in range(5, 20):
        site.world.add_device(f"{number:040X}", manager=site.client_pair.lfdi)
    with site.serve() as server:
        reading = site.feed(server.url, bounds=Bounds(documents=20)).read(site.time.now)
        assert len(server.trail) <= 20
    assert any("at most 20 documents" in one.expected for one in reading.refused)


def test_the_feed_is_opened_by_its_kind_and_reads_with_the_machines_own_time(site):
    # Nothing is injected here: it waits for real ticks, some two seconds of them.
    with site.serve() as server:
        site.world.clock = ServerClock()
        feed = open_feed(site.config(server.url), secrets)
        reading = feed.read(lambda: datetime.now(UTC))

    assert (feed.name, feed.kind) == ("utility", "ieee2030.5")
    assert reading.clock is not None
    assert abs(reading.clock.offset_us) <= reading.clock.uncertainty_us
    assert reading.clock.uncertainty_us < 250_000
