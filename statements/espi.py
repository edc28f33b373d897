"""Green Button: the discharge that was paid, as an Atom feed (RFC 4287) of ESPI resources (NAESB REQ.21).

Each vehicle is a UsagePoint with one MeterReading per program and currency; each settlement is an
IntervalBlock, each paid interval an IntervalReading:

* ``value`` is energy in thousandths of a watt-hour (``uom`` 72, ``powerOfTenMultiplier`` -3), delivered
  by the customer (``flowDirection`` 19, reverse), as the quantity of the interval
  (``accumulationBehaviour`` 4, delta data). It is negative where a program for net energy has deducted
  what the vehicle charged, so that the values of a block sum to the energy that was settled.
* ``cost`` is in hundred-thousandths of the currency (ISO 4217 numeric), as the schema has it. Lines are
  exact to millionths, so each is rounded, halves away from zero; the payable amount is in the title.
* Times are UTC seconds; LocalTimeParameters therefore state an offset of zero.

Order of elements: the sequences of ``espi.xsd`` as published by the Green Button Alliance (NAESB REQ.21
ESPI 3.3 and 4.0, whose parts used here agree with 1.1), and the ``feed`` and ``entry`` of RFC 4287 §4.1.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid5
from xml.etree import ElementTree as ET

import polars as pl

from settlement.pricing import Term
from statements.currencies import number_of
from statements.pack import Booking, Pack
from statements.texts import time_text

ATOM: Final = "http://www.w3.org/2005/Atom"
ESPI: Final = "http://naesb.org/espi"

FLOW_REVERSE: Final = 19
WATT_HOURS: Final = 72
ELECTRICITY: Final = 1
"""Commodity: electricity, secondary metered."""
ENERGY: Final = 12
DELTA: Final = 4
THOUSANDTHS: Final = -3
NORMAL: Final = 12
"""Data qualifier."""
SERVICE_ELECTRICITY: Final = 0

_NAMESPACE: Final = UUID("0d5e5a3b-6b4c-5d8e-8f57-3f1c7d2a9b10")
"""Fixed for ever: every entry's id depends on it."""

_MICROS_PER_COST_UNIT: Final = 10
_EPOCH_STEP: Final = timedelta(seconds=1)


def render(pack: Pack) -> bytes:
    """The feed, in UTF-8.

    Raises:
        UnknownCurrencyError: a currency without a known ISO 4217 number.
    """
    feed = ET.Element(_atom("feed"))
    title = f"Discharge paid: {pack.subject}"
    _text(feed, _atom("id"), _urn("feed", str(pack.subject), time_text(pack.made_at) or ""))
    _text(feed, _atom("title"), title)
    _text(feed, _atom("updated"), _moment(pack.made_at))
    author = ET.SubElement(feed, _atom("author"))
    _text(author, _atom("name"), pack.made_by)
    _link(feed, "self", "Batch")
    paid = [one for one in pack.bookings if _is_paid(one)]
    for vehicle in sorted({one.key[2] for one in paid}):
        _vehicle(feed, pack, vehicle, [one for one in paid if one.key[2] == vehicle])
    if paid:
        _local_time(feed, pack.made_at)
    ET.register_namespace("", ATOM)
    ET.register_namespace("espi", ESPI)
    ET.indent(feed)
    document: bytes = ET.tostring(feed, encoding="utf-8", xml_declaration=True)
    return document + b"\n"


def _is_paid(booking: Booking) -> bool:
    row = booking.row.row(0, named=True)
    return row["state"] == "booked" and bool(booking.lines)


def _vehicle(feed: ET.Element, pack: Pack, vehicle: str, bookings: list[Booking]) -> None:
    point = f"UsagePoint/{_id(vehicle)}"
    entry = _entry(
        feed,
        pack.made_at,
        f"Vehicle {vehicle}",
        point,
        related=(f"{point}/MeterReading", _LOCAL_TIME),
    )
    usage = ET.SubElement(entry, _espi("UsagePoint"))
    category = ET.SubElement(usage, _espi("ServiceCategory"))
    _text(category, _espi("kind"), str(SERVICE_ELECTRICITY))
    by_reading: dict[tuple[str, str], list[Booking]] = {}
    for one in bookings:
        row = one.row.row(0, named=True)
        by_reading.setdefault((row["program"], row["currency"]), []).append(one)
    for (program, currency), of in sorted(by_reading.items()):
        reading = f"{point}/MeterReading/{_id(program, currency)}"
        kind = f"ReadingType/{_id(program, currency)}"
        entry = _entry(
            feed,
            pack.made_at,
            f"Discharge paid under {program}",
            reading,
            related=(f"{reading}/IntervalBlock", kind),
        )
        ET.SubElement(entry, _espi("MeterReading"))
        _reading_type(feed, pack, program, currency, kind)
        for one in of:
            _block(feed, pack, one, reading)


