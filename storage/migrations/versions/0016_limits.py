"""Limits on what is paid out, what broke them, and who decided."""

from alembic import op

from storage.migrations import statements
from storage.migrations.statements import POSTER, SETTLE

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

OPERATOR = "v2g_operator"
FACTS = ("limit_version", "screening", "account_hold", "payout_decision", "payout_recount")
STATE_COLUMNS = "state, next_attempt_at, leased_until, detail, changed_at, screened_at"

TABLES = (
    """
    create table public.limit_version (
        version  integer     not null,
        set_by   text        not null,
        set_at   timestamptz not null,
        document jsonb       not null,
        why      text        not null,
        constraint limit_version_pkey primary key (version),
        constraint limit_version_version_check check (version >= 1),
        constraint limit_version_named_check check (btrim(set_by) <> '' and btrim(why) <> '')
    )
    """,
    """
    create table public.screening (
        posting_id     text        not null,
        verdict        text        not null,
        limits_version integer     not null,
        findings       jsonb       not null,
        vehicle_id     text        not null,
        day            date        not null,
        screened_at    timestamptz not null,
        constraint screening_pkey primary key (posting_id),
        constraint screening_verdict_check check (verdict in ('clear', 'breach', 'approval')),
        constraint screening_findings_check
            check ((verdict = 'clear') = (jsonb_array_length(findings) = 0))
    )
    """,
    """
    create table public.account_hold (
        account    text        not null,
        number     integer     not null,
        event      text        not null,
        by         text        not null,
        why        text        not null,
        posting_id text,
        at         timestamptz not null,
        constraint account_hold_pkey primary key (account, number),
        constraint account_hold_event_check check (event in ('held', 'released')),
        constraint account_hold_turns_check check ((number % 2 = 1) = (event = 'held')),
        constraint account_hold_named_check check (btrim(by) <> '' and btrim(why) <> ''),
        constraint account_hold_person_check
            check (event = 'held' or lower(btrim(by)) <> 'screening')
    )
    """,
    """
    create table public.held_posting (
        posting_id text not null,
        account    text not null,
        constraint held_posting_pkey primary key (posting_id)
    )
    """,
    "create index held_posting_account_idx on public.held_posting (account)",
    """
    create table public.payout_decision (
        posting_id     text        not null,
        number         integer     not null,
        decision       text        not null,
        by             text        not null,
        why            text        not null,
        at             timestamptz not null,
        limits_version integer     not null,
        constraint payout_decision_pkey primary key (posting_id, number),
        constraint payout_decision_number_check check (number >= 1),
        constraint payout_decision_decision_check
            check (decision in ('approved', 'released', 'refused')),
        constraint payout_decision_named_check check (btrim(by) <> '' and btrim(why) <> ''),
        constraint payout_decision_person_check check (lower(btrim(by)) <> 'screening')
    )
    """,
    # One approval, and one refusal, per posting: whoever is second finds it decided.
    """
    create unique index payout_decision_once_idx on public.payout_decision (posting_id, decision)
        where decision in ('approved', 'refused')
    """,
    """
    create table public.payout_total (
        scope        text   not null,
        subject      text   not null,
        currency     text   not null,
        starts_on    date   not null,
        amount_minor bigint not null,
        postings     bigint not null,
        constraint payout_total_pkey primary key (scope, subject, currency, starts_on)
    )
    """,
    """
    create table public.payout_recount (
        posting_id text     not null,
        counts     smallint not null,
        constraint payout_recount_pkey primary key (posting_id, counts),
        constraint payout_recount_counts_check check (counts in (-1, 1))
    )
    """,
    "create index posting_account_idx on public.posting (account)",
    # What the books hold of a vehicle for a day is known on that day or later.
    """
    create index settlement_vehicle_id_known_at_idx on public.settlement (vehicle_id, known_at)
        include (energy_milliwh)
    """,
)

# Neither capitals, blanks, punctuation nor signs that nobody sees make another person.
PERSON = """
    create function public.person(name text) returns text
    language sql immutable strict
    set search_path = pg_catalog, pg_temp
    return regexp_replace(lower(normalize(name, NFKC)), '[^[:alnum:]]', '', 'g')
"""

# Who wrote the limits under which a payout waits may not let it go, under any spelling of the name.
REFUSE_OWN = """
    create function public.refuse_own_limits() returns trigger
    language plpgsql
    set search_path = pg_catalog, pg_temp
    as $$
    declare
        screened record;
    begin
        select s.verdict, s.limits_version, v.set_by into screened
        from public.screening s left join public.limit_version v on v.version = s.limits_version
        where s.posting_id = new.posting_id;
        if new.limits_version is distinct from coalesce(screened.limits_version, 0) then
            raise exception 'posting % was screened under version % of the limits, not %',
                            new.posting_id, coalesce(screened.limits_version, 0), new.limits_version
                using errcode = 'check_violation', constraint = 'payout_decision_version_check';
        end if;
        if new.decision = 'approved' and screened.verdict is distinct from 'approval' then
            raise exception 'posting % waits for no approval', new.posting_id
                using errcode = 'check_violation', constraint = 'payout_decision_approval_check';
        end if;
        if new.decision <> 'refused'
           and public.person(new."by") = public.person(screened.set_by)
        then
            raise exception 'posting %: % set version % of the limits, under which it waits',
                            new.posting_id, new."by", new.limits_version
                using errcode = 'check_violation', constraint = 'payout_decision_two_people_check',
                      hint = 'somebody else decides';
        end if;
        return new;
    end
    $$
"""

