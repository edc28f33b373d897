"""The run calendar's memory: which local days ended events, and which runs over them are done."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime

from psycopg.rows import class_row

from storage.engine import Connection


@dataclass(frozen=True, slots=True)
class Ending:
    """The latest known version of an event, cancelled ones too."""

    event_id: str
    program: str
    started_at: datetime
    ended_at: datetime


def endings(conn: Connection, *, until: datetime) -> list[Ending]:
    """Events that have ended by a time, by their latest version, in the order of their ends."""
    with conn.cursor(row_factory=class_row(Ending)) as cursor:
        return cursor.execute(
            """
            select event_id, program, started_at, ended_at from (
                select distinct on (event_id) * from event_version
                order by event_id, version desc
            ) latest
            where ended_at <= %s order by ended_at, event_id
            """,
            [until],
        ).fetchall()


def done(conn: Connection, programs: Collection[str]) -> frozenset[tuple[str, date, str]]:
    """Runs of these programs' calendars that are done: (program, day, name)."""
    rows = conn.execute(
        "select program, day, name from calendar_run where program = any(%s)", [list(programs)]
    ).fetchall()
    return frozenset((program, day, name) for program, day, name in rows)


def mark_done(
    conn: Connection, program: str, day: date, name: str, *, run_id: str, done_at: datetime
) -> None:
    """Record a run of the calendar, in the transaction that books it.

    Raises:
        UniqueViolation: somebody else has done it; nothing of this transaction is kept then.
    """
    conn.execute(
        "insert into calendar_run (program, day, name, run_id, done_at) values (%s, %s, %s, %s, %s)",
        [program, day, name, run_id, done_at],
    )
