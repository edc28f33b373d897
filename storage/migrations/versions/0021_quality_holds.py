"""A held period is released by a named person, and what they said is kept for ever."""

from alembic import op

from storage.migrations import statements

revision = "0021"
down_revision = "0019"
branch_labels = None
depends_on = None

OPERATOR = "v2g_operator"


def upgrade() -> None:
    op.execute(
        """
        create table public.quality_release (
            period_started_at timestamptz not null,
            period_ended_at   timestamptz not null,
            number            integer     not null,
            run_id            text        not null,
            quality_id        text,
            by                text        not null,
            why               text        not null,
            released_at       timestamptz not null,
            constraint quality_release_pkey
                primary key (period_started_at, period_ended_at, number),
            constraint quality_release_run_id_key unique (run_id),
            constraint quality_release_number_check check (number >= 1),
            constraint quality_release_said_check check (by <> '' and why <> ''),
            constraint quality_release_run_id_fkey
                foreign key (run_id) references public.settlement_run (run_id)
        )
        """
    )
    statements.refuse_changes("quality_release")
    statements.grant({"quality_release": {OPERATOR: "select, insert"}})
    for table in ("settlement_run", "quality_result"):
        op.execute(f"grant select on public.{table} to {OPERATOR}")


def downgrade() -> None:
    for table in ("settlement_run", "quality_result"):
        op.execute(f"revoke select on public.{table} from {OPERATOR}")
    statements.drop("quality_release")
