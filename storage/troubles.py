"""What a single trouble came to in the books: energy and money of one reason, event or interval. Reads only.

Money that was never booked is in micros of the currency, as ``unpaid`` has it; booked money in minor units.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from storage.engine import Connection


@dataclass(frozen=True, slots=True)
class Unpaid:
    """Verified energy of one event that earned nothing, and what it would have been."""

    event_id: str
    vehicle_id: str
    energy_milliwh: int
    would_have_been_micros: int


def unpaid_for(conn: Connection, reason: str) -> list[Unpaid]:
    """What is unpaid for one reason, by event and vehicle, in the latest run of each period.

    Runs of single programs are left out, as in ``storage.reports.unpaid_by_reason``.
    """
    rows = conn.execute(
        """
        select event_id, vehicle_id, sum(energy_milliwh)::bigint,
               coalesce(sum(would_have_been_micros), 0)::bigint
        from unpaid
        where reason = %s and run_id in (
            select distinct on (period_started_at, period_ended_at) unpaid_of from settlement_run
            where programs is null
            order by period_started_at, period_ended_at, known_at desc)
        group by event_id, vehicle_id order by event_id, vehicle_id
        """,
        [reason],
    ).fetchall()
    return [Unpaid(*row) for row in rows]


def booked_for(conn: Connection, event_id: str) -> tuple[int, int]:
    """Energy (mWh) and money (minor units) of an event, by the latest revision of each settlement."""
    return _pair(
        conn,
        """
        select coalesce(sum(energy_milliwh), 0)::bigint, coalesce(sum(amount_minor), 0)::bigint
        from (select distinct on (program, vehicle_id) * from settlement
              where event_id = %(event)s order by program, vehicle_id, revision desc) latest
        where state = 'booked'
        """,
        {"event": event_id},
    )


def adjusted_for(conn: Connection, event_id: str, start: datetime) -> tuple[int, int]:
    """Energy (mWh) of an event's interval that starts then, and what later revisions of its settlements
    have booked (minor units), up or down.
    """
    return _pair(
        conn,
        """
        with latest as (
            select distinct on (program, vehicle_id) settlement_id from settlement
            where event_id = %(event)s order by program, vehicle_id, revision desc)
        select (select coalesce(sum(energy_milliwh), 0)::bigint from line
                where settlement_id in (select settlement_id from latest)
                  and started_at = %(start)s),
               (select coalesce(sum(adjustment_minor), 0)::bigint from settlement
                where event_id = %(event)s and revision > 1)
        """,
        {"event": event_id, "start": start},
    )


def adjustments(conn: Connection) -> dict[tuple[str, str], int]:
    """What later revisions have booked, in minor units by (vehicle, event)."""
    rows = conn.execute(
        """
        select vehicle_id, event_id, sum(adjustment_minor)::bigint from settlement
        where revision > 1 group by vehicle_id, event_id
        having sum(adjustment_minor) <> 0 order by vehicle_id, event_id
        """
    ).fetchall()
    return {(vehicle, event): minor for vehicle, event, minor in rows}


def _pair(conn: Connection, statement: str, parameters: dict[str, Any]) -> tuple[int, int]:
    row = conn.execute(statement, parameters).fetchone()
    assert row is not None
    return int(row[0]), int(row[1])
