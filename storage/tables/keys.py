"""Who may sign: enrolled keys, enrolments under way, and every change that was made."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Identity,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import JSONB

from storage.tables.columns import bigint, digest, metadata, text, time

device_key = Table(
    "device_key",
    metadata,
    text("key_id"),
    text("evse_id"),
    text("algorithm"),
    Column("public_key", LargeBinary, nullable=False),
    time("valid_from"),
    time("valid_to", nullable=True),
    time("revoked_at", nullable=True),
    time("enrolled_at"),
    text("meter_id"),
    text("client_id"),
    PrimaryKeyConstraint("key_id"),
    UniqueConstraint("public_key"),
)
"""Enrolled keys; ``public_key`` is DER SubjectPublicKeyInfo (RFC 5280 §4.1). See
``settlement.signatures.DeviceKey``. Its claim stands in ``key_claim``."""

key_claim = Table(
    "key_claim",
    metadata,
    Column("public_key", LargeBinary, nullable=False),
    text("key_id"),
    text("evse_id"),
    text("meter_id"),
    time("claimed_at"),
    PrimaryKeyConstraint("public_key"),
    UniqueConstraint("key_id"),
    UniqueConstraint("public_key", "key_id", "evse_id", "meter_id"),
)
"""Whose every public key is that was ever proven or enrolled: one EVSE's and one meter's, for ever."""

key_enrolment = Table(
    "key_enrolment",
    metadata,
    text("enrolment_id"),
    digest("invitation_digest"),
    text("evse_id"),
    text("meter_id"),
    text("client_id"),
    text("algorithm"),
    text("replaces"),
    bigint("overlap_s"),
    text("invited_by"),
    time("invited_at"),
    time("expires_at"),
    text("state"),
    text("key_id", nullable=True),
    Column("public_key", LargeBinary, nullable=True),
    Column("proof", LargeBinary, nullable=True),
    time("proven_at", nullable=True),
    text("decided_by", nullable=True),
    time("decided_at", nullable=True),
    PrimaryKeyConstraint("enrolment_id"),
    UniqueConstraint("invitation_digest"),
    CheckConstraint("state in ('invited', 'pending', 'approved', 'rejected')", name="state"),
    CheckConstraint(
        "state in ('invited', 'rejected') or (key_id is not null and public_key is not null"
        " and proof is not null and proven_at is not null)",
        name="proven",
    ),
    CheckConstraint(
        "(state in ('approved', 'rejected')) = (decided_by is not null and decided_at is not null)",
        name="decided",
    ),
    CheckConstraint(
        "state <> 'approved' or lower(decided_by) <> lower(invited_by)", name="two_people"
    ),
)
"""An invitation and what became of it. ``invitation_digest`` is SHA-256 of the token; ``replaces`` is
the key that this one rotates, or empty; ``proof`` is the signed proof of possession, as received."""

key_challenge = Table(
    "key_challenge",
    metadata,
    digest("nonce_digest"),
    text("enrolment_id"),
    time("issued_at"),
    time("expires_at"),
    time("used_at", nullable=True),
    PrimaryKeyConstraint("nonce_digest"),
)
"""Nonces, each to be signed once; ``nonce_digest`` is SHA-256."""

key_change = Table(
    "key_change",
    metadata,
    Column("change_id", BigInteger, Identity(), nullable=False),
    time("changed_at"),
    text("changed_by"),
    text("change"),
    text("key_id", nullable=True),
    text("enrolment_id", nullable=True),
    text("evse_id"),
    text("reason"),
    Column("before", JSONB, nullable=True),
    Column("after", JSONB, nullable=False),
    PrimaryKeyConstraint("change_id"),
)
"""Every change to a key or an enrolment, written in the change's own transaction."""
