"""Green Button: the structure that readers of ESPI rely on, and the figures in it.

The rules checked here are stated in words beside each test. They come from the schema's sequences
(NAESB REQ.21 ESPI) and from what the Green Button test cases ask of every file: a feed with id, title
and update time; entries with an id of their own, a self link that stands once, an up link, a title and
both times; a UsagePoint with its service, related to MeterReadings and to the local time; and each
link that relates to a resource leads to one that is there.
"""

import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from statements import espi
from statements.currencies import NUMBERS, UnknownCurrencyError
from statements.pack import Booking, Pack
from tests.statements.packed import START, make_pack, program_body

ATOM = "{http://www.w3.org/2005/Atom}"
ESPI = "{http://naesb.org/espi}"

SEQUENCES = {
    "UsagePoint": ["ServiceCategory"],
    "ServiceCategory": ["kind"],
    "MeterReading": [],
    "ReadingType": [
        "accumulationBehaviour", "commodity", "consumptionTier", "currency", "dataQualifier",
        "defaultQuality", "flowDirection", "intervalLength", "kind", "phase", "powerOfTenMultiplier",
        "timeAttribute", "tou", "uom",
    ],
    "IntervalBlock": ["interval", "IntervalReading"],
    "interval": ["duration", "start"],
    "IntervalReading": ["cost", "ReadingQuality", "timePeriod", "value"],
    "timePeriod": ["duration", "start"],
    "LocalTimeParameters": ["dstEndRule", "dstOffset", "dstStartRule", "tzOffset"],
}  # fmt: skip
"""The order of the schema's sequences, for what is used here."""


@pytest.fixture(scope="module")
def pack() -> Pack:
    return make_pack()


@pytest.fixture(scope="module")
def feed(pack: Pack) -> ET.Element:
    return ET.fromstring(espi.render(pack))  # noqa: S314 - our own


def resources(feed: ET.Element, name: str) -> list[tuple[ET.Element, ET.Element]]:
    """Entries that hold a resource, with it."""
    return [
        (entry, found)
        for entry in feed.findall(f"{ATOM}entry")
        if (found := entry.find(f"{ATOM}content/{ESPI}{name}")) is not None
    ]


def links(entry: ET.Element, relation: str) -> list[str]:
    return [
        str(link.get("href"))
        for link in entry.findall(f"{ATOM}link")
        if link.get("rel") == relation
    ]


def values(element: ET.Element) -> dict[str, str]:
    return {child.tag.removeprefix(ESPI): child.text or "" for child in element}


def test_the_feed_names_itself(feed: ET.Element) -> None:
    assert feed.tag == f"{ATOM}feed"
    for name in ("id", "title", "updated", "author"):
        assert len(feed.findall(f"{ATOM}{name}")) == 1
    assert feed.findtext(f"{ATOM}updated") == "2026-07-02T18:00:00Z"


def test_every_entry_has_an_id_of_its_own_and_its_links_and_times(feed: ET.Element) -> None:
    entries = feed.findall(f"{ATOM}entry")
    ids = [entry.findtext(f"{ATOM}id") or "" for entry in entries]
    own = [link for entry in entries for link in links(entry, "self")]
    assert len(set(ids)) == len(ids) == len(set(own)) == len(entries)
    for entry in entries:
        assert re.fullmatch(r"urn:uuid:[0-9a-f-]{36}", entry.findtext(f"{ATOM}id") or "")
        (self_link,), (up,) = links(entry, "self"), links(entry, "up")
        assert self_link.startswith(f"{up}/")
        assert entry.findtext(f"{ATOM}title")
        assert entry.findtext(f"{ATOM}published")
        assert entry.findtext(f"{ATOM}updated")


def test_every_related_link_leads_to_something(feed: ET.Element) -> None:
    entries = feed.findall(f"{ATOM}entry")
    there = {link for entry in entries for rel in ("self", "up") for link in links(entry, rel)}
    for entry in entries:
        for link in links(entry, "related"):
            assert link in there


