"""What screening has to know of each posting: its own facts, its settlement's lines, its vehicle's day."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, time
from typing import Final
from zoneinfo import ZoneInfo

from settlement.limits import Candidate
from settlement.metering.checks import REGISTER_STEP_MILLIWH
from settlement.pricing import Term
from storage.engine import Connection

_UNMETERED: Final = Term.SHORTFALL.value
"""Lines of what was not delivered hold no energy that flowed."""

_UTC: Final = ZoneInfo("UTC")


def zones(conn: Connection) -> dict[str, ZoneInfo]:
    """The zone of each program, by its name: that of its latest version."""
    rows = conn.execute(
        "select distinct on (program) program, coalesce(body ->> 'timezone', 'UTC')"
        " from program_version order by program, version desc"
    ).fetchall()
    return {program: ZoneInfo(zone) for program, zone in rows}


def unscreened(
    conn: Connection,
    zone_of: Mapping[str, ZoneInfo],
    *,
    after: str,
    limit: int,
    day_milliwh: int,
) -> list[Candidate]:
    """The next postings to be judged, in the order of their ids, locked until the transaction ends.

    Args:
        conn: within ``screening.alone``.
        zone_of: see ``zones``; UTC for a program that is not known.
        after: the last id that was judged in this run; empty at first.
        limit: at most so many.
        day_milliwh: what a vehicle and day may hold. Where all that the books know of a vehicle since
            comes to no more, its days are not looked at, and ``Candidate.day_milliwh`` is 0.
    """
    rows = conn.execute(
        """
        select p.posting_id, p.account, p.currency, p.amount_minor, p.body, p.settlement_id
        from (
            select posting_id from posting_state
            where screened_at is null and state = 'pending' and posting_id > %s
            order by posting_id limit %s for update
        ) s join posting p using (posting_id)
        order by p.posting_id
        """,
        (after, limit),
    ).fetchall()
    facts = [json.loads(bytes(row[4])) for row in rows]
    days = {
        row[5]: _day(fact["period_started_at"], zone_of.get(fact["program"], _UTC))
        for row, fact in zip(rows, facts, strict=True)
    }
    amounts = _largest_amounts(conn, list(days))
    powers = _greatest_powers(conn, list(days))
    energies = _day_energies(conn, days, above=day_milliwh)
    return [
        Candidate(
            posting_id=posting_id,
            account=account,
            vehicle_id=fact["vehicle_id"],
            currency=currency,
            amount_minor=amount_minor,
            day=days[settled].date(),
            line_micros=amounts.get(settled, 0),
            line_milliwh=powers.get(settled, _NO_LINE)[0],
            line_us=powers.get(settled, _NO_LINE)[1],
            line_readings=powers.get(settled, _NO_LINE)[2],
            day_milliwh=energies.get(settled, 0),
        )
        for (posting_id, account, currency, amount_minor, _, settled), fact in zip(
            rows, facts, strict=True
        )
    ]


def _day(started_at: str, zone: ZoneInfo) -> datetime:
    """The local midnight before a time."""
    return datetime.combine(datetime.fromisoformat(started_at).astimezone(zone), time(), zone)


_NO_LINE: Final = (0, 0, 0)


def _largest_amounts(conn: Connection, settlements: Sequence[str]) -> dict[str, int]:
    return dict(
        conn.execute(
            "select settlement_id, max(abs(amount_micros)) from line"
            " where settlement_id = any(%b) group by settlement_id",
            [list(settlements)],
        ).fetchall()
    )


def _greatest_powers(
    conn: Connection, settlements: Sequence[str]
) -> dict[str, tuple[int, int, int]]:
    """Energy, length and readings of each settlement's line that is furthest above what some power
    delivers, for contracts that name no rated power. Of what exceeds a baseline only the export counts.
    """
    rows = conn.execute(
        """
        select distinct on (settlement_id) settlement_id, milliwh, us, readings
        from (
            select l.settlement_id, l.readings,
                   greatest(l.exported_milliwh, l.energy_milliwh - coalesce(l.baseline_milliwh, 0))
                       as milliwh,
                   greatest((extract(epoch from l.ended_at - l.started_at) * 1000000)::bigint, 1) as us
            from settlement t join line l using (settlement_id)
            left join contract_version c
                on c.contract_id = t.contract_id and c.version = t.contract_version
            where t.settlement_id = any(%(settlements)b) and c.rated_w is null
              and l.term <> %(unmetered)s
        ) one
        order by settlement_id, (milliwh - readings * %(step)s) / us::numeric desc
        """,
        {
            "settlements": list(settlements),
            "unmetered": _UNMETERED,
            "step": REGISTER_STEP_MILLIWH,
        },
    ).fetchall()
    return {settled: (milliwh, us, readings) for settled, milliwh, us, readings in rows}


def _day_energies(conn: Connection, days: Mapping[str, datetime], *, above: int) -> dict[str, int]:
    """Of each settlement's vehicle, the energy in the books on the local day with the most of those
    that the settlement has lines on: of every event's latest revision, of whatever program.

    Only of vehicles for which the books hold more than ``above`` since the settlement's first day.
    """
    return dict(
        conn.execute(
            """
            select asked.settlement_id, max(day.milliwh)::bigint
            from unnest(%(settlements)b::text[], %(zones)b::text[], %(starts)s::timestamptz[])
                asked (settlement_id, zone, starts_at)
            join settlement t using (settlement_id)
            cross join lateral (
                select sum(abs(s.energy_milliwh)) as milliwh from settlement s
                where s.vehicle_id = t.vehicle_id and s.known_at >= asked.starts_at
            ) since
            cross join lateral (
                select distinct date_trunc('day', l.started_at at time zone asked.zone) as starts
                from line l where l.settlement_id = asked.settlement_id
            ) own
            cross join lateral (
                select sum(l.energy_milliwh) as milliwh
                from settlement s
                join line l on l.settlement_id = s.settlement_id
                    and l.started_at >= own.starts at time zone asked.zone
                    and l.started_at < (own.starts + interval '1 day') at time zone asked.zone
                where s.vehicle_id = t.vehicle_id
                  and s.known_at >= own.starts at time zone asked.zone
                  and l.term <> %(unmetered)s
                  and not exists (
                      select from settlement n
                      where n.program = s.program and n.event_id = s.event_id
                        and n.vehicle_id = s.vehicle_id and n.revision > s.revision)
            ) day
            where since.milliwh > %(above)s and day.milliwh > %(above)s
            group by asked.settlement_id
            """,
            {
                "settlements": list(days),
                "zones": [str(midnight.tzinfo) for midnight in days.values()],
                "starts": list(days.values()),
                "unmetered": _UNMETERED,
                "above": above,
            },
        ).fetchall()
    )
