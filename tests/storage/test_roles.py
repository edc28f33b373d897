"""Least privilege, as one table: whatever is not in it is forbidden, and tried."""

import psycopg
import pytest

from storage import tables
from storage.engine import LOGIN_ROLES, Role, connect

TABLES = sorted(tables.metadata.tables)
PRIVILEGES = (
    "SELECT",
    "INSERT",
    "UPDATE",
    "DELETE",
    "TRUNCATE",
    "REFERENCES",
    "TRIGGER",
    "MAINTAIN",
)

LANDING = {"landing_batch", "raw_packet", "packet_aside"}
WATCHING = {"sequence_gap", "watched_batch"}
"""What is missing of what has landed; the daemon's work too."""
KEYS = {"device_key", "key_claim", "key_enrolment", "key_challenge", "key_change"}
MEASURING = {"thermal_sample", "thermal_pending"}
"""What batteries' sensors say, and where it is still to be attached to vehicles; the poller's work."""
THROTTLING = {"throttle_command", "throttle_outcome"}
LIMITS = {"limit_version", "account_hold", "held_posting", "payout_decision"}
"""What people say about payouts."""
SCREENING = {"screening", "account_hold", "held_posting", "payout_total", "payout_recount"}
"""What is found when postings are held against the limits; booking's work."""
RECONCILING = {
    "partner_statement",
    "statement_line",
    "statement_refusal",
    "reconciliation",
    "reconciliation_difference",
    "dispute",
    "dispute_event",
}
"""What partners say was paid, and what is made of it: an operator's work."""
PAYOUT_FILES = {"payout_file", "payout_file_outcome", "payout_file_line"}
"""Payments for a bank: the poster's work."""
NOTICES = {"webhook_destination", "notice", "notice_state", "notice_attempt"}
"""Where notices go, and what was told: an operator's work."""
HOLDING = {"quality_release"}
"""What people say about periods that are held."""
SECRETS = {"key_enrolment", "key_challenge", "webhook_destination"}
"""Hold what tokens are compared with, or a sealed one."""
INSERTS = {
    Role.INGEST: LANDING | WATCHING | MEASURING,
    Role.SETTLE: set(TABLES)
    - LANDING
    - WATCHING
    - KEYS
    - THROTTLING
    - MEASURING
    - (LIMITS - SCREENING)
    - RECONCILING
    - PAYOUT_FILES
    - NOTICES
    - HOLDING
    - {"receipt", "partner_lane", "lane_change"},
    Role.POSTER: {"receipt", "partner_lane"} | PAYOUT_FILES,
    Role.REGISTRY: KEYS,
    Role.GUARD: THROTTLING,
    Role.OPERATOR: {"partner_lane", "lane_change"}
    | LIMITS
    | RECONCILING
    | NOTICES
    | HOLDING
    | {"receipt"},
    Role.READ: set(),
}
SELECTS = {
    Role.INGEST: LANDING | WATCHING | {"packet_identity", "thermal_sample"},
    Role.SETTLE: set(TABLES) - SECRETS,
    Role.POSTER: {
        "posting",
        "posting_state",
        "settlement",
        "receipt",
        "partner_lane",
        "account_hold",
        "payout_decision",
    }
    | PAYOUT_FILES,
    Role.REGISTRY: KEYS | {"vehicle_state"},
    Role.GUARD: THROTTLING | {"thermal_sample", "contract_version", "program_version"},
    Role.OPERATOR: {
        "posting",
        "posting_state",
        "settlement",
        "receipt",
        "partner_lane",
        "lane_change",
        "settlement_run",
        "quality_result",
    }
    | HOLDING
    | LIMITS
    | {"screening", "payout_total"}
    | RECONCILING
    | PAYOUT_FILES
    | NOTICES,
    Role.READ: set(TABLES) - SECRETS,
}
DELETES = {
    Role.SETTLE: {"vehicle_state", "feed_state", "thermal_pending", "thermal_waiting"},
    Role.OPERATOR: {"held_posting"},
    Role.POSTER: {"payout_file_line"},
}
"""No facts: a cache, how feeds are, and what is still to be done."""
COLUMN_UPDATES = {
    (Role.SETTLE, "vehicle_state"): {"evse_id", "measured_at", "soc_ppm", "power_w", "expires_at"},
    (Role.SETTLE, "thermal_waiting"): {"contracts"},
    (Role.SETTLE, "grid_response"): {"state", "tries", "detail", "changed_at"},
    (Role.SETTLE, "feed_state"): {
        "kind",
        "tried_at",
        "read_at",
        "next_at",
        "error",
        "clock_offset_us",
        "clock_uncertainty_us",
        "refusals",
        "notes",
        "whole",
        "events",
        "prices",
        "refused",
    },
    (Role.REGISTRY, "device_key"): {"valid_to", "revoked_at"},
    (Role.REGISTRY, "key_challenge"): {"used_at"},
    (Role.REGISTRY, "key_enrolment"): {
        "state",
        "key_id",
        "public_key",
        "proof",
        "proven_at",
        "decided_by",
        "decided_at",
    },
    (Role.POSTER, "posting_state"): {
        "state",
        "attempts",
        "next_attempt_at",
        "leased_until",
        "detail",
        "changed_at",
    },
    (Role.SETTLE, "posting_state"): {"state", "detail", "changed_at", "screened_at"},
    (Role.SETTLE, "payout_total"): {"amount_minor", "postings"},
    (Role.OPERATOR, "posting_state"): {
        "state",
        "next_attempt_at",
        "leased_until",
        "detail",
        "changed_at",
        "screened_at",
    },
    (Role.OPERATOR, "notice_state"): {
        "state",
        "attempts",
        "next_attempt_at",
        "detail",
        "changed_at",
    },
    (Role.POSTER, "partner_lane"): {"rests_until", "why", "by", "changed_at"},
    (Role.OPERATOR, "partner_lane"): {"rests_until", "why", "by", "changed_at"},
}


