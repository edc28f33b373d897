"""From measured energy to paid energy: prices, baselines, heat, minimums, netting, look-back, caps.

The steps run in this order, each on the intervals that are left. What one takes away it gives a reason.

Plainest readings taken:

* Intervals whose price is missing or negative are out before everything else: their exported energy is
  unpaid, also against a baseline; their imported energy is not set against others. The time discharged in
  them counts. So it is with every interval that is refused as a whole.
* An interval without any accepted reading has no energy, also against a baseline.
* Only intervals with energy above zero are derated, and ask for a temperature.
* `avg_kw` of a minimum compares the power that also chooses the tier, of intervals that have not charged
  more than they gave; then `event_kwh` what is left of the event, after netting per interval if that is
  how the program nets, and `duration_min` all time discharged in the event.
* Look-back and look-ahead are measured from the event's own start, and its end or cancellation; they take
  no more than what the event comes to.
* Caps count what is paid, signed, and cut only what is positive; `event_kwh` cuts before `season_kwh`.
* An event of a capacity program that comes to nothing by netting stays, with nothing.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

from oracle import seasons
from oracle.case import Row
from oracle.heat import Battery
from oracle.numbers import between, nearest, whole
from oracle.slots import Target
from oracle.terms import Terms

PRICE_MISSING = "PRICE_MISSING"
NEGATIVE_PRICE = "NEGATIVE_PRICE"
BASELINE_MISSING = "BASELINE_MISSING"
NETTED = "NETTED"
CHARGED_BEFORE = "CHARGED_BEFORE"
OVER_CAP = "OVER_CAP"
BELOW_MINIMUM = "BELOW_MINIMUM"
WATT_US = 3_600_000  # W × µs in a milliwatt-hour
MILLION = 1_000_000


@dataclass(slots=True)
class Interval:
    """One settlement interval. `paid` is what is left of the energy; `power` chose the tier; `open`:
    not refused. `unpaid` has one energy for each EVSE where it is measured energy that is not paid.
    """

    started_at: datetime
    ended_at: datetime
    target: Target
    exported_at: Mapping[str, int]
    imported: int
    covered_us: int
    discharged_us: int
    discharged_before_us: int = 0
    power: int = 0
    paid: int = 0
    factor_ppm: int = MILLION
    open: bool = True
    unpaid: dict[str, list[int]] = field(default_factory=dict)

    @property
    def exported(self) -> int:
        return sum(self.exported_at.values())

    @property
    def length_us(self) -> int:
        return between(self.started_at, self.ended_at)

    @property
    def terms(self) -> Terms:
        return self.target.event.terms

    def withhold(self, energy: int, reason: str) -> None:
        """Say of part of what was exported that it is not paid."""
        if energy:
            self.unpaid[reason] = [sum(self.unpaid.get(reason, ())) + energy]

    def take(self, energy: int, reason: str) -> None:
        """Energy that is not paid."""
        self.paid -= energy
        self.withhold(energy, reason)

    def refuse(self, reason: str) -> None:
        """The whole interval, which keeps no line."""
        self.paid = 0
        self.open = False
        self.unpaid.setdefault(reason, []).extend(self.exported_at.values())


def baseline(rows: Iterable[Row], interval: Interval) -> int | None:
    """Baseline energy over the time that readings cover; None where rows leave part uncovered."""
    watts_us = 0
    known_us = 0
    for row in rows:
        overlap = between(
            max(row["started_at"], interval.started_at), min(row["ended_at"], interval.ended_at)
        )
        if overlap > 0:
            watts_us += whole(row["baseline_kw"], 3, "baselines: baseline_kw") * overlap
            known_us += overlap
    if known_us != interval.length_us:
        return None
    share = Fraction(watts_us * interval.covered_us, interval.length_us * WATT_US)
    return nearest(share, "half_away")


def event_energy(intervals: Sequence[Interval], baselines: Sequence[Row]) -> None:
    """Prices and baselines of one event's intervals, in time order."""
    before_us = 0
    for interval in intervals:
        interval.discharged_before_us = before_us
        before_us += interval.discharged_us
        terms, price = interval.terms, interval.target.price
        if not interval.covered_us:
            interval.open = False
            continue
        energy: int | None = interval.exported - interval.imported
        if terms.quantity == "export_only":
            energy = interval.exported
        elif terms.quantity == "against_baseline":
            against = baseline(baselines, interval)
            energy = None if against is None else against - interval.imported + interval.exported
        if terms.product == "energy" and price is None:
            _hold(interval, PRICE_MISSING, energy)
        elif terms.product == "energy" and price < 0 and terms.negative_price == "zero":  # type: ignore[operator]
            interval.refuse(NEGATIVE_PRICE)
        elif energy is None:
            _hold(interval, BASELINE_MISSING, energy)
        else:
            interval.power = interval.paid = energy


