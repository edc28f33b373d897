"""Where notices go, and what was told to whom.

Facts, but for how far each notice has come. Where notices go is read by who decides about it, and by
nobody else: the row holds a token, though a sealed one.
"""

from alembic import op

from storage.migrations import statements
from storage.migrations.statements import READ, SETTLE

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

OPERATOR = "v2g_operator"
FACTS = ("webhook_destination", "notice", "notice_attempt")
STATE_COLUMNS = "state, attempts, next_attempt_at, detail, changed_at"

TABLES = (
    """
    create table public.webhook_destination (
        destination_id uuid        not null,
        number         bigint      not null,
        url            text        not null,
        addresses      text[]      not null,
        outcome        text        not null,
        detail         text        not null,
        changed_by     text        not null,
        changed_at     timestamptz not null,
        sealed_token   bytea,
        sealed_secret  bytea,
        constraint webhook_destination_pkey primary key (destination_id),
        constraint webhook_destination_number_key unique (number),
        constraint webhook_destination_outcome_check
            check (outcome in ('in_force', 'test_failed')),
        constraint webhook_destination_sealed_check
            check ((outcome = 'in_force') = (sealed_token is not null)
                   and (outcome = 'in_force') = (sealed_secret is not null))
    )
    """,
    """
    create table public.notice (
        notice_id   uuid        not null,
        kind        text        not null,
        subject     text        not null,
        data        jsonb       not null,
        occurred_at timestamptz not null,
        noted_at    timestamptz not null,
        constraint notice_pkey primary key (notice_id),
        constraint notice_kind_subject_key unique (kind, subject),
        constraint notice_kind_check
            check (kind in ('posting.acknowledged', 'posting.rejected', 'posting.parked',
                            'account.held', 'certificate.expiring'))
    )
    """,
    """
    create table public.notice_state (
        notice_id       uuid        not null,
        state           text        not null,
        attempts        integer     not null,
        next_attempt_at timestamptz not null,
        detail          text        not null,
        changed_at      timestamptz not null,
        constraint notice_state_pkey primary key (notice_id),
        constraint notice_state_state_check check (state in ('pending', 'delivered', 'dead'))
    )
    """,
    """
    create table public.notice_attempt (
        notice_id      uuid        not null,
        attempt        integer     not null,
        destination_id uuid        not null,
        outcome        text        not null,
        http_status    integer,
        detail         text        not null,
        answered_at    timestamptz not null,
        constraint notice_attempt_pkey primary key (notice_id, attempt),
        constraint notice_attempt_outcome_check check (outcome in ('delivered', 'failed'))
    )
    """,
    (
        "create index notice_state_due_idx on public.notice_state (next_attempt_at)"
        " where state = 'pending'"
    ),
    "create index notice_occurred_idx on public.notice (occurred_at)",
    # What has changed since the last look is found without reading what has not.
    (
        "create index posting_state_changed_idx on public.posting_state (changed_at)"
        " where state in ('acknowledged', 'rejected', 'parked')"
    ),
)


def upgrade() -> None:
    for statement in TABLES:
        op.execute(statement)
    statements.refuse_changes(*FACTS)
    statements.grant(
        {
            "webhook_destination": {OPERATOR: "select, insert"},
            "notice": {OPERATOR: "select, insert"},
            "notice_state": {OPERATOR: f"select, insert, update ({STATE_COLUMNS})"},
            "notice_attempt": {OPERATOR: "select, insert"},
        }
    )
    op.execute(f"revoke select on public.webhook_destination from {SETTLE}, {READ}")


def downgrade() -> None:
    op.execute("drop index public.posting_state_changed_idx")
    statements.drop("notice_attempt", "notice_state", "notice", "webhook_destination")
