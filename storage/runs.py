"""Runs: what was computed of which period, as known at which time, and what is left to settle."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from settlement.periods import Period
from storage.engine import Connection, StorageError


@dataclass(frozen=True, slots=True)
class Run:
    """One computation of a period as known at one time.

    Attributes:
        state: settled or held.
        reason: why it is held, or why a person released it.
        totals: what it came to, to be shown again.
        kind: manual, scheduled, or the name of a run of the calendar.
        programs: which ones it settled; None for all.
        inputs_digest: fingerprint of what it knew.
        outputs_digest: root over what it computed.
        unpaid_digest: root over what it left unpaid, by which runs that found the same are known.
    """

    run_id: str
    period: Period
    known_at: datetime
    state: str
    reason: str
    code_version: str
    totals: Mapping[str, object]
    kind: str = "manual"
    programs: frozenset[str] | None = None
    inputs_digest: bytes | None = None
    outputs_digest: bytes | None = None
    unpaid_digest: bytes | None = None


class UnknownRunError(StorageError):
    """``run_id`` is no run in this database."""

    def __init__(self, run_id: str) -> None:
        super().__init__(f"run {run_id}: not in this database; expected the id of a recorded run")
        self.run_id = run_id


def with_same_unpaid(conn: Connection, run: Run) -> str | None:
    """The run under which the unpaid rows stand that this one found too; None where there is none."""
    row = conn.execute(
        """
        select unpaid_of from settlement_run
        where period_started_at = %s and period_ended_at = %s
          and programs is not distinct from %s::text[] and unpaid_digest = %s
        order by known_at desc limit 1
        """,
        [run.period.started_at, run.period.ended_at, _names(run.programs), run.unpaid_digest],
    ).fetchone()
    return row[0] if row else None


def _names(programs: frozenset[str] | None) -> list[str] | None:
    return None if programs is None else sorted(programs)


def insert(conn: Connection, run: Run, unpaid_of: str) -> None:
    """Record a run whose unpaid rows stand under ``unpaid_of``."""
    conn.execute(
        """
        insert into settlement_run
            (run_id, period_started_at, period_ended_at, known_at, state, reason, code_version,
             totals, kind, programs, inputs_digest, outputs_digest, unpaid_digest, unpaid_of)
        values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
        """,
        [
            run.run_id,
            run.period.started_at,
            run.period.ended_at,
            run.known_at,
            run.state,
            run.reason,
            run.code_version,
            Jsonb(dict(run.totals)),
            run.kind,
            _names(run.programs),
            run.inputs_digest,
            run.outputs_digest,
            run.unpaid_digest,
            unpaid_of,
        ],
    )


def left_off(conn: Connection) -> datetime | None:
    """Up to where runs, settled or held, cover time without a gap, beginning with the first reading
    or the first run, whichever is earlier; None where there is neither.

    A run by hand over a later period leaves a gap, and the gap is not forgotten. Runs of single
    programs, such as the calendar's, leave the others unsettled and do not count.
    """
    row = conn.execute(
        """
        with span as (
            select period_started_at as s, period_ended_at as e from settlement_run
            where programs is null
        ), start as (
            select least((select min(started_at) from reading), (select min(s) from span)) as at
        )
        select min(reached) from (
            select at as reached from start
            union all select e from span
        ) ends
        where not exists (select from span where s <= reached and e > reached)
          and reached >= (select at from start)
        """
    ).fetchone()
    return row[0] if row else None


def load(conn: Connection, run_id: str) -> Run:
    """A recorded run.

    Raises:
        UnknownRunError: there is none of this id.
    """
    with conn.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(
            """
            select run_id, period_started_at, period_ended_at, known_at, state, reason,
                   code_version, totals, kind, programs, inputs_digest, outputs_digest,
                   unpaid_digest
            from settlement_run where run_id = %s
            """,
            [run_id],
        ).fetchone()
    if row is None:
        raise UnknownRunError(run_id)
    period = Period(row.pop("period_started_at"), row.pop("period_ended_at")).in_utc()
    programs = row.pop("programs")
    return Run(period=period, programs=None if programs is None else frozenset(programs), **row)


def differing(conn: Connection, period: Period) -> frozenset[str]:
    """Vehicles on which a second opinion has held a run that overlaps a period, unless a later run has
    settled all of it since.
    """
    rows = conn.execute(
        """
        select distinct jsonb_array_elements_text(totals -> 'second_opinion' -> 'differing')
        from settlement_run held
        where state = 'held' and period_started_at < %s and period_ended_at > %s
          and jsonb_typeof(totals -> 'second_opinion' -> 'differing') = 'array'
          and not exists (
              select from settlement_run later
              where later.state = 'settled' and later.known_at >= held.known_at
                and (later.programs is null or later.programs @> held.programs)
                and later.period_started_at <= held.period_started_at
                and later.period_ended_at >= held.period_ended_at)
        """,
        [period.ended_at, period.started_at],
    ).fetchall()
    return frozenset(vehicle for (vehicle,) in rows)


def held_within(conn: Connection, period: Period, program: str) -> tuple[Period, str] | None:
    """The earliest period that overlaps this one and was held for a program, with the reason, unless a
    later run has settled the program over all that they share; None where there is none.
    """
    row = conn.execute(
        """
        select period_started_at, period_ended_at, reason from settlement_run held
        where state = 'held' and period_started_at < %(until)s and period_ended_at > %(from)s
          and (held.programs is null or held.programs @> array[%(program)s]::text[])
          and not exists (
              select from settlement_run later
              where later.state = 'settled' and later.known_at >= held.known_at
                and (later.programs is null or later.programs @> array[%(program)s]::text[])
                and later.period_started_at <= greatest(held.period_started_at, %(from)s)
                and later.period_ended_at >= least(held.period_ended_at, %(until)s))
        order by period_started_at limit 1
        """,
        {"program": program, "from": period.started_at, "until": period.ended_at},
    ).fetchone()
    return (Period(row[0], row[1]).in_utc(), row[2]) if row else None