# Neither role can send through the API, or take back that something was sent. What stands in a file
# for the bank goes its own way (0017).
REFUSE_MOVES = """
    create function public.refuse_other_moves() returns trigger
    language plpgsql
    set search_path = pg_catalog, pg_temp
    as $$
    declare
        found text;
    begin
        if old.state = new.state then
            raise exception 'posting %: it is %, and was not screened', old.posting_id, old.state
                using errcode = 'insufficient_privilege';
        end if;
        if old.state in ('pending', 'queued') and new.state = 'parked' then
            return new;
        end if;
        -- What goes to be sent was found clear, or is screened again, or somebody has decided.
        if old.state = 'parked' and new.state in ('pending', 'unknown')
           and new.screened_at is not null
        then
            select verdict into found from public.screening v where v.posting_id = old.posting_id;
            if (found in ('approval', 'breach') or found is null and old.attempts = 0)
               and not exists (
                   select from public.payout_decision d
                   where d.posting_id = old.posting_id
                     and d.decision = case found when 'approval' then 'approved' else 'released' end)
            then
                raise exception 'posting %: nobody has decided that it may go', old.posting_id
                    using errcode = 'insufficient_privilege';
            end if;
        end if;
        if current_user = 'v2g_operator' and (
            (old.state = 'parked'
             and new.state in ('pending', 'unknown', 'acknowledged', 'rejected'))
            or (old.state in ('unknown', 'disputed') and new.state = 'acknowledged')
            or exists (select from public.payout_file_line f where f.posting_id = old.posting_id)
        ) then
            return new;
        end if;
        raise exception 'posting %: % may not move it from % to %',
                        old.posting_id, current_user, old.state, new.state
            using errcode = 'insufficient_privilege';
    end
    $$
"""


def upgrade() -> None:
    for statement in TABLES:
        op.execute(statement)
    statements.refuse_changes(*FACTS)
    for function in (PERSON, REFUSE_OWN, REFUSE_MOVES):
        op.execute(function)
    for name in ("refuse_own_limits", "refuse_other_moves"):
        op.execute(f"revoke all on function public.{name}() from public")
    op.execute(
        "create trigger two_people before insert on public.payout_decision"
        " for each row execute function public.refuse_own_limits()"
    )
    op.execute(
        "create trigger other_moves before update on public.posting_state for each row"
        f" when (old.state <> new.state and current_user in ('{SETTLE}', '{OPERATOR}')"
        " or old.screened_at is null and new.screened_at is not null and new.state <> 'parked'"
        f" and current_user = '{OPERATOR}')"
        " execute function public.refuse_other_moves()"
    )
    statements.grant(
        {
            "limit_version": {OPERATOR: "select, insert"},
            "screening": {SETTLE: "insert", OPERATOR: "select"},
            "account_hold": {SETTLE: "insert", POSTER: "select", OPERATOR: "select, insert"},
            "held_posting": {SETTLE: "insert", OPERATOR: "select, insert, delete"},
            "payout_decision": {POSTER: "select", OPERATOR: "select, insert"},
            "payout_total": {
                SETTLE: "insert, update (amount_minor, postings)",
                OPERATOR: "select",
            },
            "payout_recount": {SETTLE: "insert"},
        }
    )
    op.execute(
        f"grant update (state, detail, changed_at, screened_at) on public.posting_state to {SETTLE}"
    )
    op.execute(f"grant update ({STATE_COLUMNS}) on public.posting_state to {OPERATOR}")


def downgrade() -> None:
    op.execute(f"revoke update ({STATE_COLUMNS}) on public.posting_state from {OPERATOR}")
    op.execute(
        "revoke update (state, detail, changed_at, screened_at) on public.posting_state"
        f" from {SETTLE}"
    )
    op.execute("drop trigger other_moves on public.posting_state")
    op.execute("drop index public.settlement_vehicle_id_known_at_idx")
    op.execute("drop index public.posting_account_idx")
    statements.drop(
        "payout_recount",
        "payout_total",
        "payout_decision",
        "held_posting",
        "account_hold",
        "screening",
        "limit_version",
    )
    op.execute("drop function public.refuse_other_moves()")
    op.execute("drop function public.refuse_own_limits()")
    op.execute("drop function public.person(text)")