def _hold(interval: Interval, reason: str, energy: int | None) -> None:
    """A held reason shows also without exported energy, unless the interval would come to nothing."""
    if interval.exported or energy is None or energy:
        interval.refuse(reason)
    interval.open = False


def _left(intervals: Iterable[Interval]) -> list[Interval]:
    return [interval for interval in intervals if interval.open]


def heat(intervals: Iterable[Interval], battery: Callable[[Terms], Battery]) -> None:
    """The thermal factor of every interval that earns something."""
    for interval in _left(intervals):
        if interval.terms.thermal is None or interval.paid <= 0:
            continue
        factor, reason = battery(interval.terms).factor(interval.started_at, interval.ended_at)
        if reason is None:
            assert factor is not None
            interval.factor_ppm = factor
        else:
            interval.refuse(reason)


def minimums(intervals: Sequence[Interval]) -> None:
    """Of one event: power of each interval, then energy and duration of all."""
    for interval in _left(intervals):
        if 0 <= interval.paid * WATT_US < interval.terms.minimum_w * interval.length_us:
            interval.refuse(BELOW_MINIMUM)
    left = _left(intervals)
    if not left:
        return
    terms = left[0].terms
    per_interval = terms.net_per == "interval"
    total = sum(max(0, i.paid) if per_interval else i.paid for i in left)
    duration_us = sum(interval.discharged_us for interval in intervals)
    if (terms.minimum_milliwh and total < terms.minimum_milliwh) or duration_us < terms.minimum_us:
        for interval in left:
            interval.refuse(BELOW_MINIMUM)


def net(intervals: Sequence[Interval]) -> None:
    """What charging, or not staying below the baseline, has offset in one event."""
    left = _left(intervals)
    if not left or left[0].terms.quantity == "export_only":
        return
    terms = left[0].terms
    nothing = sum(interval.paid for interval in left) <= 0
    for interval in left:
        if interval.paid < 0 if terms.net_per == "interval" else nothing:
            if terms.product != "capacity":
                interval.refuse(NETTED)
                continue
            interval.paid = 0
        if terms.quantity == "net":
            interval.withhold(interval.exported - interval.paid, NETTED)


def look_back(intervals: Iterable[Interval], charged: int) -> None:
    """Energy charged around the event, taken from its energy, earliest first."""
    left = _left(intervals)
    charged = min(charged, max(0, sum(interval.paid for interval in left)))
    for interval in left:
        taken = min(charged, max(0, interval.paid))
        interval.take(taken, CHARGED_BEFORE)
        charged -= taken


def caps(intervals: Sequence[Interval]) -> None:
    """All intervals of one vehicle in one program, in time order."""
    by_event: dict[str, int] = {}
    by_season: dict[int, int] = {}
    for interval in intervals:
        event = interval.target.event
        _cut(interval, interval.terms.event_milliwh, by_event, event.id)
    for interval in intervals:
        year = seasons.season_year(interval.terms, interval.target.event.started_at)
        _cut(interval, interval.terms.season_milliwh, by_season, year)


def _cut(interval: Interval, cap: int | None, used: dict[Any, int], key: Any) -> None:
    before = used.get(key, 0)
    if cap is not None and interval.paid > 0:
        interval.take(max(0, interval.paid - max(0, cap - before)), OVER_CAP)
    used[key] = before + interval.paid


def factor(interval: Interval) -> Decimal:
    return Decimal(interval.factor_ppm).scaleb(-6)
