"""Step curves: a value that holds from one moment until the next; None where nothing is known."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from settlement.periods import Period
from settlement.timeline import Price
from storage.power_curves import Bucket


class Step(NamedTuple):
    """From ``at`` on, until the next step, the value is ``value``."""

    at: datetime
    value: int | None


def power_steps(buckets: Iterable[Bucket], period: Period, step: timedelta) -> list[Step]:
    """Mean powers as steps, in watts; from the period's start, a gap where there is no bucket."""
    steps = [Step(period.started_at, None)]
    for one in buckets:
        steps.append(Step(one.started_at, one.power_w))
        steps.append(Step(one.started_at + step, None))
    return joined(steps, period)


def price_steps(prices: Iterable[Price], program: str, period: Period) -> list[Step]:
    """A program's price as steps, in micros per kWh; where prices overlap, the one received last."""
    known = [one for one in prices if one.program == program]
    edges = {edge for one in known for edge in (one.started_at, one.ended_at)}
    steps = []
    for at in sorted({period.started_at} | {e for e in edges if e > period.started_at}):
        held = [one for one in known if one.started_at <= at < one.ended_at]
        last = max(held, key=lambda one: (one.received_at, one.started_at), default=None)
        steps.append(Step(at, None if last is None else last.price_micros_per_kwh))
    return joined(steps, period)


def joined(steps: Iterable[Step], period: Period) -> list[Step]:
    """The same curve within a period, without steps that change nothing or last no time."""
    found: list[Step] = []
    for one in steps:
        if one.at >= period.ended_at:
            break
        if found and found[-1].at == one.at:
            found.pop()
        if not found or found[-1].value != one.value:
            found.append(one)
    return found


def thinned(steps: Sequence[Step], most: int) -> list[Step]:
    """The same curve with at most so many steps: of each stretch its lowest and its highest value stay.

    Args:
        steps: in time order.
        most: at least 2.
    """
    if len(steps) <= most:
        return list(steps)
    size = -(-len(steps) // (most // 2))
    found: list[Step] = []
    for first in range(0, len(steps), size):
        stretch = steps[first : first + size]
        known = [one for one in stretch if one.value is not None]
        kept = {min(known, key=_value), max(known, key=_value)} if known else {stretch[0]}
        first_kept, *rest = sorted(kept, key=lambda one: one.at)
        found += [Step(stretch[0].at, first_kept.value), *rest]
    return found


def _value(step: Step) -> int:
    return step.value or 0


def longest(period: Period, ladder: Sequence[timedelta], most: int) -> timedelta:
    """The first length of a ladder, ascending, of which a period has at most so many; else its last."""
    span = period.ended_at - period.started_at
    return next((length for length in ladder if span <= length * most), ladder[-1])
