"""The ledger looked at as a whole: its balances, its seals, and whether anything in them was changed.

Facts are append-only by privilege and by trigger; a superuser can get past both. So closing a period
seals what was booked (``settlement.seals``), each seal chained to the one before, with the hash of
every booking beside it. Verifying hashes every booking again, in the order of booking, and names the
first that is not as it was sealed. Whoever rewrites hashes and seals as well is found by a copy of the
seals kept elsewhere (``storage.audit``).

Memory stays bounded: bookings are read in batches, and a seal covers ``SEAL_MAX`` of them at most.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass
from datetime import datetime
from itertools import groupby
from typing import Any, Final

from psycopg.rows import class_row, dict_row

from settlement import merkle, seals
from settlement.seals import Seal
from storage.engine import Connection

SEAL_MAX: Final = 65_536
"""Bookings of one seal; a period that has more is closed by several."""

BATCH: Final = 1_000

Progress = Callable[[int], None]
"""Told how many further bookings have been looked at."""


@dataclass(frozen=True, slots=True)
class Balance:
    """Of one account, in minor units; debit positive."""

    account: str
    currency: str
    balance_minor: int


@dataclass(frozen=True, slots=True)
class Trial:
    """The sums of one currency; ``balance_minor`` is 0 in books that stand."""

    currency: str
    debit_minor: int
    credit_minor: int
    balance_minor: int


@dataclass(frozen=True, slots=True)
class Booking:
    """One booked settlement: its number, its id, and what is sealed of it (``seals.leaf``)."""

    booking_no: int
    settlement_id: str
    content: bytes

    @property
    def leaf(self) -> "Leaf":
        return Leaf(self.booking_no, self.settlement_id, merkle.leaf_hash(self.content))


@dataclass(frozen=True, slots=True)
class Leaf:
    """What a seal keeps of one booking: its number, its settlement's id, and the hash of its leaf."""

    booking_no: int
    settlement_id: str
    leaf: bytes


def balances(conn: Connection) -> list[Balance]:
    """Every account with its balance."""
    rows = conn.execute(
        "select account, currency, balance_minor from account_balance order by account, currency"
    ).fetchall()
    return [Balance(account, currency, int(amount)) for account, currency, amount in rows]


def trial_balance(conn: Connection) -> list[Trial]:
    """Debits, credits and their difference per currency."""
    rows = conn.execute(
        "select currency, debit_minor, credit_minor, balance_minor from trial_balance order by currency"
    ).fetchall()
    return [Trial(currency, *(int(amount) for amount in sums)) for currency, *sums in rows]


def unsealed(conn: Connection) -> int:
    """How many bookings no seal covers yet."""
    row = conn.execute(
        """
        select count(*) from settlement
        where booking_no > (select coalesce(max(last_booking_no), 0) from seal)
        """
    ).fetchone()
    assert row is not None
    return int(row[0])


def bookings(conn: Connection, *, after: int, until: int) -> Iterator[Booking]:
    """The bookings numbered above ``after`` up to ``until``, in order, as they stand now.

    Read in batches; in one REPEATABLE READ transaction they are those of one moment.

    Raises:
        UnsealableError: a value that has no canonical form.
    """
    while rows := _settlements(conn, after, until):
        lines = _of(conn, _LINES, rows)
        entries = _of(conn, _ENTRIES, rows)
        for row in rows:
            key = row["settlement_id"]
            content = seals.leaf(row, lines.get(key, ()), entries.get(key, ()))
            yield Booking(row["booking_no"], key, content)
        after = rows[-1]["booking_no"]


_Row = dict[str, Any]

# Named one by one: what was sealed keeps its form when a table gets a further column.
_SETTLEMENTS: Final = """
    select settlement_id, program, program_version, event_id, vehicle_id, contract_id, currency,
           energy_milliwh, lines_micros, amount_minor, rounding_difference_micros, state, reason,
           revision, run_id, adjustment_minor, known_at, event_version, contract_version,
           allocations, booking_no
    from settlement where booking_no > %s and booking_no <= %s order by booking_no limit %s
"""
_LINES: Final = """
    select settlement_id, started_at, ended_at, term, exported_milliwh, imported_milliwh,
           baseline_milliwh, energy_milliwh, avg_w, readings, price_micros_per_kwh,
           price_micros_per_kw, over_us, incentive_rate_ppm, tier_multiplier_ppm, tiered_nanowh,
           thermal_factor_ppm, amount_micros
    from line where settlement_id = any(%s) order by settlement_id
"""
_ENTRIES: Final = """
    select e.settlement_id, e.entry_id, e.kind, e.period_at, e.booked_at, l.account, l.currency,
           l.amount_minor
    from journal_entry e left join journal_line l using (entry_id)
    where e.settlement_id = any(%s) order by e.settlement_id
"""


