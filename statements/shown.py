"""A pack as a statement for people: the same content that a case folder is shown by."""

from collections.abc import Mapping
from concurrent.futures import Executor

import polars as pl

from settlement.programs import Program
from settlement.schemas import TEMPERATURE, UNPAID
from statements.content import Statement
from statements.pack import EventVersion, Pack
from statements.recompute import judged, parsed


def programs_of(pack: Pack) -> dict[str, tuple[Program, ...]]:
    """All programs of a pack, ascending by version, by name. Raises PackError and ProgramError."""
    found: dict[str, tuple[Program, ...]] = {}
    for one in sorted(pack.programs, key=lambda one: (one.program, one.version)):
        program = parsed(one.body, f"program {one.program}, version {one.version}")
        found[one.program] = (*found.get(one.program, ()), program)
    return found


def statement_of(pack: Pack, executor: Executor) -> Statement:
    """What is shown of a pack; the charts from its packets, of those that are readings.

    Args:
        pack: with or without evidence.
        executor: threads that check signatures.

    Raises:
        PackError: a program that is no JSON, or a key twice.
        ProgramError: a program that cannot be used.
    """
    return Statement(
        title=f"Settlement statement: {pack.subject}",
        settlements=pack.settlements,
        lines=pack.lines,
        unpaid=pack.unpaid.select(UNPAID.schema.names()),
        readings=judged(pack, executor)
        .readings.drop("judged_at")
        .with_columns(conflicted=pl.lit(value=False)),
        temperatures=pack.temperatures.select(TEMPERATURE.schema.names()),
        programs=programs_of(pack),
        windows=[one.window for one in _newest_events(pack)],
        prices=[price for run in pack.runs for price in run.known.prices],
        known_at=pack.known_at,
        notes=_notes(pack),
    )


def _newest_events(pack: Pack) -> list[EventVersion]:
    newest = {one.window.event_id: one for one in sorted(pack.events, key=lambda one: one.version)}
    return [newest[name] for name in sorted(newest)]


def _notes(pack: Pack) -> list[str]:
    sealed: Mapping[int, str] = {one.number: one.root.hex() for one in pack.seals}
    notes = [
        f"Sealed under seal {number}, whose root is {root}."
        for number, root in sorted(sealed.items())
    ]
    open_ = sum(one.proof is None for one in pack.bookings)
    if open_:
        notes.append(f"{open_} of these settlements are not sealed yet.")
    return notes
