"""Weeks: the time series' partitions, created before the rows that need them.

On plain PostgreSQL ``raw_packet`` and ``reading`` are partitioned by week (Monday 00:00 UTC). No
role that inserts may create tables, so the migrations give them one function that creates the weeks
of a time range and nothing else; it takes at most ``WEEKS_PER_CALL`` weeks, only within
[``units.EARLIEST``, ``units.LATEST``). On TimescaleDB the same function does nothing, because
chunks come by themselves.

Call ``ensure`` before inserting, in a transaction of its own: creating a week locks the series'
default partition until the transaction ends. Rows that go in without it land in the default
partition and are safe there, but their week can then not be created any more.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import psycopg

WEEK: Final = timedelta(days=7)
ORIGIN: Final = datetime(2000, 1, 3, tzinfo=UTC)
"""A Monday: weeks begin where ISO 8601 has them begin."""

WEEKS_PER_CALL: Final = 64

ENSURE: Final = "select public.ensure_partitions($1, $2, $3)"
"""Series, first and last time; numbered parameters, as PostgreSQL itself takes them."""


def week_of(time: datetime) -> datetime:
    """The Monday 00:00 UTC at or before a time.

    >>> week_of(datetime(2026, 11, 22, 23, 59, tzinfo=UTC)).isoformat()
    '2026-11-16T00:00:00+00:00'
    """
    return ORIGIN + (time - ORIGIN) // WEEK * WEEK


def ranges(times: Iterable[datetime]) -> Iterator[tuple[datetime, datetime]]:
    """The weeks of the times as few ranges (first week, last week), each one call of the function.

    >>> three = [ORIGIN, ORIGIN + WEEK, ORIGIN + 9 * WEEK]
    >>> [(str(first.date()), str(last.date())) for first, last in ranges(three)]
    [('2000-01-03', '2000-01-10'), ('2000-03-06', '2000-03-06')]
    """
    first = last = None
    for week in sorted({week_of(time) for time in times}):
        if first is None or last is None:
            first = week
        elif week - last > WEEK or week - first >= WEEKS_PER_CALL * WEEK:
            yield first, last
            first = week
        last = week
    if first is not None and last is not None:
        yield first, last


def ensure(conn: psycopg.Connection[Any], series: str, times: Iterable[datetime]) -> int:
    """Create the weeks that rows at these times need; commits nothing.

    Args:
        conn: a connection as ``Role.INGEST`` or ``Role.SETTLE``.
        series: a key of ``storage.tables.TIME_SERIES``.
        times: of the rows to come; within [``units.EARLIEST``, ``units.LATEST``).

    Returns:
        How many weeks were created.
    """
    created = 0
    with psycopg.RawCursor(conn) as cursor:
        for first, last in ranges(times):
            row = cursor.execute(ENSURE, (series, first, last)).fetchone()
            created += row[0] if row is not None else 0
    return created
