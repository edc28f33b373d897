"""Keys of what counts: season, minimum, caps, baseline, cross-checks."""

from typing import Final

from settlement import units
from settlement.programs.calendars import (
    MINUTES_PER_DAY,
    US_PER_MINUTE,
    Dates,
    Hours,
    Months,
    Weekdays,
)
from settlement.programs.key import OFF, Key
from settlement.programs.model import Absent, BaselineMethod, LikeDays
from settlement.programs.scalars import Choice, Decimal, Flag, OrOff, Whole

REGISTER_TOLERANCE_PCT: Final = 5
"""How far registers and powers may differ where a program does not say."""

_US_PER_HOUR: Final = 60 * US_PER_MINUTE
_HOURS_MAX: Final = 366 * 24
_SEASON_MAX_MILLIWH: Final = 1_000 * units.LINE_MAX_MILLIWH
_ENERGY: Final = Decimal(6, 0, units.LINE_MAX_MILLIWH)

# --- season, minimum, caps -------------------------------------------------------------------------

MONTHS: Final = Key(
    "season.months", Months(), list(range(1, 13)), "The months in which the program pays."
)
HOURS: Final = Key(
    "season.hours", Hours(), ["00:00", "24:00"], "The half-open hours of the local day."
)
WEEKDAYS: Final = Key(
    "season.weekdays",
    Weekdays(),
    "all",
    "The days of the week; `weekdays` is Monday to Friday, `weekends` Saturday and Sunday.",
)
HOLIDAYS: Final = Key(
    "season.holidays",
    Dates(),
    [],
    "Local dates on which nothing is paid; for baselines they count as Sundays.",
)
MINIMUM_EVENT_KWH: Final = Key(
    "minimum.event_kwh", _ENERGY, "0", "Less energy of a vehicle in the event earns nothing."
)
MINIMUM_DURATION_MIN: Final = Key(
    "minimum.duration_min",
    Whole(0, _HOURS_MAX * 60, scale=US_PER_MINUTE),
    0,
    "Less time discharged by a vehicle in the event earns nothing.",
)
MINIMUM_AVG_KW: Final = Key(
    "minimum.avg_kw",
    Decimal(3, 0, units.POWER_MAX_W),
    "0",
    "A settlement interval with less average power earns nothing.",
)
CAP_SEASON_HOURS: Final = Key(
    "caps.season_hours",
    OrOff(Whole(1, _HOURS_MAX, scale=_US_PER_HOUR)),
    OFF,
    "Event time of the program in one season, in time order; later time earns nothing.",
)
CAP_EVENT_HOURS: Final = Key(
    "caps.event_hours",
    OrOff(Whole(1, _HOURS_MAX, scale=_US_PER_HOUR)),
    OFF,
    "Event time within one event; later time earns nothing.",
)
CAP_EVENT_KWH: Final = Key(
    "caps.event_kwh", OrOff(_ENERGY), OFF, "Energy of one vehicle in one event, in time order."
)
CAP_SEASON_KWH: Final = Key(
    "caps.season_kwh",
    OrOff(Decimal(6, 0, _SEASON_MAX_MILLIWH)),
    OFF,
    "Energy of one vehicle in one season, in time order.",
)

# --- baseline --------------------------------------------------------------------------------------

BASELINE_METHOD: Final = Key(
    "baseline.method",
    Choice(BaselineMethod),
    "provided",
    "`provided`: given from outside. `like_days`: the average of the last `days` like days."
    " `highest_days`: the average of the `days` highest of the last `of`. `before_event`: the"
    " average power before the event.",
)
BASELINE_DAYS: Final = Key(
    "baseline.days", Whole(1, 366), 10, "How many days are averaged (like_days, highest_days)."
)
BASELINE_OF: Final = Key(
    "baseline.of",
    Whole(1, 366),
    10,
    "Out of how many like days the highest are taken (highest_days); not fewer than `days`.",
)
BASELINE_LIKE: Final = Key(
    "baseline.like",
    Choice(LikeDays),
    "weekpart",
    "Which days are alike. `weekpart`: Monday to Friday are, and Saturday, Sunday and holidays."
    " `weekday`: the same day of the week.",
)
BASELINE_SEARCH_DAYS: Final = Key(
    "baseline.search_days", Whole(1, 366), 60, "How far back like days are looked for."
)
BASELINE_EXCLUDE_EVENT_DAYS: Final = Key(
    "baseline.exclude_event_days",
    Flag(),
    True,
    "Whether days on which an event of the program was in force are left out.",
)
BASELINE_ABSENT: Final = Key(
    "baseline.absent",
    Choice(Absent),
    "zero",
    "A like day without readings counts as zero, or is left out and another one is looked for; left"
    " out, a vehicle that charges rarely is measured against the days on which it did.",
)
BASELINE_BEFORE_MIN: Final = Key(
    "baseline.before_min",
    Whole(1, MINUTES_PER_DAY, scale=US_PER_MINUTE),
    60,
    "How many minutes before the event are averaged (before_event).",
)

# --- checks ----------------------------------------------------------------------------------------

REGISTER_VS_POWER_PCT: Final = Key(
    "checks.register_vs_power_pct",
    Whole(0, 100),
    REGISTER_TOLERANCE_PCT,
    "How far the energy of the registers and of the powers may differ, in percent of the larger.",
)
SOC_VS_ENERGY_PCT: Final = Key(
    "checks.soc_vs_energy_pct",
    OrOff(Whole(0, 100)),
    25,
    "How far the change of the state of charge may differ from the energy, in percent.",
)
SITE_RADIUS_M: Final = Key(
    "checks.site_radius_m",
    OrOff(Whole(1, 100_000)),
    250,
    "How far from its site a vehicle may discharge, in metres.",
)
CLOCK_OFFSET_MS: Final = Key(
    "checks.clock_offset_ms",
    Whole(0, units.CLOCK_OFFSET_MAX_US // 1_000, scale=1_000),
    50,
    "How far off an EVSE's clock may be, in milliseconds.",
)
LOOKBACK_MIN: Final = Key(
    "checks.lookback_min",
    Whole(0, MINUTES_PER_DAY, scale=US_PER_MINUTE),
    0,
    "Energy charged in so many minutes before the event is deducted.",
)
LOOKAHEAD_MIN: Final = Key(
    "checks.lookahead_min",
    Whole(0, MINUTES_PER_DAY, scale=US_PER_MINUTE),
    0,
    "Energy charged in so many minutes after the event is deducted.",
)
