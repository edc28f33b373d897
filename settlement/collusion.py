"""Suspicions over a fleet: what no reading shows by itself, and several together do.

A report for people, and no rule of money: nothing is held or refused by it. Every finding names its
members and its numbers, so that somebody can look (reliability reference S8 and S15).

Two devices alike: honest meters and clocks jitter, each in its own way. Whether a value rises or falls
from one interval to the next is a coin that each device throws for itself. ``BLOCK`` throws in a row
that agree are chance once in thousands; in several blocks they are not. Scaling a curve, shifting it
in time or adding a constant leaves the throws as they are. What this cannot see: devices that add
jitter of their own, larger than that of what they copy.

Floats serve here: a distance and a speed are neither energy nor money.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from math import asin, cos, radians, sin, sqrt
from typing import Final

import polars as pl

from settlement.metering.location import EARTH_RADIUS_M

BLOCK: Final = 16
"""Steps in a row that are compared as one."""
INFORMATIVE: Final = 12
"""Of a block so many steps must rise or fall: constant power says nothing of who made it."""
BLOCKS_MIN: Final = 3
"""Blocks that two must share, and at least half of those of the shorter one."""
CENTRES_MAX: Final = 20
"""Members of a block's group that all others are paired with: work grows with the fleet, not its square."""

SPEED_MAX_KMH: Final = 200
DISTANCE_MIN_M: Final = 1_000
"""Below it a difference is the position's error, not a journey."""
ACCOUNT_VEHICLES: Final = 5
"""Vehicles that one account may have before it is named."""


class Kind(StrEnum):
    """What is suspicious."""

    IDENTICAL_CURVES = "IDENTICAL_CURVES"
    """Vehicles whose export rises and falls together, at any scale and shift."""
    CLOCKS_TOGETHER = "CLOCKS_TOGETHER"
    """EVSEs whose declared clock offsets move together: one machine pretends to be many."""
    SHARED_ACCOUNT = "SHARED_ACCOUNT"
    """One account is paid for many vehicles."""
    IMPOSSIBLE_TRAVEL = "IMPOSSIBLE_TRAVEL"
    """A vehicle was at two positions sooner one after the other than a car drives."""


@dataclass(frozen=True, slots=True)
class Suspicion:
    """One finding: ``members`` are vehicles, or EVSEs of CLOCKS_TOGETHER; ``detail`` says the numbers."""

    kind: Kind
    members: tuple[str, ...]
    detail: str


def suspicions(
    readings: pl.DataFrame,
    accounts: Mapping[str, Sequence[str]],
    *,
    account_vehicles: int = ACCOUNT_VEHICLES,
) -> list[Suspicion]:
    """Everything suspicious, by kind and members.

    Args:
        readings: ``schemas.READING`` of a period, in any order.
        accounts: who is paid for a vehicle; vehicles without a contract may be missing.
        account_vehicles: one account may be paid for so many vehicles with energy in the period.
    """
    return [
        *_curves(readings, accounts),
        *_clocks(readings),
        *_accounts(readings, accounts, account_vehicles),
        *_travels(readings),
    ]


def _curves(readings: pl.DataFrame, accounts: Mapping[str, Sequence[str]]) -> list[Suspicion]:
    moved = readings.select(
        "started_at",
        "ended_at",
        member="vehicle_id",
        value=pl.col("export_end_milliwh") - pl.col("export_start_milliwh"),
    ).filter(pl.col("value") > 0)
    # By the vehicle's own beginning, so that a copy that is shifted in time is found.
    own = moved.with_columns(origin=pl.col("started_at").min().over("member"))
    found = []
    for group, blocks in _alike(own):
        shared = set.intersection(*(set(accounts.get(vehicle, ())) for vehicle in group))
        paid = f"; all paid to {', '.join(sorted(shared))}" if shared else ""
        detail = f"{len(group)} vehicles, {blocks} or more blocks of {BLOCK} intervals alike{paid}"
        found.append(Suspicion(Kind.IDENTICAL_CURVES, group, detail))
    return found


def _clocks(readings: pl.DataFrame) -> list[Suspicion]:
    said = readings.select(
        "started_at",
        "ended_at",
        member="evse_id",
        value="clock_offset_us",
        origin=pl.lit(0).cast(pl.Datetime("us", "UTC")),
    ).filter(pl.col("value").is_not_null())
    return [
        Suspicion(
            Kind.CLOCKS_TOGETHER,
            group,
            f"{len(group)} EVSEs, offsets of {blocks} or more blocks of {BLOCK} intervals alike",
        )
        for group, blocks in _alike(said)
    ]


