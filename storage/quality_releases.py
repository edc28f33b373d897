"""What people say about periods that are held: that one may be settled in spite of what was found.

A release answers one held run, and the verdict behind it. It stays in force for its period as long as
nothing worse is found (``tasks.releasing``).

StorageError
└── ReleaseRefusedError   not what can be released
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from psycopg.errors import UniqueViolation

from settlement import units
from settlement.periods import Period
from storage.engine import Connection, StorageError
from storage.held import held, verdict_of
from storage.quality_verdicts import Verdict, find

WHY_MAX_CHARS: Final = 1_000


class ReleaseRefusedError(StorageError):
    """A release that is not possible. Nothing was changed.

    Attributes:
        said: whether the command says something impossible; else something stands against it.
        where: the period or option.
        found: what is the case.
        expected: what would have been needed.
    """

    def __init__(self, where: str, found: str, expected: str, *, said: bool = False) -> None:
        super().__init__(f"{where}: {found}; expected {expected}")
        self.said = said
        self.where = where
        self.found = found
        self.expected = expected


@dataclass(frozen=True, slots=True)
class Release:
    """A named person's word.

    Attributes:
        number: counts the releases of this period from 1.
        run_id: the held run that it answers.
        quality_id: the verdict that it answers; None where the second opinion alone held the period.
        by: who.
    """

    period: Period
    number: int
    run_id: str
    quality_id: str | None
    by: str
    why: str
    released_at: datetime


@dataclass(frozen=True, slots=True)
class Answered:
    """A release with what was known when it was made.

    Attributes:
        verdict: that it answers; None where there was none.
        differing: vehicles on which the second opinion differed in the run that it answers.
    """

    release: Release
    verdict: Verdict | None
    differing: frozenset[str]


def release(conn: Connection, period: Period, *, by: str, why: str, now: datetime) -> Release:
    """Record that a held period may be settled as it is; the next run of settling does.

    Args:
        conn: idle, as ``v2g_operator``; committed on return.
        period: exactly a period that is held.
        by: who has looked at it.
        why: kept with it, and in the run that settles the period.
        now: when.

    Raises:
        ReleaseRefusedError: it is not held, or what holds it is released already.
        DatabaseUnavailableError: nothing is known to be released; try again.
    """
    for where, text, longest in (("--by", by, units.ID_MAX_CHARS), ("--why", why, WHY_MAX_CHARS)):
        if not text.strip() or not text.isprintable() or len(text) > longest:
            raise ReleaseRefusedError(
                where, ascii(text[:40]), f"1 to {longest} printable characters", said=True
            )
    with conn.transaction():
        found = held(conn, only=period)
        if not found:
            raise ReleaseRefusedError(
                f"period {period}", "not held", "one that `v2g quality list` shows"
            )
        (one,) = found
        verdict = verdict_of(conn, one)
        quality_id = None if verdict is None else verdict.quality_id
        try:
            with conn.transaction():
                row = conn.execute(
                    """
                    insert into quality_release (period_started_at, period_ended_at, number, run_id,
                        quality_id, by, why, released_at)
                    select %(from)s, %(to)s, coalesce(max(number), 0) + 1, %(run)s, %(quality)s,
                           %(by)s, %(why)s, %(now)s
                    from quality_release where period_started_at = %(from)s and period_ended_at = %(to)s
                    returning number
                    """,
                    {
                        "from": period.started_at,
                        "to": period.ended_at,
                        "run": one.run_id,
                        "quality": quality_id,
                        "by": by.strip(),
                        "why": why.strip(),
                        "now": now,
                    },
                ).fetchone()
        except UniqueViolation as error:
            raise ReleaseRefusedError(
                f"period {period}",
                f"released already ({_last(conn, period)})",
                "the next run of settling to settle it (`v2g settle`)",
            ) from error
    assert row is not None
    return Release(period, row[0], one.run_id, quality_id, by.strip(), why.strip(), now)


def _last(conn: Connection, period: Period) -> str:
    found = releases(conn, period)
    return f"by {found[-1].by}: {found[-1].why}" if found else "by somebody at this moment"


def releases(conn: Connection, period: Period) -> list[Release]:
    """The releases of exactly this period, in their order."""
    rows = conn.execute(
        """
        select number, run_id, quality_id, by, why, released_at from quality_release
        where period_started_at = %s and period_ended_at = %s order by number
        """,
        [period.started_at, period.ended_at],
    ).fetchall()
    return [
        Release(period, number, run_id, quality_id, by, why, at.astimezone(UTC))
        for number, run_id, quality_id, by, why, at in rows
    ]


def in_force(conn: Connection, period: Period) -> Answered | None:
    """The last release of exactly this period, with what it answers; None where there is none."""
    found = releases(conn, period)
    if not found:
        return None
    last = found[-1]
    row = conn.execute(
        "select totals -> 'second_opinion' -> 'differing' from settlement_run where run_id = %s",
        [last.run_id],
    ).fetchone()
    verdict = None if last.quality_id is None else find(conn, last.quality_id)
    return Answered(last, verdict, frozenset((row and row[0]) or ()))
