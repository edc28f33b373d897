"""What the grid's side said: every version of every event and price, and the documents behind them."""

from collections.abc import Collection, Sequence
from dataclasses import asdict
from datetime import datetime
from hashlib import sha256
from typing import Any, NamedTuple

from psycopg.rows import class_row

from grid.records import Document, EventSaid, PriceSaid
from settlement import units
from settlement.periods import Period
from settlement.timeline import Price
from storage import versions
from storage.engine import Connection


class Put(NamedTuple):
    """What was new of what was put.

    Attributes:
        new: how many versions.
        sources: digests of the documents in which they stood.
    """

    new: int
    sources: frozenset[bytes]


def put_events(conn: Connection, rows: Sequence[EventSaid]) -> Put:
    """Keep each event that says something else than its latest version, as its next version.

    Something else: its own bytes differ, or what stood around them did, such as its program's primacy,
    or what the feed's configuration makes of it. Who said it, and in which document, is no difference.

    The caller commits. What a run cannot have seen counts as received after it: where one has fixed
    its time since ``received_at``, the next microsecond is stored (``storage.fence``).
    """
    return _put(
        conn,
        """
        insert into event_version
            (event_id, version, digest, program, started_at, ended_at, created_at, status, document,
             received_at, primacy, site_group, cancelled_at, modes, randomize_start_s,
             randomize_duration_s, resumes, source, feed)
        select %(event_id)s, coalesce(latest.version, 0) + 1, %(digest)s, %(program)s,
               %(started_at)s, %(ended_at)s, %(created_at)s, %(status)s, %(document)s,
               %(received_at)s, %(primacy)s, %(site_group)s, %(cancelled_at)s, %(modes)s::text[],
               %(randomize_start_s)s, %(randomize_duration_s)s, %(resumes)s, %(source)s, %(feed)s
        from (select) said left join lateral (
            select * from event_version where event_id = %(event_id)s
            order by version desc limit 1) latest on true
        where (latest.digest, latest.program, latest.started_at, latest.ended_at, latest.created_at,
               latest.status, latest.primacy, latest.site_group, latest.cancelled_at, latest.modes,
               latest.randomize_start_s, latest.randomize_duration_s, latest.resumes)
              is distinct from
              (%(digest)s, %(program)s::text, %(started_at)s::timestamptz, %(ended_at)s::timestamptz,
               %(created_at)s::timestamptz, %(status)s::text, %(primacy)s::integer,
               %(site_group)s::text, %(cancelled_at)s::timestamptz, %(modes)s::text[],
               %(randomize_start_s)s::integer, %(randomize_duration_s)s::integer,
               %(resumes)s::boolean)
        returning source
        """,
        [
            asdict(row) | {"digest": sha256(row.document).digest(), "modes": list(row.modes)}
            for row in rows
        ],
    )


def put_prices(conn: Connection, rows: Sequence[PriceSaid]) -> Put:
    """Keep each price that differs from the latest one of its interval, as its next version.

    Stamped as ``put_events`` does.
    """
    return _put(
        conn,
        """
        insert into price_version
            (program, started_at, ended_at, version, digest, price_micros_per_kwh, currency,
             received_at, feed)
        select %(program)s, %(started_at)s, %(ended_at)s, coalesce(latest.version, 0) + 1, %(digest)s,
               %(price_micros_per_kwh)s, %(currency)s, %(received_at)s, %(feed)s
        from (select) said left join lateral (
            select version, price_micros_per_kwh, currency from price_version
            where program = %(program)s and started_at = %(started_at)s and ended_at = %(ended_at)s
            order by version desc limit 1) latest on true
        where (latest.price_micros_per_kwh, latest.currency)
              is distinct from (%(price_micros_per_kwh)s::bigint, %(currency)s::text)
        returning digest
        """,
        [asdict(row) for row in rows],
    )


def put_documents(
    conn: Connection,
    documents: Sequence[Document],
    *,
    cited: Collection[bytes],
    feed: str,
    now: datetime,
) -> int:
    """Keep those documents that something new rests on, each once. Returns how many are new."""
    with conn.cursor() as cursor:
        kept = 0
        for document in documents:
            digest = sha256(document.body).digest()
            if digest in cited:
                cursor.execute(
                    """
                    insert into grid_document (digest, feed, href, media_type, body, received_at)
                    values (%s, %s, %s, %s, %s, %s) on conflict (digest) do nothing
                    """,
                    [digest, feed, document.href, document.media_type, document.body, now],
                )
                kept += max(cursor.rowcount, 0)
    return kept


def document(conn: Connection, digest: bytes) -> bytes | None:
    """A document by its SHA-256; None where it was not kept."""
    row = conn.execute("select body from grid_document where digest = %s", [digest]).fetchone()
    return None if row is None else bytes(row[0])


def _put(conn: Connection, statement: str, rows: Sequence[dict[str, Any]]) -> Put:
    if not rows:
        return Put(0, frozenset())
    # The earliest time that may be stamped now; each row keeps its own, where that is later.
    earliest = versions.stamp(conn, units.EARLIEST)
    stamped = [row | {"received_at": max(row["received_at"], earliest)} for row in rows]
    sources: list[bytes] = []
    with conn.cursor() as cursor:
        cursor.executemany(statement, stamped, returning=True)
        for result in cursor.results():
            sources.extend(bytes(source) for (source,) in result)
    return Put(len(sources), frozenset(sources))


def load_prices(conn: Connection, period: Period, *, known_at: datetime) -> list[Price]:
    """Prices that touch a period, the latest version of each interval known by then.

    A price in a currency that its program has in no version is passed over: it can only have come
    before the program was enrolled, for later it is refused.
    """
    with conn.cursor(row_factory=class_row(Price)) as cursor:
        cursor.execute(
            """
            select distinct on (program, started_at, ended_at)
                program, started_at, ended_at, price_micros_per_kwh, received_at
            from price_version
            where received_at <= %(known_at)s
              and started_at < %(ended_at)s and ended_at > %(started_at)s
              and not exists (
                    select 1 from program_version as enrolled
                    where enrolled.program = price_version.program
                      and recorded_at <= %(known_at)s
                    having not bool_or(body ->> 'currency' = price_version.currency))
            order by program, started_at, ended_at, version desc
            """,
            _bounds(period, known_at),
        )
        return cursor.fetchall()


def _bounds(period: Period, known_at: datetime) -> dict[str, object]:
    return {"started_at": period.started_at, "ended_at": period.ended_at, "known_at": known_at}
