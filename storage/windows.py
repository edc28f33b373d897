"""Events as they count: of each the version in force, and what a run over a period settles.

Which version that is, is said in one place, ``settlement.windows.versions``, and asked in one, here:
every other query takes the versions that ``in_force`` names.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any, Final

from psycopg.rows import DictRow, dict_row

from settlement.periods import Period
from settlement.windows import (
    CANCELLATIONS,
    CANCELLED_RANDOMLY,
    Decision,
    Outcome,
    Version,
    Window,
    outcome,
)
from storage.engine import Connection

_TOUCHING: Final = """
    select event_id from event_version
    where started_at < %(ended_at)s and ended_at > %(started_at)s
"""
_ENDING: Final = """
    select event_id from event_version
    where ended_at > %(started_at)s and ended_at <= %(ended_at)s
"""
_NAMED: Final = "select unnest(%(events)s::text[])"
_ENDED: Final = "select event_id from event_version where ended_at <= %(until)s"
_LATE: Final = """
    select event_id from event_version
    group by event_id
    having bool_or(created_at >= ended_at)
        or count(distinct (program, started_at, ended_at, cancelled_at,
                           case when status like 'cancelled%%' then status end,
                           primacy, site_group, modes, randomize_start_s, randomize_duration_s,
                           resumes)) > 1
"""
"""Status alone makes no change: of most events only that is ever said anew."""


@dataclass(frozen=True, slots=True)
class Counting:
    """An event as it counts, and the number of the latest version that says so."""

    window: Window
    version: int


def load_windows(conn: Connection, period: Period, *, known_at: datetime) -> list[Window]:
    """The events that touch a period, as they count by what was known then; by event_id.

    An event that is cancelled without a time was never in force: it is cancelled as it starts.
    """
    found = _counting(conn, _TOUCHING, _bounds(period, known_at))
    return [
        one.window
        for one in found
        if one.window.started_at < period.ended_at and one.window.ended_at > period.started_at
    ]


def load_competing(conn: Connection, period: Period, *, known_at: datetime) -> list[Window]:
    """The events that touch a period, and those before it that may have ended one of them for good.

    Whether an event that runs as the period begins is over by then (2018 edition) is told by what
    competed with it since its own start, and whether that was over, by what came before in turn.
    """
    while True:
        windows = load_windows(conn, period, known_at=known_at)
        since = min((w.started_at for w in windows if not w.resumes), default=period.started_at)
        if since >= period.started_at:
            return windows
        period = Period(since, period.ended_at)


def ended_events(conn: Connection, period: Period, *, known_at: datetime) -> dict[str, Period]:
    """Events that end in a period, as they count, cancelled ones too: what a run over it settles."""
    return {
        one.window.event_id: Period(one.window.started_at, one.window.ended_at).in_utc()
        for one in _counting(conn, _ENDING, _bounds(period, known_at))
        if period.started_at < one.window.ended_at <= period.ended_at
    }


def ended_by(conn: Connection, until: datetime) -> list[Window]:
    """All events that have ended by a time, as they count now, in the order of their ends."""
    found = _counting(conn, _ENDED, {"until": until, "known_at": None})
    ended = (one.window for one in found if one.window.ended_at <= until)
    return sorted(ended, key=lambda window: (window.ended_at, window.event_id))


def in_force(
    conn: Connection, events: Collection[str], *, known_at: datetime
) -> dict[str, Counting]:
    """Each of these events that counted by what was known then, by event_id."""
    bounds = {"events": sorted(events), "known_at": known_at}
    return {one.window.event_id: one for one in _counting(conn, _NAMED, bounds)}


def event_versions(
    conn: Connection, events: Collection[str], *, known_at: datetime
) -> dict[str, int]:
    """The number of the version in force of each of these events that counted."""
    return {name: one.version for name, one in in_force(conn, events, known_at=known_at).items()}


def late_outcomes(
    conn: Connection, *, known_at: datetime | None = None, event_id: str | None = None
) -> dict[str, Outcome]:
    """What the versions of events come to of which any could have come too late, by event_id."""
    which = _LATE if event_id is None else _NAMED
    bounds = {"events": [event_id], "known_at": known_at}
    return dict(_outcomes(conn, which, bounds))


def _counting(conn: Connection, which: str, bounds: dict[str, Any]) -> list[Counting]:
    return [
        Counting(one.window, one.number)
        for _, one in _outcomes(conn, which, bounds)
        if one.window is not None
    ]


def _outcomes(
    conn: Connection, which: str, bounds: dict[str, Any]
) -> Iterator[tuple[str, Outcome]]:
    """Of the events that a query names, by what had been received and decided at ``known_at``; None:
    by all of it.
    """
    with conn.cursor(row_factory=dict_row) as cursor:
        cursor.execute(
            f"""
            select v.event_id, v.version, v.program, v.started_at, v.ended_at, v.created_at, v.status,
                   v.received_at, v.primacy, v.site_group, v.cancelled_at, v.modes,
                   v.randomize_start_s, v.randomize_duration_s, v.resumes, d.decision,
                   d.recorded_at as decided_at
            from event_version v left join event_decision d
                 on d.event_id = v.event_id and d.version = v.version
                    and (%(known_at)s::timestamptz is null or d.recorded_at <= %(known_at)s)
            where v.event_id in ({which})
              and (%(known_at)s::timestamptz is null or v.received_at <= %(known_at)s)
            order by v.event_id, v.version
            """,
            bounds,
        )
        for event_id, rows in groupby(cursor, key=lambda row: row["event_id"]):
            yield str(event_id), outcome([_version(row) for row in rows])


def _version(row: DictRow) -> Version:
    return Version(
        row["version"],
        _window(row),
        row["received_at"],
        None if row["decision"] is None else Decision(row["decision"]),
        row["decided_at"],
    )


def _window(row: DictRow) -> Window:
    cancelled_at = row["cancelled_at"]
    if cancelled_at is None and row["status"] in CANCELLATIONS:
        cancelled_at = row["started_at"]
    return Window(
        event_id=row["event_id"],
        program=row["program"],
        started_at=row["started_at"],
        ended_at=row["ended_at"],
        created_at=row["created_at"],
        primacy=row["primacy"],
        group=row["site_group"],
        cancelled_at=cancelled_at,
        modes=tuple(row["modes"]),
        randomize_start_s=row["randomize_start_s"],
        randomize_duration_s=row["randomize_duration_s"],
        resumes=row["resumes"],
        cancelled_randomly=row["status"] == CANCELLED_RANDOMLY,
    )


def _bounds(period: Period, known_at: datetime) -> dict[str, Any]:
    return {"started_at": period.started_at, "ended_at": period.ended_at, "known_at": known_at}
