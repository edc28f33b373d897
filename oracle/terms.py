"""A program's body as plain numbers, with the defaults of the case format.

Plainest readings taken: keys that the case format shows only as an example (tiers, thermal, season,
caps, capacity, order) are off when absent; `checks.lookahead_min` is the look-back's counterpart;
a season's weekdays are `all` or a list of ISO weekdays (1: Monday) or of their English names.
Baselines must be given; methods that compute one from history are not known here.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from oracle.case import CaseError
from oracle.numbers import MINUTE_US, whole

_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
BEGINNING = datetime(1, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Thermal:
    """τ in minutes, the curve's points, the factor without a temperature (None: held)."""

    tau_min: Decimal
    curve: tuple[tuple[Decimal, Decimal], ...]
    missing: Decimal | None
    fresh_us: int
    release_low: Decimal
    release_high: Decimal


@dataclass(frozen=True, slots=True)
class Terms:
    """One version of a program."""

    name: str
    version: str
    valid_from: datetime
    currency: str
    minor_units: int
    zone: ZoneInfo
    product: str
    quantity: str
    net_per: str
    fixed_price: Decimal | None
    negative_price: str
    tier_mode: str
    power_tiers: tuple[tuple[int, Decimal], ...]  # from watts
    duration_tiers: tuple[tuple[int, Decimal], ...]  # from microseconds
    thermal: Thermal | None
    months: tuple[int, ...]
    hours: tuple[str, str] | None
    weekdays: frozenset[int]
    minimum_milliwh: int
    minimum_us: int
    minimum_w: int
    season_us: int | None
    event_us: int | None
    event_milliwh: int | None
    season_milliwh: int | None
    per_avg_kw: Decimal
    average_over: str
    absent: str
    price_per_kw: Decimal
    penalty_per_kw: Decimal
    cap_at_order: bool
    register_vs_power_pct: Decimal | None
    soc_vs_energy_pct: Decimal | None
    site_radius_m: Decimal | None
    lookback_us: int
    lookahead_us: int
    rounding: str
    stage: str


def _decimal(value: object) -> Decimal:
    return Decimal(str(value))


def _optional(value: object | None, scale: int, where: str, times: int = 1) -> int | None:
    return None if value is None else whole(_decimal(value) * times, scale, where)


def _tiers(rows: Iterable[Mapping[str, Any]], scale: int) -> tuple[tuple[int, Decimal], ...]:
    return tuple(
        sorted(
            (whole(_decimal(row["from"]) * scale, 0, "tiers"), _decimal(row["multiplier"]))
            for row in rows
        )
    )


def _weekdays(value: object) -> frozenset[int]:
    if value == "all":
        return frozenset(range(1, 8))
    assert isinstance(value, Iterable)
    named = {name[:3]: number for number, name in enumerate(_DAYS, 1)}
    return frozenset(day if isinstance(day, int) else named[str(day).lower()[:3]] for day in value)


def _thermal(body: Mapping[str, Any] | None) -> Thermal | None:
    if body is None:
        return None
    missing = body.get("missing", "hold")
    release = body.get("release_c", ["20", "45"])
    return Thermal(
        tau_min=_decimal(body.get("time_constant_min", 0)),
        curve=tuple((_decimal(at), _decimal(factor)) for at, factor in body["curve_c"]),
        missing=None if missing == "hold" else _decimal(missing),
        fresh_us=whole(_decimal(body.get("fresh_min", 5)) * MINUTE_US, 0, "thermal.fresh_min"),
        release_low=_decimal(release[0]),
        release_high=_decimal(release[1]),
    )


def _valid_from(value: object) -> datetime:
    if value is None:
        return BEGINNING
    when = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    if when.tzinfo is None:
        raise CaseError("program.valid_from", f"{value} has no offset")
    return when.astimezone(UTC)


