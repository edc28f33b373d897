"""The terms of a case: contracts, sites, prices, baselines and orders."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

import polars as pl

from cases.fields import Field, number, position, read_fields, refuse, text, time
from settlement import units
from settlement.programs import Program
from settlement.schemas import BASELINE, CONTRACT, ORDER, SITE
from settlement.timeline import Price

_INTERVAL: Final = (time("started_at"), time("ended_at"))

CONTRACTS: Final[tuple[Field, ...]] = (
    text("vehicle_id"),
    text("evse_id", blank=True),
    text("site_id", blank=True),
    text("program"),
    number("incentive_rate", "incentive_rate_ppm", 6, 0, units.FACTOR_MAX_PPM, ""),
    time("valid_from"),
    time("valid_to", blank=True),
    number("capacity_kwh", "capacity_milliwh", 6, 1, units.PIECE_MAX_MILLIWH, "kWh", blank=True),
    number("rated_kw", "rated_w", 3, 1, units.POWER_MAX_W, "kW", blank=True),
)
"""Of ``contracts.csv``."""

SITES: Final[tuple[Field, ...]] = (
    text("site_id"),
    *position(),
    text("group", into="site_group", blank=True),
)
"""Of ``sites.csv``."""

PRICES: Final[tuple[Field, ...]] = (
    *_INTERVAL,
    number(
        "price_per_kwh",
        "price_micros_per_kwh",
        6,
        -units.PRICE_MAX_MICROS_PER_KWH,
        units.PRICE_MAX_MICROS_PER_KWH,
        "per kWh",
    ),
    text("currency"),
    time("received_at", blank=True),
)
"""Of ``prices.csv``."""

BASELINES: Final[tuple[Field, ...]] = (
    text("vehicle_id"),
    *_INTERVAL,
    number("baseline_kw", "baseline_w", 3, -units.POWER_MAX_W, units.POWER_MAX_W, "kW"),
)
"""Of ``baselines.csv``."""

ORDERS: Final[tuple[Field, ...]] = (
    text("event_id"),
    text("vehicle_id"),
    *_INTERVAL,
    number("ordered_kw", "ordered_w", 3, 0, units.POWER_MAX_W, "kW"),
)
"""Of ``orders.csv``."""


def read_contracts(
    path: Path, file: str, programs: Collection[str], sites: pl.DataFrame | None
) -> pl.DataFrame:
    """``schemas.CONTRACT``; a contract is called by its file and row. Raises CaseError."""
    rows = read_fields(path, file, CONTRACTS)
    refuse(
        file,
        rows.filter(~pl.col("program").is_in(list(programs))),
        "program",
        "{program}",
        f"a program of the case: {', '.join(sorted(programs))}",
    )
    refuse(
        file,
        rows.filter(pl.col("valid_to") <= pl.col("valid_from")),
        "valid_to",
        "{valid_to}",
        "a time after valid_from, {valid_from}, or nothing",
    )
    if sites is not None:
        known = pl.col("site_id").is_null() | pl.col("site_id").is_in(sites["site_id"].to_list())
        refuse(file, rows.filter(~known), "site_id", "{site_id}", "a site of sites.csv, or nothing")
    return rows.with_columns(
        contract_id=pl.lit(f"{file}:") + pl.col("row").cast(pl.String()),
        evse_id=pl.col("evse_id").fill_null(""),
        site_id=pl.col("site_id").fill_null(""),
    ).select(CONTRACT.schema.names())


def read_sites(path: Path, file: str) -> pl.DataFrame:
    """``schemas.SITE``. Raises CaseError."""
    rows = read_fields(path, file, SITES)
    refuse(
        file,
        rows.filter(~pl.col("site_id").is_first_distinct()),
        "site_id",
        "{site_id} again",
        "each site once",
    )
    refuse_half(file, rows, "latitude_microdeg", "longitude_microdeg", "lat", "lon")
    return rows.with_columns(pl.col("site_group").fill_null("")).select(SITE.schema.names())


def read_prices(
    path: Path, file: str, programs: Mapping[str, Sequence[Program]], as_of: datetime | None
) -> list[Price]:
    """Prices of every program of their currency that pays the real-time price, as known at ``as_of``.

    A price without ``received_at`` was known from the start, and a later one revises it.

    Raises:
        CaseError: a value does not fit, an interval is empty, no program has the currency, or two
            prices of one currency, received at one time, differ over the same time.
    """
    rows = read_fields(path, file, PRICES)
    refuse_empty(file, rows)
    currencies = {name: versions[-1].currency for name, versions in programs.items()}
    refuse(
        file,
        rows.filter(~pl.col("currency").is_in(list(currencies.values()))),
        "currency",
        "{currency}",
        f"the currency of a program: {', '.join(sorted(set(currencies.values())))}",
    )
    known = rows.with_columns(pl.col("received_at").fill_null(units.EARLIEST))
    once = known.unique(
        ["started_at", "ended_at", "price_micros_per_kwh", "currency", "received_at"]
    )
    refuse_overlaps(file, once, ("currency", "received_at"))
    if as_of is not None:
        known = known.filter(pl.col("received_at") <= as_of)
    paying = [
        name
        for name, versions in sorted(programs.items())
        if any(v.fixed_price_micros_per_kwh is None for v in versions)
    ]
    return [
        Price(
            name,
            row["started_at"],
            row["ended_at"],
            row["price_micros_per_kwh"],
            row["received_at"],
        )
        for name in paying
        for row in known.filter(pl.col("currency") == currencies[name]).iter_rows(named=True)
    ]


def read_baselines(path: Path, file: str) -> pl.DataFrame:
    """``schemas.BASELINE``; rows of one vehicle must not overlap. Raises CaseError."""
    rows = read_fields(path, file, BASELINES)
    refuse_empty(file, rows)
    refuse_overlaps(file, rows, ("vehicle_id",))
    return rows.select(BASELINE.schema.names())


def read_orders(path: Path, file: str, events: Collection[str]) -> pl.DataFrame:
    """``schemas.ORDER``; rows of one vehicle and event must not overlap. Raises CaseError."""
    rows = read_fields(path, file, ORDERS)
    refuse_empty(file, rows)
    refuse(
        file,
        rows.filter(~pl.col("event_id").is_in(list(events))),
        "event_id",
        "{event_id}",
        "an event of the case",
    )
    refuse_overlaps(file, rows, ("event_id", "vehicle_id"))
    return rows.select(ORDER.schema.names())


def refuse_empty(file: str, rows: pl.DataFrame) -> None:
    """Refuse an interval that ends before, or as, it starts. Raises CaseError."""
    refuse(
        file,
        rows.filter(pl.col("ended_at") <= pl.col("started_at")),
        "ended_at",
        "{ended_at}",
        "a time after started_at, {started_at}",
    )


def refuse_half(file: str, rows: pl.DataFrame, one: str, other: str, *named: str) -> None:
    """Refuse a row that has only one of two values. Raises CaseError."""
    for value, missing, name, partner in ((one, other, *named), (other, one, *reversed(named))):
        refuse(
            file,
            rows.filter(pl.col(value).is_not_null() & pl.col(missing).is_null()),
            partner,
            "nothing",
            f"a value, as {name} has one; or both without",
        )


def refuse_overlaps(file: str, rows: pl.DataFrame, key: Sequence[str]) -> None:
    """Refuse rows of one key that overlap in time.

    Args:
        file: for the message.
        rows: with ``row``, ``started_at``, ``ended_at`` and the key.
        key: columns that rows must share to be in each other's way.

    Raises:
        CaseError: naming a row, and the time up to which an earlier one of the same key reaches.
    """
    reaching = rows.sort("started_at", "row").with_columns(
        reach=pl.col("ended_at").cum_max().shift().over(key)
    )
    refuse(
        file,
        reaching.filter(pl.col("started_at") < pl.col("reach")),
        "started_at",
        f"{{started_at}}, within another row of the same {' and '.join(key)}",
        "{reach} or later",
    )
