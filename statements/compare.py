"""What was booked against what the rules give: the first difference, with both figures."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import polars as pl

from settlement.booking import Key
from settlement.engine import Computed
from settlement.reasons import UnpaidReason
from settlement.schemas import LINE, SETTLEMENT, UNPAID
from settlement.withheld import withheld
from statements.pack import Booking, Pack

_KEY: Final = ("program", "event_id", "vehicle_id")
_UNPAID_ORDER: Final = ("evse_id", "started_at", "ended_at", "reason")
_NOTHING: Final = {
    "contract_id": "",
    "energy_milliwh": 0,
    "lines_micros": 0,
    "amount_minor": 0,
    "rounding_difference_micros": 0,
    "state": "booked",
    "reason": "",
}
"""What a settlement comes to whose energy is gone; its version is that of the revision before."""


def settlements(pack: Pack, found: Mapping[str, Computed]) -> Iterator[str]:
    """Differences between the bookings of a pack and what its runs come to.

    Args:
        pack: see there.
        found: what each run comes to, by its id.
    """
    accounts = {run.run_id: frozenset(run.accounts) for run in pack.runs}
    for booking in pack.bookings:
        where = _where(booking.key)
        if booking.key not in accounts.get(booking.run_id, frozenset()):
            yield f"{where}: the run {booking.run_id} that booked it is not in the pack"
            continue
        came_to = found[booking.run_id]
        yield from _settlement(booking, _of(came_to.settlements, booking.key), where)
        yield from _rows(
            booking.line_rows,
            _of(came_to.lines, booking.key).sort("started_at", "term"),
            LINE.schema,
            f"{where}: line",
        )
    for run in pack.runs:
        yield from _missing(pack, run.run_id, accounts[run.run_id], found[run.run_id])


def _settlement(booking: Booking, given: pl.DataFrame, where: str) -> Iterator[str]:
    (stated,) = booking.row.iter_rows(named=True)
    if given.height > 1:
        yield f"{where}: the rules give {given.height} settlements; booked 1"
        return
    wanted: Mapping[str, Any]
    if given.is_empty():
        wanted = {**stated, **_NOTHING}
    else:
        (wanted,) = given.iter_rows(named=True)
    for name in SETTLEMENT.schema:
        if name != "settlement_id" and stated[name] != wanted[name]:
            yield f"{where}: {name}: booked {stated[name]}, recomputed {wanted[name]}"


def _missing(pack: Pack, run_id: str, accounts: frozenset[Key], given: Computed) -> Iterator[str]:
    """Settlements that a run gives for an account of the pack and that the pack leaves out, but for those
    that it says are held with their period.
    """
    booked = {one.key for one in pack.bookings} | _held_with_period(pack, run_id)
    for row in given.settlements.iter_rows(named=True):
        key = row["program"], row["event_id"], row["vehicle_id"]
        if key in accounts and key not in booked:
            yield (
                f"{_where(key)}: the run {run_id} gives a settlement of {row['amount_minor']} minor"
                " units; the pack holds none"
            )


def unpaid(pack: Pack, found: Mapping[str, Computed]) -> Iterator[str]:
    """Differences between what the pack says was not paid and what its runs come to."""
    known = {run.run_id for run in pack.runs}
    stray = pack.unpaid.filter(~pl.col("run_id").is_in(sorted(known)))
    for row in stray.iter_rows(named=True):
        yield f"unpaid row of {row['vehicle_id']}: its run {row['run_id']} is not in the pack"
    for run in pack.runs:
        stated = pack.unpaid.filter(pl.col("run_id") == run.run_id).select(UNPAID.schema.names())
        accounts = set(run.accounts)
        for row in stated.iter_rows(named=True):
            key = row["program"], row["event_id"], row["vehicle_id"]
            if key not in accounts:
                yield f"{_where(key)}: an unpaid row that the run {run.run_id} does not account for"
        again = found[run.run_id]
        held = _held_with_period(pack, run.run_id)
        withheld_again = withheld(again.lines, again.settlements)
        for key in sorted(accounts):
            given = _of(again.unpaid, key)
            if key in held:
                given = pl.concat([given, _of(withheld_again, key)])
            yield from _rows(
                _of(stated, key).sort(_UNPAID_ORDER),
                given.sort(_UNPAID_ORDER),
                UNPAID.schema,
                f"{_where(key)}: unpaid",
            )


def _held_with_period(pack: Pack, run_id: str) -> set[Key]:
    """Of which vehicles and events the pack says that a run held them with their whole period."""
    rows = pack.unpaid.filter(
        pl.col("run_id") == run_id, pl.col("reason") == UnpaidReason.PERIOD_HELD.value
    )
    return set(rows.select(_KEY).unique().iter_rows())


def _rows(
    stated: pl.DataFrame, given: pl.DataFrame, schema: pl.Schema, where: str
) -> Iterator[str]:
    for booked, again in zip(
        stated.iter_rows(named=True), given.iter_rows(named=True), strict=False
    ):
        for name in schema:
            if booked[name] != again[name]:
                yield (
                    f"{where} of {booked['started_at']:%FT%TZ}: {name}:"
                    f" stated {booked[name]}, recomputed {again[name]}"
                )
    if stated.height != given.height:
        yield f"{where}: {stated.height} rows stated, {given.height} recomputed"


def _of(frame: pl.DataFrame, key: Key) -> pl.DataFrame:
    conditions = [pl.col(name) == value for name, value in zip(_KEY, key, strict=True)]
    return frame.filter(*conditions)


def _where(key: Key) -> str:
    program, event, vehicle = key
    return f"{vehicle} in {event or 'no event'} ({program})"
