"""What people said about periods that are held."""

from sqlalchemy import (
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Integer,
    PrimaryKeyConstraint,
    Table,
    UniqueConstraint,
)

from storage.tables.columns import metadata, text, time

quality_release = Table(
    "quality_release",
    metadata,
    time("period_started_at"),
    time("period_ended_at"),
    Column("number", Integer, nullable=False),
    text("run_id"),
    text("quality_id", nullable=True),
    text("by"),
    text("why"),
    time("released_at"),
    PrimaryKeyConstraint("period_started_at", "period_ended_at", "number"),
    UniqueConstraint("run_id"),
    CheckConstraint("number >= 1", name="number"),
    CheckConstraint("by <> '' and why <> ''", name="said"),
    ForeignKeyConstraint(["run_id"], ["settlement_run.run_id"]),
)
"""A person's word that a period may be settled in spite of what was found: counted from 1 for each
period. It answers one held run (``run_id``), once, and the verdict that held it (``quality_id``; null
where the second opinion alone did). What is worse than that holds the period again."""
