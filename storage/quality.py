"""What the quality gate looks at, as queries, and what it found, as rows.

The gate runs inside the database: it is given a query and wraps it. So the times of the period
stand in the text as literals, and the text holds no ``%`` and no ``:name``, which a driver would
take for parameters.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID, uuid5

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb
from sqlalchemy import URL

from settlement import units
from settlement.periods import Period
from settlement.reasons import SIGNED, PacketReason
from settlement.schemas import READING
from storage.quarantine import RELEASED

_QUALITY_NAMESPACE: Final = UUID("7c0c1e3e-9f0b-5c5e-8a43-0b7a3c2d6f51")


@dataclass(frozen=True, slots=True)
class QualityRow:
    """One run of a suite on one period, as it is stored.

    Attributes:
        suite: name of the suite.
        suite_version: version that judged.
        period: what was judged.
        checked_at: when.
        worst: none, info, warning or critical.
        checks: one JSON object per check.
    """

    suite: str
    suite_version: int
    period: Period
    checked_at: datetime
    worst: str
    checks: Sequence[Mapping[str, object]]

    @property
    def quality_id(self) -> str:
        """Derived from suite, period and time of the check, so that a repeated write is one row."""
        name = f"{self.suite}/{self.suite_version}/{self.period}/{self.checked_at.isoformat()}"
        return str(uuid5(_QUALITY_NAMESPACE, name))


def readings_query(period: Period, *, smallest_base_milliwh: int) -> str:
    """The readings that start in the period, one row each: READING's columns and the facts below.

    ``interval_us``         length of the interval, µs
    ``export_milliwh``      what the export register went by, mWh
    ``import_milliwh``      what the import register went by, mWh
    ``disagreement_ppm``    difference between registers and powers (the trapezoid), as part of the
                            larger of the two, which counts at least ``smallest_base_milliwh``;
                            null where no powers are stated
    ``overlapping``         1 where an earlier one of the EVSE ends after this one starts, else 0

    Args:
        period: half-open, by ``started_at``.
        smallest_base_milliwh: see ``disagreement_ppm``.
    """
    columns = sql.SQL(", ").join(sql.Identifier(column.name) for column in READING.columns)
    # W × µs / 3.6e6 = mWh, and half the sum of two powers is their mean. |powers| ≤ 1e7 W over
    # 3.6e9 µs: the product stays below 2^63.
    return (
        sql.SQL("""
select {columns}, interval_us, export_milliwh, import_milliwh, overlapping,
    abs(export_milliwh - import_milliwh - trapezoid_milliwh)::numeric * {ppm}
        / greatest(abs(export_milliwh - import_milliwh), abs(trapezoid_milliwh), {base})
        as disagreement_ppm
from (
    select *,
        export_end_milliwh - export_start_milliwh as export_milliwh,
        import_end_milliwh - import_start_milliwh as import_milliwh,
        (power_start_w + power_end_w) * interval_us / 7200000 as trapezoid_milliwh,
        case when max(ended_at) over earlier > started_at then 1 else 0 end as overlapping
    from (
        select *, (extract(epoch from ended_at - started_at) * 1000000)::bigint as interval_us
        from reading
        where started_at >= {look_back} and started_at < {ended_at}
    ) as around
    window earlier as (
        partition by evse_id order by started_at, stream_epoch, sequence
        rows between unbounded preceding and 1 preceding
    )
) as measured
where started_at >= {started_at}""")
        .format(
            columns=columns,
            ppm=sql.Literal(units.PPM),
            base=sql.Literal(smallest_base_milliwh),
            # A reading that started before the period can reach into it by its whole length.
            look_back=sql.Literal(period.started_at - units.INTERVAL_MAX),
            started_at=sql.Literal(period.started_at),
            ended_at=sql.Literal(period.ended_at),
        )
        .as_string()
    )


def packets_query(period: Period) -> str:
    """The judged packets of a period, one row each: ``quarantined`` is 0 for a reading, else 1;
    ``signed`` is 1 where an enrolled key's signature stands, else 0.

    A quarantined packet belongs to the period that it claims; where its time could not be read, to
    the one in which it came. The same content again is left out: its first copy is a reading.

    Args:
        period: half-open.
    """
    return (
        sql.SQL("""
select 0 as quarantined, 1 as signed from reading where started_at >= {started_at} and started_at < {ended_at}
union all
select 1 as quarantined, (reason = any({signed}))::int as signed from (
    select started_at, received_at, coalesce(latest.outcome, reason) as reason from quarantine
    left join lateral (
        select outcome from quarantine_retry
        where quarantine_retry.packet_digest = quarantine.packet_digest
        order by outcome in ('READING', 'RECORD') desc, retry desc limit 1
    ) as latest on true
    where coalesce(started_at, received_at) >= {started_at}
        and coalesce(started_at, received_at) < {ended_at}
) as judged
where reason <> all({left_out})""")
        .format(
            started_at=sql.Literal(period.started_at),
            ended_at=sql.Literal(period.ended_at),
            left_out=sql.Literal([PacketReason.DUPLICATE_CONTENT.value, *RELEASED]),
            signed=sql.Literal(sorted(reason.value for reason in SIGNED)),
        )
        .as_string()
    )


def same_database(conn: psycopg.Connection[Any]) -> str:
    """The SQLAlchemy URL that leads where an open connection leads, for reading, with bounded time.

    Taken from the connection rather than from its conninfo, because half of what a conninfo leaves
    out is decided by libpq: environment, service file, default socket.

    Args:
        conn: as ``v2g_read``.
    """
    info = conn.info
    words = {
        key: value for key, value in info.get_parameters().items() if key not in {"user", "dbname"}
    }
    url = URL.create(
        "postgresql+psycopg",
        username=info.user,
        password=info.password or None,
        # Great Expectations demands a host here, where no URL can hold a socket's folder; the
        # driver takes the one among the parameters.
        host="localhost",
        database=info.dbname,
        query=words
        | {
            "host": info.host,
            "port": str(info.port),
            "options": f"{words.get('options', '')} -c default_transaction_read_only=on",
        },
    )
    return url.render_as_string(hide_password=False)


def record_quality(conn: psycopg.Connection[Any], row: QualityRow) -> str:
    """Store one run of a suite; the caller commits. Stored already: nothing changes.

    Args:
        conn: as ``v2g_settle``.
        row: what was found.

    Returns:
        Its quality_id.
    """
    conn.execute(
        "insert into quality_result (quality_id, suite, suite_version, period_started_at,"
        " period_ended_at, checked_at, worst, checks) values (%s, %s, %s, %s, %s, %s, %s, %s)"
        " on conflict (quality_id) do nothing",
        (
            row.quality_id,
            row.suite,
            row.suite_version,
            row.period.started_at,
            row.period.ended_at,
            row.checked_at,
            row.worst,
            Jsonb([dict(check) for check in row.checks]),
        ),
    )
    return row.quality_id
