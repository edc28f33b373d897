"""Statements, and what became of verifying one, on a terminal and as plain data."""

from typing import TYPE_CHECKING, Any, Final

import typer

from cli.output import console, table

if TYPE_CHECKING:
    from statements.pack import Booking, Pack
    from statements.verify import Verified

SHOWN_MAX: Final = 200
"""Settlements, and unpaid intervals, that are printed."""


def plain(pack: "Pack") -> dict[str, Any]:
    """A statement as plain data."""
    return {
        "subject": str(pack.subject),
        "known_at": pack.known_at.isoformat() if pack.known_at else None,
        "settlements": [
            {
                **one.row.row(0, named=True),
                "sealed_under": one.proof.number if one.proof else None,
                "lines": [
                    {**line, "started_at": _moment(line), "ended_at": _moment(line, "ended_at")}
                    for line in one.line_rows.iter_rows(named=True)
                ],
            }
            for one in pack.bookings
        ],
        "unpaid": [
            {**row, "started_at": _moment(row), "ended_at": _moment(row, "ended_at")}
            for row in pack.unpaid.iter_rows(named=True)
        ],
    }


def _moment(row: dict[str, Any], name: str = "started_at") -> str:
    return str(row[name].isoformat())


def show(pack: "Pack") -> None:
    """Print a statement."""
    typer.echo(f"Statement of {pack.subject}")
    if pack.known_at is not None:
        typer.echo(f"as known at {pack.known_at.isoformat()}")
    for one in pack.bookings[:SHOWN_MAX]:
        _show_booking(pack, one)
    if len(pack.bookings) > SHOWN_MAX:
        typer.echo(
            f"{len(pack.bookings) - SHOWN_MAX} more settlements are left out here; export them"
        )
    _show_unpaid(pack)


def _show_booking(pack: "Pack", one: "Booking") -> None:
    from statements.numerals import exact, span
    from statements.products import money, payable, product
    from statements.shown import programs_of

    row = one.row.row(0, named=True)
    versions = programs_of(pack)[row["program"]]
    program = next(v for v in versions if v.version == row["program_version"])
    rows = []
    for line in one.line_rows.iter_rows(named=True):
        made = product(line, program)
        when = span(line["started_at"], line["ended_at"], program.timezone)
        rows.append((when, made.term, made.product, money(made.amount_micros, program.currency)))
    rows.append(("", "", "sum of lines", money(row["lines_micros"], program.currency)))
    difference = money(row["rounding_difference_micros"], program.currency)
    rows.append(("", "", "difference by rounding", difference))
    rows.append(("", "", "payable", payable(row["amount_minor"], program)))
    state = f"held: {row['reason']}" if row["state"] == "held" else row["state"]
    seal = f"sealed under seal {one.proof.number}" if one.proof else "not sealed yet"
    energy = exact(row["energy_milliwh"], 6, least=3)
    title = (
        f"{row['vehicle_id']} in {row['event_id']} ({row['program']}, version"
        f" {row['program_version']}): {energy} kWh, {state}, {seal}"
    )
    console.print(table(title, ("interval", "for", "product", "amount"), rows, numbers=1))


def _show_unpaid(pack: "Pack") -> None:
    from statements.numerals import exact, span
    from statements.products import money
    from statements.shown import programs_of

    rows = []
    known = programs_of(pack)
    for row in pack.unpaid.head(SHOWN_MAX).iter_rows(named=True):
        program = known[row["program"]][-1]
        micros = row["would_have_been_micros"]
        rows.append(
            (
                row["vehicle_id"],
                row["event_id"] or "none",
                span(row["started_at"], row["ended_at"], program.timezone),
                row["reason"],
                f"{exact(row['energy_milliwh'], 6, least=3)} kWh",
                "not known" if micros is None else money(micros, program.currency),
            )
        )
    if rows:
        columns = ("vehicle", "event", "interval", "reason", "energy", "would have been")
        console.print(table("Not paid", columns, rows, numbers=2))
    if pack.unpaid.height > SHOWN_MAX:
        typer.echo(f"{pack.unpaid.height - SHOWN_MAX} more intervals are left out here")


def show_verified(pack: "Pack", found: "Verified") -> None:
    """Print what was checked."""
    typer.echo(f"Statement of {pack.subject}, made {pack.made_at.isoformat()} by {pack.made_by}")
    rows = [(one.name, one.looked_at, one.state.value, one.detail) for one in found.checks]
    console.print(table("Verified", ("check", "looked at", "result", "detail"), rows))
    for one in pack.keys:
        typer.echo(f"key {one.key.key_id} of {one.key.evse_id} vouches for packets")


def verdict(pack: "Pack", found: "Verified") -> dict[str, Any]:
    """What was checked as plain data."""
    return {
        "subject": str(pack.subject),
        "stands": found.stands,
        "first_difference": found.first_difference,
        "checks": [
            {
                "name": one.name,
                "state": one.state.value,
                "looked_at": one.looked_at,
                "detail": one.detail,
            }
            for one in found.checks
        ],
        "keys": [{"key_id": one.key.key_id, "evse_id": one.key.evse_id} for one in pack.keys],
    }
