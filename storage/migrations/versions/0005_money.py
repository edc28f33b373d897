"""Money: quality, runs, settlements, the journal and the outbox."""

from alembic import op

from storage.migrations import statements
from storage.migrations.statements import POSTER, SETTLE

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

FACTS = (
    "quality_result",
    "settlement_run",
    "settlement",
    "line",
    "unpaid",
    "journal_entry",
    "journal_line",
    "posting",
    "receipt",
)

STATEMENTS = (
    """
    create table public.quality_result (
        quality_id        text        not null,
        suite             text        not null,
        suite_version     integer     not null,
        period_started_at timestamptz not null,
        period_ended_at   timestamptz not null,
        checked_at        timestamptz not null,
        worst             text        not null,
        checks            jsonb       not null,
        constraint quality_result_pkey primary key (quality_id)
    )
    """,
    "create index quality_result_period_idx on public.quality_result (period_started_at, checked_at)",
    """
    create table public.settlement_run (
        run_id            text        not null,
        period_started_at timestamptz not null,
        period_ended_at   timestamptz not null,
        known_at          timestamptz not null,
        state             text        not null,
        reason            text        not null,
        code_version      text        not null,
        totals            jsonb       not null,
        constraint settlement_run_pkey primary key (run_id)
    )
    """,
    "create index settlement_run_state_period_idx on public.settlement_run (state, period_ended_at)",
    """
    create table public.settlement (
        settlement_id              text        not null,
        program                    text        not null,
        program_version            bigint      not null,
        event_id                   text        not null,
        vehicle_id                 text        not null,
        currency                   text        not null,
        energy_milliwh             bigint      not null,
        lines_micros               bigint      not null,
        amount_minor               bigint      not null,
        rounding_difference_micros bigint      not null,
        state                      text        not null,
        reason                     text        not null,
        revision                   integer     not null,
        run_id                     text        not null,
        adjustment_minor           bigint      not null,
        known_at                   timestamptz not null,
        constraint settlement_pkey primary key (settlement_id),
        constraint settlement_program_event_id_vehicle_id_revision_key
            unique (program, event_id, vehicle_id, revision),
        constraint settlement_program_version_range_check check (program_version between 1 and 2147483648),
        constraint settlement_energy_milliwh_range_check
            check (energy_milliwh between 0 and 1000000000000000),
        constraint settlement_lines_micros_range_check
            check (lines_micros between -1000000000000000 and 1000000000000000),
        constraint settlement_amount_minor_range_check
            check (amount_minor between -1000000000000000 and 1000000000000000),
        constraint settlement_rounding_difference_micros_range_check
            check (rounding_difference_micros between -1000000000000000 and 1000000000000000)
    )
    """,
    "create index settlement_run_id_idx on public.settlement (run_id)",
    "create index settlement_vehicle_id_idx on public.settlement (vehicle_id)",
    """
    create table public.line (
        started_at           timestamptz not null,
        ended_at             timestamptz not null,
        energy_milliwh       bigint      not null,
        avg_w                bigint      not null,
        readings             bigint      not null,
        price_micros_per_kwh bigint      not null,
        incentive_rate_ppm   bigint      not null,
        tier_multiplier_ppm  bigint      not null,
        thermal_factor_ppm   bigint      not null,
        amount_micros        bigint      not null,
        settlement_id        text        not null,
        constraint line_pkey primary key (settlement_id, started_at),
        constraint line_energy_milliwh_range_check check (energy_milliwh between 0 and 100000000000),
        constraint line_avg_w_range_check check (avg_w between 0 and 1000000000),
        constraint line_readings_range_check check (readings between 1 and 2147483648),
        constraint line_price_micros_per_kwh_range_check
            check (price_micros_per_kwh between -100000000 and 100000000),
        constraint line_incentive_rate_ppm_range_check check (incentive_rate_ppm between 0 and 4000000),
        constraint line_tier_multiplier_ppm_range_check check (tier_multiplier_ppm between 0 and 4000000),
        constraint line_thermal_factor_ppm_range_check check (thermal_factor_ppm between 0 and 1000000),
        constraint line_amount_micros_range_check
            check (amount_micros between -1000000000000000 and 1000000000000000)
    )
    """,
    """
    create table public.unpaid (
        program                text        not null,
        event_id               text        not null,
        vehicle_id             text        not null,
        evse_id                text        not null,
        started_at             timestamptz not null,
        ended_at               timestamptz not null,
        energy_milliwh         bigint      not null,
        reason                 text        not null,
        would_have_been_micros bigint,
        run_id                 text        not null,
        constraint unpaid_pkey
            primary key
            (run_id, evse_id, vehicle_id, program, event_id, started_at, ended_at, reason),
        constraint unpaid_energy_milliwh_range_check
            check (energy_milliwh between 0 and 1000000000000000),
        constraint unpaid_would_have_been_micros_range_check
            check (would_have_been_micros between -1000000000000000 and 1000000000000000)
    )
    """,
    "create index unpaid_vehicle_id_started_at_idx on public.unpaid (vehicle_id, started_at)",
    """
    create table public.journal_entry (
        entry_id      text        not null,
        settlement_id text        not null,
        period_at     timestamptz not null,
        booked_at     timestamptz not null,
        constraint journal_entry_pkey primary key (entry_id),
        constraint journal_entry_settlement_id_key unique (settlement_id)
    )
    """,
    """
    create table public.journal_line (
        entry_id     text   not null,
        account      text   not null,
        currency     text   not null,
        amount_minor bigint not null,
        constraint journal_line_pkey primary key (entry_id, account, currency)
    )
    """,
    "create index journal_line_account_idx on public.journal_line (account, currency)",
    """
    create table public.posting (
        posting_id    text        not null,
        settlement_id text        not null,
        partner       text        not null,
        currency      text        not null,
        amount_minor  bigint      not null,
        body          bytea       not null,
        body_digest   bytea       not null,
        created_at    timestamptz not null,
        constraint posting_pkey primary key (posting_id),
        constraint posting_settlement_id_key unique (settlement_id)
    )
    """,
    """
    create table public.posting_state (
        posting_id      text        not null,
        state           text        not null,
        attempts        integer     not null,
        next_attempt_at timestamptz not null,
        leased_until    timestamptz,
        detail          text        not null,
        changed_at      timestamptz not null,
        constraint posting_state_pkey primary key (posting_id)
    )
    """,
    "create index posting_state_due_idx on public.posting_state (state, next_attempt_at)",
    """
    create table public.receipt (
        posting_id  text        not null,
        attempt     bigint      not null,
        answered_at timestamptz not null,
        outcome     text        not null,
        http_status bigint,
        detail      text        not null,
        constraint receipt_pkey primary key (posting_id, attempt),
        constraint receipt_attempt_range_check check (attempt between 1 and 2147483648),
        constraint receipt_http_status_range_check check (http_status between 100 and 599)
    )
    """,
)

