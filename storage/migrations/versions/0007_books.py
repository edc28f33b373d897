"""Books in full: accounts per party, provenance, every product's lines, calendar runs and seals.

What stands already is carried over: a line's energy was all exported and its tier one multiplier;
what was owed to a vehicle was owed to the account that its posting names.
"""

from alembic import op

from storage.migrations import statements
from storage.migrations.statements import SETTLE

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

FACTS = ("seal", "sealed_leaf", "calendar_run", "difference")
BACKFILLED = ("settlement_run", "line", "journal_entry", "journal_line", "posting")

RUN = (
    """
    alter table public.settlement_run
        add column kind           text not null default 'manual',
        add column programs       text[],
        add column inputs_digest  bytea,
        add column outputs_digest bytea,
        add column unpaid_digest  bytea,
        add column unpaid_of      text
    """,
    "update public.settlement_run set unpaid_of = run_id",
    """
    alter table public.settlement_run
        alter column kind drop default, alter column unpaid_of set not null
    """,
    "create index settlement_run_period_idx on public.settlement_run (period_started_at, period_ended_at)",
)

SETTLEMENT = (
    """
    alter table public.settlement
        add column contract_id      text  not null default '',
        add column event_version    integer,
        add column contract_version integer,
        add column allocations      jsonb not null default '[]',
        add column booking_no       bigint not null generated always as identity,
        add constraint settlement_booking_no_key unique (booking_no),
        drop constraint settlement_energy_milliwh_range_check,
        add constraint settlement_energy_milliwh_range_check
            check (energy_milliwh between -1000000000000000 and 1000000000000000)
    """,
    """
    alter table public.settlement
        alter column contract_id drop default, alter column allocations drop default
    """,
    "create index settlement_event_id_idx on public.settlement (event_id)",
)

LINE = (
    """
    alter table public.line
        add column term                text not null default 'energy',
        add column exported_milliwh    bigint,
        add column imported_milliwh    bigint not null default 0,
        add column baseline_milliwh    bigint,
        add column price_micros_per_kw bigint,
        add column over_us             bigint,
        add column tiered_nanowh       bigint,
        alter column price_micros_per_kwh drop not null,
        drop constraint line_energy_milliwh_range_check,
        drop constraint line_avg_w_range_check,
        drop constraint line_readings_range_check,
        drop constraint line_pkey
    """,
    """
    update public.line
    set exported_milliwh = energy_milliwh, tiered_nanowh = energy_milliwh * tier_multiplier_ppm
    """,
    """
    alter table public.line
        alter column term drop default,
        alter column imported_milliwh drop default,
        alter column exported_milliwh set not null,
        alter column tiered_nanowh set not null,
        add constraint line_pkey primary key (settlement_id, started_at, term),
        add constraint line_exported_milliwh_range_check
            check (exported_milliwh between 0 and 100000000000),
        add constraint line_imported_milliwh_range_check
            check (imported_milliwh between 0 and 100000000000),
        add constraint line_baseline_milliwh_range_check
            check (baseline_milliwh between -100000000000 and 100000000000),
        add constraint line_energy_milliwh_range_check
            check (energy_milliwh between -100000000000 and 100000000000),
        add constraint line_avg_w_range_check check (avg_w between -1000000000 and 1000000000),
        add constraint line_readings_range_check check (readings between 0 and 2147483648),
        add constraint line_price_micros_per_kw_range_check
            check (price_micros_per_kw between -10000000000 and 10000000000),
        add constraint line_over_us_range_check check (over_us between 0 and 9007199254740992),
        add constraint line_tiered_nanowh_range_check
            check (tiered_nanowh between -400000000000000000 and 400000000000000000)
    """,
)

JOURNAL = (
    "alter table public.journal_entry add column kind text",
    """
    update public.journal_entry e
    set kind = case s.revision when 1 then 'payout' else 'adjustment' end
    from public.settlement s where s.settlement_id = e.settlement_id
    """,
    """
    alter table public.journal_entry
        alter column kind set not null,
        drop constraint journal_entry_settlement_id_key,
        add constraint journal_entry_settlement_id_kind_key unique (settlement_id, kind)
    """,
    """
    alter table public.posting add column kind text, add column account text
    """,
    """
    update public.posting p
    set kind = case s.revision when 1 then 'payout' else 'adjustment' end,
        account = convert_from(p.body, 'UTF8')::jsonb ->> 'account'
    from public.settlement s where s.settlement_id = p.settlement_id
    """,
    """
    alter table public.posting
        alter column kind set not null, alter column account set not null,
        drop constraint posting_settlement_id_key,
        add constraint posting_settlement_id_kind_account_key
            unique (settlement_id, kind, account)
    """,
    """
    update public.journal_line l set account = 'payable:owner:' || p.account
    from public.journal_entry e join public.posting p using (settlement_id)
    where e.entry_id = l.entry_id and l.account like 'payable:vehicle:%'
    """,
)