def _reading_type(feed: ET.Element, pack: Pack, program: str, currency: str, href: str) -> None:
    if any(
        link.get("href") == href for link in feed.iter(_atom("link")) if link.get("rel") == "self"
    ):
        return
    entry = _entry(feed, pack.made_at, f"Energy delivered by the customer under {program}", href)
    kind = ET.SubElement(entry, _espi("ReadingType"))
    for name, value in (
        ("accumulationBehaviour", DELTA),
        ("commodity", ELECTRICITY),
        ("currency", number_of(currency)),
        ("dataQualifier", NORMAL),
        ("flowDirection", FLOW_REVERSE),
        ("kind", ENERGY),
        ("powerOfTenMultiplier", THOUSANDTHS),
        ("uom", WATT_HOURS),
    ):
        _text(kind, _espi(name), str(value))


def _block(feed: ET.Element, pack: Pack, booking: Booking, reading: str) -> None:
    row = booking.row.row(0, named=True)
    title = (
        f"Event {row['event_id']}: {row['amount_minor']} minor units of {row['currency']} payable"
    )
    entry = _entry(feed, pack.made_at, title, f"{reading}/IntervalBlock/{booking.settlement_id}")
    intervals = list(_intervals(booking.line_rows))
    block = ET.SubElement(entry, _espi("IntervalBlock"))
    start, end = min(one["start"] for one in intervals), max(one["end"] for one in intervals)
    _period(block, "interval", start, end)
    for one in intervals:
        element = ET.SubElement(block, _espi("IntervalReading"))
        _text(element, _espi("cost"), str(one["cost"]))
        _period(element, "timePeriod", one["start"], one["end"])
        _text(element, _espi("value"), str(one["value"]))


def _intervals(lines: pl.DataFrame) -> Iterator[Mapping[str, Any]]:
    """One per time: a penalty costs, and delivers nothing."""
    by_time: dict[tuple[datetime, datetime], list[Mapping[str, Any]]] = {}
    for line in lines.iter_rows(named=True):
        by_time.setdefault((line["started_at"], line["ended_at"]), []).append(line)
    for (start, end), of in sorted(by_time.items()):
        micros = sum(line["amount_micros"] for line in of)
        energy = sum(line["energy_milliwh"] for line in of if line["term"] != Term.SHORTFALL)
        yield {"start": _epoch(start), "end": _epoch(end), "cost": _cost(micros), "value": energy}


def _cost(micros: int) -> int:
    """Micros in hundred-thousandths, halves away from zero.

    >>> _cost(1_625_778), _cost(-15), _cost(14)
    (162578, -2, 1)
    """
    size = (abs(micros) + _MICROS_PER_COST_UNIT // 2) // _MICROS_PER_COST_UNIT
    return -size if micros < 0 else size


def _epoch(at: datetime) -> int:
    return (at - datetime.fromtimestamp(0, at.tzinfo)) // _EPOCH_STEP


_LOCAL_TIME: Final = "LocalTimeParameters/UTC"


def _local_time(feed: ET.Element, made_at: datetime) -> None:
    entry = _entry(feed, made_at, "Coordinated Universal Time", _LOCAL_TIME)
    parameters = ET.SubElement(entry, _espi("LocalTimeParameters"))
    for name, value in (
        ("dstEndRule", "00000000"),
        ("dstOffset", "0"),
        ("dstStartRule", "00000000"),
        ("tzOffset", "0"),
    ):
        _text(parameters, _espi(name), value)


def _entry(
    feed: ET.Element, made_at: datetime, title: str, href: str, *, related: tuple[str, ...] = ()
) -> ET.Element:
    """An entry, and its content to be filled."""
    entry = ET.SubElement(feed, _atom("entry"))
    _text(entry, _atom("id"), _urn(href))
    _link(entry, "self", href)
    _link(entry, "up", href.rpartition("/")[0])
    for other in related:
        _link(entry, "related", other)
    _text(entry, _atom("title"), title)
    content = ET.SubElement(entry, _atom("content"), type="application/xml")
    _text(entry, _atom("published"), _moment(made_at))
    _text(entry, _atom("updated"), _moment(made_at))
    return content


def _period(parent: ET.Element, name: str, start: int, end: int) -> None:
    period = ET.SubElement(parent, _espi(name))
    _text(period, _espi("duration"), str(end - start))
    _text(period, _espi("start"), str(start))


def _text(parent: ET.Element, name: str, value: str) -> None:
    ET.SubElement(parent, name).text = _printable(value)


def _link(parent: ET.Element, relation: str, href: str) -> None:
    ET.SubElement(parent, _atom("link"), rel=relation, href=href)


def _printable(value: str) -> str:
    """Without what XML 1.0 §2.2 has no place for."""
    return "".join(c if c.isprintable() else "\ufffd" for c in value)


def _id(*parts: str) -> str:
    return str(uuid5(_NAMESPACE, "\0".join(parts)))


def _urn(*parts: str) -> str:
    return f"urn:uuid:{_id(*parts)}"


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"


def _atom(name: str) -> str:
    return f"{{{ATOM}}}{name}"


def _espi(name: str) -> str:
    return f"{{{ESPI}}}{name}"