REFUSE_UNBALANCED = """
create function public.refuse_unbalanced() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    wrong record;
begin
    select entry_id, currency, sum(amount_minor) as rest into wrong
    from inserted group by entry_id, currency having sum(amount_minor) <> 0
    order by entry_id, currency limit 1;
    if found then
        raise exception 'journal entry % does not balance: its % lines sum to % minor units, expected 0',
                        wrong.entry_id, wrong.currency, wrong.rest
            using errcode = 'check_violation',
                  table = 'journal_line',
                  hint = 'insert all lines of an entry in one statement';
    end if;
    return null;
end
$$
"""


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
    op.execute(REFUSE_UNBALANCED)
    op.execute("revoke all on function public.refuse_unbalanced() from public")
    op.execute(
        "create trigger zero_sum after insert on public.journal_line "
        "referencing new table as inserted for each statement execute function public.refuse_unbalanced()"
    )
    statements.refuse_changes(*FACTS)
    # The poster knows a posting and its settlement, moves its state, and adds receipts: no books.
    statements.grant(
        {
            table: {SETTLE: "insert"}
            for table in FACTS
            if table not in ("posting", "settlement", "receipt")
        }
        | {
            "settlement": {SETTLE: "insert", POSTER: "select"},
            "posting": {SETTLE: "insert", POSTER: "select"},
            "posting_state": {
                SETTLE: "insert",
                POSTER: "select, update (state, attempts, next_attempt_at, leased_until, detail, changed_at)",
            },
            "receipt": {POSTER: "select, insert"},
        }
    )


def downgrade() -> None:
    statements.drop("posting_state", *reversed(FACTS))
    op.execute("drop function public.refuse_unbalanced()")
