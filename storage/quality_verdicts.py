"""What the quality gate has found, as it is stored: the latest verdicts, one of them, those of a period.

StorageError
└── NoSuchVerdictError   no verdict has this id
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from settlement.periods import Period
from storage.engine import Connection, StorageError


class NoSuchVerdictError(StorageError):
    """``which`` names no verdict, or more than one."""

    def __init__(self, which: str, found: int) -> None:
        super().__init__(
            f"verdict {which[:80]!r}: {found or 'no'} verdicts have an id that begins so; expected"
            " one, as `v2g quality list --verdicts` shows it"
        )
        self.which = which


@dataclass(frozen=True, slots=True)
class Verdict:
    """One run of the gate on one period.

    Attributes:
        worst: none, info, warning or critical; critical holds the period.
        checks: one JSON object per check, in the words of ``expectations.gate.CheckResult``.
    """

    quality_id: str
    suite: str
    suite_version: int
    period: Period
    checked_at: datetime
    worst: str
    checks: list[dict[str, Any]]

    @property
    def failed(self) -> list[dict[str, Any]]:
        """The checks that did not hold."""
        return [check for check in self.checks if not check["passed"]]


_COLUMNS = (
    "select quality_id, suite, suite_version, period_started_at, period_ended_at, checked_at, worst,"
    " checks from quality_result"
)


def find(conn: Connection, which: str) -> Verdict:
    """The verdict of an id, or of its beginning.

    Raises:
        NoSuchVerdictError: none, or several.
    """
    rows = conn.execute(
        f"{_COLUMNS} where starts_with(quality_id, %s) limit 2", [which or "\n"]
    ).fetchall()
    if len(rows) != 1:
        raise NoSuchVerdictError(which, len(rows))
    return _verdict(rows[0])


def latest(conn: Connection, *, most: int) -> list[Verdict]:
    """The newest verdicts, the newest first, at most so many."""
    rows = conn.execute(
        f"{_COLUMNS} order by checked_at desc, quality_id limit %s", [most]
    ).fetchall()
    return [_verdict(row) for row in rows]


def of_period(
    conn: Connection, period: Period, *, until: datetime | None = None, most: int = 1
) -> list[Verdict]:
    """The verdicts of exactly this period, the newest first.

    Args:
        conn: as ``v2g_read``, ``v2g_settle`` or ``v2g_operator``.
        period: half-open.
        until: only those that were made by then; None for all.
        most: at most so many.
    """
    rows = conn.execute(
        f"{_COLUMNS} where period_started_at = %(from)s and period_ended_at = %(to)s"
        " and (%(until)s::timestamptz is null or checked_at <= %(until)s)"
        " order by checked_at desc, quality_id limit %(most)s",
        {"from": period.started_at, "to": period.ended_at, "until": until, "most": most},
    ).fetchall()
    return [_verdict(row) for row in rows]


def _verdict(row: tuple[Any, ...]) -> Verdict:
    quality_id, suite, version, started_at, ended_at, checked_at, worst, checks = row
    period = Period(started_at, ended_at).in_utc()
    return Verdict(*(quality_id, suite, version, period, checked_at.astimezone(UTC), worst, checks))
