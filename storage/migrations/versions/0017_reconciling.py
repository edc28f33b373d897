"""What partners and banks say was paid, what differs, disputes, and files of payouts.

An operator imports statements, compares and disputes; files of payouts are the poster's, because they
pay. What a dispute comes to is booked by who books.
"""

from alembic import op

from storage.migrations import statements
from storage.migrations.statements import POSTER

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

OPERATOR = "v2g_operator"

FACTS = (
    "partner_statement",
    "statement_line",
    "statement_refusal",
    "reconciliation",
    "reconciliation_difference",
    "dispute",
    "dispute_event",
    "payout_file",
    "payout_file_outcome",
)

TABLES = (
    """
    create table public.partner_statement (
        statement_id      text        not null,
        digest            bytea       not null,
        partner           text        not null,
        way               text        not null,
        format            text        not null,
        reference         text        not null,
        period_started_at timestamptz not null,
        period_ended_at   timestamptz not null,
        content           bytea       not null,
        name              text        not null,
        imported_by       text        not null,
        imported_at       timestamptz not null,
        constraint partner_statement_pkey primary key (statement_id),
        constraint partner_statement_digest_key unique (digest),
        constraint partner_statement_way_check check (way in ('api', 'file'))
    )
    """,
    "create index partner_statement_period_idx on public.partner_statement (partner, period_ended_at)",
    """
    create table public.statement_line (
        statement_id text        not null,
        number       integer     not null,
        status       text        not null,
        reference    text        not null,
        posting_id   text        not null,
        account      text        not null,
        currency     text        not null,
        amount_minor bigint      not null,
        booked_at    timestamptz not null,
        detail       text        not null,
        constraint statement_line_pkey primary key (statement_id, number),
        constraint statement_line_amount_minor_range_check
            check (amount_minor between -1000000000000000 and 1000000000000000),
        constraint statement_line_status_check
            check (status in ('paid', 'pending', 'returned', 'refused', 'fee'))
    )
    """,
    "create index statement_line_posting_id_idx on public.statement_line (posting_id)",
    "create index statement_line_booked_at_idx on public.statement_line (booked_at)",
    """
    create table public.statement_refusal (
        statement_id text    not null,
        number       integer not null,
        column_name  text    not null,
        found        text    not null,
        expected     text    not null,
        constraint statement_refusal_pkey primary key (statement_id, number)
    )
    """,
    """
    create table public.reconciliation (
        reconciliation_id text        not null,
        partner           text        not null,
        way               text        not null,
        period_started_at timestamptz not null,
        period_ended_at   timestamptz not null,
        number            integer     not null,
        inputs_digest     bytea       not null,
        totals            jsonb       not null,
        done_by           text        not null,
        done_at           timestamptz not null,
        constraint reconciliation_pkey primary key (reconciliation_id),
        constraint reconciliation_version_key
            unique (partner, way, period_started_at, period_ended_at, number)
    )
    """,
    """
    create table public.reconciliation_difference (
        reconciliation_id text        not null,
        difference_id     text        not null,
        kind              text        not null,
        posting_id        text        not null,
        statement_id      text,
        number            integer,
        account           text        not null,
        currency          text        not null,
        ours_minor        bigint      not null,
        theirs_currency   text        not null,
        theirs_minor      bigint      not null,
        at_stake_minor    bigint      not null,
        noted_at          timestamptz not null,
        detail            text        not null,
        constraint reconciliation_difference_pkey primary key (reconciliation_id, difference_id)
    )
    """,
    "create index reconciliation_difference_id_idx on public.reconciliation_difference (difference_id)",
    """
    create table public.dispute (
        dispute_id      text        not null,
        subject         text        not null,
        partner         text        not null,
        kind            text        not null,
        posting_id      text        not null,
        statement_id    text,
        number          integer,
        currency        text        not null,
        amount_minor    bigint      not null,
        opened_at       timestamptz not null,
        deadline_at     timestamptz not null,
        evidence_digest bytea       not null,
        constraint dispute_pkey primary key (dispute_id),
        constraint dispute_subject_key unique (subject)
    )
    """,
    "create index dispute_deadline_at_idx on public.dispute (deadline_at)",
    "create index dispute_posting_id_idx on public.dispute (posting_id)",
    """
    create table public.dispute_event (
        dispute_id text        not null,
        number     integer     not null,
        kind       text        not null,
        by         text        not null,
        at         timestamptz not null,
        detail     text        not null,
        constraint dispute_event_pkey primary key (dispute_id, number),
        constraint dispute_event_kind_check
            check (kind in ('opened', 'answered', 'won', 'lost', 'withdrawn', 'expired'))
    )
    """,
    """
    create unique index dispute_event_closing_idx on public.dispute_event (dispute_id)
    where kind in ('won', 'lost', 'withdrawn', 'expired')
    """,
    """
    create table public.payout_file (
        file_id    text        not null,
        partner    text        not null,
        digest     bytea       not null,
        content    bytea       not null,
        payments   integer     not null,
        totals     jsonb       not null,
        written_by text        not null,
        written_at timestamptz not null,
        constraint payout_file_pkey primary key (file_id),
        constraint payout_file_digest_key unique (digest)
    )
    """,
    """
    create table public.payout_file_outcome (
        file_id text        not null,
        kind    text        not null,
        by      text        not null,
        at      timestamptz not null,
        why     text        not null,
        constraint payout_file_outcome_pkey primary key (file_id),
        constraint payout_file_outcome_kind_check check (kind in ('handed_over', 'cancelled'))
    )
    """,
    """
    create table public.payout_file_line (
        posting_id text not null,
        file_id    text not null,
        constraint payout_file_line_pkey primary key (posting_id)
    )
    """,
    "create index payout_file_line_file_id_idx on public.payout_file_line (file_id)",
)

DECIDED = FACTS[:7]
"""What an operator brings in and decides; the files of payouts are the poster's."""


def upgrade() -> None:
    for statement in TABLES:
        op.execute(statement)
    statements.refuse_changes(*FACTS)
    statements.grant({table: {OPERATOR: "select, insert"} for table in DECIDED})
    statements.grant(
        {table: {POSTER: "select, insert", OPERATOR: "select"} for table in FACTS[7:]}
        # Taken out again when a file is cancelled; what stood in it stands in the file.
        | {"payout_file_line": {POSTER: "select, insert, delete", OPERATOR: "select"}}
    )
    op.execute(f"grant insert on public.receipt to {OPERATOR}")


def downgrade() -> None:
    op.execute(f"revoke insert on public.receipt from {OPERATOR}")
    statements.drop("payout_file_line", *reversed(FACTS))
