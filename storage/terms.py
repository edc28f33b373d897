"""Sites, baselines and orders: versions in, frames of what was known at one time out.

A row that differs from the latest one of its key is kept as its next version; what is said again is
not. Nothing is taken back: an order that no longer stands is said anew with another power, a baseline
with another one. The caller commits.
"""

from collections.abc import Collection
from datetime import datetime
from typing import Final

import polars as pl

from settlement.periods import Period
from settlement.schemas import BASELINE, ORDER, SITE, Frame
from storage import versions
from storage.engine import Connection
from storage.versions import Versioned

_SITES: Final = Versioned(
    "site_version", ("site_id",), ("latitude_microdeg", "longitude_microdeg", "site_group")
)
_BASELINES: Final = Versioned(
    "baseline_version", ("vehicle_id", "started_at", "ended_at"), ("baseline_w",)
)
_ORDERS: Final = Versioned(
    "power_order_version", ("event_id", "vehicle_id", "started_at", "ended_at"), ("ordered_w",)
)
_OVERLAPS: Final = (
    "started_at < %(ended_at)s and ended_at > %(started_at)s"
    " and (%(vehicles)s::text[] is null or vehicle_id = any(%(vehicles)s))"
)


def put_sites(conn: Connection, sites: pl.DataFrame, *, now: datetime) -> int:
    """Keep sites: ``schemas.SITE``, each once. Returns how many say something new.

    Raises:
        RepeatedKeyError: a site stands in two rows.
        CheckViolation: a position out of range. Nothing is kept then.
    """
    return _put(conn, _SITES, SITE, sites, now)


def load_sites(conn: Connection, *, known_at: datetime) -> pl.DataFrame | None:
    """Sites known by then: ``schemas.SITE``; None where nobody had declared any."""
    sites = versions.load(conn, _SITES, SITE.schema, known_at=known_at)
    return None if sites.is_empty() else sites


def put_baselines(conn: Connection, baselines: pl.DataFrame, *, now: datetime) -> int:
    """Keep baselines: ``schemas.BASELINE``, each interval of a vehicle once.

    Returns:
        How many say something new.

    Raises:
        RepeatedKeyError: an interval of a vehicle stands in two rows.
        CheckViolation: a power out of range, or an interval without length. Nothing is kept then.
    """
    return _put(conn, _BASELINES, BASELINE, baselines, now)


def load_baselines(
    conn: Connection,
    period: Period,
    *,
    known_at: datetime,
    vehicles: Collection[str] | None = None,
) -> pl.DataFrame:
    """Baselines that overlap a period, as known by then: ``schemas.BASELINE``.

    ``vehicles``: only of these; None for all.
    """
    return _overlapping(conn, _BASELINES, BASELINE, period, known_at, vehicles)


def put_orders(conn: Connection, orders: pl.DataFrame, *, now: datetime) -> int:
    """Keep orders: ``schemas.ORDER``, each interval of a vehicle and event once.

    Returns:
        How many say something new.

    Raises:
        RepeatedKeyError: an interval of a vehicle and event stands in two rows.
        CheckViolation: a power out of range, or an interval without length. Nothing is kept then.
    """
    return _put(conn, _ORDERS, ORDER, orders, now)


def load_orders(
    conn: Connection,
    period: Period,
    *,
    known_at: datetime,
    vehicles: Collection[str] | None = None,
) -> pl.DataFrame:
    """Orders that overlap a period, as known by then: ``schemas.ORDER``.

    ``vehicles``: only of these; None for all.
    """
    return _overlapping(conn, _ORDERS, ORDER, period, known_at, vehicles)


def _put(conn: Connection, into: Versioned, frame: Frame, rows: pl.DataFrame, now: datetime) -> int:
    typed = rows.select(frame.schema.names()).cast(frame.schema)
    return versions.put(conn, into, typed.select(into.columns).iter_rows(), now=now)


def _overlapping(
    conn: Connection,
    table: Versioned,
    frame: Frame,
    period: Period,
    known_at: datetime,
    vehicles: Collection[str] | None,
) -> pl.DataFrame:
    return versions.load(
        conn,
        table,
        frame.schema,
        known_at=known_at,
        where=_OVERLAPS,
        parameters={
            "started_at": period.started_at,
            "ended_at": period.ended_at,
            "vehicles": None if vehicles is None else sorted(vehicles),
        },
    )
