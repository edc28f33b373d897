"""What the thermal program pays of what a vehicle gave in an event, reckoned from its terms alone.

The terms are written out here (programs/v2g-tiered-thermal.yaml says the same to the system that is
looked at): energy is what was given less what was drawn, over the whole event; what was charged in the
hour before it is deducted from its earliest discharge on; while the battery is too hot nothing is paid;
and nothing at all where its temperature is not known.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from math import exp
from typing import Final

from simulators.heat import Temperature

LOOK_BACK: Final = timedelta(hours=1)
TIME_CONSTANT: Final = timedelta(minutes=30)
LIMIT_MILLICELSIUS: Final = 55_000
RELEASE_MILLICELSIUS: Final = (20_000, 45_000)

CHARGED_BEFORE: Final = "CHARGED_BEFORE"
NETTED: Final = "NETTED"
THERMAL_LIMIT_REACHED: Final = "THERMAL_LIMIT_REACHED"
THERMAL_MISSING: Final = "THERMAL_MISSING"

Span = tuple[datetime, datetime]


@dataclass(slots=True)
class Metered:
    """What a meter counted in one price's interval of an event, thousandths of a watt-hour; and for how
    long it gave.
    """

    exported: int = 0
    imported: int = 0
    discharged: timedelta = timedelta(0)

    @property
    def net(self) -> int:
        """Given less drawn."""
        return self.exported - self.imported


def too_hot(measured: Sequence[Temperature]) -> list[Span]:
    """When the pack had reached its limit and was not yet cool again, by one battery's temperatures.

    The pack follows its sensor with a first-order lag. Looked at whenever it is measured: the limit is
    taken to be reached, or left, at the first measurement that shows it.
    """
    if not measured:
        return []
    found: list[Span] = []
    pack = float(measured[0].battery_millicelsius)
    since: datetime | None = None
    for before, now in pairwise(measured):
        lag = exp(-(now.measured_at - before.measured_at) / TIME_CONSTANT)
        pack = before.battery_millicelsius + (pack - before.battery_millicelsius) * lag
        low, high = RELEASE_MILLICELSIUS
        if since is None and pack >= LIMIT_MILLICELSIUS:
            since = now.measured_at
        elif since is not None and low <= pack <= high:
            found.append((since, now.measured_at))
            since = None
    if since is not None:
        found.append((since, measured[-1].measured_at))
    return found


@dataclass(frozen=True)
class Outcome:
    """One vehicle's event: paid energy by the start of its interval, unpaid energy by reason; and by the
    start of its interval what was given while the battery was too hot.
    """

    paid: Mapping[datetime, int]
    unpaid: Sequence[tuple[str, int]]
    heated: Mapping[datetime, int]


def settle(
    intervals: Mapping[Span, Metered], charged_before: int, hot: Sequence[Span] | None
) -> Outcome:
    """Settle one vehicle's event.

    Args:
        intervals: what was metered in each.
        charged_before: imported in the ``LOOK_BACK`` of the event.
        hot: as ``too_hot`` says; None where no temperature is known.
    """
    if hot is None:
        return Outcome({}, [(THERMAL_MISSING, sum(one.exported for one in intervals.values()))], {})
    standing = {span: one for span, one in sorted(intervals.items()) if not _touches(span, hot)}
    heated = {span[0]: one.exported for span, one in intervals.items() if span not in standing}
    unpaid = [(THERMAL_LIMIT_REACHED, energy) for energy in heated.values()]
    left = sum(one.net for one in standing.values())
    if left <= 0:
        netted = sum(one.exported for one in standing.values())
        return Outcome({}, [*unpaid, (NETTED, netted)], heated)
    unpaid.extend((NETTED, one.imported) for one in standing.values())
    deducted = dict(_deducted(standing, min(charged_before, left)))
    unpaid.extend((CHARGED_BEFORE, energy) for energy in deducted.values())
    paid = {span[0]: one.net - deducted[span] for span, one in standing.items()}
    return Outcome(paid, unpaid, heated)


def _touches(span: Span, others: Sequence[Span]) -> bool:
    return any(start < span[1] and span[0] < end for start, end in others)


def _deducted(standing: Mapping[Span, Metered], due: int) -> Iterator[tuple[Span, int]]:
    for span, one in standing.items():
        taken = min(due, max(one.net, 0))
        due -= taken
        yield span, taken
