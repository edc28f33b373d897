"""What the grid's side said: every version of every event and price, and what is in force now."""

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any, Final

from psycopg.rows import class_row

from settlement import units
from settlement.periods import Period
from settlement.timeline import Price, Window
from storage import versions
from storage.engine import Connection

CANCELLED: Final = "cancelled"
"""A status of the utility that takes an event out of force, from its start unless a time is given."""


@dataclass(frozen=True, slots=True)
class EventRow:
    """One version of an event as received.

    Attributes:
        document: the bytes that said it.
        received_at: when this system first held it; see ``put_events``.
        primacy: of overlapping events the lower number is in force (IEEE 2030.5 clause 10.2.2.3).
        site_group: the devices that it addresses; empty: all of the program.
        cancelled_at: from then on it is out of force.
    """

    event_id: str
    program: str
    started_at: datetime
    ended_at: datetime
    created_at: datetime
    status: str
    document: bytes
    received_at: datetime
    primacy: int = 0
    site_group: str = ""
    cancelled_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class PriceRow:
    """One version of a price; ``digest`` is the SHA-256 of the document that stated it."""

    program: str
    started_at: datetime
    ended_at: datetime
    price_micros_per_kwh: int
    currency: str
    digest: bytes
    received_at: datetime


def put_events(conn: Connection, rows: Sequence[EventRow]) -> int:
    """Keep each event whose document differs from the latest one, as its next version.

    The caller commits. What a run cannot have seen counts as received after it: where one has fixed
    its time since ``received_at``, the next microsecond is stored (``storage.fence``).

    Returns:
        How many are new.
    """
    return _put(
        conn,
        """
        insert into event_version
            (event_id, version, digest, program, started_at, ended_at, created_at, status, document,
             received_at, primacy, site_group, cancelled_at)
        select %(event_id)s, coalesce(latest.version, 0) + 1, %(digest)s, %(program)s,
               %(started_at)s, %(ended_at)s, %(created_at)s, %(status)s, %(document)s,
               %(received_at)s, %(primacy)s, %(site_group)s, %(cancelled_at)s
        from (select) said left join lateral (
            select version, digest from event_version where event_id = %(event_id)s
            order by version desc limit 1) latest on true
        where latest.digest is distinct from %(digest)s
        """,
        [asdict(row) | {"digest": sha256(row.document).digest()} for row in rows],
    )


def put_prices(conn: Connection, rows: Sequence[PriceRow]) -> int:
    """Keep each price that differs from the latest one of its interval, as its next version.

    Stamped as ``put_events`` does.

    Returns:
        How many are new.
    """
    return _put(
        conn,
        """
        insert into price_version
            (program, started_at, ended_at, version, digest, price_micros_per_kwh, currency,
             received_at)
        select %(program)s, %(started_at)s, %(ended_at)s, coalesce(latest.version, 0) + 1, %(digest)s,
               %(price_micros_per_kwh)s, %(currency)s, %(received_at)s
        from (select) said left join lateral (
            select version, price_micros_per_kwh, currency from price_version
            where program = %(program)s and started_at = %(started_at)s and ended_at = %(ended_at)s
            order by version desc limit 1) latest on true
        where (latest.price_micros_per_kwh, latest.currency)
              is distinct from (%(price_micros_per_kwh)s::bigint, %(currency)s::text)
        """,
        [asdict(row) for row in rows],
    )


def _put(conn: Connection, statement: str, rows: Sequence[dict[str, Any]]) -> int:
    if not rows:
        return 0
    # The earliest time that may be stamped now; each row keeps its own, where that is later.
    earliest = versions.stamp(conn, units.EARLIEST)
    stamped = [row | {"received_at": max(row["received_at"], earliest)} for row in rows]
    with conn.cursor() as cursor:
        cursor.executemany(statement, stamped)
        return max(cursor.rowcount, 0)


def load_windows(conn: Connection, period: Period, *, known_at: datetime) -> list[Window]:
    """The latest version of each event known by then, of those that touch a period; by event_id.

    An event that is cancelled without a time was never in force: it is cancelled as it starts.
    """
    with conn.cursor(row_factory=class_row(Window)) as cursor:
        cursor.execute(
            """
            select event_id, program, started_at, ended_at, created_at, primacy, site_group as group,
                   case when status = %(cancelled)s then coalesce(cancelled_at, started_at)
                        else cancelled_at end as cancelled_at
            from (
                select distinct on (event_id) * from event_version
                where received_at <= %(known_at)s order by event_id, version desc
            ) latest
            where started_at < %(ended_at)s and ended_at > %(started_at)s
            order by event_id
            """,
            _bounds(period, known_at) | {"cancelled": CANCELLED},
        )
        return cursor.fetchall()


def ended_events(conn: Connection, period: Period, *, known_at: datetime) -> dict[str, Period]:
    """Events whose latest version ends in a period, cancelled ones too: what a run over it settles."""
    rows = conn.execute(
        """
        select event_id, started_at, ended_at from (
            select distinct on (event_id) * from event_version
            where received_at <= %(known_at)s order by event_id, version desc
        ) latest
        where ended_at > %(started_at)s and ended_at <= %(ended_at)s order by event_id
        """,
        _bounds(period, known_at),
    ).fetchall()
    return {event: Period(started, ended).in_utc() for event, started, ended in rows}


def event_versions(
    conn: Connection, events: Collection[str], *, known_at: datetime
) -> dict[str, int]:
    """The number of the latest version known by then of each of these events that was known."""
    return dict(
        conn.execute(
            "select event_id, max(version) from event_version"
            " where event_id = any(%s) and received_at <= %s group by event_id order by event_id",
            [list(events), known_at],
        ).fetchall()
    )


def load_prices(conn: Connection, period: Period, *, known_at: datetime) -> list[Price]:
    """Prices that touch a period, the latest version of each interval known by then."""
    with conn.cursor(row_factory=class_row(Price)) as cursor:
        cursor.execute(
            """
            select distinct on (program, started_at, ended_at)
                program, started_at, ended_at, price_micros_per_kwh, received_at
            from price_version
            where received_at <= %(known_at)s
              and started_at < %(ended_at)s and ended_at > %(started_at)s
            order by program, started_at, ended_at, version desc
            """,
            _bounds(period, known_at),
        )
        return cursor.fetchall()


def _bounds(period: Period, known_at: datetime) -> dict[str, object]:
    return {"started_at": period.started_at, "ended_at": period.ended_at, "known_at": known_at}