TABLES = (
    """
    create table public.seal (
        number           bigint      not null,
        first_booking_no bigint      not null,
        last_booking_no  bigint      not null,
        leaves           bigint      not null,
        root             bytea       not null,
        previous         bytea       not null,
        sealed_at        timestamptz not null,
        seal_digest      bytea       not null,
        constraint seal_pkey primary key (number)
    )
    """,
    """
    create table public.sealed_leaf (
        booking_no    bigint not null,
        number        bigint not null,
        settlement_id text   not null,
        leaf          bytea  not null,
        constraint sealed_leaf_pkey primary key (booking_no)
    )
    """,
    "create index sealed_leaf_settlement_id_idx on public.sealed_leaf (settlement_id)",
    """
    create table public.calendar_run (
        program text        not null,
        day     date        not null,
        name    text        not null,
        run_id  text        not null,
        done_at timestamptz not null,
        constraint calendar_run_pkey primary key (program, day, name)
    )
    """,
    """
    create table public.difference (
        run_id         text   not null,
        program        text   not null,
        event_id       text   not null,
        vehicle_id     text   not null,
        currency       text   not null,
        booked_minor   bigint not null,
        computed_minor bigint not null,
        why            text   not null,
        constraint difference_pkey primary key (run_id, program, event_id, vehicle_id)
    )
    """,
)

# Sums of bigint are numeric, so a balance that has run out of every bound is still shown.
VIEWS = (
    """
    create view public.account_balance with (security_invoker = true) as
    select account, currency, sum(amount_minor) as balance_minor
    from public.journal_line group by account, currency
    """,
    """
    create view public.trial_balance with (security_invoker = true) as
    select currency,
           coalesce(sum(amount_minor) filter (where amount_minor > 0), 0) as debit_minor,
           coalesce(-sum(amount_minor) filter (where amount_minor < 0), 0) as credit_minor,
           sum(amount_minor) as balance_minor
    from public.journal_line group by currency
    """,
)

BACK = (
    "drop view public.trial_balance",
    "drop view public.account_balance",
    # What owed one party keeps its meaning; an entry that owes several has no older form.
    """
    update public.journal_line l set account = 'payable:vehicle:' || s.vehicle_id
    from public.journal_entry e join public.settlement s using (settlement_id)
    where e.entry_id = l.entry_id and l.account like 'payable:%'
    """,
    """
    alter table public.posting
        drop column kind, drop column account,
        add constraint posting_settlement_id_key unique (settlement_id)
    """,
    """
    alter table public.journal_entry
        drop column kind, add constraint journal_entry_settlement_id_key unique (settlement_id)
    """,
    """
    alter table public.line
        drop constraint line_pkey,
        drop constraint line_energy_milliwh_range_check,
        drop constraint line_avg_w_range_check,
        drop constraint line_readings_range_check,
        drop column term, drop column exported_milliwh, drop column imported_milliwh,
        drop column baseline_milliwh, drop column price_micros_per_kw, drop column over_us,
        drop column tiered_nanowh,
        alter column price_micros_per_kwh set not null,
        add constraint line_pkey primary key (settlement_id, started_at),
        add constraint line_energy_milliwh_range_check
            check (energy_milliwh between 0 and 100000000000),
        add constraint line_avg_w_range_check check (avg_w between 0 and 1000000000),
        add constraint line_readings_range_check check (readings between 1 and 2147483648)
    """,
    "drop index public.settlement_event_id_idx",
    """
    alter table public.settlement
        drop column contract_id, drop column event_version, drop column contract_version,
        drop column allocations, drop column booking_no,
        drop constraint settlement_energy_milliwh_range_check,
        add constraint settlement_energy_milliwh_range_check
            check (energy_milliwh between 0 and 1000000000000000)
    """,
    "drop index public.settlement_run_period_idx",
    """
    alter table public.settlement_run
        drop column kind, drop column programs, drop column inputs_digest,
        drop column outputs_digest, drop column unpaid_digest, drop column unpaid_of
    """,
)


def upgrade() -> None:
    _refusing_changes(refused=False)
    for statement in (*RUN, *SETTLEMENT, *LINE, *JOURNAL):
        op.execute(statement)
    _refusing_changes(refused=True)
    for statement in (*TABLES, *VIEWS):
        op.execute(statement)
    statements.refuse_changes(*FACTS)
    statements.grant({table: {SETTLE: "insert"} for table in FACTS})
    statements.grant({"account_balance": {}, "trial_balance": {}})


def downgrade() -> None:
    _refusing_changes(refused=False)
    for statement in BACK:
        op.execute(statement)
    _refusing_changes(refused=True)
    statements.drop(*FACTS)


def _refusing_changes(*, refused: bool) -> None:
    """Facts do not change; their form does, once, in the transaction that changes the tables."""
    for table in BACKFILLED:
        op.execute(
            f"alter table public.{table} {'enable' if refused else 'disable'} trigger append_only"
        )
