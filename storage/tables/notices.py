"""Where notices go, and what was told to whom."""

from sqlalchemy import (
    CheckConstraint,
    Column,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from storage.tables.columns import bigint, metadata, text, time

webhook_destination = Table(
    "webhook_destination",
    metadata,
    Column("destination_id", Uuid, nullable=False),
    bigint("number"),
    text("url"),
    Column("addresses", ARRAY(Text), nullable=False),
    text("outcome"),
    text("detail"),
    text("changed_by"),
    time("changed_at"),
    Column("sealed_token", LargeBinary, nullable=True),
    Column("sealed_secret", LargeBinary, nullable=True),
    PrimaryKeyConstraint("destination_id"),
    UniqueConstraint("number"),
    CheckConstraint("outcome in ('in_force', 'test_failed')", name="outcome"),
    CheckConstraint(
        "(outcome = 'in_force') = (sealed_token is not null)"
        " and (outcome = 'in_force') = (sealed_secret is not null)",
        name="sealed",
    ),
)
"""Every attempt to say where notices go, in order: the last one ``in_force`` counts. ``addresses`` are
those that the host's name gave then, and the only ones that are ever called. Token and secret are
sealed under a key that the database does not have; those of an attempt that failed are not kept."""

notice = Table(
    "notice",
    metadata,
    Column("notice_id", Uuid, nullable=False),
    text("kind"),
    text("subject"),
    Column("data", JSONB, nullable=False),
    time("occurred_at"),
    time("noted_at"),
    PrimaryKeyConstraint("notice_id"),
    UniqueConstraint("kind", "subject"),
    CheckConstraint(
        "kind in ('posting.acknowledged', 'posting.rejected', 'posting.parked', 'account.held',"
        " 'certificate.expiring')",
        name="kind",
    ),
)
"""What is told, once per kind and subject. ``notice_id`` is the webhook-id of every attempt."""

notice_state = Table(
    "notice_state",
    metadata,
    Column("notice_id", Uuid, nullable=False),
    text("state"),
    Column("attempts", Integer, nullable=False),
    time("next_attempt_at"),
    text("detail"),
    time("changed_at"),
    PrimaryKeyConstraint("notice_id"),
    CheckConstraint("state in ('pending', 'delivered', 'dead')", name="state"),
)
"""How far each notice has come. Whoever sends one moves ``next_attempt_at`` past its lease first."""

notice_attempt = Table(
    "notice_attempt",
    metadata,
    Column("notice_id", Uuid, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("destination_id", Uuid, nullable=False),
    text("outcome"),
    Column("http_status", Integer, nullable=True),
    text("detail"),
    time("answered_at"),
    PrimaryKeyConstraint("notice_id", "attempt"),
    CheckConstraint("outcome in ('delivered', 'failed')", name="outcome"),
)
"""Every attempt to tell, and what was answered."""