@pytest.fixture
def administrator(database):
    with psycopg.connect(database, user="v2g", autocommit=True) as conn:
        yield conn


def test_each_role_has_the_rights_of_the_table_and_no_others(administrator):
    for role in LOGIN_ROLES:
        for privilege in PRIVILEGES:
            expected = {
                "SELECT": SELECTS[role],
                "INSERT": INSERTS[role],
                "DELETE": DELETES.get(role, set()),
            }.get(privilege, set())
            rows = administrator.execute(
                "select t from unnest(%s::text[]) t where has_table_privilege(%s, 'public.' || t, %s)",
                [TABLES, role.value, privilege],
            )
            assert {name for (name,) in rows} == expected, (role, privilege)


def test_single_columns_are_all_that_may_be_updated(administrator):
    # Sequences have columns, too; no UPDATE reaches them.
    rows = administrator.execute(
        """
        select r, c.relname, a.attname from unnest(%s::text[]) r, pg_class c join pg_attribute a on a.attrelid = c.oid
        where c.relnamespace = 'public'::regnamespace and c.relkind <> 'S' and a.attnum > 0 and has_column_privilege(r, c.oid, a.attnum, 'UPDATE')
        """,
        [[role.value for role in LOGIN_ROLES]],
    ).fetchall()

    assert set(rows) == {
        (role.value, table, name)
        for (role, table), names in COLUMN_UPDATES.items()
        for name in names
    }


def test_the_public_has_no_right_to_anything(administrator):
    administrator.execute("drop role if exists v2g_test_stranger")
    administrator.execute("create role v2g_test_stranger login")
    try:
        reachable = administrator.execute(
            "select t from unnest(%s::text[]) t where has_any_column_privilege('v2g_test_stranger', 'public.' || t, 'SELECT, INSERT, UPDATE')",
            [TABLES],
        ).fetchall()
        callable_functions = administrator.execute(
            "select proname from pg_proc where proname in ('ensure_partitions', 'refuse_change', 'refuse_unbalanced')"
            " and has_function_privilege('v2g_test_stranger', oid, 'EXECUTE')"
        ).fetchall()
        database = administrator.execute(
            "select has_database_privilege('v2g_test_stranger', current_database(), 'CONNECT, CREATE, TEMPORARY'),"
            " has_schema_privilege('v2g_test_stranger', 'public', 'USAGE, CREATE'),"
            " has_sequence_privilege('v2g_test_stranger', 'public.landing_batch_id', 'USAGE, SELECT, UPDATE')"
            " or has_sequence_privilege('v2g_test_stranger', 'public.known_until', 'USAGE, SELECT, UPDATE')"
        ).fetchone()
    finally:
        administrator.execute("drop role v2g_test_stranger")

    assert (reachable, callable_functions, database) == ([], [], (False, False, False))


def test_a_partition_gives_no_way_around_its_table(plain_database):
    with psycopg.connect(plain_database, user="v2g", autocommit=True) as conn:
        conn.execute("select public.ensure_partitions('raw_packet', '2026-07-01', '2026-07-15')")
        open_parts = conn.execute(
            "select inhrelid::regclass, r from pg_inherits, unnest(%s::text[]) r"
            " where has_any_column_privilege(r, inhrelid, 'SELECT, INSERT, UPDATE')",
            [[role.value for role in LOGIN_ROLES]],
        ).fetchall()

    assert open_parts == []


