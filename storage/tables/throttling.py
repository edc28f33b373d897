"""Limits commanded to chargers because of their batteries, and what became of each."""

from sqlalchemy import (
    CheckConstraint,
    Column,
    Integer,
    PrimaryKeyConstraint,
    Table,
    UniqueConstraint,
    Uuid,
)
from sqlalchemy.dialects.postgresql import JSONB

from storage.tables.columns import bigint, metadata, text, time

throttle_command = Table(
    "throttle_command",
    metadata,
    Column("command_id", Uuid, nullable=False),
    text("evse_id"),
    bigint("number"),
    bigint("limit_w", nullable=True),
    text("reason"),
    Column("evidence", JSONB, nullable=False),
    time("raised_at"),
    time("recorded_at"),
    PrimaryKeyConstraint("command_id"),
    UniqueConstraint("evse_id", "number"),
    CheckConstraint("limit_w >= 0", name="limit"),
    CheckConstraint("number >= 1", name="number"),
)
"""What an EVSE was commanded, counted from 1 per EVSE: the last one is in force. Stored before it is
sent. ``limit_w`` is the largest power of discharge in watts, null releases; ``evidence`` is what was
known when it was decided."""

throttle_outcome = Table(
    "throttle_outcome",
    metadata,
    Column("command_id", Uuid, nullable=False),
    Column("number", Integer, nullable=False),
    text("state"),
    text("way"),
    text("detail"),
    time("recorded_at"),
    PrimaryKeyConstraint("command_id", "number"),
    CheckConstraint(
        "state in ('sent', 'obeyed', 'refused', 'failed', 'replaced')",
        name="state",
    ),
)
"""Every attempt to tell a charger, and every answer, in order. ``way`` is ``mqtt:CLIENT`` or
``modbus:DEVICE``; empty where a newer command replaced one that nobody had obeyed."""
