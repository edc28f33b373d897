"""Totals of what is stored, for reports and for checks from outside. Reads only."""

from dataclasses import dataclass
from typing import Any

from settlement.periods import Period
from storage import quarantine
from storage.engine import Connection


@dataclass(frozen=True, slots=True)
class Landed:
    """Packets by fate, over all landing batches."""

    new: int
    duplicates: int
    aside: int


def landed(conn: Connection) -> Landed:
    """How many packets have landed, were duplicates, or were set aside."""
    row = conn.execute(
        """
        select coalesce(sum(rows_new), 0)::bigint, coalesce(sum(rows_duplicate), 0)::bigint,
               coalesce(sum(rows_aside), 0)::bigint from landing_batch
        """
    ).fetchone()
    assert row is not None
    return Landed(*row)


def readings(conn: Connection) -> int:
    """How many readings there are."""
    return _one(conn, "select count(*) from reading")


def quarantined(conn: Connection) -> dict[str, int]:
    """Packets that are quarantined, by reason of the latest judgement."""
    return quarantine.counted(conn, quarantine.Selection())


def paid_by_event(conn: Connection) -> dict[tuple[str, str], int]:
    """Energy of the latest revision of each booked settlement, in mWh by (vehicle, event)."""
    rows = conn.execute(
        """
        select vehicle_id, event_id, energy_milliwh from (
            select distinct on (program, event_id, vehicle_id) * from settlement
            order by program, event_id, vehicle_id, revision desc
        ) latest
        where state = 'booked' and energy_milliwh > 0
        """
    ).fetchall()
    return {(vehicle, event): energy for vehicle, event, energy in rows}


def unpaid_by_reason(conn: Connection) -> dict[str, int]:
    """Verified energy that earned nothing, in mWh by reason, of the latest run of each period.

    Runs of single programs, such as the calendar's, cover time that other runs have covered already.
    """
    return _pairs(
        conn,
        """
        select reason, sum(energy_milliwh)::bigint from unpaid
        where run_id in (
            select distinct on (period_started_at, period_ended_at) unpaid_of from settlement_run
            where programs is null
            order by period_started_at, period_ended_at, known_at desc)
        group by reason order by reason
        """,
    )


def owed(conn: Connection) -> dict[str, int]:
    """What the ledger owes to owners, site hosts and aggregators, in minor units by currency."""
    return _pairs(
        conn,
        """
        select currency, (-sum(amount_minor))::bigint from journal_line
        where account like 'payable:%' group by currency order by currency
        """,
    )


def ledger_imbalance(conn: Connection) -> int:
    """How many (entry, currency) do not sum to zero. Anything but 0 is a broken database."""
    return _one(
        conn,
        """
        select count(*) from (
            select 1 from journal_line group by entry_id, currency having sum(amount_minor) <> 0) unbalanced
        """,
    )


def postings_by_state(conn: Connection) -> dict[str, int]:
    """Postings by state."""
    return _pairs(conn, "select state, count(*) from posting_state group by state order by state")


def posted_amounts(conn: Connection) -> dict[str, int]:
    """Every posting's amount in minor units, by its id."""
    return _pairs(conn, "select posting_id, amount_minor from posting")


def _one(conn: Connection, statement: str) -> int:
    row = conn.execute(statement).fetchone()
    assert row is not None
    return int(row[0])


def _pairs(conn: Connection, statement: str) -> dict[str, int]:
    return {str(name): int(number) for name, number in conn.execute(statement).fetchall()}


def last_run(conn: Connection) -> dict[str, Any]:
    """The latest run over all programs: run_id, period as ISO 8601 interval, and its stored totals."""
    row = conn.execute(
        "select run_id, period_started_at, period_ended_at, totals from settlement_run"
        " where programs is null order by known_at desc limit 1"
    ).fetchone()
    assert row is not None
    run_id, started_at, ended_at, totals = row
    return {"run_id": run_id, "period": str(Period(started_at, ended_at).in_utc()), **totals}
