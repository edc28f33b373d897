"""The run calendar's memory: which local days ended events, and which runs over them are done."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime

from storage import windows
from storage.engine import Connection


@dataclass(frozen=True, slots=True)
class Ending:
    """An event as it counts, cancelled ones too."""

    event_id: str
    program: str
    started_at: datetime
    ended_at: datetime


def endings(conn: Connection, *, until: datetime) -> list[Ending]:
    """Events that have ended by a time, as they count now, in the order of their ends."""
    return [
        Ending(one.event_id, one.program, one.started_at, one.ended_at)
        for one in windows.ended_by(conn, until)
    ]


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