def test_roles_can_do_nothing_but_log_in(administrator):
    rows = administrator.execute(
        "select rolname, rolcanlogin, rolsuper or rolcreatedb or rolcreaterole or rolreplication or rolbypassrls"
        " from pg_roles where rolname = any (%s)",
        [[role.value for role in Role]],
    ).fetchall()

    assert set(rows) == {(role.value, role is not Role.OWNER, False) for role in Role}


@pytest.mark.parametrize(
    ("role", "statement"),
    [
        (Role.INGEST, "create table mine (a int)"),
        (Role.INGEST, "insert into reading select from reading"),
        (Role.INGEST, "select * from device_key"),
        (Role.INGEST, "select public_key from device_key"),
        (Role.INGEST, "delete from sequence_gap"),
        (Role.INGEST, "drop table raw_packet"),
        (Role.INGEST, "alter table raw_packet disable trigger all"),
        (Role.INGEST, "set role v2g_owner"),
        (Role.INGEST, "set session_replication_role = replica"),
        (Role.GUARD, "select * from reading"),
        (Role.GUARD, "select public_key from device_key"),
        (Role.GUARD, "insert into thermal_sample select * from thermal_sample"),
        (Role.GUARD, "delete from throttle_command"),
        (Role.GUARD, "update throttle_outcome set state = 'obeyed'"),
        (Role.GUARD, "create temporary table mine (a int)"),
        (Role.SETTLE, "insert into throttle_command select * from throttle_command"),
        (Role.READ, "insert into throttle_command select * from throttle_command"),
        (Role.SETTLE, "insert into raw_packet select * from raw_packet"),
        (Role.SETTLE, "insert into receipt select * from receipt"),
        (Role.SETTLE, "select nextval('landing_batch_id')"),
        (Role.SETTLE, "update device_key set revoked_at = null"),
        (Role.SETTLE, "insert into device_key select * from device_key"),
        (Role.READ, "select proof from key_enrolment"),
        (Role.REGISTRY, "select * from reading"),
        (Role.REGISTRY, "insert into reading select * from reading"),
        (Role.REGISTRY, "update device_key set public_key = ''"),
        (Role.REGISTRY, "update key_enrolment set invited_by = 'other'"),
        (Role.REGISTRY, "delete from key_enrolment"),
        (Role.REGISTRY, "set role v2g_settle"),
        (Role.REGISTRY, "create temporary table mine (a int)"),
        (Role.READ, "select sealed_token from webhook_destination"),
        (Role.SETTLE, "select sealed_token from webhook_destination"),
        (Role.POSTER, "select url from webhook_destination"),
        (Role.REGISTRY, "insert into webhook_destination select * from webhook_destination"),
        (Role.OPERATOR, "update webhook_destination set url = 'https://evil.example'"),
        (Role.OPERATOR, "delete from notice"),
        (Role.INGEST, "select setval('known_until', 1)"),
        (Role.READ, "select setval('known_until', 1)"),
        (Role.SETTLE, "update posting_state set attempts = 0"),
        (Role.SETTLE, "insert into payout_decision select * from payout_decision"),
        (Role.SETTLE, "insert into limit_version select * from limit_version"),
        (Role.OPERATOR, "insert into screening select * from screening"),
        (Role.OPERATOR, "update posting_state set posting_id = 'other'"),
        (Role.SETTLE, "insert into dispute_event select * from dispute_event"),
        (Role.OPERATOR, "insert into payout_file select * from payout_file"),
        (Role.OPERATOR, "delete from payout_file_line"),
        (Role.OPERATOR, "insert into journal_line select * from journal_line"),
        (Role.POSTER, "insert into partner_statement select * from partner_statement"),
        (Role.POSTER, "insert into payout_decision select * from payout_decision"),
        (Role.SETTLE, "create function f() returns int language sql as 'select 1'"),
        (Role.POSTER, "select * from journal_line"),
        (Role.POSTER, "insert into posting select * from posting"),
        (Role.POSTER, "update posting_state set posting_id = 'other'"),
        (Role.POSTER, "delete from posting_state"),
        (Role.READ, "update posting_state set state = 'sent'"),
        (Role.READ, "create temporary table mine (a int)"),
        (Role.READ, "set role v2g_settle"),
    ],
)
def test_what_is_forbidden_is_refused(plain_database, role, statement):
    with connect(plain_database, role) as conn, pytest.raises(psycopg.errors.InsufficientPrivilege):
        conn.execute(statement)


def test_the_owner_cannot_log_in(plain_database):
    with pytest.raises(psycopg.OperationalError, match="not permitted to log in"):
        psycopg.connect(plain_database, user=Role.OWNER)