def test_elements_stand_in_the_order_of_the_schema(feed: ET.Element) -> None:
    seen = set()
    for element in feed.iter():
        name = element.tag.removeprefix(ESPI)
        if element.tag.startswith(ESPI) and name in SEQUENCES:
            seen.add(name)
            places = [SEQUENCES[name].index(child.tag.removeprefix(ESPI)) for child in element]
            assert places == sorted(places)
    assert seen == set(SEQUENCES)


def test_the_usage_point_is_electricity_and_related_to_its_readings_and_local_time(
    feed: ET.Element,
) -> None:
    ((entry, usage),) = resources(feed, "UsagePoint")
    assert usage.findtext(f"{ESPI}ServiceCategory/{ESPI}kind") == "0"
    (own,) = links(entry, "self")
    assert links(entry, "related") == [f"{own}/MeterReading", "LocalTimeParameters/UTC"]


def test_the_reading_type_is_energy_delivered_by_the_customer_in_thousandths(
    feed: ET.Element,
) -> None:
    ((_, kind),) = resources(feed, "ReadingType")
    assert values(kind) == {
        "accumulationBehaviour": "4", "commodity": "1", "currency": "840", "dataQualifier": "12",
        "flowDirection": "19", "kind": "12", "powerOfTenMultiplier": "-3", "uom": "72",
    }  # fmt: skip


def test_intervals_are_the_paid_ones_with_energy_and_cost(feed: ET.Element, pack: Pack) -> None:
    # when
    ((_, block),) = resources(feed, "IntervalBlock")
    readings = block.findall(f"{ESPI}IntervalReading")
    # then
    start = int(START.timestamp())
    assert [
        (
            one.findtext(f"{ESPI}timePeriod/{ESPI}start"),
            one.findtext(f"{ESPI}timePeriod/{ESPI}duration"),
            one.findtext(f"{ESPI}value"),
            one.findtext(f"{ESPI}cost"),
        )
        for one in readings
    ] == [
        (f"{start}", "1800", "3600000", "162578"),
        (f"{start + 1800}", "1800", "3600000", "238060"),
    ]
    assert block.findtext(f"{ESPI}interval/{ESPI}duration") == "3600"
    total = sum(int(one.findtext(f"{ESPI}value") or "") for one in readings)
    assert total == pack.settlements["energy_milliwh"].sum()


def test_what_is_held_is_not_paid_and_not_in_it(pack: Pack) -> None:
    # given
    (one,) = pack.bookings
    held = Booking(
        {**one.settlement, "state": "held", "amount_minor": "0"},
        one.lines,
        (),
        None,
        (),
        None,
        None,
    )
    # when
    feed = ET.fromstring(espi.render(replace(pack, bookings=(held,))))  # noqa: S314 - our own
    # then
    assert feed.findall(f"{ATOM}entry") == []


def test_markup_in_names_is_text(pack: Pack) -> None:
    # given
    (one,) = pack.bookings
    named = replace(one, settlement={**one.settlement, "vehicle_id": "<b>&\x07"})
    # when
    feed = ET.fromstring(espi.render(replace(pack, bookings=(named,))))  # noqa: S314 - our own
    # then
    ((entry, _),) = resources(feed, "UsagePoint")
    assert entry.findtext(f"{ATOM}title") == "Vehicle <b>&\ufffd"


def test_a_currency_without_number_is_refused(pack: Pack) -> None:
    # given
    odd = make_pack(body=program_body(currency="XTS"))
    # when
    with pytest.raises(UnknownCurrencyError) as caught:
        espi.render(odd)
    # then
    assert "XTS" in str(caught.value)
    assert NUMBERS["EUR"] == 978


def test_the_same_pack_gives_the_same_bytes(pack: Pack) -> None:
    assert espi.render(pack) == espi.render(pack)
