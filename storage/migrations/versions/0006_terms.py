"""Every input of a run as versions, with the time at which each became known.

Contracts become versions with shares; sites, temperatures, baselines and orders come; programs,
events and readings say when they were known. What stood before counts as known from when it took
effect (contracts and programs, but no later than now) or arrived (readings).

``reading`` and ``program_version`` are written anew, because no trigger lets a row of them be
updated: on a large database the step takes as long as copying the readings.
"""

from alembic import op

from storage.migrations import statements
from storage.migrations.partitioner import partition
from storage.migrations.statements import SETTLE

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

FACTS = (
    "contract_version",
    "site_version",
    "temperature",
    "baseline_version",
    "power_order_version",
)

PLAIN = (
    """
    create table public.contract_version (
        contract_id        text        not null,
        vehicle_id         text        not null,
        evse_id            text        not null,
        site_id            text        not null,
        program            text        not null,
        incentive_rate_ppm bigint      not null,
        valid_from         timestamptz not null,
        valid_to           timestamptz,
        capacity_milliwh   bigint,
        rated_w            bigint,
        version            integer     not null,
        shares             jsonb       not null,
        recorded_at        timestamptz not null,
        constraint contract_version_pkey primary key (contract_id, version),
        constraint contract_version_incentive_rate_ppm_range_check
            check (incentive_rate_ppm between 0 and 4000000),
        constraint contract_version_capacity_milliwh_range_check
            check (capacity_milliwh between 1 and 10000000000),
        constraint contract_version_rated_w_range_check check (rated_w between 1 and 10000000),
        constraint contract_version_shares_check check (jsonb_array_length(shares) > 0)
    )
    """,
    """
    create index contract_version_vehicle_id_valid_from_idx
        on public.contract_version (vehicle_id, valid_from)
    """,
    """
    create table public.site_version (
        site_id            text        not null,
        latitude_microdeg  bigint,
        longitude_microdeg bigint,
        site_group         text        not null,
        version            integer     not null,
        recorded_at        timestamptz not null,
        constraint site_version_pkey primary key (site_id, version),
        constraint site_version_latitude_microdeg_range_check
            check (latitude_microdeg between -90000000 and 90000000),
        constraint site_version_longitude_microdeg_range_check
            check (longitude_microdeg between -180000000 and 180000000)
    )
    """,
    """
    create table public.baseline_version (
        vehicle_id  text        not null,
        started_at  timestamptz not null,
        ended_at    timestamptz not null,
        baseline_w  bigint      not null,
        version     integer     not null,
        recorded_at timestamptz not null,
        constraint baseline_version_pkey primary key (vehicle_id, started_at, ended_at, version),
        constraint baseline_version_interval_check check (started_at < ended_at),
        constraint baseline_version_baseline_w_range_check
            check (baseline_w between -10000000 and 10000000)
    )
    """,
    # A run reads the latest weeks of all vehicles: what ends after its reach begins is the short end.
    "create index baseline_version_ended_at_idx on public.baseline_version (ended_at)",
    """
    create table public.power_order_version (
        event_id    text        not null,
        vehicle_id  text        not null,
        started_at  timestamptz not null,
        ended_at    timestamptz not null,
        ordered_w   bigint      not null,
        version     integer     not null,
        recorded_at timestamptz not null,
        constraint power_order_version_pkey
            primary key (event_id, vehicle_id, started_at, ended_at, version),
        constraint power_order_version_interval_check check (started_at < ended_at),
        constraint power_order_version_ordered_w_range_check
            check (ordered_w between 0 and 10000000)
    )
    """,
    "create index power_order_version_ended_at_idx on public.power_order_version (ended_at)",
)

TEMPERATURE = """
    create table public.temperature (
        evse_id              text        not null,
        vehicle_id           text        not null,
        measured_at          timestamptz not null,
        battery_millicelsius bigint      not null,
        received_at          timestamptz not null,
        recorded_at          timestamptz not null,
        constraint temperature_pkey primary key (evse_id, vehicle_id, measured_at),
        constraint temperature_battery_millicelsius_range_check
            check (battery_millicelsius between -50000 and 150000)
    )
"""

CARRY_CONTRACTS = """
    insert into public.contract_version
        (contract_id, vehicle_id, evse_id, site_id, program, incentive_rate_ppm, valid_from, valid_to,
         version, shares, recorded_at)
    select contract_id, vehicle_id, '', '', program, incentive_rate_ppm, valid_from, valid_to, 1,
           jsonb_build_array(
               jsonb_build_object('role', 'owner', 'account', account, 'share_ppm', 1000000)),
           least(valid_from, now())
    from public.contract
"""