def terms(body: Mapping[str, Any]) -> Terms:
    """One program body, read.

    Raises:
        CaseError: a value has more decimals than its unit, or is no number.
    """
    price = body.get("price", {"source": "rtp"})
    tiers = body.get("tiers") or {}
    season = body.get("season") or {}
    minimum = body.get("minimum") or {}
    caps = body.get("caps") or {}
    capacity = body.get("capacity") or {}
    order = body.get("order") or {}
    checks = {"register_vs_power_pct": 5, "soc_vs_energy_pct": 25, "site_radius_m": 250}
    checks.update(body.get("checks") or {})
    rounding = body.get("rounding") or {}
    one = [{"from": "0", "multiplier": "1"}]
    hours = season.get("hours")
    return Terms(
        name=str(body["program"]),
        version=str(body["version"]),
        valid_from=_valid_from(body.get("valid_from")),
        currency=str(body["currency"]),
        minor_units=int(body.get("minor_units", 2)),
        zone=ZoneInfo(str(body.get("timezone", "UTC"))),
        product=str(body["product"]),
        quantity=str(body.get("quantity", "net")),
        net_per=str(body.get("net_per", "event")),
        fixed_price=_decimal(price["per_kwh"]) if price["source"] == "fixed" else None,
        negative_price=str(body.get("negative_price", "zero")),
        tier_mode=str(tiers.get("mode", "slab")),
        power_tiers=_tiers(tiers.get("power_kw", one), 1000),
        duration_tiers=_tiers(tiers.get("duration_min", one), MINUTE_US),
        thermal=_thermal(body.get("thermal")),
        months=tuple(season.get("months", range(1, 13))),
        hours=None if hours is None else (str(hours[0]), str(hours[1])),
        weekdays=_weekdays(season.get("weekdays", "all")),
        minimum_milliwh=whole(_decimal(minimum.get("event_kwh", 0)), 6, "minimum.event_kwh"),
        minimum_us=whole(_decimal(minimum.get("duration_min", 0)) * MINUTE_US, 0, "minimum"),
        minimum_w=whole(_decimal(minimum.get("avg_kw", 0)), 3, "minimum.avg_kw"),
        season_us=_optional(caps.get("season_hours"), 0, "caps", 60 * MINUTE_US),
        event_us=_optional(caps.get("event_hours"), 0, "caps", 60 * MINUTE_US),
        event_milliwh=_optional(caps.get("event_kwh"), 6, "caps.event_kwh"),
        season_milliwh=_optional(caps.get("season_kwh"), 6, "caps.season_kwh"),
        per_avg_kw=_decimal(capacity.get("per_avg_kw", 0)),
        average_over=str(capacity.get("average_over", "event_hours")),
        absent=str(capacity.get("absent", "zero")),
        price_per_kw=_decimal(order.get("price_per_kw", 0)),
        penalty_per_kw=_decimal(order.get("penalty_per_kw", 0)),
        cap_at_order=bool(order.get("cap_at_order", True)),
        register_vs_power_pct=_percent(checks["register_vs_power_pct"]),
        soc_vs_energy_pct=_percent(checks["soc_vs_energy_pct"]),
        site_radius_m=_percent(checks["site_radius_m"]),
        lookback_us=int(checks.get("lookback_min", 0)) * MINUTE_US,
        lookahead_us=int(checks.get("lookahead_min", 0)) * MINUTE_US,
        rounding=str(rounding.get("mode", "half_away")),
        stage=str(rounding.get("stage", "settlement")),
    )


def _percent(value: object | None) -> Decimal | None:
    return None if value is None else _decimal(value)


def in_force(versions: Iterable[Terms], at: datetime) -> Terms | None:
    """The version that is valid at a time: the one that became valid last."""
    valid = [version for version in versions if version.valid_from <= at]
    return max(valid, key=lambda version: version.valid_from) if valid else None


def outside(versions: Iterable[Terms], since: datetime | None) -> Terms:
    """The version that speaks of time outside of every event: the one in force as the time that is
    accounted for begins, or the first.
    """
    ordered = sorted(versions, key=lambda version: version.valid_from)
    return in_force(ordered, BEGINNING if since is None else since) or ordered[0]
