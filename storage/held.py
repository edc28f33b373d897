"""Periods that are held: which, since when, why, for how much money, and what came in since.

A period is held whose latest run over all programs was held, unless a later run has settled all of it.
Reads only; what people say about them is in ``storage.quality_releases``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from settlement.periods import Period
from settlement.reasons import UnpaidReason
from storage import quality_verdicts
from storage.engine import Connection
from storage.quality_verdicts import Verdict

HELD_MAX: Final = 1_000
"""Held periods that are looked at; ten days of quarter hours. The oldest first."""


@dataclass(frozen=True, slots=True)
class Held:
    """A period that is held.

    Attributes:
        run_id: the latest run that held it.
        kind: of that run: manual or scheduled.
        known_at: up to when that run knew facts.
        since: when it was held first, after it was settled last, if it ever was.
        tries: how many runs have held it since.
        reason: of the latest.
        differing: vehicles on which the second opinion differed, a hundred at most.
        energy_milliwh: that would have been paid.
        would_have_been_micros: the money of it, as the latest held run computed it.
        currency: of that.
    """

    period: Period
    run_id: str
    kind: str
    known_at: datetime
    since: datetime
    tries: int
    reason: str
    differing: frozenset[str]
    energy_milliwh: int
    would_have_been_micros: int
    currency: str


def held(conn: Connection, *, only: Period | None = None) -> list[Held]:
    """The periods that are held, by their time, at most ``HELD_MAX``.

    Args:
        conn: as ``v2g_read``, ``v2g_settle`` or ``v2g_operator``.
        only: exactly this period; None for all.
    """
    rows = conn.execute(
        """
        with settled as materialized (
            select period_started_at as s, period_ended_at as e, max(known_at) as at
            from settlement_run where state = 'settled' and programs is null
              and (%(from)s::timestamptz is null
                   or (period_started_at <= %(from)s and period_ended_at >= %(to)s))
            group by 1, 2
        ), held as (
            select run.* from settlement_run run left join settled
                on s = period_started_at and e = period_ended_at
            where state = 'held' and programs is null and (at is null or at < known_at)
              and (%(from)s::timestamptz is null
                   or (period_started_at = %(from)s and period_ended_at = %(to)s))
        ), latest as (
            select distinct on (period_started_at, period_ended_at) *,
                   min(known_at) over same as since, count(*) over same as tries
            from held window same as (partition by period_started_at, period_ended_at)
            order by period_started_at, period_ended_at, known_at desc
        )
        select period_started_at, period_ended_at, run_id, kind, known_at, since, tries, reason, totals
        from latest
        where not exists (
            select from settled
            where s <= period_started_at and e >= period_ended_at and at >= known_at)
        order by period_started_at, period_ended_at limit %(most)s
        """,
        {
            "from": None if only is None else only.started_at,
            "to": None if only is None else only.ended_at,
            "most": HELD_MAX,
        },
    ).fetchall()
    return [_held(row) for row in rows]


def _held(row: tuple[Any, ...]) -> Held:
    started_at, ended_at, run_id, kind, known_at, since, tries, reason, totals = row
    opinion = totals.get("second_opinion") or {}
    energy, money = _withheld(totals)
    return Held(
        period=Period(started_at, ended_at).in_utc(),
        run_id=run_id,
        kind=kind,
        known_at=known_at.astimezone(UTC),
        since=since.astimezone(UTC),
        tries=tries,
        reason=reason,
        differing=frozenset(opinion.get("differing") or ()),
        energy_milliwh=energy,
        would_have_been_micros=money,
        currency=totals.get("currency", ""),
    )


def _withheld(totals: Mapping[str, Any]) -> tuple[int, int]:
    for one in totals.get("unpaid") or ():
        if one["reason"] == UnpaidReason.PERIOD_HELD:
            return one["energy_milliwh"], one["would_have_been_micros"]
    return 0, 0


def verdict_of(conn: Connection, one: Held) -> Verdict | None:
    """The verdict that the latest held run followed; None where there is none."""
    found = quality_verdicts.of_period(conn, one.period, until=one.known_at)
    return found[0] if found else None


def news(conn: Connection, period: Period, *, since: datetime) -> str:
    """What has become known of a period that could change a verdict of it; empty where nothing has.

    Args:
        conn: as ``v2g_read`` or ``v2g_settle``.
        period: half-open.
        since: when the verdict was made.

    Returns:
        The names of what came, in words.
    """
    parts = " union all ".join(
        f"select '{name}' where exists ({query})" for name, query in _NEWS.items()
    )
    rows = conn.execute(
        parts, {"from": period.started_at, "to": period.ended_at, "since": since}
    ).fetchall()
    return ", ".join(name for (name,) in rows)


_WITHIN: Final = "started_at < %(to)s and ended_at > %(from)s"
_VALID: Final = "valid_from < %(to)s and (valid_to is null or valid_to > %(from)s)"

_NEWS: Final[Mapping[str, str]] = {
    "readings": "select from reading where started_at >= %(from)s and started_at < %(to)s"
    " and judged_at > %(since)s",
    # What was judged after a verdict had mostly come after it, too; the day is for what had to wait.
    "refused packets": "select from quarantine join judged_batch using (batch_id)"
    " where received_at > %(since)s - interval '1 day' and judged_at > %(since)s"
    " and coalesce(started_at, received_at) >= %(from)s"
    " and coalesce(started_at, received_at) < %(to)s",
    "packets judged again": "select from quarantine_retry join quarantine using (packet_digest)"
    " where retried_at > %(since)s and coalesce(started_at, received_at) >= %(from)s"
    " and coalesce(started_at, received_at) < %(to)s",
    "conflicts": "select from packet_conflict"
    " join packet_identity using (evse_id, stream_epoch, sequence)"
    " where found_at > %(since)s and started_at >= %(from)s and started_at < %(to)s",
    "events": f"select from event_version where received_at > %(since)s and {_WITHIN}",
    "decisions about events": "select from event_decision join event_version"
    f" using (event_id, version) where recorded_at > %(since)s and {_WITHIN}",
    "prices": f"select from price_version where received_at > %(since)s and {_WITHIN}",
    "contracts": f"select from contract_version where recorded_at > %(since)s and {_VALID}",
    "sites": "select from site_version where recorded_at > %(since)s",
    "programs": "select from program_version where recorded_at > %(since)s and valid_from < %(to)s",
    "temperatures": "select from temperature where measured_at >= %(from)s and measured_at < %(to)s"
    " and recorded_at > %(since)s",
    "baselines": f"select from baseline_version where recorded_at > %(since)s and {_WITHIN}",
    "orders": f"select from power_order_version where recorded_at > %(since)s and {_WITHIN}",
}
"""What a verdict, or a second opinion, rests on, by how people call it; each asked by an index or of a
small table."""
