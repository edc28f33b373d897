"""The page: what each vehicle is paid for each event, line by line, and what it is not paid, and why.

One HTML document that needs nothing else: style and charts are within it, there is no script, and it
links nowhere. It is well-formed XML too. Everything that came from outside is escaped.
"""

from collections.abc import Iterable, Iterator
from html import escape
from typing import Any, Final
from zoneinfo import ZoneInfo

import polars as pl

from settlement.programs import Program
from statements.content import Statement
from statements.curves import chart
from statements.numerals import exact, local, span
from statements.products import money, payable, product, rounding
from statements.style import CSS
from statements.words import in_words

DETAILED_MAX: Final = 200
"""Settlements that are shown with their lines and a chart; more are only listed."""

LISTED_MAX: Final = 5_000
"""Settlements, and unpaid rows outside of them, that are listed."""

ROWS_MAX: Final = 1_000
"""Lines, or unpaid rows, of one settlement."""

_KEY: Final = ("program", "event_id", "vehicle_id")
_UTC: Final = ZoneInfo("UTC")
_PLACES: Final = 6

Row = dict[str, Any]
Rows = dict[tuple[Any, ...], pl.DataFrame]


def render(statement: Statement, *, detailed: int = DETAILED_MAX) -> Iterator[str]:
    """The page, in pieces.

    Args:
        statement: what it says.
        detailed: how many settlements are shown in full.
    """
    settlements = statement.settlements.sort("vehicle_id", "event_id", "program")
    first = settlements.head(detailed)
    keys = first.select(_KEY)
    yield from _head(statement.title)
    yield f"<h1>{escape(statement.title)}</h1>"
    yield from _summary(statement)
    yield "<h2>Settlements</h2>"
    if settlements.is_empty():
        yield "<p>There is no settlement: nothing was delivered that a program could pay for.</p>"
    lines, unpaid = (
        _by_settlement(frame.join(keys, on=_KEY, how="semi"))
        for frame in (statement.lines, statement.unpaid)
    )
    for row in first.iter_rows(named=True):
        yield from _settlement(statement, row, lines, unpaid)
    if settlements.height > detailed:
        yield from _listed(statement, settlements.slice(detailed), detailed)
    yield from _elsewhere(statement, settlements)
    yield "</body></html>\n"


def _by_settlement(frame: pl.DataFrame) -> Rows:
    return frame.partition_by(_KEY, as_dict=True) if frame.height else {}


def _head(title: str) -> Iterator[str]:
    yield '<!DOCTYPE html>\n<html xmlns="http://www.w3.org/1999/xhtml" lang="en"><head>'
    yield '<meta charset="utf-8"/><meta name="viewport" content="width=device-width"/>'
    # Whatever slipped through could still load nothing and run nothing.
    yield (
        '<meta http-equiv="Content-Security-Policy"'
        " content=\"default-src 'none'; style-src 'unsafe-inline'\"/>"
    )
    yield f"<title>{escape(title)}</title><style>{CSS}</style></head><body>"
    yield (
        '<svg width="0" height="0" aria-hidden="true" style="position:absolute"><defs>'
        '<pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse"'
        ' patternTransform="rotate(45)"><rect width="6" height="6" fill="#fff"/>'
        '<rect width="2" height="6" fill="#8a4b00"/></pattern></defs></svg>'
    )


def _summary(statement: Statement) -> Iterator[str]:
    if statement.known_at is not None:
        yield f"<p>As known at {escape(local(statement.known_at, _UTC))}.</p>"
    held = pl.col("state") == "held"
    totals = (
        statement.settlements.group_by("program", "program_version", "currency")
        .agg(
            pl.len().alias("settlements"),
            held.sum().alias("held"),
            pl.col("energy_milliwh").sum(),
            pl.col("lines_micros").filter(~held).sum(),
            pl.col("amount_minor").filter(~held).sum(),
        )
        .sort("program", "program_version")
    )
    rows = []
    for row in totals.iter_rows(named=True):
        program = statement.program_of(row["program"], row["program_version"])
        paid = payable(row["amount_minor"], program) if program else str(row["amount_minor"])
        energy = f"{exact(row['energy_milliwh'], _PLACES, least=3)} kWh"
        name = f"{row['program']}, version {row['program_version']}"
        rows.append((name, str(row["settlements"]), str(row["held"]), energy, paid))
    yield from _table(
        "What is paid",
        ("program", "settlements", "of these held", "energy", "paid"),
        rows,
        numbers=4,
    )
    reasons = (
        statement.unpaid.group_by("program", "reason")
        .agg(pl.col("energy_milliwh").sum(), pl.col("would_have_been_micros").sum())
        .sort("program", "reason")
    )
    yield from _table(
        "What is not paid, by reason",
        ("program", "reason", "energy", "would have been, where known"),
        [
            (
                row["program"],
                row["reason"],
                f"{exact(row['energy_milliwh'], _PLACES, least=3)} kWh",
                _would(statement, row),
            )
            for row in reasons.iter_rows(named=True)
        ],
        numbers=2,
    )
    for note in statement.notes:
        yield f"<p>{escape(note)}</p>"


def _would(statement: Statement, row: Row) -> str:
    if row["would_have_been_micros"] is None:
        return "not known"
    program = statement.program_of(row["program"], -1)
    return money(row["would_have_been_micros"], program.currency if program else "")


