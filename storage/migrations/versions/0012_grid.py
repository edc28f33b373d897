"""The grid's side as it speaks IEEE 2030.5: documents, controls' modes, answers due, feeds' health."""

from alembic import op

from storage.migrations import statements
from storage.migrations.statements import SETTLE

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

FACTS = ("grid_document", "event_decision")

EVENT_COLUMNS = (
    ("modes", "text[] not null default '{}'"),
    ("randomize_start_s", "integer not null default 0"),
    ("randomize_duration_s", "integer not null default 0"),
    ("resumes", "boolean not null default true"),
    ("source", "bytea not null default ''"),
    ("feed", "text not null default ''"),
)

TABLES = (
    """
    create table public.grid_document (
        digest      bytea       not null,
        feed        text        not null,
        href        text        not null,
        media_type  text        not null,
        body        bytea       not null,
        received_at timestamptz not null,
        constraint grid_document_pkey primary key (digest)
    )
    """,
    """
    create table public.event_decision (
        event_id    text        not null,
        version     integer     not null,
        decision    text        not null,
        decided_by  text        not null,
        note        text        not null,
        recorded_at timestamptz not null,
        constraint event_decision_pkey primary key (event_id, version),
        constraint event_decision_word_check check (decision in ('approved', 'rejected'))
    )
    """,
    """
    create table public.grid_response (
        feed       text        not null,
        mrid       text        not null,
        lfdi       text        not null,
        status     integer     not null,
        reply_to   text        not null,
        due_at     timestamptz not null,
        state      text        not null,
        tries      integer     not null default 0,
        detail     text        not null default '',
        changed_at timestamptz not null,
        constraint grid_response_pkey primary key (feed, mrid, lfdi, status),
        constraint grid_response_state_check check (state in ('due', 'posted', 'refused'))
    )
    """,
    """
    create table public.feed_state (
        feed                 text        not null,
        kind                 text        not null,
        tried_at             timestamptz not null,
        read_at              timestamptz,
        next_at              timestamptz,
        error                text        not null default '',
        clock_offset_us      bigint,
        clock_uncertainty_us bigint,
        events               bigint      not null default 0,
        prices               bigint      not null default 0,
        refused              bigint      not null default 0,
        refusals             text[]      not null default '{}',
        notes                text[]      not null default '{}',
        whole                boolean     not null default true,
        constraint feed_state_pkey primary key (feed)
    )
    """,
)

WHAT_COUNTED = """
    insert into public.event_decision (event_id, version, decision, decided_by, note, recorded_at)
    select event_id, version, 'approved', 'v2g migrate', 'counted before late changes needed a word',
           received_at
    from public.event_version where version > 1 or created_at > started_at
"""
"""Every version has counted as it came until now: neither the books nor a replay are to change with this."""


def upgrade() -> None:
    for column, kind in EVENT_COLUMNS:
        op.execute(f"alter table public.event_version add column {column} {kind}")
    for column in ("randomize_start_s", "randomize_duration_s"):
        op.execute(
            f"alter table public.event_version add constraint event_version_{column}_range_check"
            f" check ({column} between -3600 and 3600)"
        )
    op.execute("alter table public.price_version add column feed text not null default ''")
    for table in TABLES:
        op.execute(table)
    op.execute(WHAT_COUNTED)
    statements.refuse_changes(*FACTS)
    statements.grant(
        {
            "grid_document": {SETTLE: "insert"},
            "event_decision": {SETTLE: "insert"},
            "grid_response": {SETTLE: "insert, update (state, tries, detail, changed_at)"},
            "feed_state": {
                SETTLE: "insert, delete, update (kind, tried_at, read_at, next_at, error,"
                " clock_offset_us, clock_uncertainty_us, events, prices, refused, refusals, notes, whole)"
            },
        }
    )


def downgrade() -> None:
    statements.drop("feed_state", "grid_response", "event_decision", "grid_document")
    op.execute("alter table public.price_version drop column feed")
    for column, _ in reversed(EVENT_COLUMNS):
        op.execute(f"alter table public.event_version drop column {column}")
