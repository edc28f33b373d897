"""Files of payouts for a bank: written once, kept as written, each posting in one file at a time.

Writing takes postings out of the poster's reach in the transaction that stores the file: they are
``sent`` from then on, and a unique key keeps them from every other file. A file is then handed over,
or cancelled, never both. Cancelling parks its postings: a person decides how they are paid.

Errors:
    StorageError
    ├── NoSuchPayoutFileError   an id that names none, or several
    ├── PayoutFileEndedError    handed over, or cancelled, already
    └── PayoutFileAtBankError   to be cancelled, and the bank has told of its payments
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

from psycopg import OperationalError
from psycopg.types.json import Jsonb

from settlement.posting import State
from storage.claims import HELD
from storage.engine import Connection, Role, connect
from storage.errors import DatabaseUnavailableError, StorageError

LISTED_MAX: Final = 1_000

HANDED_OVER: Final = "handed_over"
CANCELLED: Final = "cancelled"


class NoSuchPayoutFileError(StorageError):
    """No file of payouts has this id."""

    def __init__(self, asked: str) -> None:
        super().__init__(
            f"no file of payouts {asked!r}; expected an id as `v2g payout-file list` has it"
        )


class PayoutFileEndedError(StorageError):
    """The file was handed over, or cancelled, and that stands."""

    def __init__(self, file_id: str, kind: str, by: str) -> None:
        super().__init__(
            f"file of payouts {file_id} was {kind.replace('_', ' ')} by {by}; expected one that was"
            " neither handed over nor cancelled"
        )
        self.kind = kind


class PayoutFileAtBankError(StorageError):
    """The bank has told what became of some of its payments, so it has the file."""

    def __init__(self, file_id: str, decided: int) -> None:
        super().__init__(
            f"file of payouts {file_id}: the bank has told what became of {decided} of its payments;"
            " expected one that the bank never got"
        )
        self.decided = decided


class Payable(NamedTuple):
    """A posting that may be paid by file."""

    posting_id: str
    account: str
    currency: str
    amount_minor: int
    body_digest: bytes


class LeftOut(NamedTuple):
    """Postings that are due and stand in no file, and why: how many, how much, in which currency."""

    why: str
    account: str
    currency: str
    postings: int
    amount_minor: int


@dataclass(frozen=True, slots=True)
class PayoutFile:
    """A file as it was written, without its content.

    Attributes:
        totals: minor units by currency.
        state: "written", "handed_over" or "cancelled".
        said_by: who handed it over or cancelled it, with ``said_at`` and ``why``; empty before that.
    """

    file_id: str
    partner: str
    digest: bytes
    payments: int
    totals: dict[str, int]
    written_by: str
    written_at: datetime
    state: str = "written"
    said_by: str = ""
    said_at: datetime | None = None
    why: str = ""


@contextmanager
def paying(dsn: str) -> Iterator[Connection]:
    """A connection of the poster, in one transaction.

    Raises:
        DatabaseUnavailableError: nothing is known to be stored.
    """
    with connect(dsn, Role.POSTER) as conn:
        try:
            yield conn
            conn.commit()
        except OperationalError as error:
            raise DatabaseUnavailableError(
                "files of payouts", str(error), sqlstate=error.sqlstate or ""
            ) from error


_DUE: Final = f"""
    from posting_state s join posting p using (posting_id)
    where s.state = 'pending' and s.screened_at is not null and p.partner = %(partner)s
      and not exists (select from payout_file_line f where f.posting_id = s.posting_id)
      and not {HELD}
"""


def payable(
    conn: Connection,
    *,
    partner: str,
    accounts: Collection[str],
    currencies: Collection[str],
    most: int,
) -> list[Payable]:
    """Screened postings that were never sent, of these accounts and currencies, the oldest first.

    They stay locked until the caller's transaction ends: no poster takes them meanwhile.
    """
    rows = conn.execute(
        f"""
        select p.posting_id, p.account, p.currency, p.amount_minor, p.body_digest
        {_DUE} and p.amount_minor > 0 and p.account = any(%(accounts)s)
          and p.currency = any(%(currencies)s)
        order by p.created_at, p.posting_id limit %(most)s
        for update of s skip locked
        """,
        {
            "partner": partner,
            "accounts": sorted(accounts),
            "currencies": sorted(currencies),
            "most": most,
        },
    ).fetchall()
    return [Payable(*(*row[:4], bytes(row[4]))) for row in rows]


def left_out(
    conn: Connection,
    *,
    partner: str,
    accounts: Collection[str],
    currencies: Collection[str],
) -> list[LeftOut]:
    """What is due and stands in no file, by reason, account and currency: at most ``LISTED_MAX``."""
    rows = conn.execute(
        f"""
        select case when p.amount_minor <= 0 then 'negative'
                    when not p.account = any(%(accounts)s) then 'no bank data'
                    when not p.currency = any(%(currencies)s) then 'currency not supported'
                    else 'the file is full' end as why,
               p.account, p.currency, count(*), sum(p.amount_minor)::bigint
        {_DUE}
        group by 1, 2, 3 order by 1, 2, 3 limit {LISTED_MAX}
        """,
        {"partner": partner, "accounts": sorted(accounts), "currencies": sorted(currencies)},
    ).fetchall()
    return [LeftOut(*row) for row in rows]


def store(conn: Connection, written: PayoutFile, content: bytes, postings: Sequence[str]) -> None:
    """Store a file and take its postings for it, in the transaction of ``payable``."""
    conn.execute(
        """
        insert into payout_file (file_id, partner, digest, content, payments, totals, written_by,
            written_at)
        values (%s, %s, %s, %s, %s, %s, %s, %s)
        """,
        [
            written.file_id, written.partner, written.digest, content, written.payments,
            Jsonb(written.totals), written.written_by, written.written_at,
        ],
    )  # fmt: skip
    conn.execute(
        """
        with taken as (
            insert into payout_file_line (posting_id, file_id)
            select posting_id, %(file)s from unnest(%(postings)s::text[]) as posting_id
            returning posting_id
        )
        update posting_state s
        set state = 'sent', detail = %(detail)s, changed_at = %(now)s
        from taken where s.posting_id = taken.posting_id
        """,
        {
            "file": written.file_id,
            "postings": list(postings),
            "detail": f"in file of payouts {written.file_id}",
            "now": written.written_at,
        },
    )


_SELECT: Final = """
    select f.file_id, f.partner, f.digest, f.payments, f.totals, f.written_by, f.written_at,
           coalesce(o.kind, 'written'), coalesce(o.by, ''), o.at, coalesce(o.why, '')
    from payout_file f left join payout_file_outcome o using (file_id)
