"""The documents of a running utility server, served again as they were, over mutual TLS."""

import re
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from grid.sep2.tls import CIPHERS
from simulators.serving import LoopbackServer

SHARED = Path(__file__).parents[4] / "shared" / "data" / "sep2"
CAPTURED_AT = datetime.fromtimestamp(1795401018, UTC)
FIRST_LINE = re.compile(rb"<!-- GET (\S+?)\?\S* -> 200")
STRESS = "20000000000000020000000100009f1c"


@pytest.fixture(scope="module")
def documents() -> dict[str, bytes]:
    """By path. Its Time has no first line, and stands still: that one is made anew."""
    if not SHARED.is_dir():
        pytest.skip("the captured documents are not beside this checkout (../shared/data/sep2)")
    found = {}
    for path in sorted(SHARED.glob("*.xml")):
        body = path.read_bytes()
        named = FIRST_LINE.match(body)
        if named is not None:
            found[named[1].decode()] = body
    # One address was captured below the device, and is linked to below its assignment.
    found["/edev/1/fsa/1/derp"] = found["/edev/1/derp"]
    found["/edev/1/fsa/1/tp"] = found["/edev/1/tp"]
    found["/tm"] = (SHARED / "02_tm.xml").read_bytes()
    return found


@pytest.fixture
def captured(site, documents):
    """The site, and the address of what was captured; it is the time of capture."""

    def serve(request: Request) -> Response:
        body = documents.get(request.url.path)
        if body is None:
            return Response(status_code=404)
        if request.url.path == "/tm":
            now = CAPTURED_AT + (site.time.now() - site.time.began_at)
            body = body.replace(b"1795401018", str(int(now.timestamp())).encode())
        return Response(body, media_type="application/sep+xml")

    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.minimum_version = tls.maximum_version = ssl.TLSVersion.TLSv1_2
    tls.set_ciphers(CIPHERS)
    tls.verify_mode = ssl.CERT_REQUIRED
    tls.load_verify_locations(site.authority.certificate)
    tls.load_cert_chain(site.server_pair.certificate, site.server_pair.key)
    with LoopbackServer(Starlette(routes=[Route("/{path:path}", serve)]), tls=tls) as server:
        yield site, server.url


def test_what_a_running_server_said_becomes_events_and_prices(captured):
    site, url = captured
    feed = site.feed(
        url, programs=[{"match": {"mrid": STRESS}, "program": "energy"}], clock_tolerance_ms=100
    )
    shift = CAPTURED_AT - site.time.began_at
    # Our certificate is of today; only the clock of the reading is that of the capture.
    feed._connect = lambda _, real=feed._connect: real(site.time.now())

    reading = feed.read(lambda: site.time.now() + shift)

    assert [(one.event_id, one.status, one.modes) for one in reading.events] == [
        ("30000000000000000000000200009f1c", "active", ("opModFixedW",)),
        (
            "30000000000000000000000300009f1c",
            "superseded",
            ("csipaus:opModExpLimW", "opModFixedW"),
        ),
        ("30000000000000000000000400009f1c", "scheduled", ("opModFixedW",)),
    ]
    assert {one.primacy for one in reading.events} == {0}
    # The one interval whose price was captured; of the three others the document is missing.
    [price] = reading.prices
    assert (price.price_micros_per_kwh, price.currency) == (214_500, "USD")
    assert price.ended_at - price.started_at == timedelta(minutes=5)
    assert sum("/cti/" in one.where for one in reading.refused) == 3
    assert reading.next_in == timedelta(seconds=60)
    assert {one.lfdi for one in reading.responses} == {"5E4F45AB31EDFE5B67E343E5E4562E31984E23E5"}
    assert {one.reply_to for one in reading.responses} == {"/edev/1/rsps/site_control/rsp"}


def test_what_was_never_captured_is_named_and_nothing_else(captured):
    site, url = captured
    feed = site.feed(url, programs=[{"match": {"mrid": STRESS}, "program": "energy"}])
    shift = CAPTURED_AT - site.time.began_at
    feed._connect = lambda _, real=feed._connect: real(site.time.now())

    reading = feed.read(lambda: site.time.now() + shift)

    known = ("HTTP 404", "no EndDevice with LFDI", "DERProgram 'Default control group'")
    assert [one for one in reading.refused if not one.found.startswith(known)] == []
