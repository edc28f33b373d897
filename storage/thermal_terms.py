"""What a decision to throttle rests on: who measures where, whose battery it is, and under which terms.

The temperatures themselves are those of ``storage.thermal_samples``, which settlement gets too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from psycopg.rows import class_row

from settlement.programs import Thermal, in_force
from storage.engine import Connection
from storage.registry import load_programs
from storage.thermal_samples import COLUMNS, Sample

EVSES_MAX: Final = 100_000
"""EVSE that one call returns at most."""


@dataclass(frozen=True, slots=True)
class Enrolled:
    """A contract in force now: at which EVSE, whose battery, and the program's thermal terms."""

    evse_id: str
    vehicle_id: str
    program: str
    thermal: Thermal | None


def enrolled(conn: Connection, *, now: datetime) -> list[Enrolled]:
    """Every contract in force now, with the thermal terms of its program's version in force now.

    A program that is not stored has no terms.

    Raises:
        ProgramError: a stored program cannot be used.
    """
    programs = load_programs(conn, known_at=now)
    terms = {name: in_force(versions, now).thermal for name, versions in programs.items()}
    rows = conn.execute(
        """
        select evse_id, vehicle_id, program from (
            select distinct on (contract_id) * from contract_version
            where recorded_at <= %(now)s order by contract_id, version desc
        ) latest
        where valid_from <= %(now)s and (valid_to is null or valid_to > %(now)s)
        order by evse_id, vehicle_id, program
        """,
        {"now": now},
    ).fetchall()
    return [Enrolled(evse, vehicle, program, terms.get(program)) for evse, vehicle, program in rows]


def clients(conn: Connection, *, now: datetime) -> dict[str, str]:
    """The MQTT client that speaks for each EVSE: that of its own key enrolled last and valid now.

    Keys of meters, which speak for nobody, do not count; a key that names no client means the EVSE.
    """
    return dict(
        conn.execute(
            """
            select distinct on (evse_id) evse_id, case client_id when '' then evse_id else client_id end
            from device_key
            where evse_id not like 'meter:%%' and valid_from <= %(now)s
              and (valid_to is null or valid_to > %(now)s)
              and (revoked_at is null or revoked_at > %(now)s)
            order by evse_id, enrolled_at desc, client_id
            """,
            {"now": now},
        ).fetchall()
    )


@dataclass(frozen=True, slots=True)
class Asked:
    """A device that measures a battery at an EVSE, and when it was last asked, whatever it answered."""

    evse_id: str
    device_id: str
    asked_at: datetime


_MEASURED: Final = """
    with recursive place (evse_id) as (
        (select evse_id from thermal_sample where measured_at >= %(since)s and evse_id > ''
         order by evse_id limit 1)
        union all
        select (select s.evse_id from thermal_sample s
                where s.measured_at >= %(since)s and s.evse_id > place.evse_id
                order by s.evse_id limit 1)
        from place where place.evse_id is not null
    )
    select evse_id from place where evse_id is not null limit %(most)s
"""
"""From one EVSE to the next along the index: as many steps as there are EVSE, not samples."""


def measured(conn: Connection, *, since: datetime) -> list[str]:
    """Every EVSE of which there is a sample measured since a time, by id."""
    rows = conn.execute(_MEASURED, {"since": since, "most": EVSES_MAX}).fetchall()
    return [evse for (evse,) in rows]


def last_asked(
    conn: Connection,
    evses: Sequence[str],
    *,
    since: datetime,
    until: datetime,
    within: timedelta,
) -> list[Asked]:
    """The devices that were asked for batteries' temperatures at these EVSE, and when each last was.

    Args:
        conn: any role that may read.
        evses: which.
        since: nothing older is looked for.
        until: samples of a clock that is further ahead count only where there are no others, and then
            as asked by then.
        within: how long before the EVSE's last sample a device may have been asked last.

    Returns:
        By EVSE and device. A sensor that its device does not have asks nobody.
    """
    with conn.cursor(row_factory=class_row(Asked)) as cursor:
        return cursor.execute(
            """
            select asked.evse_id, found.device_id, found.asked_at
            from unnest(%(evses)s::text[]) asked (evse_id)
            cross join lateral (
                select coalesce(
                    (select max(measured_at) from thermal_sample s where s.evse_id = asked.evse_id
                     and s.measured_at between %(since)s and %(until)s),
                    (select max(measured_at) from thermal_sample s where s.evse_id = asked.evse_id
                     and s.measured_at > %(until)s)
                ) as at
            ) last
            cross join lateral (
                select device_id, least(max(measured_at), %(until)s) as asked_at
                from thermal_sample s
                where s.evse_id = asked.evse_id
                  and s.measured_at between last.at - %(within)s and last.at
                  and s.battery and s.quality <> 'not_implemented'
                group by device_id
            ) found order by 1, 2
            """,
            {"evses": list(evses), "since": since, "until": until, "within": within},
        ).fetchall()


def last_samples(
    conn: Connection, evses: Sequence[str], *, since: datetime, within: timedelta
) -> list[Sample]:
    """The last sample of every sensor at these EVSE, whatever its quality, by EVSE, device and sensor.

    Args:
        conn: any role that may read.
        evses: which.
        since: nothing older is looked for.
        within: how long before the EVSE's last sample a sensor may have been asked last.
    """
    with conn.cursor(row_factory=class_row(Sample)) as cursor:
        return cursor.execute(
            f"""
            select {COLUMNS} from unnest(%(evses)s::text[]) asked (id)
            cross join lateral (
                select max(measured_at) as at from thermal_sample s
                where s.evse_id = asked.id and s.measured_at >= %(since)s
            ) last
            cross join lateral (
                select distinct on (device_id, sensor) * from thermal_sample s
                where s.evse_id = asked.id and s.measured_at >= last.at - %(within)s
                order by device_id, sensor, measured_at desc
            ) found order by evse_id, device_id, sensor
            """,
            {"evses": list(evses), "since": since, "within": within},
        ).fetchall()
