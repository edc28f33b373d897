"""Doubt a period: run the quality gate on it, keep what it found, say whether it may be paid."""

from dataclasses import asdict, dataclass
from datetime import datetime

from expectations import gate, readings
from settlement.periods import Period
from storage import quality
from storage.engine import Role, connect


@dataclass(frozen=True, slots=True)
class QualitySummary:
    """What the gate found in one period.

    Attributes:
        quality_id: the stored row.
        worst: severity of the worst check that failed: none, info, warning or critical.
        checks: one JSON object per check, in the words of ``expectations.gate.CheckResult``.
    """

    quality_id: str
    worst: str
    checks: list[dict[str, object]]

    @property
    def hold(self) -> str:
        """Why nothing may be paid on it: the critical checks that failed; empty if it may be."""
        critical = [
            f"{check['check']}: {check['observed']}, expected {check['limit']}"
            for check in self.checks
            if check["severity"] == gate.Severity.CRITICAL and not check["passed"]
        ]
        return "; ".join(critical)


def check_quality(dsn: str, period: Period, *, now: datetime) -> QualitySummary:
    """Run the suite on a period inside the database and store the result.

    Args:
        dsn: libpq conninfo without a user; the checks read as v2g_read, the result is written as
            v2g_settle.
        period: half-open.
        now: time of the check, timezone-aware.

    Raises:
        DatabaseUnavailableError: no connection.
        GateBrokenError: a check could not be computed.
    """
    with connect(dsn, Role.READ) as reader:
        url = quality.same_database(reader)
    verdict = gate.doubt(
        url,
        readings_query=quality.readings_query(
            period, smallest_base_milliwh=readings.SMALLEST_BASE_MILLIWH
        ),
        packets_query=quality.packets_query(period),
        period_ended_at=period.ended_at,
    )
    checks = [asdict(check) for check in verdict.checks]
    row = quality.QualityRow(
        suite=readings.SUITE,
        suite_version=readings.SUITE_VERSION,
        period=period,
        checked_at=now,
        worst=verdict.worst,
        checks=checks,
    )
    with connect(dsn, Role.SETTLE) as writer:
        quality_id = quality.record_quality(writer, row)
    return QualitySummary(quality_id, verdict.worst, checks)
