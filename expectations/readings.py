"""The suite for a period: what its readings and its packets are expected to look like.

Ranges and presence come from ``settlement.schemas.READING``; what a meter's record does not state is
empty and in no range. What is stated here are the limits that no single row has: shares, uniqueness,
freshness. Column names that are not in ``READING`` are the facts that ``storage.quality`` adds to each
row.

Raise ``SUITE_VERSION`` with every change: each stored result names the version that judged it.
"""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from settlement import units
from settlement.metering import REGISTER_STEP_MILLIWH
from settlement.programs import REGISTER_TOLERANCE_PCT
from settlement.schemas import READING

if TYPE_CHECKING:
    from great_expectations.expectations import Expectation

SUITE: Final = "readings"
SUITE_VERSION: Final = 2

TOLERANCE_PPM: Final = REGISTER_TOLERANCE_PCT * units.PPM // 100
"""Registers and powers of one reading disagree when they differ by more than this part of the
larger one, and by more than a meter's resolution. A program may be stricter about what it pays; the
share of such readings is what makes a whole period doubtful."""

SMALLEST_BASE_MILLIWH: Final = REGISTER_STEP_MILLIWH * units.PPM // TOLERANCE_PPM
"""A difference is measured against at least this energy, so that the resolution of a meter alone
never exceeds the tolerance."""

DISAGREEING_WARNING: Final = 0.01
DISAGREEING_CRITICAL: Final = 0.20
OVERLAPPING_WARNING: Final = 0.0
OVERLAPPING_CRITICAL: Final = 0.05
QUARANTINED_WARNING: Final = 0.10
QUARANTINED_CRITICAL: Final = 0.50
"""Shares of rows above which a period is doubtful (warning) or held (critical)."""

FRESH_WITHIN: Final = timedelta(hours=1)
"""The newest reading is expected to end less than this before the period does. Only a warning: a
fleet may sleep, but so does an intake that has stopped."""


def readings(period_ended_at: datetime) -> "list[Expectation]":
    """What is expected of the readings of a period, one row each.

    Args:
        period_ended_at: end of the half-open period, timezone-aware.
    """
    import great_expectations.expectations as gxe
    from great_expectations.expectations.metadata_types import FailureSeverity

    present = [
        gxe.ExpectColumnValuesToNotBeNull(column=c.name, meta=_named(f"{c.name} is present"))
        for c in READING.columns
        if not c.nullable
    ]
    ranges = [
        gxe.ExpectColumnValuesToBeBetween(
            column=c.name,
            min_value=c.low,
            max_value=c.high,
            meta=_named(f"{c.name} is in its range", c.unit),
        )
        for c in READING.columns
        if c.low is not None
    ]
    registers = [
        gxe.ExpectColumnValuesToBeBetween(
            column=f"{way}_milliwh",
            min_value=0,
            max_value=units.READING_MAX_MILLIWH,
            meta=_named(f"the {way} register never runs backwards or jumps", "mWh"),
        )
        for way in ("export", "import")
    ]
    longest_us = units.INTERVAL_MAX // timedelta(microseconds=1)
    return [
        gxe.ExpectTableRowCountToBeBetween(
            min_value=1, severity=FailureSeverity.INFO, meta=_named("the period has readings")
        ),
        *present,
        *ranges,
        *registers,
        gxe.ExpectColumnValuesToBeBetween(
            column="interval_us",
            min_value=1,
            max_value=longest_us,
            meta=_named("each reading ends after it starts, within an hour", "µs"),
        ),
        gxe.ExpectCompoundColumnsToBeUnique(
            column_list=["evse_id", "stream_epoch", "sequence"],
            meta=_named("each identity stands once"),
        ),
        *(
            gxe.ExpectColumnValuesToBeInSet(
                column="overlapping",
                value_set=[0],
                mostly=1 - share,
                severity=severity,
                meta=_named("readings of one EVSE do not overlap"),
            )
            for severity, share in (
                (FailureSeverity.WARNING, OVERLAPPING_WARNING),
                (FailureSeverity.CRITICAL, OVERLAPPING_CRITICAL),
            )
        ),
        *(
            gxe.ExpectColumnValuesToBeBetween(
                column="disagreement_ppm",
                min_value=0,
                max_value=TOLERANCE_PPM,
                mostly=1 - share,
                severity=severity,
                # Of the rows that state powers; the others are left out of the share.
                meta=_named("registers agree with powers", "1e-6"),
            )
            for severity, share in (
                (FailureSeverity.WARNING, DISAGREEING_WARNING),
                (FailureSeverity.CRITICAL, DISAGREEING_CRITICAL),
            )
        ),
        gxe.ExpectColumnMaxToBeBetween(
            column="ended_at",
            min_value=period_ended_at - FRESH_WITHIN,
            severity=FailureSeverity.WARNING,
            meta=_named("the newest reading reaches the end of the period"),
        ),
    ]


def packets() -> "list[Expectation]":
    """What is expected of the judged packets of a period, one row each, reading or quarantined."""
    import great_expectations.expectations as gxe
    from great_expectations.expectations.metadata_types import FailureSeverity
    from great_expectations.expectations.row_conditions import Column

    return [
        gxe.ExpectColumnValuesToBeInSet(
            column="quarantined",
            value_set=[0],
            mostly=1 - share,
            severity=severity,
            row_condition=condition,
            meta=_named(name),
        )
        for name, condition, severity, share in (
            ("packets become readings", None, FailureSeverity.WARNING, QUARANTINED_WARNING),
            # Whoever reaches the broker can send what is not signed; it must not hold up anybody.
            (
                "signed packets become readings",
                Column("signed") == 1,
                FailureSeverity.CRITICAL,
                QUARANTINED_CRITICAL,
            ),
        )
    ]


def _named(check: str, unit: str = "") -> dict[str, str]:
    return {"check": check, "unit": unit}
