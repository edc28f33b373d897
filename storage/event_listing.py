"""Events with all their versions, for people to look at."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import class_row

from settlement.periods import Period
from storage.engine import Connection


@dataclass(frozen=True, slots=True)
class ListedVersion:
    """One version of an event as it was said.

    Attributes:
        received_at: when this system first held it.
        status: the utility's word, which is evidence only.
        digest: SHA-256 of the event's own bytes, hex.
        source: SHA-256 of the document in which it stood, hex; empty where that is not known.
    """

    event_id: str
    version: int
    program: str
    site_group: str
    started_at: datetime
    ended_at: datetime
    created_at: datetime
    received_at: datetime
    status: str
    primacy: int
    cancelled_at: datetime | None
    modes: list[str]
    randomize_start_s: int
    randomize_duration_s: int
    feed: str
    digest: str
    source: str


def listed_versions(
    conn: Connection,
    period: Period,
    *,
    program: str = "",
    most: int,
    only: Collection[str] | None = None,
) -> list[ListedVersion]:
    """All versions of the events of which any version touches a period.

    Args:
        conn: any role that may read.
        period: half-open.
        program: of this program only; empty: of all.
        most: at most so many events, those that start first.
        only: of these events only; None: of all.

    Returns:
        By start of the latest version, event and version.
    """
    with conn.cursor(row_factory=class_row(ListedVersion)) as cursor:
        cursor.execute(
            """
            with chosen as (
                select event_id, (array_agg(started_at order by version desc))[1] as starts
                from event_version
                where event_id in (
                    select event_id from event_version
                    where started_at < %(ended_at)s and ended_at > %(started_at)s
                      and (%(program)s = '' or program = %(program)s))
                  and (%(only)s::text[] is null or event_id = any(%(only)s))
                group by event_id order by starts, event_id limit %(most)s
            )
            select event_id, version, program, site_group, started_at, ended_at, created_at,
                   received_at, status, primacy, cancelled_at, modes, randomize_start_s,
                   randomize_duration_s, feed, encode(digest, 'hex') as digest,
                   encode(source, 'hex') as source
            from event_version join chosen using (event_id)
            order by starts, event_id, version
            """,
            {
                "started_at": period.started_at,
                "ended_at": period.ended_at,
                "program": program,
                "most": most,
                "only": None if only is None else sorted(only),
            },
        )
        return cursor.fetchall()
