"""Every key that a program may have: its place, what is permitted, its default, its meaning.

``settlement.programs.parse`` reads through this table and ``docs/programs.md`` is written from it.
A default is written as it would stand in the file, and read in the same way.

    paying    the program itself, price, tiers, thermal, capacity, order, rounding, runs
    counting  season, minimum, caps, baseline, cross-checks
"""

from typing import Any, Final

from settlement.programs import counting, paying
from settlement.programs.key import Key, Section

PRICE: Final = Section("price", "The price of energy; not with the products capacity and order.")
TIERS: Final = Section(
    "tiers", "Multipliers by power and by duration; only with the product energy."
)
THERMAL: Final = Section(
    "thermal",
    "Derating by battery temperature; only with the product energy. Off unless given.",
    switchable=True,
)
SEASON: Final = Section("season", "When the program pays, by the clock of its time zone.")
MINIMUM: Final = Section("minimum", "What is too little to be paid; not with the product order.")
CAPS: Final = Section("caps", "What is too much to be paid, cut in time order.")
CAPACITY: Final = Section(
    "capacity", "Needed with the product capacity, refused with others.", switchable=True
)
ORDER: Final = Section(
    "order", "Needed with the product order, refused with others.", switchable=True
)
BASELINE: Final = Section(
    "baseline",
    "How a baseline is found; only where one is needed: quantity against_baseline, product order.",
)
CHECKS: Final = Section("checks", "Cross-checks of what was measured.")
ROUNDING: Final = Section("rounding", "How and where money is rounded to minor units.")

SECTIONS: Final = (
    PRICE,
    TIERS,
    THERMAL,
    SEASON,
    MINIMUM,
    CAPS,
    CAPACITY,
    ORDER,
    BASELINE,
    CHECKS,
    ROUNDING,
)

KEYS: Final[tuple[Key[Any], ...]] = (
    paying.PROGRAM,
    paying.VERSION,
    paying.VALID_FROM,
    paying.CURRENCY,
    paying.MINOR_UNITS,
    paying.TIMEZONE,
    paying.PRODUCT,
    paying.QUANTITY,
    paying.NET_PER,
    paying.NEGATIVE_PRICE,
    paying.CORRECTION,
    paying.PRICE_SOURCE,
    paying.PRICE_PER_KWH,
    paying.TIER_MODE,
    paying.POWER_TIERS,
    paying.DURATION_TIERS,
    paying.TIME_CONSTANT_MIN,
    paying.CURVE_C,
    paying.THERMAL_MISSING,
    paying.FRESH_MIN,
    paying.RELEASE_C,
    paying.PER_AVG_KW,
    paying.AVERAGE_OVER,
    paying.CAPACITY_ABSENT,
    paying.ORDER_PRICE,
    paying.ORDER_PENALTY,
    paying.CAP_AT_ORDER,
    paying.ROUNDING_MODE,
    paying.ROUNDING_STAGE,
    paying.RUNS,
    counting.MONTHS,
    counting.HOURS,
    counting.WEEKDAYS,
    counting.HOLIDAYS,
    counting.MINIMUM_EVENT_KWH,
    counting.MINIMUM_DURATION_MIN,
    counting.MINIMUM_AVG_KW,
    counting.CAP_SEASON_HOURS,
    counting.CAP_EVENT_HOURS,
    counting.CAP_EVENT_KWH,
    counting.CAP_SEASON_KWH,
    counting.BASELINE_METHOD,
    counting.BASELINE_DAYS,
    counting.BASELINE_OF,
    counting.BASELINE_LIKE,
    counting.BASELINE_SEARCH_DAYS,
    counting.BASELINE_EXCLUDE_EVENT_DAYS,
    counting.BASELINE_ABSENT,
    counting.BASELINE_BEFORE_MIN,
    counting.REGISTER_VS_POWER_PCT,
    counting.SOC_VS_ENERGY_PCT,
    counting.SITE_RADIUS_M,
    counting.CLOCK_OFFSET_MS,
    counting.LOOKBACK_MIN,
    counting.LOOKAHEAD_MIN,
)
"""All of them, in the order of the page; the keys of a row stand with its kind."""
