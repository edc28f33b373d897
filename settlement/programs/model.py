"""What a program says, once it has been read: frozen, in integers, every default filled in."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from zoneinfo import ZoneInfo

from settlement.rounding import RoundingMode


class Product(StrEnum):
    """What the program buys."""

    ENERGY = "energy"
    """Energy, event by event."""
    CAPACITY = "capacity"
    """The season's average power; one settlement per vehicle and season."""
    ORDER = "order"
    """Power against an order, with a penalty on shortfall."""


class Quantity(StrEnum):
    """Which energy counts."""

    NET = "net"
    """Export minus import within the window."""
    EXPORT_ONLY = "export_only"
    AGAINST_BASELINE = "against_baseline"
    """Baseline minus metered net import, over the time that readings cover."""


class NetPer(StrEnum):
    """Over what a quantity that can be negative is clamped at zero."""

    EVENT = "event"
    INTERVAL = "interval"


class NegativePrice(StrEnum):
    """What a negative price does to a line."""

    ZERO = "zero"
    PASS_THROUGH = "pass_through"


class TierMode(StrEnum):
    """How brackets apply."""

    SLAB = "slab"
    """The whole gets the multiplier of the bracket that holds it."""
    GRADUATED = "graduated"
    """Each part gets the multiplier of its own bracket."""


class RoundingStage(StrEnum):
    """Where money is rounded to minor units."""

    SETTLEMENT = "settlement"
    LINE = "line"


class Correction(StrEnum):
    """How a later run's difference reaches the counterparty (FOCUS calls the styles delta and ledger)."""

    DELTA = "delta"
    REVERSE_AND_REBOOK = "reverse_and_rebook"


class AverageOver(StrEnum):
    """What a capacity program averages over."""

    EVENT_HOURS = "event_hours"
    EVENTS = "events"


class Absent(StrEnum):
    """What an event, or a baseline day, without any reading of the vehicle counts as."""

    ZERO = "zero"
    EXCLUDED = "excluded"


class BaselineMethod(StrEnum):
    """Where a baseline comes from."""

    PROVIDED = "provided"
    LIKE_DAYS = "like_days"
    """The average of the last ``days`` like days."""
    HIGHEST_DAYS = "highest_days"
    """The average of the ``days`` highest of the last ``of`` like days."""
    BEFORE_EVENT = "before_event"
    """The average power over ``before_min`` minutes before the event."""


class LikeDays(StrEnum):
    """Which days are alike."""

    ALL = "all"
    WEEKPART = "weekpart"
    """Monday to Friday are alike, and Saturday and Sunday are, holidays counting as Sundays."""
    WEEKDAY = "weekday"
    """Only the same day of the week."""


@dataclass(frozen=True, slots=True)
class Bracket:
    """One half-open bracket of a tier table: from ``start`` on (W, or µs), this multiplier."""

    start: int
    multiplier_ppm: int


@dataclass(frozen=True, slots=True)
class Thermal:
    """Derating by battery temperature.

    Attributes:
        time_constant_us: of the first-order filter; 0 for none.
        curve: (milli-°C, factor in ppm), ascending; linear between, the first value below the first
            point, 0 above the last.
        missing_factor_ppm: the factor where no fresh temperature is known; None holds the settlement.
        fresh_us: how old a temperature may be.
        release_low_millicelsius: THERMAL_LIMIT_REACHED ends within these two, both included.
        release_high_millicelsius: see above.
    """

    time_constant_us: int
    curve: tuple[tuple[int, int], ...]
    missing_factor_ppm: int | None
    fresh_us: int
    release_low_millicelsius: int
    release_high_millicelsius: int


@dataclass(frozen=True, slots=True)
class Season:
    """When the program pays, in its local time.

    Attributes:
        months: 1 to 12.
        starts_us, ends_us: half-open time of day, in µs after midnight by the local clock; 0 and
            24 h for all day.
        weekdays: 0 Monday to 6 Sunday.
        holidays: local dates that do not count.
    """

    months: frozenset[int]
    starts_us: int
    ends_us: int
    weekdays: frozenset[int]
    holidays: frozenset[date]


@dataclass(frozen=True, slots=True)
class Minimum:
    """Below any of these a vehicle earns nothing: per event, and ``avg_w`` per settlement interval."""

    event_milliwh: int
    duration_us: int
    avg_w: int


@dataclass(frozen=True, slots=True)
class Caps:
    """Above these nothing is earned; None for no cap.

    Attributes:
        season_us: event time of the program and season.
        event_us: event time of one event.
        event_milliwh: energy of one vehicle and event.
        season_milliwh: energy of one vehicle and season.
    """

    season_us: int | None
    event_us: int | None
    event_milliwh: int | None
    season_milliwh: int | None


