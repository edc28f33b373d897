"""The terms of settlement: contracts, sites, battery temperatures, baselines and orders.

All but the temperatures are versions, counted from 1: a row that says something new is the next
version of its key, and ``recorded_at`` is when this system knew it.
"""

from sqlalchemy import CheckConstraint, Column, Integer, PrimaryKeyConstraint
from sqlalchemy.dialects.postgresql import JSONB

from settlement import schemas
from storage.tables.columns import frame_table, time

contract_version = frame_table(
    schemas.CONTRACT,
    PrimaryKeyConstraint("contract_id", "version"),
    CheckConstraint("jsonb_array_length(shares) > 0", name="shares"),
    name="contract_version",
    extra=(
        Column("version", Integer, nullable=False),
        Column("shares", JSONB, nullable=False),
        time("recorded_at"),
    ),
)
"""Every version of every contract, counted from 1. ``shares``: a list of {role, account, share_ppm},
ordered, that sums to 1,000,000."""

site_version = frame_table(
    schemas.SITE,
    PrimaryKeyConstraint("site_id", "version"),
    name="site_version",
    extra=(Column("version", Integer, nullable=False), time("recorded_at")),
)
"""Every version of every site, counted from 1."""

temperature = frame_table(
    schemas.TEMPERATURE,
    PrimaryKeyConstraint("evse_id", "vehicle_id", "measured_at"),
    extra=(time("recorded_at"),),
)
"""Time series on measured_at. What a sensor has said of a moment stands."""

baseline_version = frame_table(
    schemas.BASELINE,
    PrimaryKeyConstraint("vehicle_id", "started_at", "ended_at", "version"),
    CheckConstraint("started_at < ended_at", name="interval"),
    name="baseline_version",
    extra=(Column("version", Integer, nullable=False), time("recorded_at")),
)
"""Every version of every provided baseline, counted from 1 for each interval of a vehicle."""

power_order_version = frame_table(
    schemas.ORDER,
    PrimaryKeyConstraint("event_id", "vehicle_id", "started_at", "ended_at", "version"),
    CheckConstraint("started_at < ended_at", name="interval"),
    name="power_order_version",
    extra=(Column("version", Integer, nullable=False), time("recorded_at")),
)
"""Every version of every order, counted from 1 for each interval of a vehicle and event."""
