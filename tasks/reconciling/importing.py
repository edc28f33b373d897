"""Importing a statement: the file is kept as it came, its rows are read, its period is compared."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from pathlib import PurePath
from typing import Final

from settlement.periods import Period
from storage import partner_statements
from storage.partner_statements import Refusal, Statement, statement_id_of
from tasks.reconciling.bank_files import read_camt
from tasks.reconciling.comparing import Clock, Compared, compare
from tasks.reconciling.csv_files import read_csv
from tasks.reconciling.rows import Read, UnreadableStatementError, days_of

PERIOD_MAX: Final = timedelta(days=366)


@dataclass(frozen=True, slots=True)
class Imported:
    """What importing came to.

    Attributes:
        statement: as it is stored now, by this import or an earlier one of the same file.
        is_new: whether this import stored it.
        lines: that could be read.
        refusals: rows that could not.
        compared: what comparing its period found.
    """

    statement: Statement
    is_new: bool
    lines: int
    refusals: tuple[Refusal, ...]
    compared: Compared


def import_statement(
    dsn: str,
    name: str,
    data: bytes,
    *,
    partner: str,
    by: str,
    clock: Clock,
    tolerance: timedelta,
    period: Period | None = None,
    accounts: Mapping[str, str] | None = None,
) -> Imported:
    """Store a partner's or a bank's statement, and compare the period that it covers.

    Importing a file again stores nothing and compares again.

    Args:
        dsn: the database.
        name: of the file.
        data: its content; what begins as XML is read as camt.054, the rest as CSV.
        partner: whose statement it is; of a bank's, whose postings the files ordered.
        by: who brings it.
        clock: the time of now.
        tolerance: see ``comparing.compare``.
        period: what it covers; None: as it says itself, or the days of its lines.
        accounts: our accounts by their IBAN, for a bank's.

    Raises:
        UnreadableStatementError: nothing can be read, or it has no period.
        StatementTakenError: the same file was imported for another partner.
        DatabaseUnavailableError: nothing is known to be stored.
    """
    read = _read(name, data, accounts or {})
    digest = sha256(data).digest()
    statement = Statement(
        statement_id_of(digest),
        digest,
        partner,
        read.way,
        read.format,
        read.reference,
        _period(name, read, period),
        PurePath(name).name[:200],
        by,
        clock(),
    )
    with partner_statements.operating(dsn) as conn:
        is_new = partner_statements.store(conn, statement, data, read.lines, read.refusals)
        stored = partner_statements.find(conn, statement.statement_id)
    compared = compare(
        dsn,
        partner=partner,
        way=stored.way,
        period=stored.period,
        by=by,
        clock=clock,
        tolerance=tolerance,
    )
    return Imported(stored, is_new, len(read.lines), read.refusals, compared)


def _read(name: str, data: bytes, accounts: Mapping[str, str]) -> Read:
    if data.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"<":
        return read_camt(name, data, accounts)
    return read_csv(name, data)


def _period(name: str, read: Read, given: Period | None) -> Period:
    try:
        period = given or read.period or days_of(read.lines)
    except OverflowError as error:
        raise UnreadableStatementError(
            name, "a line on the last day there is", "the day of its payment"
        ) from error
    if period is None:
        raise UnreadableStatementError(
            name, "no line and no period", "one line at least, or --from and --to"
        )
    if period.ended_at - period.started_at > PERIOD_MAX:
        raise UnreadableStatementError(name, f"the period {period}", "a year at most")
    return period.in_utc()
