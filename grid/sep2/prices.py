"""From the tariffs of a server to prices of ours: what a kWh is worth that flows back to the grid."""

from datetime import datetime
from hashlib import sha256

from grid.config import Sep2Config
from grid.prices import StatedPrice, once_each
from grid.records import Document, PriceSaid, Refusal
from grid.sep2 import tariffs
from grid.sep2.client import Client
from grid.sep2.discovery import Place
from grid.sep2.errors import Sep2Error
from grid.sep2.events import described, fits
from grid.sep2.price import TariffPrice
from grid.sep2.price import price as put_together
from grid.sep2.tariffs import REVERSE, Component, Interval, Reading, Tariff

__all__ = ["prices"]

_Priced = tuple[TariffPrice, str, Document]
"""A price, where its interval stood, and the document in which its number stands."""


def prices(
    client: Client,
    config: Sep2Config,
    places: dict[str, Place[Tariff]],
    *,
    received_at: datetime,
) -> tuple[list[PriceSaid], list[int]]:
    """The export prices of every tariff that is the price of a program of ours.

    A tariff that hangs below several devices is read below the first of them. What cannot be read, and
    tariffs that are not ours, are added to the client's ``refused``.

    Returns:
        The prices, by program and time, and the poll rates of the lists they stood in, seconds.
    """
    stated: list[StatedPrice] = []
    rates: list[int] = []
    read: set[tuple[str, str]] = set()
    for place in places.values():
        said = place.said
        named = {one.program for one in config.tariffs if fits(one.match, said)}
        fresh = {program for program in named or {""} if (said.mrid, program) not in read}
        read.update((said.mrid, program) for program in fresh)
        if not named and fresh:
            shown = f"TariffProfile {described(said)}"
            client.note(f"{shown}: no line of `tariffs` fits, it is left out")
        if not named or not fresh:
            continue
        for price, where, document in _of_tariff(client, place, rates):
            digest = sha256(document.body).digest()
            stated += [
                StatedPrice(
                    where,
                    PriceSaid(
                        program=program,
                        started_at=price.started_at,
                        ended_at=price.ended_at,
                        price_micros_per_kwh=price.micros_per_kwh,
                        currency=price.currency,
                        digest=digest,
                        received_at=received_at,
                        feed=config.name,
                    ),
                    made_at=price.created_at,
                )
                for program in sorted(fresh)
            ]
    made, contradictory = once_each(stated)
    for refusal in contradictory:
        client.refuse(refusal)
    return sorted(made, key=lambda one: (one.program, one.started_at, one.ended_at)), rates


def _of_tariff(client: Client, place: Place[Tariff], rates: list[int]) -> list[_Priced]:
    tariff = place.said
    if not tariff.components_href:
        client.refuse(Refusal(place.where, "no RateComponentListLink", "where its prices are"))
        return []
    shown = client.listed(
        tariff.components_href, tariffs.components, lambda one: one.href or one.mrid
    )
    made: list[_Priced] = []
    exported = False
    for component, _ in shown.each():
        reading = client.attempt(component.reading_href, tariffs.reading)
        if reading is None or reading[0].flow != REVERSE or reading[0].uom != tariffs.WATT_HOURS:
            continue
        exported = True
        made += _of_component(client, tariff, component, reading[0], rates)
    if shown.whole and not exported:
        client.refuse(
            Refusal(
                tariff.components_href,
                "no RateComponent for watt-hours that flow back",
                f"a ReadingType with uom {tariffs.WATT_HOURS} and flowDirection {REVERSE}",
            )
        )
    return made


def _of_component(
    client: Client, tariff: Tariff, component: Component, reading: Reading, rates: list[int]
) -> list[_Priced]:
    shown = client.listed(
        component.intervals_href,
        tariffs.intervals,
        lambda one: f"mRID {one.mrid}, {sha256(one.raw).hexdigest()[:8]}",
    )
    rates += [shown.poll_rate_s] if shown.poll_rate_s is not None else []
    made: list[_Priced] = []
    cancelled: list[tuple[Interval, str]] = []
    for interval, document in shown.each():
        where = f"{document.href}, mRID {interval.mrid}"
        if interval.cancelled_at is not None and interval.cancelled_at < interval.ended_at:
            cancelled.append((interval, where))
        elif priced := _of_interval(client, tariff, component, reading, interval, where):
            made.append(priced)
    for interval, where in cancelled:
        _cancelled(client, interval, where, [price for price, _, _ in made])
    return made


def _cancelled(client: Client, interval: Interval, where: str, made: list[TariffPrice]) -> None:
    """A cancelled price states none; what was stored of it before stands until another one replaces it."""
    shown = (
        f"a price cancelled, {interval.started_at.isoformat()} to {interval.ended_at.isoformat()}"
    )
    at = interval.started_at
    for price in sorted(made, key=lambda one: one.started_at):
        if price.started_at <= at < price.ended_at:
            at = price.ended_at
    if at >= interval.ended_at:
        client.note(f"{where}: {shown}; others stand in its place")
    else:
        expected = (
            f"another price from {at.isoformat()} on; one that was stored earlier stays in force"
        )
        client.refuse(Refusal(where, shown, expected))


def _of_interval(
    client: Client,
    tariff: Tariff,
    component: Component,
    reading: Reading,
    interval: Interval,
    where: str,
) -> _Priced | None:
    if not interval.steps_href:
        client.refuse(Refusal(where, "no ConsumptionTariffIntervalListLink", "where its price is"))
        return None
    found = client.listed(
        interval.steps_href, tariffs.steps, lambda one: one.href or str(one.block)
    )
    if not found.whole or not found.pages:
        return None
    document, page = found.pages[0]
    try:
        made = put_together(tariff, component, reading, interval, page, where=where)
    except Sep2Error as error:
        client.refuse(error.refusal())
        return None
    return made, where, document
