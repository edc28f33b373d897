"""The last known state of each vehicle, for people who watch."""

from alembic import op

from storage.migrations import statements
from storage.migrations.statements import SETTLE

REGISTRY = "v2g_registry"
"""The API reads it."""

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

# Unlogged: a cache needs no write-ahead log, and may be empty after a crash.
VEHICLE_STATE = """
    create unlogged table public.vehicle_state (
        vehicle_id  text        not null,
        evse_id     text        not null,
        measured_at timestamptz not null,
        soc_ppm     bigint,
        power_w     bigint,
        expires_at  timestamptz not null,
        constraint vehicle_state_pkey primary key (vehicle_id)
    )
"""


def upgrade() -> None:
    op.execute(VEHICLE_STATE)
    changed = "evse_id, measured_at, soc_ppm, power_w, expires_at"
    statements.grant(
        {"vehicle_state": {SETTLE: f"insert, delete, update ({changed})", REGISTRY: "select"}}
    )


def downgrade() -> None:
    statements.drop("vehicle_state")
