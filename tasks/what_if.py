"""What if: a past period, or a case in a folder, under other terms. Books nothing, writes nothing.

Both sides are computed by the same engine from the same facts, so that the change asked for is all
that differs; the books are only looked at to say where they stand.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import polars as pl

import cases
from cases.programs import program_files, read_body
from settlement import engine
from settlement.comparing import Comparison, compare, require_same_currencies
from settlement.periods import Period
from settlement.pricing import micros_per_minor
from settlement.programs import Program
from settlement.timeline import Window
from settlement.units import MICROS_PER_UNIT
from storage import books
from storage.engine import Connection
from storage.registry import load_program_bodies
from storage.windows import load_windows
from tasks import computing
from tasks.other_terms import (
    Change,
    Programs,
    Written,
    at_work,
    by_name,
    other_baselines,
    replaced,
    with_settings,
    written,
)
from tasks.settle import PeriodNotOverError

Progress = Callable[[str], None]

_Key = tuple[str, ...]
"""Program, event, vehicle, currency."""


@dataclass(frozen=True)
class WhatIf:
    """What other terms would have come to.

    Attributes:
        source: the period, or the name of the case.
        known_at: what was known by then counts; None: all of the case.
        comparison: as it is, and under the other terms.
        places: decimal places that show every amount to its last minor unit.
        notes: what a reader must know, one sentence each.
    """

    source: str
    known_at: datetime | None
    comparison: Comparison
    places: int
    notes: tuple[str, ...]


def of_case(folder: Path, change: Change, *, progress: Progress = lambda _: None) -> WhatIf:
    """A case in a folder under other terms: what ``v2g replay`` gives for the folder, against what it
    would give with the other terms in it.

    Args:
        folder: with the files of docs/cases.md; nothing is written there.
        change: the other terms.
        progress: told what is being done.

    Raises:
        CaseError: the case, or a file of the change, cannot be used.
        ProgramError: a program under the change cannot be used.
        UnusableChangeError: the change cannot be made.
        CurrencyChangedError: a program would pay in another currency.
        BoundExceededError: a value outside its declared range would wrap a product.
    """
    change.require_any()
    case = cases.read(folder, progress=lambda name: progress(f"reading {name}"))
    own = [
        written(file, read_body(path, file))
        for path in program_files(folder)
        for file in [path.relative_to(folder).as_posix()]
    ]
    name, as_of, facts = case.name, case.as_of, case.facts
    after = _changed(own, change, lambda _: facts.windows, cases.PERIOD)
    terms = cases.Instead(after, other_baselines(change, after))
    progress(f"settling {case.readings.height:,} readings as they are")
    found = engine.compute(case.readings_in, facts, cases.PERIOD)
    del case  # the readings of both sides need not be held at once
    other = cases.read(
        folder, instead=terms, progress=lambda name: progress(f"reading {name} again")
    )
    progress(f"settling {other.readings.height:,} readings under the other terms")
    changed = engine.compute(other.readings_in, other.facts, cases.PERIOD)
    return WhatIf(
        name,
        as_of,
        compare(found, changed),
        _places(facts.programs, after),
        tuple(_products(facts.programs, after)),
    )


def of_period(
    dsn: str,
    period: Period,
    change: Change,
    *,
    clock: Callable[[], datetime],
    as_of: datetime | None = None,
    progress: Progress = lambda _: None,
) -> WhatIf:
    """A past period of the database under other terms, in a transaction that can only read.

    Energy that a program's cap per season has used up before the period is what was booked, on both
    sides.

    Args:
        dsn: the database.
        period: half-open.
        change: the other terms.
        clock: gives now; what is known by then counts.
        as_of: what was known by then counts instead.
        progress: told what is being done.

    Raises:
        PeriodNotOverError: the period had not ended by then.
        CaseError: a file of the change cannot be used.
        ProgramError: a program, stored or under the change, cannot be used.
        UnusableChangeError: the change cannot be made.
        CurrencyChangedError: a program would pay in another currency.
        BoundExceededError: a value outside its declared range would wrap a product.
        StorageError: the database cannot be read.
    """
    change.require_any()
    known_at = clock() if as_of is None else as_of
    if period.ended_at > known_at:
        raise PeriodNotOverError(period, known_at)

    def telling(what: str) -> Callable[[Period], None]:
        return lambda part: progress(f"{what}: {part.started_at:%F %R} to {part.ended_at:%F %R}")

    with books.reading(dsn) as conn:
        progress("reading the programs")
        own = [
            written(f"program_version {one.program} {one.version}", one.body, one.valid_from)
            for one in load_program_bodies(conn, known_at=known_at)
        ]
        after = _changed(
            own,
            change,
            lambda known: load_windows(conn, engine.horizon(known, period), known_at=known_at),
            period,
        )
        terms = computing.Instead(after, other_baselines(change, after))
        found = computing.compute(
            conn, dsn, period, known_at=known_at, progress=telling("as it is")
        )
        changed = computing.compute(
            conn,
            dsn,
            period,
            known_at=known_at,
            instead=terms,
            progress=telling("under the other terms"),
        )
        progress("comparing")
        booked = tuple(_booked(conn, found))
    return WhatIf(
        str(period),
        known_at,
        compare(found, changed),
        _places(found.facts.programs, after),
        (*_products(found.facts.programs, after), *booked),
    )


def _changed(
    own: list[Written],
    change: Change,
    windows: Callable[[Programs], Sequence[Window]],
    period: Period,
) -> Mapping[str, Sequence[Program]]:
    """The programs under a change; ``windows`` gives the events that these may settle."""
    put = replaced(own, change)
    known = by_name(put)
    working = at_work(known, windows(known), period) if change.settings else frozenset()
    after = by_name(with_settings(put, change, working))
    require_same_currencies(by_name(own), after)
    return after


def _places(*sides: Programs) -> int:
    return max(
        (one.minor_units for side in sides for versions in side.values() for one in versions),
        default=0,
    )


def _products(before: Programs, after: Programs) -> Iterator[str]:
    """What is settled at different times on the two sides, and then looks lost or won."""
    for name in sorted(before.keys() & after.keys()):
        mine, other = (sorted({one.product for one in side[name]}) for side in (before, after))
        if mine != other:
            yield (
                f"{name}: product {', '.join(mine)} now, {', '.join(other)} then; a capacity program"
                " settles a season when it ends, the others each event"
            )


def _booked(conn: Connection, found: computing.Computed) -> Iterator[str]:
    """One sentence where what is booked for the period is not what is computed as it is."""
    places = _places(found.facts.programs)
    scope = {(one.program, one.event_id) for one in found.scope}
    booked: Counter[_Key] = Counter()
    for key, one in books.load_books(conn, {event for _, event in scope}).items():
        if key[:2] in scope:
            per_minor = _micros_per_minor(found.facts.programs[key[0]], one.program_version)
            booked[*key, one.currency] += one.booked_minor * per_minor
    payable = pl.col("lines_micros") + pl.col("rounding_difference_micros")
    computed: Counter[_Key] = Counter()
    for program, event, vehicle, currency, micros in found.settlements.select(
        "program",
        "event_id",
        "vehicle_id",
        "currency",
        pl.when(pl.col("state") == "booked").then(payable).otherwise(0),
    ).iter_rows():
        computed[program, event, vehicle, currency] += micros
    keys = booked.keys() | computed.keys()
    different = sum(booked[key] != computed[key] for key in keys)
    if booked and different:
        told = ", ".join(
            f"{_total(booked, currency, places)} {currency} booked and"
            f" {_total(computed, currency, places)} {currency} computed"
            for currency in sorted({key[-1] for key in keys})
        )
        yield f"the books differ from now in {different} of {len(keys)} settlements: {told}"


def _micros_per_minor(versions: Sequence[Program], version: int) -> int:
    known = {one.version: one for one in versions}
    return micros_per_minor(known.get(version, versions[-1]))


def _total(amounts: Mapping[_Key, int], currency: str, places: int) -> str:
    total = sum(amount for key, amount in amounts.items() if key[-1] == currency)
    return f"{Decimal(total) / MICROS_PER_UNIT:.{places}f}"