def _alike(values: pl.DataFrame) -> list[tuple[tuple[str, ...], int]]:
    """Groups of members that rise and fall together, and in how many blocks at least.

    Args:
        values: member, started_at, ended_at, origin (from which steps are counted), value.
    """
    blocks = _blocks(values)
    counts = dict(blocks.group_by("member").len().iter_rows())
    centres = (
        blocks.sort("member")
        .group_by("block", "pattern")
        .agg(centre=pl.col("member").head(CENTRES_MAX), n=pl.len())
        .filter(pl.col("n") > 1)
        .drop("n")
        .explode("centre")
    )
    pairs = (
        blocks.join(centres, on=("block", "pattern"))
        .filter(pl.col("centre") < pl.col("member"))
        .group_by("centre", "member")
        .agg(shared=pl.len())
        .filter(pl.col("shared") >= BLOCKS_MIN)
        .sort("centre", "member")
    )
    alike = [
        (one, other, shared)
        for one, other, shared in pairs.iter_rows()
        if 2 * shared >= min(counts[one], counts[other])
    ]
    least: dict[str, int] = {}
    for one, other, shared in alike:
        for member in (one, other):
            least[member] = max(least.get(member, 0), shared)
    return [
        (group, min(least[member] for member in group))
        for group in _joined([(one, other) for one, other, _ in alike])
    ]


def _blocks(values: pl.DataFrame) -> pl.DataFrame:
    """member, block, pattern: of each full block whether each step rose, fell or stayed."""
    length = (pl.col("ended_at") - pl.col("started_at")).dt.total_microseconds()
    since = (pl.col("started_at") - pl.col("origin")).dt.total_microseconds()
    return (
        values.with_columns(step=since // length)
        .unique(["member", "step"], keep="any")
        .sort("member", "step")
        .with_columns(
            rise=(pl.col("value") - pl.col("value").shift(1).over("member")).sign(),
            follows=pl.col("step") - pl.col("step").shift(1).over("member") == 1,
        )
        .filter(pl.col("follows"))
        .group_by("member", block=(pl.col("step") - 1) // BLOCK)
        .agg(
            pattern=pl.col("rise").sort_by("step").cast(pl.String).str.join(""),
            steps=pl.len(),
            informative=(pl.col("rise") != 0).sum(),
        )
        .filter((pl.col("steps") == BLOCK) & (pl.col("informative") >= INFORMATIVE))
        .select("member", "block", "pattern")
    )


def _joined(pairs: Sequence[tuple[str, str]]) -> list[tuple[str, ...]]:
    """Groups of all that are connected by pairs, each sorted, in the order of their first members."""
    group_of: dict[str, set[str]] = {}
    for one, other in pairs:
        merged = group_of.get(one, {one}) | group_of.get(other, {other})
        for member in merged:
            group_of[member] = merged
    return sorted({tuple(sorted(group)) for group in group_of.values()})


def _accounts(
    readings: pl.DataFrame, accounts: Mapping[str, Sequence[str]], most: int
) -> list[Suspicion]:
    vehicles: dict[str, list[str]] = {}
    for vehicle in readings["vehicle_id"].unique().sort():
        for account in accounts.get(vehicle, ()):
            vehicles.setdefault(account, []).append(vehicle)
    return [
        Suspicion(
            Kind.SHARED_ACCOUNT,
            tuple(members),
            f"account {account} is paid for {len(members)} vehicles; expected at most {most}",
        )
        for account, members in sorted(vehicles.items())
        if len(members) > most
    ]


def _travels(readings: pl.DataFrame) -> list[Suspicion]:
    # A stay's positions are looked at where it changes: from its last reading to the next stay's first.
    placed = (
        readings.select(
            "vehicle_id",
            "evse_id",
            "started_at",
            "ended_at",
            "latitude_microdeg",
            "longitude_microdeg",
        )
        .drop_nulls()
        .sort("vehicle_id", "started_at", "evse_id")
    )
    moved = pl.any_horizontal(
        pl.col("evse_id") != pl.col("evse_id").shift(n).over("vehicle_id") for n in (1, -1)
    )
    found = []
    for (vehicle,), stays in placed.filter(moved).group_by("vehicle_id", maintain_order=True):
        for before, after in pairwise(stays.iter_rows(named=True)):
            metres = _metres(before, after)
            hours = max((after["started_at"] - before["ended_at"]).total_seconds(), 1.0) / 3600
            if metres < DISTANCE_MIN_M or metres / 1000 / hours <= SPEED_MAX_KMH:
                continue
            found.append(
                Suspicion(
                    Kind.IMPOSSIBLE_TRAVEL,
                    (str(vehicle),),
                    f"{metres / 1000:.0f} km from {before['evse_id']} at {before['ended_at'].isoformat()}"
                    f" to {after['evse_id']} at {after['started_at'].isoformat()};"
                    f" expected at most {SPEED_MAX_KMH} km/h",
                )
            )
    return found


def _metres(before: Mapping[str, int], after: Mapping[str, int]) -> float:
    """Great circle, haversine."""
    lat1, lat2 = (radians(one["latitude_microdeg"] / 1e6) for one in (before, after))
    east = radians((after["longitude_microdeg"] - before["longitude_microdeg"]) / 1e6)
    half = sin((lat2 - lat1) / 2) ** 2 + cos(lat1) * cos(lat2) * sin(east / 2) ** 2
    return 2 * EARTH_RADIUS_M * asin(sqrt(min(1.0, half)))
