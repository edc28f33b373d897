"""Whose an amount is, and what the journal moves, held against the contract and the revision before."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from settlement.booking import Allocation, allocate
from settlement.booking.movements import journal, move
from settlement.booking.shares import allocations, divide
from settlement.programs import in_force
from statements.pack import Booking, Pack
from statements.recompute import programs_of
from statements.texts import Fields


def allocated(booking: Booking) -> tuple[Allocation, ...]:
    """Whose the amount is, as booked. Raises PackError."""
    fields = Fields(
        {"allocations": booking.settlement.get("allocations")}, "settlement", ("allocations",)
    )
    return tuple(
        Allocation(one.text("role"), one.text("account"), one.integer("amount_minor"))
        for one in (
            Fields(*item, ("role", "account", "amount_minor"))
            for item in fields.items("allocations")
        )
    )


def money_differences(pack: Pack) -> Iterator[str]:
    """What is divided, or moved, otherwise than contract and books say."""
    runs = {run.run_id: run for run in pack.runs}
    for booking in pack.bookings:
        where = f"settlement {booking.settlement_id}"
        run = runs.get(booking.run_id)
        if run is None:
            yield f"{where}: its run {booking.run_id} is not in the pack"
            continue
        (row,) = booking.row.iter_rows(named=True)
        stated, wanted = allocated(booking), _allocations(booking, row)
        if stated != wanted:
            yield f"{where}: allocated {_named(stated)}; by its contract {_named(wanted)}"
        before = {(one.role, one.account): one.amount_minor for one in booking.before}
        given = {(one.role, one.account): one.amount_minor for one in wanted}
        program = in_force(programs_of(pack, run)[row["program"]], run.period.started_at)
        held = row["state"] != "booked"
        moved = () if held else move(before, given, program.correction)
        entries = Counter(
            (one.kind.value, one.account, one.currency, one.amount_minor)
            for one in journal(moved, row["program"], row["currency"])
        )
        found = Counter(_entry(entry) for entry in booking.entries)
        if found != entries:
            odd = sorted(map(str, (found - entries) + (entries - found)))
            yield f"{where}: journal line {odd[0]}: not both booked and due"
        total = sum(one.amount_minor for one in moved)
        if booking.settlement.get("adjustment_minor") != str(total):
            yield (
                f"{where}: adjustment_minor: booked {booking.settlement.get('adjustment_minor')},"
                f" recomputed {total}"
            )


def _allocations(booking: Booking, row: Mapping[str, Any]) -> tuple[Allocation, ...]:
    amount = row["amount_minor"]
    if row["state"] != "booked" or amount == 0:
        return ()
    if booking.shares is not None:
        return allocate(amount, booking.shares)
    # A contract that is not known any more: the accounts stay, in the same proportion.
    standing = {(a.role, a.account): abs(a.amount_minor) for a in booking.before if a.amount_minor}
    return allocations(divide(amount, standing)) if standing else ()


def _entry(entry: Mapping[str, Any]) -> tuple[str, str, str, int]:
    names = ("kind", "account", "currency", "amount_minor")
    fields = Fields({name: entry.get(name) for name in names}, "entry", names)
    return (*(fields.text(name) for name in names[:3]), fields.integer(names[3]))  # type: ignore[return-value]


def _named(given: tuple[Allocation, ...]) -> str:
    return ", ".join(f"{a.role} {a.account} {a.amount_minor}" for a in given) or "nothing"
