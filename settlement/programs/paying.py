"""Keys of what is paid: the program itself, price, tiers, thermal, capacity, order, rounding, runs."""

from enum import StrEnum
from typing import Final

from settlement import units
from settlement.programs.calendars import MINUTES_PER_DAY, US_PER_MINUTE, Moment, Zone
from settlement.programs.key import OFF, REQUIRED, Key
from settlement.programs.model import (
    Absent,
    AverageOver,
    Bracket,
    Correction,
    NegativePrice,
    NetPer,
    Product,
    Quantity,
    RoundingStage,
    RunTerms,
    TierMode,
)
from settlement.programs.rows import Band, Pairs, Rows
from settlement.programs.scalars import Choice, Currency, Decimal, Flag, OrOff, OrWord, Text, Whole
from settlement.rounding import RoundingMode


class PriceSource(StrEnum):
    """Where the price of energy comes from."""

    RTP = "rtp"
    FIXED = "fixed"


_MINUTES_MAX: Final = 366 * MINUTES_PER_DAY
_RUN_DAYS_MAX: Final = 10 * 366
_MATERIALITY_MAX_MICROS: Final = 10**12
_ROWS_MAX: Final = 32
_RUNS_MAX: Final = 12
FIXED_PRICE: Final = Decimal(6, 0, units.PRICE_MAX_MICROS_PER_KWH)
_POWER_PRICE: Final = Decimal(6, 0, units.PRICE_MAX_MICROS_PER_KW)
_TEMPERATURE: Final = Decimal(
    3, units.TEMPERATURE_MIN_MILLICELSIUS, units.TEMPERATURE_MAX_MILLICELSIUS
)
_PART: Final = Decimal(6, 0, units.PPM)

# --- the program itself ------------------------------------------------------------------------

PROGRAM: Final = Key("program", Text(), REQUIRED, "Its name, as contracts and events give it.")
VERSION: Final = Key(
    "version",
    Whole(1, 2**31 - 1),
    REQUIRED,
    "Rises with every change; a version that was used is never changed.",
)
VALID_FROM: Final = Key(
    "valid_from",
    OrOff(Moment()),
    OFF,
    "Events that start from then on follow this version. Off: from ever.",
)
CURRENCY: Final = Key("currency", Currency(), REQUIRED, "What it pays in.")
MINOR_UNITS: Final = Key("minor_units", Whole(0, 6), 2, "Decimal places of the payable amount.")
TIMEZONE: Final = Key(
    "timezone", Zone(), "UTC", "Local time of its seasons, days and runs, clock changes included."
)
PRODUCT: Final = Key(
    "product",
    Choice(Product),
    REQUIRED,
    "What it buys. `energy`: energy, event by event. `capacity`: the season's average power, one"
    " settlement per vehicle and season. `order`: power against an order.",
)
QUANTITY: Final = Key(
    "quantity",
    Choice(Quantity),
    "net",
    "Which energy counts. `net`: export minus import. `export_only`: export, charging does not"
    " matter. `against_baseline`: baseline minus metered net import. The product `order` always"
    " measures against the baseline.",
)
NET_PER: Final = Key(
    "net_per",
    Choice(NetPer),
    "event",
    "Where energy that can be negative is cut off at zero: once over the event, or in each"
    " settlement interval by itself.",
)
NEGATIVE_PRICE: Final = Key(
    "negative_price",
    Choice(NegativePrice),
    "zero",
    "`zero`: a negative price pays nothing. `pass_through`: it counts, and is owed by the owner.",
)
CORRECTION: Final = Key(
    "correction",
    Choice(Correction),
    "delta",
    "How a later run's difference is booked. `delta`: the difference, on the original period."
    " `reverse_and_rebook`: the whole earlier amount back, then the whole new one.",
)

# --- price ---------------------------------------------------------------------------------------

PRICE_SOURCE: Final = Key(
    "price.source",
    Choice(PriceSource),
    "rtp",
    "`rtp`: the real-time price in force. `fixed`: the price below, everywhere.",
)
PRICE_PER_KWH: Final = Key(
    "price.per_kwh",
    OrOff(FIXED_PRICE),
    OFF,
    "The fixed price in the currency per kWh; needed with `source: fixed`, refused without.",
)

# --- tiers ---------------------------------------------------------------------------------------

