"""What a person's word about a held period still covers: as much as they saw, and nothing worse."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from expectations.gate import Severity
from settlement.periods import Period
from storage import quality_releases
from storage.engine import Role, connect
from storage.quality_releases import Answered, Release
from tasks.quality import QualitySummary

LEEWAY_PERCENT: Final = 1
"""Of a check's rows: so much more may fail than when a person released it. Packets go on trickling in,
and a share that moves in its third digit is not another finding."""

Check = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Word:
    """What is to be done with a period, after the gate and after people.

    Attributes:
        hold: why it must not be booked; empty where it may be.
        released: who released it and why; empty where nobody had to.
        excused: vehicles on which a difference of the second opinion is released with it.
    """

    hold: str
    released: str = ""
    excused: frozenset[str] = frozenset()


def word(dsn: str, period: Period, quality: QualitySummary) -> Word:
    """The gate's finding, answered by the last release of exactly this period.

    Args:
        dsn: the database.
        period: that was doubted.
        quality: what the gate said.

    Raises:
        DatabaseUnavailableError: no connection.
    """
    with connect(dsn, Role.READ) as conn:
        answered = quality_releases.in_force(conn, period)
    return answer(quality.hold, quality.checks, answered)


def answer(hold: str, checks: Sequence[Check], answered: Answered | None) -> Word:
    """The same, of what is known already."""
    if answered is None:
        return Word(hold)
    found = worse(checks, () if answered.verdict is None else answered.verdict.checks)
    if found:
        release = answered.release
        return Word(f"{hold}; worse than what {release.by} released: {', '.join(found)}")
    if not hold and not answered.differing:
        return Word("")
    return Word("", told(answered.release), answered.differing)


def told(release: Release) -> str:
    """A release in words, as the run keeps it that settles the period.

    >>> from datetime import UTC
    >>> at = datetime(2026, 7, 1, 18, tzinfo=UTC)
    >>> told(
    ...     Release(
    ...         Period(at, at.replace(hour=19)), 1, "run", None, "Ada", "rubbish of one charger", at
    ...     )
    ... )
    'released by Ada at 2026-07-01T18:00:00Z: rubbish of one charger'
    """
    return f"released by {release.by} at {release.released_at:%Y-%m-%dT%H:%M:%SZ}: {release.why}"


def worse(now: Sequence[Check], then: Sequence[Check]) -> list[str]:
    """The critical checks that fail now and did not when a person looked, or by more than the leeway."""
    before = {_name(check): check for check in then if _holds(check)}
    return [
        str(check["check"])
        for check in now
        if _holds(check) and (_name(check) not in before or _grown(check, before[_name(check)]))
    ]


def _holds(check: Check) -> bool:
    return check["severity"] == Severity.CRITICAL and not check["passed"]


def _name(check: Check) -> tuple[str, ...]:
    return tuple(str(check.get(part, "")) for part in ("suite", "check", "column"))


def _grown(now: Check, then: Check) -> bool:
    """Whether a larger part of the rows fails, by more than the leeway; of whole tables there is no part."""
    if not (now.get("rows") and then.get("rows")):
        return False
    found, rows = int(now["unexpected"]), int(now["rows"])
    found_then, rows_then = int(then["unexpected"]), int(then["rows"])
    return 100 * found * rows_then > (100 * found_then + LEEWAY_PERCENT * rows_then) * rows


def release_period(dsn: str, period: Period, *, by: str, why: str, now: datetime) -> Release:
    """A named person's word that a held period may be settled as it is; the next run settles it.

    Raises:
        ReleaseRefusedError: it is not held, or released already, or nobody says so.
        DatabaseUnavailableError: nothing is known to be released; try again.
    """
    with connect(dsn, Role.OPERATOR) as conn:
        return quality_releases.release(conn, period, by=by, why=why, now=now)
