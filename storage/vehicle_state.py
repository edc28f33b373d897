"""The last known state of each vehicle, for people who watch; never a source of money.

A cache: what it holds can be lost at any time and comes back with the next packet. Nothing that
settles, prices or books may read it; a contract between the modules holds that. It keeps no
position: who watches a battery need not know where its driver is.

``DatabaseStates`` keeps it in an unlogged table, ``storage.vehicle_state_redis`` in a Redis. Both
never go back in time: a state replaces an older one only.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol

import psycopg

from storage.engine import Connection, Role, connect
from storage.errors import DatabaseUnavailableError

SWEPT_AT_ONCE: Final = 10_000
"""Expired states that one ``put`` removes at most."""

WAIT: Final = "2s"
"""No statement here waits longer: a cache that is slow is worse than none."""


@dataclass(frozen=True, slots=True)
class VehicleState:
    """What the newest verified packet of a vehicle said at its end.

    Attributes:
        vehicle_id: the vehicle.
        evse_id: where it was plugged in.
        measured_at: the signed end of the interval, UTC.
        soc_ppm: state of charge, 1e-6; None: the packet did not say.
        power_w: discharge positive; None: the packet did not say.
    """

    vehicle_id: str
    evse_id: str
    measured_at: datetime
    soc_ppm: int | None
    power_w: int | None


@dataclass(frozen=True, slots=True)
class Seen:
    """A state, and the identity of the reading it comes from."""

    state: VehicleState
    started_at: datetime
    stream_epoch: int
    sequence: int
    digest: bytes


class VehicleStates(Protocol):
    """Where states are kept. Raises StorageError where that place does not answer."""

    @property
    def place(self) -> str:
        """Where that is, in words for a message."""

    def put(self, states: Collection[VehicleState], *, now: datetime) -> int:
        """Keep states, each at most one per vehicle; how many were newer than what was held."""

    def get(self, vehicle_id: str, *, now: datetime) -> VehicleState | None:
        """A vehicle's state; None where none is held or it has expired."""

    def newest(self, *, limit: int, now: datetime) -> list[VehicleState]:
        """The states of up to that many vehicles, the newest first."""


def standing(dsn: str, seen: Sequence[Seen]) -> list[VehicleState]:
    """Of these states those whose reading stands: the content that took its identity, undisputed.

    Raises:
        DatabaseUnavailableError: the database did not answer in time.
    """
    if not seen:
        return []
    columns = (
        [one.state.evse_id for one in seen],
        [one.started_at for one in seen],
        [one.stream_epoch for one in seen],
        [one.sequence for one in seen],
        [one.digest for one in seen],
    )
    with _quickly(dsn, Role.READ, "asking which readings stand") as conn:
        rows = conn.execute(
            """
            select place from unnest(%s::text[], %s::timestamptz[], %s::bigint[], %s::bigint[], %s::bytea[])
                with ordinality as seen (evse_id, started_at, stream_epoch, sequence, digest, place)
            where exists (
                select from reading where reading.evse_id = seen.evse_id
                    and reading.started_at = seen.started_at
                    and reading.stream_epoch = seen.stream_epoch
                    and reading.sequence = seen.sequence and reading.digest = seen.digest)
              and not exists (
                select from packet_conflict where packet_conflict.evse_id = seen.evse_id
                    and packet_conflict.stream_epoch = seen.stream_epoch
                    and packet_conflict.sequence = seen.sequence)
            """,
            columns,
        ).fetchall()
    return [seen[place - 1].state for (place,) in rows]


class DatabaseStates:
    """States in the table ``vehicle_state``, where no Redis is configured; read as ``reader``."""

    place = "the database"

    def __init__(self, dsn: str, *, keep: timedelta, reader: Role = Role.READ) -> None:
        self._dsn = dsn
        self._keep = keep
        self._reader = reader

    def put(self, states: Collection[VehicleState], *, now: datetime) -> int:
        """As ``VehicleStates.put``; also removes some of what has expired."""
        # In one order, so that two writers never wait for each other.
        fresh = sorted(
            (one for one in states if one.measured_at + self._keep > now),
            key=lambda one: one.vehicle_id,
        )
        columns = (
            [one.vehicle_id for one in fresh],
            [one.evse_id for one in fresh],
            [one.measured_at for one in fresh],
            [one.soc_ppm for one in fresh],
            [one.power_w for one in fresh],
            [one.measured_at + self._keep for one in fresh],
        )
        with _quickly(self._dsn, Role.SETTLE, "keeping states of vehicles") as conn:
            kept = conn.execute(
                """
                insert into vehicle_state as held
                    (vehicle_id, evse_id, measured_at, soc_ppm, power_w, expires_at)
                select * from unnest(%s::text[], %s::text[], %s::timestamptz[], %s::bigint[],
                                     %s::bigint[], %s::timestamptz[])
                on conflict (vehicle_id) do update set
                    evse_id = excluded.evse_id, measured_at = excluded.measured_at,
                    soc_ppm = excluded.soc_ppm, power_w = excluded.power_w,
                    expires_at = excluded.expires_at
                where excluded.measured_at > held.measured_at
                """,
                columns,
            ).rowcount
            conn.execute(
                """
                delete from vehicle_state where vehicle_id in (
                    select vehicle_id from vehicle_state where expires_at <= %s
                    order by vehicle_id limit %s for update skip locked)
                """,
                [now, SWEPT_AT_ONCE],
            )
            conn.commit()
        return kept

    def get(self, vehicle_id: str, *, now: datetime) -> VehicleState | None:
        """As ``VehicleStates.get``."""
        with _quickly(self._dsn, self._reader, "reading the state of a vehicle") as conn:
            row = conn.execute(
                "select vehicle_id, evse_id, measured_at, soc_ppm, power_w from vehicle_state"
                " where vehicle_id = %s and expires_at > %s",
                [vehicle_id, now],
            ).fetchone()
        return None if row is None else VehicleState(*row)

    def newest(self, *, limit: int, now: datetime) -> list[VehicleState]:
        """As ``VehicleStates.newest``."""
        with _quickly(self._dsn, self._reader, "reading the states of vehicles") as conn:
            rows = conn.execute(
                "select vehicle_id, evse_id, measured_at, soc_ppm, power_w from vehicle_state"
                " where expires_at > %s order by measured_at desc, vehicle_id limit %s",
                [now, limit],
            ).fetchall()
        return [VehicleState(*row) for row in rows]


@contextmanager
def _quickly(dsn: str, role: Role, during: str) -> Iterator[Connection]:
    try:
        with connect(dsn, role) as conn:
            conn.execute("select set_config('statement_timeout', %s, true)", [WAIT])
            yield conn
    except psycopg.Error as error:
        raise DatabaseUnavailableError(during, str(error), sqlstate=error.sqlstate or "") from error
