"""Postings are screened before they are sent, and the way to a partner may rest for everybody."""

from alembic import op

from storage.migrations import statements
from storage.migrations.statements import POSTER

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

OPERATOR = "v2g_operator"
LANE_COLUMNS = "rests_until, why, by, changed_at"


def upgrade() -> None:
    op.execute("alter table public.posting_state add column screened_at timestamptz")
    # What has been sent once was sent under the rules of then.
    op.execute("update public.posting_state set screened_at = changed_at where state <> 'pending'")
    op.execute("drop index public.posting_state_due_idx")
    op.execute(
        "create index posting_state_due_idx on public.posting_state (state, next_attempt_at)"
        " where screened_at is not null"
    )
    op.execute(
        "create index posting_state_unscreened_idx on public.posting_state (posting_id)"
        " where screened_at is null"
    )
    op.execute(
        """
        create table public.partner_lane (
            partner     text        not null,
            rests_until timestamptz not null,
            why         text        not null,
            by          text        not null,
            changed_at  timestamptz not null,
            constraint partner_lane_pkey primary key (partner)
        )
        """
    )
    statements.grant(
        {
            "partner_lane": {
                POSTER: f"select, insert, update ({LANE_COLUMNS})",
                OPERATOR: f"select, insert, update ({LANE_COLUMNS})",
            }
        }
    )
    op.execute(
        f"grant select on public.alembic_version, public.posting, public.posting_state,"
        f" public.receipt, public.settlement to {OPERATOR}"
    )


def downgrade() -> None:
    op.execute(
        f"revoke select on public.alembic_version, public.posting, public.posting_state,"
        f" public.receipt, public.settlement from {OPERATOR}"
    )
    statements.drop("partner_lane")
    op.execute("drop index public.posting_state_unscreened_idx")
    op.execute("drop index public.posting_state_due_idx")
    op.execute("alter table public.posting_state drop column screened_at")
    op.execute(
        "create index posting_state_due_idx on public.posting_state (state, next_attempt_at)"
    )
