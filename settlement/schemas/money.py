"""The money: matched discharge, what earned nothing, lines, settlements, receipts."""

from settlement import units
from settlement.schemas.evidence import ENDED_AT, EVSE_ID, STARTED_AT, VEHICLE_ID
from settlement.schemas.kinds import (
    Column,
    Frame,
    integer,
    micros,
    milliwh,
    minor,
    ppm,
    text,
    time,
)

PROGRAM = text("program", "the tariff")
PROGRAM_VERSION = integer("program_version", "", 1, 2**31, "version of the tariff")
EVENT_ID = text("event_id", "the grid stress event, or the season of a capacity program")
CONTRACT_ID = text("contract_id", "the contract in force as the event starts")
INCENTIVE_RATE = ppm("incentive_rate_ppm", "contract rate")
READINGS = integer("readings", "", 0, 2**31, "number of readings it rests on")


def _energy(name: str, meaning: str, *, signed: bool = False, nullable: bool = False) -> Column:
    low = -units.LINE_MAX_MILLIWH if signed else 0
    return integer(name, "mWh", low, units.LINE_MAX_MILLIWH, meaning, nullable=nullable)


def _price(meaning: str) -> Column:
    bound = units.PRICE_MAX_MICROS_PER_KWH
    return integer(
        "price_micros_per_kwh",
        "1e-6 currency per kWh",
        -bound,
        bound,
        meaning,
        nullable=True,
    )


def _us(name: str, meaning: str, *, nullable: bool = False) -> Column:
    return integer(name, "µs", 0, 2**53, meaning, nullable=nullable)


METERED: tuple[Column, ...] = (
    _energy("exported_milliwh", "what the meter exported"),
    _energy("imported_milliwh", "what the meter imported"),
    _energy(
        "baseline_milliwh",
        "what it would have imported, over the time that readings cover; empty: no baseline",
        signed=True,
        nullable=True,
    ),
    _energy("energy_milliwh", "the quantity that is paid for", signed=True),
)

MATCHED_DISCHARGE = Frame(
    "matched_discharge",
    "what one vehicle is to be paid for in one settlement interval of one event",
    (
        PROGRAM,
        PROGRAM_VERSION,
        EVENT_ID,
        VEHICLE_ID,
        CONTRACT_ID,
        time("event_started_at", "start of the event, or of the season"),
        STARTED_AT,
        ENDED_AT,
        *METERED,
        integer(
            "power_milliwh",
            "mWh",
            -units.LINE_MAX_MILLIWH,
            units.LINE_MAX_MILLIWH,
            "the quantity before caps and deductions, by which tiers judge the power",
        ),
        _us("discharged_us", "time within the interval in which the vehicle exported"),
        _us("discharged_before_us", "the same, within the event before the interval"),
        _us("event_discharged_us", "the same, within the whole event"),
        _us("event_us", "length of the event, of which a capacity program takes the average"),
        READINGS,
        _price("price in force; empty where the program pays by power"),
        INCENTIVE_RATE,
        ppm("thermal_factor_ppm", "by battery temperature", high=units.PPM),
        integer(
            "ordered_w", "W", 0, units.POWER_MAX_W, "ordered power; empty: no order", nullable=True
        ),
        _us(
            "ordered_us",
            "length of the order, over which its power is averaged; empty: no order",
            nullable=True,
        ),
    ),
)

UNPAID = Frame(
    "unpaid",
    "verified energy that earned nothing, with the reason and what it would have been",
    (
        text("program", "the tariff under which it was looked at"),
        text("event_id", "the event, empty outside every window"),
        VEHICLE_ID,
        EVSE_ID,
        STARTED_AT,
        ENDED_AT,
        milliwh("energy_milliwh", "exported energy", high=10**15),
        text("reason", "settlement.reasons.UnpaidReason"),
        micros(
            "would_have_been_micros",
            "energy × price × contract rate where these are known",
            nullable=True,
        ),
    ),
)

LINE = Frame(
    "line",
    "one vehicle × one settlement interval: one product of named factors, one amount",
    (
        PROGRAM,
        EVENT_ID,
        VEHICLE_ID,
        STARTED_AT,
        ENDED_AT,
        text("term", "settlement.pricing.Term: energy, capacity, delivery or shortfall"),
        *METERED,
        integer(
            "avg_w",
            "W",
            -units.AVERAGE_MAX_W,
            units.AVERAGE_MAX_W,
            "average over the settlement interval, for reading; tiers compare exactly",
        ),
        READINGS,
        _price("price paid per kWh; empty where power is paid"),
        integer(
            "price_micros_per_kw",
            "1e-6 currency per kW",
            -units.PRICE_MAX_MICROS_PER_KW,
            units.PRICE_MAX_MICROS_PER_KW,
            "price paid per kW, a penalty negative; empty where energy is paid",
            nullable=True,
        ),
        _us(
            "over_us",
            "time over which the power is averaged; empty where energy is paid",
            nullable=True,
        ),
        INCENTIVE_RATE,
        ppm(
            "tier_multiplier_ppm",
            "by discharge rate and duration; of graduated tiers the mean, for reading",
        ),
        integer(
            "tiered_nanowh",
            "1e-9 Wh",
            -units.LINE_MAX_MILLIWH * units.FACTOR_MAX_PPM,
            units.LINE_MAX_MILLIWH * units.FACTOR_MAX_PPM,
            "energy × tier multiplier, of graduated tiers the sum over their parts: exact",
        ),
        ppm("thermal_factor_ppm", "by battery temperature", high=units.PPM),
        micros("amount_micros", "the product, rounded once to micros"),
    ),
)

SETTLEMENT = Frame(
    "settlement",
    "all lines of one vehicle × one event, rounded once: what is paid",
    (
        text("settlement_id", "derived from the content (UUID)"),
        PROGRAM,
        PROGRAM_VERSION,
        EVENT_ID,
        VEHICLE_ID,
        text("contract_id", "the contract in force as the event starts; empty: none any more"),
        text("currency", "ISO 4217"),
        integer(
            "energy_milliwh", "mWh", -(10**15), 10**15, "sum of the lines, shortfalls left out"
        ),
        micros("lines_micros", "sum of the lines as shown"),
        minor("amount_minor", "payable"),
        micros("rounding_difference_micros", "payable minus sum of lines"),
        text("state", "booked, or held"),
        text("reason", "why it is held, else empty"),
    ),
)

RECEIPT = Frame(
    "receipt",
    "what the clearinghouse answered to one attempt, judged by content",
    (
        text("posting_id", "the posting (UUID), also the idempotency key"),
        integer("attempt", "", 1, 2**31, "counts the calls"),
        time("answered_at", "when the answer, or the failure, was known"),
        text("outcome", "settlement.posting.Outcome"),
        integer("http_status", "", 100, 599, "empty where there was no answer", nullable=True),
        text("detail", "what the answer said, or what failed"),
    ),
)