# Back in the old table there is room for one account: that of the largest share.
CARRY_CONTRACTS_BACK = """
    insert into public.contract
        (contract_id, vehicle_id, program, incentive_rate_ppm, account, valid_from, valid_to)
    select distinct on (contract_id) contract_id, vehicle_id, program, incentive_rate_ppm,
           (select share ->> 'account' from jsonb_array_elements(shares) as share
            order by (share ->> 'share_ppm')::bigint desc, share ->> 'role', share ->> 'account'
            limit 1),
           valid_from, valid_to
    from public.contract_version order by contract_id, version desc
"""

CONTRACT = (
    """
    create table public.contract (
        contract_id        text        not null,
        vehicle_id         text        not null,
        program            text        not null,
        incentive_rate_ppm bigint      not null,
        account            text        not null,
        valid_from         timestamptz not null,
        valid_to           timestamptz,
        constraint contract_pkey primary key (contract_id),
        constraint contract_incentive_rate_ppm_range_check
            check (incentive_rate_ppm between 0 and 4000000)
    )
    """,
    "create index contract_vehicle_id_valid_from_idx on public.contract (vehicle_id, valid_from)",
)

EVENTS = (
    "alter table public.event_version add column primacy integer not null default 0",
    "alter table public.event_version add column site_group text not null default ''",
    "alter table public.event_version add column cancelled_at timestamptz",
    """
    alter table public.event_version
        add constraint event_version_primacy_range_check check (primacy >= 0)
    """,
)

# What a claim says of its times is not verified: they may stand in any order.
QUARANTINE_SPAN = """
    create index quarantine_span_idx on public.quarantine using gist (tstzrange(
        least(coalesce(started_at, received_at), coalesce(ended_at, received_at)),
        greatest(coalesce(started_at, received_at), coalesce(ended_at, received_at)), '[]'))
"""


def add_time(table: str, column: str, value: str) -> None:
    """Add a column of times that existing rows take from their other columns.

    Changing its type writes the table anew with ``value``, partitions and chunks too, where UPDATE
    is refused. (The type is the same; the value is not, and that is what makes it be computed.)
    """
    op.execute(f"alter table public.{table} add column {column} timestamptz")
    op.execute(
        f"alter table public.{table} alter column {column} set data type timestamptz using {value}"
    )
    op.execute(f"alter table public.{table} alter column {column} set not null")


def upgrade() -> None:
    for statement in PLAIN:
        op.execute(statement)
    op.execute(TEMPERATURE + statements.partition_clause("measured_at"))
    statements.make_time_series("temperature", "measured_at")
    # A reach is read over all vehicles: the key begins with the charger and cannot serve that.
    op.execute("create index temperature_measured_at_idx on public.temperature (measured_at)")
    partition({"raw_packet": "signed_at", "reading": "started_at", "temperature": "measured_at"})
    op.execute(CARRY_CONTRACTS)
    statements.drop("contract")
    add_time("reading", "judged_at", "received_at")
    add_time("program_version", "recorded_at", "least(valid_from, now())")
    for statement in EVENTS:
        op.execute(statement)
    op.execute(QUARANTINE_SPAN)
    # The latest time that a run has fixed, in microseconds since 1970: storage.fence.
    op.execute("create sequence public.known_until as bigint minvalue 0 start with 0 no cycle")
    op.execute("revoke all on sequence public.known_until from public")
    op.execute(f"grant select, update on sequence public.known_until to {SETTLE}")
    statements.refuse_changes(*FACTS)
    statements.refuse_changes_in_parts("temperature")
    statements.grant({table: {SETTLE: "insert"} for table in FACTS})


def downgrade() -> None:
    op.execute("drop sequence public.known_until")
    op.execute("drop index public.quarantine_span_idx")
    for column in ("primacy", "site_group", "cancelled_at"):
        op.execute(f"alter table public.event_version drop column {column}")
    op.execute("alter table public.program_version drop column recorded_at")
    op.execute("alter table public.reading drop column judged_at")
    for statement in CONTRACT:
        op.execute(statement)
    op.execute(CARRY_CONTRACTS_BACK)
    statements.grant({"contract": {SETTLE: "insert, update (valid_to)"}})
    partition({"raw_packet": "signed_at", "reading": "started_at"})
    statements.drop(*reversed(FACTS))
