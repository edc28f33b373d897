"""Documents of the Pricing function set: tariffs, rates with their reading types, intervals, prices."""

from typing import Final

from simulators.sep2.clock import epoch
from simulators.sep2.desk import Desk, Entry, link
from simulators.sep2.events import event, head
from simulators.sep2.markup import Markup, node, optional
from simulators.sep2.program_pages import REPLY_TO
from simulators.sep2.records import Device, Interval, PriceContent, Rate, Tariff
from simulators.sep2.status import price_status

ELECTRICITY: Final = 1
"""CommodityType: electricity, measured on the low voltage side."""

WATT_HOURS: Final = 72
SERVICE_ELECTRICITY: Final = 0


def price_page(desk: Desk, parts: list[str]) -> Markup | None:
    """The document at ``/tp/…`` or ``/rt/…``; None: there is none that this client may see."""
    match parts:
        case ["tp" | "rt", number, *_]:
            tariff = next((one for one in desk.world.tariffs if str(one.number) == number), None)
        case _:
            return None
    if tariff is None or not desk.may_see(tariff.devices):
        return None
    match parts:
        case ["rt", _, number]:
            wanted = _rate_of(tariff, number)
            return None if wanted is None else _reading_type(wanted)
        case ["tp", _]:
            return _tariff(tariff)
        case ["tp", _, "rc"]:
            rates = sorted(tariff.rates, key=lambda rate: -int(rate.mrid, 16))
            entries = [Entry(_rate(desk, rate)) for rate in rates]
            return desk.listed("RateComponentList", f"/tp/{tariff.number}/rc", entries)
        case ["tp", _, "rc", number, *rest]:
            rate = _rate_of(tariff, number)
            return None if rate is None else _of_rate(desk, rate, rest)
    return None


def tariff_list(desk: Desk, device: Device) -> Markup:
    """The tariffs that a device is assigned to, the most important first."""
    rows = sorted(
        tariffs_of(desk, device), key=lambda tariff: (tariff.primacy, -int(tariff.mrid, 16))
    )
    return desk.listed(
        "TariffProfileList",
        f"/edev/{device.number}/fsa/1/tp",
        [Entry(_tariff(tariff)) for tariff in rows],
        pollRate=desk.world.poll_rates_s["tp"],
    )


def tariffs_of(desk: Desk, device: Device) -> list[Tariff]:
    """The tariffs that a device is assigned to."""
    return [one for one in desk.world.tariffs if one.devices is None or device.lfdi in one.devices]


def _of_rate(desk: Desk, rate: Rate, rest: list[str]) -> Markup | None:
    href = f"{_href(rate)}/tti"
    rows = _served(desk, rate)
    match rest:
        case []:
            return _rate(desk, rate)
        case ["tti"]:
            entries = [Entry(_interval(desk, rate, *row), row[1].start) for row in rows]
            return desk.listed("TimeTariffIntervalList", href, entries)
        case ["tti", number, *more]:
            wanted = [row for row in rows if str(row[0].number) == number]
            if not wanted:
                return None
            interval, content = wanted[0]
            match more:
                case []:
                    return _interval(desk, rate, interval, content)
                case ["cti"]:
                    entries = [Entry(_price(rate, interval, content))]
                    return desk.listed(
                        "ConsumptionTariffIntervalList", f"{href}/{number}/cti", entries
                    )
                case ["cti", "1"]:
                    return _price(rate, interval, content)
    return None


def _rate_of(tariff: Tariff, number: str) -> Rate | None:
    return next((rate for rate in tariff.rates if str(rate.number) == number), None)


def _href(rate: Rate) -> str:
    return f"/tp/{rate.tariff}/rc/{rate.number}"


def _served(desk: Desk, rate: Rate) -> list[tuple[Interval, PriceContent]]:
    rows = [
        (interval, content)
        for interval in rate.intervals
        if (content := interval.at(desk.moment)) is not None
    ]
    return sorted(
        rows,
        key=lambda row: (row[1].start, -epoch(row[1].created_at), -int(row[0].mrid, 16)),
    )


def _tariff(tariff: Tariff) -> Markup:
    href = f"/tp/{tariff.number}"
    return node(
        "TariffProfile",
        head(tariff.mrid, tariff.description, 0),
        node("currency", tariff.currency),
        node("pricePowerOfTenMultiplier", tariff.multiplier),
        node("primacy", tariff.primacy),
        link("RateComponentListLink", f"{href}/rc", len(tariff.rates)),
        node("serviceCategoryKind", SERVICE_ELECTRICITY),
        href=href,
    )


def _rate(desk: Desk, rate: Rate) -> Markup:
    return node(
        "RateComponent",
        head(rate.mrid, rate.description, 0),
        link("ReadingTypeLink", f"/rt/{rate.tariff}/{rate.number}"),
        node("roleFlags", "0000"),
        link("TimeTariffIntervalListLink", f"{_href(rate)}/tti", len(_served(desk, rate))),
        href=_href(rate),
    )


def _reading_type(rate: Rate) -> Markup:
    return node(
        "ReadingType",
        node("commodity", ELECTRICITY),
        node("flowDirection", int(rate.flow)),
        node("powerOfTenMultiplier", rate.power_of_ten),
        node("uom", WATT_HOURS),
        href=f"/rt/{rate.tariff}/{rate.number}",
    )


def _interval(desk: Desk, rate: Rate, interval: Interval, content: PriceContent) -> Markup:
    href = f"{_href(rate)}/tti/{interval.number}"
    said = price_status(
        content.start,
        content.end,
        content.created_at,
        interval.cancellation,
        desk.moment,
        edition=desk.world.edition,
    )
    return node(
        "TimeTariffInterval",
        event(interval.mrid, content, None, said),
        link("ConsumptionTariffIntervalListLink", f"{href}/cti", 1),
        node("touTier", 0),
        href=href,
        replyTo=REPLY_TO,
        responseRequired="00",
    )


def _price(rate: Rate, interval: Interval, content: PriceContent) -> Markup:
    return node(
        "ConsumptionTariffInterval",
        node("consumptionBlock", 0),
        optional("price", content.price),
        node("startValue", 0),
        href=f"{_href(rate)}/tti/{interval.number}/cti/1",
    )
