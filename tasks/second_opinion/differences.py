"""What the run says and what the oracle says of the same vehicles, row by row and figure by figure."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

import polars as pl

from oracle import Result
from settlement.periods import Period
from settlement.timeline import Window
from tasks.second_opinion.rows import BEYOND

Row = Mapping[str, Any]

_BY_TIME: Final = (
    "EVENT_CANCELLED",
    "EVENT_SUPERSEDED",
    "EVENT_RANDOMISED",
    "LATE_NOTICE",
    "OUTSIDE_GROUP",
)
"""Reasons of time in which no event was in force: a run accounts for them by time, not by event."""

_US_PER_HOUR: Final = timedelta(hours=1) // timedelta(microseconds=1)
_MEAN_PLACES: Final = 12
_HELD: Final = "held"
_WORTH: Final = "would_have_been_micros"
_PARTS: Final = "parts"  # rows that one stands for; not compared


@dataclass(frozen=True, slots=True)
class Key:
    """What a row is about. ``name``: a line's term, an unpaid row's reason."""

    vehicle_id: str
    event_id: str
    what: str
    started_at: datetime | None = None
    ended_at: datetime | None = None
    name: str = ""
    number: int = 0

    def __str__(self) -> str:
        told = f"vehicle {self.vehicle_id}, event {self.event_id or 'none'}, {self.what}"
        told += f" {self.name}" if self.name else ""
        return told if self.started_at is None else f"{told} from {self.started_at:%FT%TZ}"


@dataclass(frozen=True, slots=True)
class Difference:
    """One figure on which the two do not agree; None: not there."""

    key: Key
    field: str
    run: object
    oracle: object

    def __str__(self) -> str:
        return f"{self.key}: {self.field} is {self.run} in the run and {self.oracle} by the oracle"


@dataclass(frozen=True, slots=True)
class Scope:
    """Of what the oracle says, the part that a run says something about.

    Attributes:
        period: the run's.
        settled: events, or seasons, that it settles.
        windows: of the program.
        seasonal: whether the program settles seasons.
    """

    period: Period
    settled: frozenset[str]
    windows: Sequence[Window]
    seasonal: bool


Rows = dict[Key, dict[str, Any]]


def compare(run: Rows, oracle: Rows) -> list[Difference]:
    """All differences, those that money hangs on first: settlements, lines, unpaid rows."""
    found = []
    for key in sorted(run.keys() | oracle.keys(), key=_order):
        ours, theirs = run.get(key), oracle.get(key)
        if ours is None or theirs is None:
            told = ("absent" if one is None else "there" for one in (ours, theirs))
            found.append(Difference(key, "row", *told))
            continue
        found += [
            Difference(key, name, ours[name], value)
            for name, value in theirs.items()
            if name != _PARTS and not _same(name, ours, value)
        ]
    return found


def _order(key: Key) -> tuple[object, ...]:
    place = ("settlement", "line", "unpaid").index(key.what)
    since = key.started_at.timestamp() if key.started_at else 0.0
    until = key.ended_at.timestamp() if key.ended_at else 0.0
    return place, key.vehicle_id, key.event_id, since, until, key.name, key.number


def _same(name: str, run: Mapping[str, Any], oracle: object) -> bool:
    value, parts = run[name], run.get(_PARTS, 1)
    if parts > 1 and isinstance(value, int) and isinstance(oracle, int) and name == _WORTH:
        # The run rounds for each EVSE that a vehicle was at in an interval, the oracle once.
        return bool(abs(value - oracle) <= parts)
    return bool(value == oracle)


def rows_of_run(
    settlements: pl.DataFrame,
    lines: pl.DataFrame,
    unpaid: pl.DataFrame,
    vehicles: Iterable[str],
    scope: Scope,
) -> Rows:
    """What the run says of these vehicles."""
    theirs = pl.col("vehicle_id").is_in(sorted(vehicles))
    found: Rows = {}
    for row in settlements.filter(theirs).iter_rows(named=True):
        found[Key(row["vehicle_id"], row["event_id"], "settlement")] = {
            "program": row["program"],
            "currency": row["currency"],
            "energy_milliwh": row["energy_milliwh"],
            "lines_micros": row["lines_micros"],
            "amount_minor": row["amount_minor"],
            "rounding_difference_micros": row["rounding_difference_micros"],
            "state": f"held: {row['reason']}" if row["state"] == _HELD else row["state"],
        }
    for key, line in _numbered(lines.filter(theirs).iter_rows(named=True)):
        mean = Fraction(line["tier_multiplier_ppm"])
        if line["energy_milliwh"]:
            mean = Fraction(line["tiered_nanowh"], line["energy_milliwh"])
        over = line["over_us"]
        found[key] = {
            "energy_milliwh": line["energy_milliwh"],
            "avg_w": line["avg_w"],
            "price_micros_per_kwh": line["price_micros_per_kwh"],
            "price_micros_per_kw": line["price_micros_per_kw"],
            "over_hours": None if over is None else _decimal(Fraction(over, _US_PER_HOUR), 6),
            "incentive_rate_ppm": line["incentive_rate_ppm"],
            "tier_multiplier": _decimal(mean / 10**6, _MEAN_PLACES),
            "thermal_factor_ppm": line["thermal_factor_ppm"],
            "amount_micros": line["amount_micros"],
        }
    _sum_unpaid(found, unpaid.filter(theirs).iter_rows(named=True), scope)
    return found


def rows_of_oracle(result: Result, vehicles: Iterable[str], scope: Scope) -> Rows:
    """What the oracle says of these vehicles, as far as the run is to say something of it."""
    wanted = frozenset(vehicles)
    found: Rows = {}
    for row in result.settlements:
        if row["vehicle_id"] in wanted and row["event_id"] in scope.settled:
            status = str(row["status"])
            found[Key(row["vehicle_id"], row["event_id"], "settlement")] = {
                "program": row["program"],
                "currency": row["currency"],
                "energy_milliwh": row["energy_milliwh"],
                "lines_micros": _units(row["lines_total"], 6),
                "amount_minor": row["amount_minor"],
                "rounding_difference_micros": _units(row["rounding_difference"], 6),
                "state": status,
            }
    mine = [
        row
        for row in result.lines
        if row["vehicle_id"] in wanted and row["event_id"] in scope.settled
    ]
    for key, line in _numbered(mine):
        found[key] = {
            "energy_milliwh": line["energy_milliwh"],
            "avg_w": _units(line["avg_kw"], 3),
            "price_micros_per_kwh": _units(line["price_per_kwh"], 6),
            "price_micros_per_kw": _units(line["price_per_kw"], 6),
            "over_hours": line["over_hours"],
            "incentive_rate_ppm": _units(line["incentive_rate"], 6),
            "tier_multiplier": line["tier_multiplier"],
            "thermal_factor_ppm": _units(line["thermal_factor"], 6),
            "amount_micros": line["amount_micros"],
        }
    within = (row for row in result.unpaid if row["vehicle_id"] in wanted and _inside(row, scope))
    _sum_unpaid(found, within, scope)
    return found


def _numbered(rows: Iterable[Row]) -> Iterator[tuple[Key, Row]]:
    """Lines with their keys; events of a season may have lines over the same time."""
    seen = Counter[Key]()
    for row in sorted(rows, key=lambda one: (one["started_at"], one["energy_milliwh"])):
        key = Key(
            row["vehicle_id"],
            row["event_id"],
            "line",
            row["started_at"],
            row["ended_at"],
            row["term"],
        )
        yield replace(key, number=seen[key]), row
        seen[key] += 1


def _sum_unpaid(found: Rows, rows: Iterable[Row], scope: Scope) -> None:
    """Unpaid rows, one for all EVSEs. What is not known of one is not known of their sum."""
    for row in rows:
        event, by_time = row["event_id"] or "", row["reason"] in _BY_TIME
        if not by_time and event and event not in scope.settled:
            continue
        # A season's run may name the season or the event, where neither is settled.
        name = "" if by_time and scope.seasonal else event
        key = Key(
            row["vehicle_id"], name, "unpaid", row["started_at"], row["ended_at"], row["reason"]
        )
        known = found.get(key, {_PARTS: 0, "energy_milliwh": 0, _WORTH: 0})
        worth, before = row[_WORTH], known[_WORTH]
        found[key] = {
            _PARTS: known[_PARTS] + 1,
            "energy_milliwh": known["energy_milliwh"] + row["energy_milliwh"],
            _WORTH: None if worth is None or before is None else before + worth,
        }


def _inside(row: Row, scope: Scope) -> bool:
    """Whether an unpaid row of the oracle lies where the run looks.

    A program that settles seasons names the season also around the period (``rows.BEYOND``): there,
    what is not within an event while it was in force is not this run's.
    """
    if row["event_id"] in BEYOND:
        return False
    start, end = row["started_at"], row["ended_at"]
    if not scope.seasonal or (scope.period.started_at < end and start < scope.period.ended_at):
        return True
    return any(window.started_at <= start and end <= window.until for window in scope.windows)


def _units(value: Decimal | None, places: int) -> int | Decimal | None:
    """A decimal as the whole number of units that it is; as it is, where it is none."""
    if value is None:
        return None
    scaled = value.scaleb(places)
    return int(scaled) if scaled == int(scaled) else scaled


def _decimal(value: Fraction, places: int) -> Decimal:
    """Rounded half to even."""
    return Decimal(round(value * 10**places)).scaleb(-places)
