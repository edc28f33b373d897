"""Keys from files into the registry: every row has its outcome, and a bad one stops no other."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from storage.key_changes import KeyRefusedError, registry
from storage.keys import import_keys
from tasks.key_files import BadRow, Row


@dataclass(frozen=True, slots=True)
class RowOutcome:
    """What became of one row.

    Attributes:
        place: file and line.
        outcome: new, already (it stood, with the same facts) or refused.
        key_id: the key; empty where it could not be read.
        evse_id: whose.
        where: in a refused row, what is wrong about it; else empty, as are ``found`` and ``expected``.
    """

    place: str
    outcome: str
    key_id: str = ""
    evse_id: str = ""
    where: str = ""
    found: str = ""
    expected: str = ""


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What became of all of them, in their order; of a dry run, what would have."""

    rows: tuple[RowOutcome, ...]
    dry_run: bool

    def count(self, outcome: str) -> int:
        """How many rows have that outcome."""
        return sum(row.outcome == outcome for row in self.rows)


def import_rows(
    dsn: str,
    rows: Sequence[Row | BadRow],
    *,
    by: str,
    source: str,
    clock: Callable[[], datetime],
    dry_run: bool = False,
) -> ImportReport:
    """Enrol the good rows, in one transaction.

    Args:
        dsn: the database.
        rows: as ``tasks.key_files.read`` gives them.
        by: who imports.
        source: where they come from, for the history.
        clock: gives now, in UTC.
        dry_run: say what would happen, and change nothing.

    Raises:
        KeyRefusedError: ``by`` is no name.
        DatabaseUnavailableError: nothing was imported.
    """
    good = [row for row in rows if isinstance(row, Row)]
    with registry(dsn) as conn:
        brought = [row.brought for row in good]
        outcomes = iter(import_keys(conn, brought, by=by, source=source, clock=clock))
        if dry_run:
            conn.rollback()
    told = tuple(
        _bad(row) if isinstance(row, BadRow) else _good(row, next(outcomes)) for row in rows
    )
    return ImportReport(told, dry_run)


def _bad(row: BadRow) -> RowOutcome:
    return RowOutcome(row.place, "refused", where=row.where, found=row.found, expected=row.expected)


def _good(row: Row, outcome: bool | KeyRefusedError) -> RowOutcome:  # noqa: FBT001 - as the registry says it
    key = row.brought.key
    if isinstance(outcome, KeyRefusedError):
        return RowOutcome(
            row.place, "refused", key.key_id, key.evse_id, outcome.where, outcome.found, outcome.expected
        )  # fmt: skip
    return RowOutcome(row.place, "new" if outcome else "already", key.key_id, key.evse_id)