def _settlement(statement: Statement, row: Row, lines: Rows, unpaid: Rows) -> Iterator[str]:
    key = tuple(row[name] for name in _KEY)
    program = statement.program_of(row["program"], row["program_version"])
    if program is None:
        yield f"<p>The program {escape(row['program'])} is not known here.</p>"
        return
    own = lines.get(key, statement.lines.clear()).sort("started_at", "term")
    not_paid = unpaid.get(key, statement.unpaid.clear()).sort("started_at", "reason")
    yield '<section class="settlement">'
    yield f"<h3>{escape(row['vehicle_id'])} in {escape(row['event_id'])}</h3>"
    yield (
        f'<p class="quiet">Program {escape(row["program"])}, version {row["program_version"]}. Times'
        f" are local, {escape(str(program.timezone))}.</p>"
    )
    if row["state"] == "held":
        yield (
            f'<p class="held">Held: nothing is paid now. {escape(in_words(row["reason"]))}'
            f" <code>{escape(row['reason'])}</code></p>"
        )
    drawing = chart(statement, program, row["vehicle_id"], row["event_id"], own, not_paid)
    if drawing is not None:
        yield from drawing.svg()
    if own.height:
        yield from _lines(own, row, program)
    if not_paid.height:
        yield from _unpaid("Not paid", statement, not_paid, program.timezone)
    yield "</section>"


def _lines(own: pl.DataFrame, row: Row, program: Program) -> Iterator[str]:
    rows = []
    for line in own.head(ROWS_MAX).iter_rows(named=True):
        made = product(line, program)
        when = span(line["started_at"], line["ended_at"], program.timezone)
        amount = money(made.amount_micros, program.currency)
        rows.append((when, made.term, f"{made.product} =", amount))
    foot = [
        (f"sum of {own.height:,} lines", money(row["lines_micros"], program.currency)),
        ("difference by rounding", money(row["rounding_difference_micros"], program.currency)),
        ("payable", payable(row["amount_minor"], program)),
    ]
    yield from _table(
        "Lines", ("interval", "for", "product", "amount"), rows, numbers=1, foot=foot, product=2
    )
    yield from _cut(own.height, ROWS_MAX, "lines")
    yield f'<p class="quiet">Rounding: {escape(rounding(program))}.</p>'


def _unpaid(
    caption: str, statement: Statement, rows: pl.DataFrame, zone: ZoneInfo, *, whose: bool = False
) -> Iterator[str]:
    shown = []
    for row in rows.head(ROWS_MAX).iter_rows(named=True):
        why = f"{in_words(row['reason'])} ({row['reason']})"
        energy = f"{exact(row['energy_milliwh'], _PLACES, least=3)} kWh"
        when = span(row["started_at"], row["ended_at"], zone)
        who = (row["vehicle_id"], row["event_id"]) if whose else ()
        shown.append((*who, when, why, energy, _would(statement, row)))
    who = ("vehicle", "event") if whose else ()
    yield from _table(
        caption, (*who, "interval", "reason", "energy", "would have been"), shown, numbers=2
    )
    yield from _cut(rows.height, ROWS_MAX, "rows")


def _listed(statement: Statement, rest: pl.DataFrame, detailed: int) -> Iterator[str]:
    yield (
        f"<p>The first {detailed:,} settlements are shown in full above; {rest.height:,} more follow"
        " without their lines.</p>"
    )
    rows = []
    for row in rest.head(LISTED_MAX).iter_rows(named=True):
        program = statement.program_of(row["program"], row["program_version"])
        amount = payable(row["amount_minor"], program) if program else str(row["amount_minor"])
        state = f"held: {row['reason']}" if row["state"] == "held" else "paid"
        energy = f"{exact(row['energy_milliwh'], _PLACES, least=3)} kWh"
        rows.append((row["vehicle_id"], row["event_id"], row["program"], state, energy, amount))
    yield from _table(
        "More settlements",
        ("vehicle", "event", "program", "state", "energy", "payable"),
        rows,
        numbers=2,
    )
    yield from _cut(rest.height, LISTED_MAX, "settlements")


def _elsewhere(statement: Statement, settlements: pl.DataFrame) -> Iterator[str]:
    rest = statement.unpaid.join(settlements.select(_KEY), on=_KEY, how="anti").sort(
        "vehicle_id", "event_id", "started_at", "reason"
    )
    if rest.height:
        yield "<h2>Not paid, outside of these settlements</h2>"
        yield '<p class="quiet">Times are UTC.</p>'
        yield from _unpaid("Not paid", statement, rest, _UTC, whose=True)


def _table(
    caption: str,
    columns: tuple[str, ...],
    rows: Iterable[tuple[str, ...]],
    *,
    numbers: int,
    foot: Iterable[tuple[str, str]] = (),
    product: int = -1,
) -> Iterator[str]:
    """A table whose last ``numbers`` columns are aligned to the right; nothing where it has no rows."""
    first_number = len(columns) - numbers
    started = False
    for row in rows:
        if not started:
            started = True
            yield f'<div class="wide"><table><caption>{escape(caption)}</caption><thead><tr>'
            for place, name in enumerate(columns):
                kind = ' class="n"' if place >= first_number else ""
                yield f'<th scope="col"{kind}>{escape(name)}</th>'
            yield "</tr></thead><tbody>"
        yield "<tr>"
        for place, cell in enumerate(row):
            kind = ' class="n"' if place >= first_number else ""
            kind = ' class="product"' if place == product else kind
            yield f"<td{kind}>{escape(cell)}</td>"
        yield "</tr>"
    if not started:
        return
    yield "</tbody>"
    feet = list(foot)
    if feet:
        yield "<tfoot>"
        for name, value in feet:
            yield (
                f'<tr><th scope="row" colspan="{len(columns) - 1}">{escape(name)}</th>'
                f'<td class="n">{escape(value)}</td></tr>'
            )
        yield "</tfoot>"
    yield "</table></div>"


def _cut(there: int, shown: int, what: str) -> Iterator[str]:
    if there > shown:
        yield f"<p>{there - shown:,} more {escape(what)} are left out of this page.</p>"
