"""The prices of a world: tariffs, rates, intervals, revisions."""

from collections.abc import Collection
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from simulators.sep2.clock import epoch
from simulators.sep2.records import Flow, Interval, PriceContent, Rate, Tariff
from simulators.sep2.registry import Registry, described, lfdi_checked

CURRENCIES: Final = {"USD": 840, "EUR": 978, "AUD": 36, "GBP": 826, "NZD": 554, "CAD": 124}
UNITS: Final = {"Wh": 0, "kWh": 3, "MWh": 6}


class PriceBook(Registry):
    """The Pricing function set of a world. See ``World``."""

    def __init__(self, **registry: Any) -> None:
        super().__init__(**registry)
        self.tariffs: list[Tariff] = []

    def add_tariff(
        self,
        description: str,
        *,
        currency: str | int = "USD",
        multiplier: int = -4,
        primacy: int = 0,
        mrid: str | None = None,
        devices: Collection[str] | None = None,
    ) -> Tariff:
        """Add a TariffProfile. Prices are whole numbers times 10 to the multiplier.

        Raises:
            ValueError: a currency whose number is not known here; give the number of ISO 4217.
        """
        if isinstance(currency, str) and currency not in CURRENCIES:
            raise ValueError(f"currency {currency!r}: expected {', '.join(CURRENCIES)} or a number")
        with self.lock:
            tariff = Tariff(
                number=len(self.tariffs) + 1,
                mrid=self.mrid(mrid, "tariff"),
                description=described(description),
                currency=CURRENCIES[currency] if isinstance(currency, str) else currency,
                multiplier=multiplier,
                primacy=primacy,
                devices=None
                if devices is None
                else frozenset(lfdi_checked(one) for one in devices),
            )
            self.tariffs.append(tariff)
            return tariff

    def add_rate(
        self,
        tariff: Tariff,
        *,
        flow: Flow = Flow.EXPORT,
        unit: str = "kWh",
        description: str | None = None,
    ) -> Rate:
        """Add a RateComponent with its ReadingType: Wh, kWh or MWh, bought or sold."""
        with self.lock:
            rate = Rate(
                number=len(tariff.rates) + 1,
                mrid=self.mrid(None, "rate"),
                tariff=tariff.number,
                description=described(description or f"{flow.name} active energy, {unit}"),
                flow=flow,
                power_of_ten=UNITS[unit],
            )
            tariff.rates.append(rate)
            return rate

    def add_price(
        self,
        rate: Rate,
        *,
        start: datetime,
        duration_s: int,
        price: Decimal | str | None,
        created_at: datetime | None = None,
        mrid: str | None = None,
    ) -> Interval:
        """Add a TimeTariffInterval with one price; None: the server says none.

        Raises:
            ValueError: a price that the tariff's multiplier cannot hold exactly.
        """
        with self.lock:
            created = created_at or self.present()
            content = PriceContent(created, created, start, duration_s, self._scaled(rate, price))
            epoch(start), epoch(created)
            interval = Interval(len(rate.intervals) + 1, self.mrid(mrid, "price"), [content])
            rate.intervals.append(interval)
            return interval

    def revise_price(
        self,
        rate: Rate,
        interval: Interval,
        price: Decimal | str | None,
        *,
        at: datetime | None = None,
        created_at: datetime | None = None,
    ) -> None:
        """Serve another price for an interval: version one higher, creationTime new."""
        with self.lock:
            newest = interval.contents[-1]
            since = at or self.present()
            interval.contents.append(
                PriceContent(
                    since,
                    created_at or since,
                    newest.start,
                    newest.duration_s,
                    self._scaled(rate, price),
                    newest.version + 1,
                )
            )

    def _scaled(self, rate: Rate, price: Decimal | str | None) -> int | None:
        return None if price is None else self.tariffs[rate.tariff - 1].scaled(Decimal(price))
