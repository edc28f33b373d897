"""Prices of stored documents: each put together from the four that say it."""

from dataclasses import dataclass

from grid.records import Refusal
from grid.sep2.errors import Sep2Error
from grid.sep2.fields import Page
from grid.sep2.price import TariffPrice, chosen, price
from grid.sep2.stored import Known, Stored
from grid.sep2.tariffs import Component, Interval, Reading, Step, Tariff

__all__ = ["Priced", "priced"]


@dataclass(frozen=True, slots=True)
class Priced:
    """Prices, each with its interval's file.

    Attributes:
        prices: by flow, start and identity.
        missing: what is linked to and not among the documents.
        refused: pieces that do not make a price.
    """

    prices: tuple[tuple[TariffPrice, str], ...]
    missing: tuple[Refusal, ...]
    refused: tuple[Refusal, ...]


def priced(stored: Stored) -> Priced:
    """Every price that the documents hold, import and export."""
    found: list[tuple[TariffPrice, str]] = []
    missing: list[Refusal] = []
    refused: list[Refusal] = []
    used: set[int] = set()
    for tariff in stored.items["TariffProfile"]:
        for component in _linked(stored, tariff, "RateComponent", "components_href", missing):
            readings = _linked(stored, component, "ReadingType", "reading_href", missing)
            intervals = _linked(stored, component, "TimeTariffInterval", "intervals_href", missing)
            used.update(map(id, intervals))
            if len({known.item for known in readings}) > 1:
                refused.append(_two_readings(readings))
            elif readings:
                for interval in intervals:
                    try:
                        made = _price(
                            stored, tariff.item, component.item, readings[0].item, interval
                        )
                    except Sep2Error as error:
                        refused.append(error.refusal())
                        continue
                    if made is None:
                        missing.append(_absent(interval, interval.item.steps_href))
                    else:
                        found.append((made, interval.where))
    missing += [
        Refusal(known.where, f"intervals at {', '.join(sorted(known.at))}", "a component of theirs")
        for known in stored.items["TimeTariffInterval"]
        if id(known) not in used
    ]
    prices, contradictions = chosen([one for one, _ in found])
    files = {id(one): where for one, where in found}
    ordered = sorted(prices, key=lambda one: (-one.flow, one.started_at, one.interval))
    return Priced(
        tuple((one, files[id(one)]) for one in ordered),
        tuple(dict.fromkeys(missing)),
        tuple(dict.fromkeys([*refused, *contradictions])),
    )


def _price(
    stored: Stored, tariff: Tariff, component: Component, reading: Reading, interval: Known
) -> TariffPrice | None:
    said: Interval = interval.item
    steps = stored.of("ConsumptionTariffInterval", said.steps_href)
    if not steps:
        return None
    items: tuple[Step, ...] = tuple(dict.fromkeys(known.item for known in steps))
    page = Page(said.steps_href, len(items), len(items), items)
    where = f"{interval.where}, line {said.line}"
    return price(tariff, component, reading, said, page, where=where)


def _linked(
    stored: Stored, known: Known, kind: str, link: str, missing: list[Refusal]
) -> list[Known]:
    href = getattr(known.item, link)
    found = stored.of(kind, href)
    if not found:
        missing.append(_absent(known, href))
    return found


def _two_readings(readings: list[Known]) -> Refusal:
    files = ", ".join(sorted({known.where for known in readings}))
    return Refusal(files, f"two contents of {readings[0].item.href}", "one: what a price is per")


def _absent(known: Known, href: str) -> Refusal:
    return Refusal(known.where, f"a link to {href or 'nothing'}", "that document among the files")
