"""From what a YAML or JSON reader gives to a program, or an error that names what is wrong."""

from collections.abc import Mapping
from datetime import date

from settlement.programs import counting, keys, paying
from settlement.programs.consistency import require_consistent
from settlement.programs.errors import Place
from settlement.programs.key import Fields
from settlement.programs.model import (
    BaselineMethod,
    BaselineTerms,
    CapacityTerms,
    Caps,
    Checks,
    Minimum,
    OrderTerms,
    Program,
    Season,
    Thermal,
)


def parse(body: object, source: str) -> Program:
    """A program from its data.

    Args:
        body: as a YAML or JSON reader gives it; decimals as text, dates as text or as dates.
        source: the file or table it came from, for messages.

    Raises:
        ProgramError: a key is missing, unknown, of the wrong type, not permitted, or contradicts
            another one.
    """
    fields = Fields(body, Place(source), keys.KEYS, keys.SECTIONS)
    program = Program(
        program=fields.read(paying.PROGRAM),
        version=fields.read(paying.VERSION),
        valid_from=fields.read(paying.VALID_FROM),
        currency=fields.read(paying.CURRENCY),
        minor_units=fields.read(paying.MINOR_UNITS),
        timezone=fields.read(paying.TIMEZONE),
        product=fields.read(paying.PRODUCT),
        quantity=fields.read(paying.QUANTITY),
        net_per=fields.read(paying.NET_PER),
        fixed_price_micros_per_kwh=fields.read(paying.PRICE_PER_KWH),
        negative_price=fields.read(paying.NEGATIVE_PRICE),
        tier_mode=fields.read(paying.TIER_MODE),
        power_tiers=fields.read(paying.POWER_TIERS),
        duration_tiers=fields.read(paying.DURATION_TIERS),
        thermal=_thermal(fields) if fields.given(keys.THERMAL) else None,
        season=_season(fields),
        minimum=Minimum(
            event_milliwh=fields.read(counting.MINIMUM_EVENT_KWH),
            duration_us=fields.read(counting.MINIMUM_DURATION_MIN),
            avg_w=fields.read(counting.MINIMUM_AVG_KW),
        ),
        caps=Caps(
            season_us=fields.read(counting.CAP_SEASON_HOURS),
            event_us=fields.read(counting.CAP_EVENT_HOURS),
            event_milliwh=fields.read(counting.CAP_EVENT_KWH),
            season_milliwh=fields.read(counting.CAP_SEASON_KWH),
        ),
        capacity=_capacity(fields) if fields.given(keys.CAPACITY) else None,
        order=_order(fields) if fields.given(keys.ORDER) else None,
        baseline=_baseline(fields),
        checks=_checks(fields),
        rounding_mode=fields.read(paying.ROUNDING_MODE),
        rounding_stage=fields.read(paying.ROUNDING_STAGE),
        runs=fields.read(paying.RUNS),
        correction=fields.read(paying.CORRECTION),
    )
    require_consistent(program, fields)
    return program


def plain(body: object) -> object:
    """A program's data as JSON can hold it: dates and times, which YAML reads, as text again.

    >>> plain({"season": {"holidays": [date(2026, 7, 3)]}})
    {'season': {'holidays': ['2026-07-03']}}
    """
    if isinstance(body, Mapping):
        return {name: plain(value) for name, value in body.items()}
    if isinstance(body, list):
        return [plain(value) for value in body]
    return body.isoformat() if isinstance(body, date) else body


def _thermal(fields: Fields) -> Thermal:
    low, high = fields.read(paying.RELEASE_C)
    return Thermal(
        time_constant_us=fields.read(paying.TIME_CONSTANT_MIN),
        curve=fields.read(paying.CURVE_C),
        missing_factor_ppm=fields.read(paying.THERMAL_MISSING),
        fresh_us=fields.read(paying.FRESH_MIN),
        release_low_millicelsius=low,
        release_high_millicelsius=high,
    )


def _season(fields: Fields) -> Season:
    starts_us, ends_us = fields.read(counting.HOURS)
    return Season(
        months=fields.read(counting.MONTHS),
        starts_us=starts_us,
        ends_us=ends_us,
        weekdays=fields.read(counting.WEEKDAYS),
        holidays=fields.read(counting.HOLIDAYS),
    )


def _capacity(fields: Fields) -> CapacityTerms:
    return CapacityTerms(
        per_avg_kw_micros=fields.read(paying.PER_AVG_KW),
        average_over=fields.read(paying.AVERAGE_OVER),
        absent=fields.read(paying.CAPACITY_ABSENT),
    )


def _order(fields: Fields) -> OrderTerms:
    return OrderTerms(
        price_micros_per_kw=fields.read(paying.ORDER_PRICE),
        penalty_micros_per_kw=fields.read(paying.ORDER_PENALTY),
        cap_at_order=fields.read(paying.CAP_AT_ORDER),
    )


def _baseline(fields: Fields) -> BaselineTerms:
    method = fields.read(counting.BASELINE_METHOD)
    days = fields.read(counting.BASELINE_DAYS)
    return BaselineTerms(
        method=method,
        days=days,
        # The average of all like days is that of the highest ones out of as many.
        of=days if method is BaselineMethod.LIKE_DAYS else fields.read(counting.BASELINE_OF),
        like=fields.read(counting.BASELINE_LIKE),
        search_days=fields.read(counting.BASELINE_SEARCH_DAYS),
        exclude_event_days=fields.read(counting.BASELINE_EXCLUDE_EVENT_DAYS),
        absent=fields.read(counting.BASELINE_ABSENT),
        before_us=fields.read(counting.BASELINE_BEFORE_MIN),
    )


def _checks(fields: Fields) -> Checks:
    return Checks(
        register_tolerance_pct=fields.read(counting.REGISTER_VS_POWER_PCT),
        soc_tolerance_pct=fields.read(counting.SOC_VS_ENERGY_PCT),
        site_radius_m=fields.read(counting.SITE_RADIUS_M),
        clock_offset_us=fields.read(counting.CLOCK_OFFSET_MS),
        lookback_us=fields.read(counting.LOOKBACK_MIN),
        lookahead_us=fields.read(counting.LOOKAHEAD_MIN),
    )