TIER_MODE: Final = Key(
    "tiers.mode",
    Choice(TierMode),
    "slab",
    "`slab`: the whole gets the multiplier of the bracket that holds it. `graduated`: each part"
    " gets the multiplier of its own bracket.",
)
# Three places each: the product of two multipliers then has six, exact in millionths.
MULTIPLIER: Final = Key(
    "multiplier",
    Decimal(3, 0, units.FACTOR_MAX_PPM // 1_000, scale=1_000),
    REQUIRED,
    "The factor in this bracket.",
)
POWER_FROM: Final = Key(
    "from",
    Decimal(3, 0, units.POWER_MAX_W),
    REQUIRED,
    "Where the bracket begins, in kW; it ends where the next begins.",
)
DURATION_FROM: Final = Key(
    "from",
    Decimal(3, 0, _MINUTES_MAX * 1_000, scale=US_PER_MINUTE // 1_000),
    REQUIRED,
    "Where the bracket begins, in minutes; it ends where the next begins.",
)
_NO_TIERS: Final = [{"from": "0", "multiplier": "1"}]
POWER_TIERS: Final = Key(
    "tiers.power_kw",
    Rows(
        (POWER_FROM, MULTIPLIER),
        lambda row: Bracket(row.read(POWER_FROM), row.read(MULTIPLIER)),
        lambda bracket: bracket.start,
        "from",
        _ROWS_MAX,
        first=0,
    ),
    _NO_TIERS,
    "Half-open brackets of the average power over the settlement interval.",
)
DURATION_TIERS: Final = Key(
    "tiers.duration_min",
    Rows(
        (DURATION_FROM, MULTIPLIER),
        lambda row: Bracket(row.read(DURATION_FROM), row.read(MULTIPLIER)),
        lambda bracket: bracket.start,
        "from",
        _ROWS_MAX,
        first=0,
    ),
    _NO_TIERS,
    "Half-open brackets of the time discharged in the event. Both multipliers apply; their product"
    " is at most 4.",
)

# --- thermal -------------------------------------------------------------------------------------

TIME_CONSTANT_MIN: Final = Key(
    "thermal.time_constant_min",
    Whole(0, MINUTES_PER_DAY, scale=US_PER_MINUTE),
    0,
    "Time constant of the first-order filter on the measured temperature; 0 for no filter.",
)
CURVE_C: Final = Key(
    "thermal.curve_c",
    Pairs(_TEMPERATURE, _PART, ("temperature in °C", "factor"), _ROWS_MAX),
    REQUIRED,
    "The factor by the interval's highest filtered temperature: linear between the points, the"
    " first value below them, 0 above the last.",
)
THERMAL_MISSING: Final = Key(
    "thermal.missing",
    OrWord("hold", _PART),
    "hold",
    "Where no fresh temperature is known: hold the settlement, or pay at this factor.",
)
FRESH_MIN: Final = Key(
    "thermal.fresh_min",
    Whole(0, MINUTES_PER_DAY, scale=US_PER_MINUTE),
    5,
    "How old a temperature may be.",
)
RELEASE_C: Final = Key(
    "thermal.release_c",
    Band(_TEMPERATURE),
    ["20", "45"],
    "Once the limit was reached, nothing is earned until the filtered temperature is back within"
    " this band, both ends included. The curve must be above 0 throughout it.",
)

# --- capacity and order ------------------------------------------------------------------------------

PER_AVG_KW: Final = Key(
    "capacity.per_avg_kw", _POWER_PRICE, REQUIRED, "Currency per kW of the season's average."
)
AVERAGE_OVER: Final = Key(
    "capacity.average_over",
    Choice(AverageOver),
    "event_hours",
    "`event_hours`: all events' energy over all events' time. `events`: each event's average power"
    " weighs the same.",
)
CAPACITY_ABSENT: Final = Key(
    "capacity.absent",
    Choice(Absent),
    "zero",
    "An event without any reading of the vehicle counts as zero, or is left out.",
)
ORDER_PRICE: Final = Key(
    "order.price_per_kw",
    _POWER_PRICE,
    REQUIRED,
    "Currency per kW delivered in one settlement interval.",
)
ORDER_PENALTY: Final = Key(
    "order.penalty_per_kw",
    _POWER_PRICE,
    "0",
    "Currency per kW ordered and not delivered in one settlement interval.",
)
CAP_AT_ORDER: Final = Key(
    "order.cap_at_order", Flag(), True, "Whether what exceeds the order is unpaid."
)

# --- rounding and runs -----------------------------------------------------------------------------

ROUNDING_MODE: Final = Key(
    "rounding.mode",
    Choice(RoundingMode),
    "half_away",
    "`half_away`: halves away from zero. `half_even`: halves to the even digit. `down`: towards"
    " zero.",
)
ROUNDING_STAGE: Final = Key(
    "rounding.stage",
    Choice(RoundingStage),
    "settlement",
    "Where money is rounded to minor units: once per settlement, or each line.",
)
RUN_NAME: Final = Key("name", Text(), REQUIRED, "What the run is called; no two the same.")
RUN_AFTER_DAYS: Final = Key(
    "after_days", Whole(0, _RUN_DAYS_MAX), REQUIRED, "Days from the settlement day to the run."
)
RUN_MATERIALITY: Final = Key(
    "materiality",
    Decimal(6, 0, _MATERIALITY_MAX_MICROS),
    "0",
    "A difference below this amount of currency is reported and not booked.",
)
RUNS: Final = Key(
    "runs",
    Rows(
        (RUN_NAME, RUN_AFTER_DAYS, RUN_MATERIALITY),
        lambda row: RunTerms(
            row.read(RUN_NAME), row.read(RUN_AFTER_DAYS), row.read(RUN_MATERIALITY)
        ),
        lambda run: run.after_days,
        "after_days",
        _RUNS_MAX,
    ),
    [
        {"name": "initial", "after_days": 1},
        {"name": "true_up", "after_days": 12},
        {"name": "final", "after_days": 55},
    ],
    "The calendar. After the last run differences are reported and not booked.",
)