def _settlements(conn: Connection, after: int, until: int) -> list[_Row]:
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(_SETTLEMENTS, [after, until, BATCH]).fetchall()


def _of(conn: Connection, query: str, rows: Sequence[_Row]) -> dict[str, list[_Row]]:
    with conn.cursor(row_factory=dict_row) as cursor:
        found = cursor.execute(query, [[row["settlement_id"] for row in rows]]).fetchall()
    return {key: list(of) for key, of in groupby(found, lambda row: str(row["settlement_id"]))}


def load_seals(conn: Connection) -> list[Seal]:
    """All seals, in the order of their numbers."""
    with conn.cursor(row_factory=class_row(Seal)) as cursor:
        return cursor.execute(
            """
            select number, first_booking_no as first, last_booking_no as last, leaves, root, previous,
                   sealed_at, seal_digest
            from seal order by number
            """
        ).fetchall()


def load_leaves(conn: Connection, sealed: Seal) -> list[Leaf]:
    """What the database keeps of the bookings of a seal, in their order."""
    with conn.cursor(row_factory=class_row(Leaf)) as cursor:
        return cursor.execute(
            """
            select booking_no, settlement_id, leaf from sealed_leaf
            where number = %s order by booking_no
            """,
            [sealed.number],
        ).fetchall()


def close(
    conn: Connection, *, until: datetime, now: datetime, progress: Progress = lambda _: None
) -> list[Seal]:
    """Seal what has been booked since the last seal, in the transaction of ``books.settling``.

    Args:
        conn: alone may book, so that no booking with a lower number is still to come.
        until: bookings in their order, up to the first one of a run that knew more than this.
        now: stands in the seals.
        progress: see ``Progress``.

    Returns:
        The new seals; none where nothing was booked.
    """
    made: list[Seal] = []
    sealed = load_seals(conn)
    previous = sealed[-1] if sealed else None
    while (last := _last_to_seal(conn, previous, until)) is not None:
        first = previous.last + 1 if previous else 1
        kept: list[Leaf] = []
        contents = _keeping(bookings(conn, after=first - 1, until=last), kept, progress)
        previous = seals.seal(previous, first, last, contents, now)
        _insert(conn, previous, kept)
        made.append(previous)
    return made


def _last_to_seal(conn: Connection, previous: Seal | None, until: datetime) -> int | None:
    after = previous.last if previous else 0
    row = conn.execute(
        """
        select max(booking_no) from (
            select booking_no from settlement
            where booking_no > %(after)s and booking_no < coalesce(
                (select min(booking_no) from settlement
                 where booking_no > %(after)s and known_at > %(until)s), 9223372036854775807)
            order by booking_no limit %(most)s
        ) next
        """,
        {"after": after, "until": until, "most": SEAL_MAX},
    ).fetchone()
    return row[0] if row else None


def _keeping(found: Iterable[Booking], kept: list[Leaf], progress: Progress) -> Iterator[bytes]:
    for one in found:
        kept.append(one.leaf)
        progress(1)
        yield one.content


def _insert(conn: Connection, sealed: Seal, kept: Iterable[Leaf]) -> None:
    conn.execute(
        """
        insert into seal (number, first_booking_no, last_booking_no, leaves, root, previous,
                          sealed_at, seal_digest)
        values (%s, %s, %s, %s, %s, %s, %s, %s)
        """,
        astuple(sealed),
    )
    with (
        conn.cursor() as cursor,
        cursor.copy(
            "copy sealed_leaf (booking_no, number, settlement_id, leaf) from stdin"
        ) as copy,
    ):
        for one in kept:
            copy.write_row((one.booking_no, sealed.number, one.settlement_id, one.leaf))