"""


def find(conn: Connection, asked: str) -> PayoutFile:
    """A file by its id, or the beginning of it. Raises NoSuchPayoutFileError."""
    rows = conn.execute(f"{_SELECT} where starts_with(f.file_id, %s) limit 2", [asked]).fetchall()
    if len(rows) != 1 or not asked:
        raise NoSuchPayoutFileError(asked)
    return _file(rows[0])


def listed(conn: Connection) -> list[PayoutFile]:
    """The latest ``LISTED_MAX`` files."""
    rows = conn.execute(
        f"{_SELECT} order by f.written_at desc, f.file_id limit {LISTED_MAX}"
    ).fetchall()
    return [_file(row) for row in rows]


def _file(row: Sequence[Any]) -> PayoutFile:
    return PayoutFile(*(row[0], row[1], bytes(row[2]), *row[3:]))


def content_of(conn: Connection, file_id: str) -> bytes:
    """The file, byte for byte. Raises NoSuchPayoutFileError."""
    row = conn.execute("select content from payout_file where file_id = %s", [file_id]).fetchone()
    if row is None:
        raise NoSuchPayoutFileError(file_id)
    return bytes(row[0])


def states_of(conn: Connection, file_id: str) -> dict[str, int]:
    """How many of a file's postings are in which state; none of a cancelled one."""
    rows = conn.execute(
        """
        select s.state, count(*) from payout_file_line f join posting_state s using (posting_id)
        where f.file_id = %s group by s.state order by s.state
        """,
        [file_id],
    ).fetchall()
    return dict(rows)


def hand_over(conn: Connection, asked: str, *, by: str, why: str, now: datetime) -> PayoutFile:
    """Note that the bank has the file; from now on it cannot be cancelled. Again changes nothing.

    Raises:
        NoSuchPayoutFileError: no such file.
        PayoutFileEndedError: it was cancelled.
    """
    return _end(conn, asked, HANDED_OVER, by=by, why=why, now=now)


def cancel(conn: Connection, asked: str, *, by: str, why: str, now: datetime) -> PayoutFile:
    """Note that the bank never gets the file, and park its postings. Again changes nothing.

    Raises:
        NoSuchPayoutFileError: no such file.
        PayoutFileEndedError: it was handed over.
        PayoutFileAtBankError: the bank has it, for it has told of its payments.
    """
    found = _end(conn, asked, CANCELLED, by=by, why=why, now=now)
    # Locked, so that the bank's word comes before this or finds no file.
    states = conn.execute(
        """
        select s.state from payout_file_line f join posting_state s using (posting_id)
        where f.file_id = %s order by s.posting_id for update of s
        """,
        [found.file_id],
    ).fetchall()
    decided = sum(state != State.SENT for (state,) in states)
    if decided:
        raise PayoutFileAtBankError(found.file_id, decided)
    conn.execute(
        """
        with freed as (
            delete from payout_file_line where file_id = %(file)s returning posting_id
        )
        update posting_state s set state = 'parked', detail = %(detail)s, changed_at = %(now)s
        from freed where s.posting_id = freed.posting_id and s.state = 'sent'
        """,
        {
            "file": found.file_id,
            "detail": f"file of payouts {found.file_id} was cancelled by {by}: {why}"[:300],
            "now": now,
        },
    )
    return found


def _end(
    conn: Connection, asked: str, kind: str, *, by: str, why: str, now: datetime
) -> PayoutFile:
    file_id = find(conn, asked).file_id
    conn.execute(
        """
        insert into payout_file_outcome (file_id, kind, by, at, why) values (%s, %s, %s, %s, %s)
        on conflict do nothing
        """,
        [file_id, kind, by, now, why],
    )
    # The insert waited for whoever said the other thing, so what stands is seen now.
    found = find(conn, file_id)
    if found.state != kind:
        raise PayoutFileEndedError(found.file_id, found.state, found.said_by)
    return found
