"""What a run's page shows of a period and a run: what came in, what was paid, what was refused.

Reads only, as v2g_read: sums inside the database, and a bound on every list and on the time of each query.

StorageError
└── PageTooSlowError    a query took longer than a page is worth
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from psycopg.errors import QueryCanceled
from psycopg.rows import class_row

from settlement.periods import Period
from storage.engine import Connection, Role, connect
from storage.errors import StorageError

QUERY_S: Final = 20
"""For one query of a page; the settlement has been booked by then and nobody must wait for its picture."""


class PageTooSlowError(StorageError):
    """A query took longer than a page is worth."""

    def __init__(self) -> None:
        super().__init__(f"a query of the page took more than {QUERY_S} s; expected less")


@dataclass(frozen=True, slots=True)
class CameIn:
    """What a period's packets came to.

    Attributes:
        packets: landed, whose signed time lies in the period.
        unjudged: those of them that no judge has looked at yet.
        readings: that start in the period.
        exported_milliwh: what their export registers went by.
        imported_milliwh: the same of their import registers.
    """

    packets: int
    unjudged: int
    readings: int
    exported_milliwh: int
    imported_milliwh: int


@dataclass(frozen=True, slots=True)
class PaidByProgram:
    """What one run booked for one program, in one currency.

    Attributes:
        settlements: revisions that the run made.
        held: those of them that are held.
        energy_milliwh: of those that are booked.
        amount_minor: payable for them.
        booked_minor: what the run booked for them: the difference to what was booked before.
    """

    program: str
    currency: str
    settlements: int
    held: int
    vehicles: int
    energy_milliwh: int
    amount_minor: int
    booked_minor: int


@dataclass(frozen=True, slots=True)
class LargestSettlement:
    """One of the settlements with which a run moved the most money."""

    settlement_id: str
    program: str
    event_id: str
    vehicle_id: str
    currency: str
    amount_minor: int
    booked_minor: int


@dataclass(frozen=True, slots=True)
class Refused:
    """Verified energy of one reason: how many rows and vehicles, and the money it would have been.

    Attributes:
        unpriced: rows of which it is not known what they would have been.
    """

    reason: str
    rows: int
    vehicles: int
    energy_milliwh: int
    would_have_been_micros: int
    unpriced: int


@contextmanager
def reading(dsn: str) -> Iterator[Connection]:
    """A connection for the queries of one page, each of which is given up after ``QUERY_S`` seconds.

    Raises:
        DatabaseUnavailableError: no connection.
        PageTooSlowError: a query was given up.
    """
    with connect(dsn, Role.READ) as conn:
        conn.execute(f"set statement_timeout = '{QUERY_S}s'")
        try:
            yield conn
        except QueryCanceled as error:
            raise PageTooSlowError from error


def came_in(conn: Connection, period: Period) -> CameIn:
    """Packets and readings of a period."""
    with conn.cursor(row_factory=class_row(CameIn)) as cursor:
        cursor.execute(
            """
            with landed as (
                select count(*) as packets,
                       count(*) filter (where judged_batch.batch_id is null) as unjudged
                from raw_packet left join judged_batch using (batch_id)
                where signed_at >= %(started_at)s and signed_at < %(ended_at)s
            ), metered as (
                select count(*) as readings,
                       coalesce(sum(export_end_milliwh - export_start_milliwh), 0)::bigint
                           as exported_milliwh,
                       coalesce(sum(import_end_milliwh - import_start_milliwh), 0)::bigint
                           as imported_milliwh
                from reading where started_at >= %(started_at)s and started_at < %(ended_at)s
            )
            select packets, unjudged, readings, exported_milliwh, imported_milliwh
            from landed cross join metered
            """,
            {"started_at": period.started_at, "ended_at": period.ended_at},
        )
        row = cursor.fetchone()
    assert row is not None
    return row


def paid_by_program(conn: Connection, run_id: str, *, most: int) -> list[PaidByProgram]:
    """What a run booked, program by program, at most so many rows; none of a dry or a held run."""
    with conn.cursor(row_factory=class_row(PaidByProgram)) as cursor:
        cursor.execute(
            """
            select program, currency, count(*) as settlements,
                   count(*) filter (where state <> 'booked') as held,
                   count(distinct vehicle_id) as vehicles,
                   coalesce(sum(energy_milliwh) filter (where state = 'booked'), 0)::bigint
                       as energy_milliwh,
                   coalesce(sum(amount_minor) filter (where state = 'booked'), 0)::bigint
                       as amount_minor,
                   sum(adjustment_minor)::bigint as booked_minor
            from settlement where run_id = %s
            group by program, currency order by program, currency limit %s
            """,
            [run_id, most],
        )
        return cursor.fetchall()


def largest_settlements(conn: Connection, run_id: str, *, most: int) -> list[LargestSettlement]:
    """The settlements with which a run moved the most money, the largest first."""
    with conn.cursor(row_factory=class_row(LargestSettlement)) as cursor:
        cursor.execute(
            """
            select settlement_id, program, event_id, vehicle_id, currency, amount_minor,
                   adjustment_minor as booked_minor
            from settlement where run_id = %s
            order by abs(adjustment_minor) desc, settlement_id limit %s
            """,
            [run_id, most],
        )
        return cursor.fetchall()


def refused(conn: Connection, run_id: str, *, most: int) -> list[Refused]:
    """Verified energy that a run left unpaid, by reason, the most money first; none of a dry run."""
    with conn.cursor(row_factory=class_row(Refused)) as cursor:
        cursor.execute(
            """
            select reason, count(*) as rows, count(distinct vehicle_id) as vehicles,
                   sum(energy_milliwh)::bigint as energy_milliwh,
                   coalesce(sum(would_have_been_micros), 0)::bigint as would_have_been_micros,
                   count(*) filter (where would_have_been_micros is null) as unpriced
            from unpaid
            where run_id = (select unpaid_of from settlement_run where run_id = %s)
            group by reason order by would_have_been_micros desc, reason limit %s
            """,
            [run_id, most],
        )
        return cursor.fetchall()
