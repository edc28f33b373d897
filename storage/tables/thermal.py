"""What sensors of batteries said, and how far that has become temperatures of vehicles."""

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Uuid,
)

from storage.tables.columns import bigint, metadata, text, time

thermal_sample = Table(
    "thermal_sample",
    metadata,
    text("device_id"),
    text("sensor"),
    text("evse_id"),
    text("vehicle_id"),
    time("measured_at"),
    Column("registers", LargeBinary, nullable=False),
    bigint("value_millicelsius", nullable=True),
    text("quality"),
    Column("battery", Boolean, nullable=False),
    text("detail"),
    time("recorded_at"),
    PrimaryKeyConstraint("device_id", "sensor", "measured_at"),
    CheckConstraint("(value_millicelsius is not null) = (quality = 'good')", name="value"),
    CheckConstraint("value_millicelsius between -50000 and 150000", name="range"),
    CheckConstraint(
        "quality in ('good', 'not_implemented', 'out_of_range', 'jump', 'stuck', 'no_answer',"
        " 'refused', 'garbled')",
        name="quality",
    ),
)
"""Time series on measured_at: one answer of one sensor, or that there was none. Only a good one has a
value; the raw registers are kept of all. ``vehicle_id`` is empty where the device does not know it."""

thermal_pending = Table(
    "thermal_pending",
    metadata,
    Column("mark_id", Uuid, nullable=False),
    text("evse_id"),
    time("first_measured_at"),
    time("last_measured_at"),
    bigint("samples"),
    PrimaryKeyConstraint("mark_id"),
)
"""Where to look for samples that are not temperatures of a vehicle yet; gone once looked at."""

thermal_waiting = Table(
    "thermal_waiting",
    metadata,
    text("evse_id"),
    time("day"),
    bigint("contracts"),
    PrimaryKeyConstraint("evse_id", "day"),
)
"""Days (UTC) of an EVSE with samples of no known vehicle, and how many versions of contracts that name
the EVSE had been looked at: more of them is the reason to look again."""