@dataclass(frozen=True, slots=True)
class CapacityTerms:
    """The price of a kW of the season's average, in micros, and what the average is taken over."""

    per_avg_kw_micros: int
    average_over: AverageOver
    absent: Absent


@dataclass(frozen=True, slots=True)
class OrderTerms:
    """Prices per kW and settlement interval, in micros."""

    price_micros_per_kw: int
    penalty_micros_per_kw: int
    cap_at_order: bool


@dataclass(frozen=True, slots=True)
class BaselineTerms:
    """How a baseline is found.

    Attributes:
        method: see ``BaselineMethod``.
        days: how many days are averaged.
        of: out of how many like days the highest are taken.
        like: which days are alike.
        search_days: how far back days are looked for.
        exclude_event_days: whether days on which an event of the program was in force are left out.
        absent: what a like day without readings counts as.
        before_us: the time before the event that is averaged.
    """

    method: BaselineMethod
    days: int
    of: int
    like: LikeDays
    search_days: int
    exclude_event_days: bool
    absent: Absent
    before_us: int


@dataclass(frozen=True, slots=True)
class Checks:
    """Cross-checks; None switches one off.

    Attributes:
        register_tolerance_pct: how far registers and powers may differ.
        soc_tolerance_pct: how far the change of the state of charge may differ from the energy.
        site_radius_m: how far from its site a vehicle may discharge.
        clock_offset_us: how far off an EVSE's clock may be.
        lookback_us: time before an event in which charging is deducted.
        lookahead_us: time after an event in which charging is deducted.
    """

    register_tolerance_pct: int
    soc_tolerance_pct: int | None
    site_radius_m: int | None
    clock_offset_us: int
    lookback_us: int
    lookahead_us: int


@dataclass(frozen=True, slots=True)
class RunTerms:
    """One run of the calendar: so many days after a settlement day; differences below
    ``materiality_micros`` are reported and not booked.
    """

    name: str
    after_days: int
    materiality_micros: int


@dataclass(frozen=True, slots=True)
class Program:
    """One version of a tariff.

    Attributes:
        program: its name.
        version: rises with every change.
        valid_from: events that start from then on follow this version; None: from ever.
        currency: ISO 4217.
        minor_units: decimal places of the payable amount.
        timezone: local time of its calendar.
        product: what it buys.
        quantity: which energy counts.
        net_per: over what a negative quantity is clamped at zero.
        fixed_price_micros_per_kwh: None where the real-time price counts.
        negative_price: what a negative price does.
        tier_mode: how brackets apply.
        power_tiers: multiplier by average discharge rate over the settlement interval (start in W).
        duration_tiers: multiplier by duration discharged in the event (start in µs).
        thermal: None for a factor of 1.
        capacity: where the product is capacity.
        order: where the product is order.
        baseline: how a baseline is found, where one is needed.
        rounding_mode: see ``settlement.rounding``.
        rounding_stage: see ``RoundingStage``.
        runs: its calendar, ascending; the last one is final.
        correction: see ``Correction``.
    """

    program: str
    version: int
    valid_from: datetime | None
    currency: str
    minor_units: int
    timezone: ZoneInfo
    product: Product
    quantity: Quantity
    net_per: NetPer
    fixed_price_micros_per_kwh: int | None
    negative_price: NegativePrice
    tier_mode: TierMode
    power_tiers: tuple[Bracket, ...]
    duration_tiers: tuple[Bracket, ...]
    thermal: Thermal | None
    season: Season
    minimum: Minimum
    caps: Caps
    capacity: CapacityTerms | None
    order: OrderTerms | None
    baseline: BaselineTerms
    checks: Checks
    rounding_mode: RoundingMode
    rounding_stage: RoundingStage
    runs: tuple[RunTerms, ...]
    correction: Correction

    @property
    def needs_baseline(self) -> bool:
        """Whether its quantity is measured against a baseline."""
        return self.product is Product.ORDER or self.quantity is Quantity.AGAINST_BASELINE


def in_force(versions: Sequence[Program], at: datetime) -> Program:
    """The version in force at a time: the last one valid by then, or, before all of them, the first,
    so that no program vanishes from an event that it was applied to.

    Args:
        versions: at least one, ascending by version.
        at: usually the start of an event.
    """
    valid = [v for v in versions if v.valid_from is None or v.valid_from <= at]
    return valid[-1] if valid else versions[0]
