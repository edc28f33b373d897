"""What is no fact: the last known state of each vehicle, for people who watch."""

from sqlalchemy import PrimaryKeyConstraint, Table

from storage.tables.columns import bigint, metadata, text, time

vehicle_state = Table(
    "vehicle_state",
    metadata,
    text("vehicle_id"),
    text("evse_id"),
    time("measured_at"),
    bigint("soc_ppm", nullable=True),
    bigint("power_w", nullable=True),
    time("expires_at"),
    PrimaryKeyConstraint("vehicle_id"),
    prefixes=["UNLOGGED"],
)
"""A cache, changed in place and unlogged: a crash of the server empties it, the next packets fill it."""
