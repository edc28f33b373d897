"""What operators said about the way to a partner is kept for ever."""

from alembic import op

from storage.migrations import statements

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

OPERATOR = "v2g_operator"


def upgrade() -> None:
    op.execute(
        """
        create table public.lane_change (
            partner     text        not null,
            change_no   bigint      generated always as identity,
            rests_until timestamptz not null,
            why         text        not null,
            by          text        not null,
            changed_at  timestamptz not null,
            constraint lane_change_pkey primary key (change_no)
        )
        """
    )
    statements.refuse_changes("lane_change")
    statements.grant({"lane_change": {OPERATOR: "select, insert"}})


def downgrade() -> None:
    statements.drop("lane_change")
