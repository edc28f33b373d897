"""The frames, in the order in which the data walks through them, one table of columns each.

    RawPacket → Reading (or Quarantined) → MatchedDischarge → Line → Settlement → Receipt

These tables are the only place where a column's type, unit and permitted range are written. The
Polars schema (``Frame.schema``), the SQL columns and CHECKs (``storage.tables``), the limits of the
Great Expectations suite and ``docs/columns.md`` are made from them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

import polars as pl

from settlement import units


class Kind(StrEnum):
    """What a column holds. Each kind has one Polars type and one SQL type."""

    TEXT = "text"
    BYTES = "bytes"
    INTEGER = "integer"
    TIME = "time"


POLARS_TYPES: Mapping[Kind, pl.DataType] = {
    Kind.TEXT: pl.String(),
    Kind.BYTES: pl.Binary(),
    Kind.INTEGER: pl.Int64(),
    Kind.TIME: pl.Datetime("us", "UTC"),
}


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its kind, unit, permitted range (both ends included) and meaning."""

    name: str
    kind: Kind
    meaning: str
    unit: str = ""
    low: int | None = None
    high: int | None = None
    nullable: bool = False


@dataclass(frozen=True)
class Frame:
    """A named, ordered set of columns."""

    name: str
    meaning: str
    columns: tuple[Column, ...]

    @cached_property
    def schema(self) -> pl.Schema:
        """The Polars schema, in order."""
        return pl.Schema({c.name: POLARS_TYPES[c.kind] for c in self.columns})

    def column(self, name: str) -> Column:
        """The column of that name.

        >>> READING.column("power_start_w").unit
        'W'
        """
        return next(c for c in self.columns if c.name == name)

    def empty(self) -> pl.DataFrame:
        """A frame with these columns and no rows."""
        return pl.DataFrame(schema=self.schema)


def text(name: str, meaning: str, *, nullable: bool = False) -> Column:
    return Column(name, Kind.TEXT, meaning, nullable=nullable)


def digest(name: str, meaning: str) -> Column:
    return Column(name, Kind.BYTES, meaning, unit="SHA-256")


def time(name: str, meaning: str, *, nullable: bool = False) -> Column:
    return Column(name, Kind.TIME, meaning, unit="UTC, µs", nullable=nullable)


def integer(
    name: str, unit: str, low: int, high: int, meaning: str, *, nullable: bool = False
) -> Column:
    return Column(name, Kind.INTEGER, meaning, unit, low, high, nullable)


def milliwh(
    name: str, meaning: str, *, low: int = 0, high: int = units.READING_MAX_MILLIWH
) -> Column:
    return integer(name, "mWh", low, high, meaning)


def micros(name: str, meaning: str, *, nullable: bool = False) -> Column:
    return integer(name, "1e-6 currency", -(10**15), 10**15, meaning, nullable=nullable)


def minor(name: str, meaning: str) -> Column:
    return integer(name, "minor unit", -(10**15), 10**15, meaning)


def ppm(name: str, meaning: str, *, high: int = units.FACTOR_MAX_PPM) -> Column:
    return integer(name, "1e-6", 0, high, meaning)


EVSE_ID = text("evse_id", "the charger (EVSEID, ISO 15118)")
VEHICLE_ID = text("vehicle_id", "the car (EVCCID, or the program's vehicle id)")
STREAM_EPOCH = integer(
    "stream_epoch", "", 0, units.SEQUENCE_MAX, "rises when the EVSE's sequence starts anew"
)
SEQUENCE = integer("sequence", "", 0, units.SEQUENCE_MAX, "rises by one per packet of an epoch")
STARTED_AT = time("started_at", "start of the half-open interval")
ENDED_AT = time("ended_at", "end of the half-open interval, not included")
RECEIVED_AT = time("received_at", "when this system first held the packet")
DIGEST = digest("digest", "of the signed bytes, without the signature")


def register(name: str, meaning: str) -> Column:
    return milliwh(name, meaning, high=units.REGISTER_MAX_MILLIWH)


RAW_PACKET = Frame(
    "raw_packet",
    "one packet as received: the evidence",
    (
        EVSE_ID,
        time("signed_at", "the time inside the signed bytes: end of the packet's interval"),
        DIGEST,
        Column("packet", Kind.BYTES, "the packet as received, untouched", "bytes"),
        RECEIVED_AT,
        text("source", "mqtt or http"),
        integer("batch_id", "", 1, 2**63 - 1, "the landing batch"),
    ),
)

READING = Frame(
    "reading",
    "what one verified packet says about one interval of one EVSE",
    (
        EVSE_ID,
        VEHICLE_ID,
        text("session_id", "the charging session (ISO 15118-20 SessionID)"),
        STREAM_EPOCH,
        SEQUENCE,
        STARTED_AT,
        ENDED_AT,
        *(
            integer(
                f"power_{edge}_w",
                "W",
                -units.POWER_MAX_W,
                units.POWER_MAX_W,
                f"power at the {edge}, discharge positive",
            )
            for edge in ("start", "end")
        ),
        *(
            register(f"{way}_{edge}_milliwh", f"the meter's {way} register at the {edge}")
            for way in ("export", "import")
            for edge in ("start", "end")
        ),
        *(
            ppm(f"soc_{edge}_ppm", f"state of charge at the {edge}", high=units.PPM)
            for edge in ("start", "end")
        ),
        integer(
            "latitude_microdeg",
            "1e-6 °",
            -units.LATITUDE_MAX_MICRODEG,
            units.LATITUDE_MAX_MICRODEG,
            "WGS 84 latitude",
        ),
        integer(
            "longitude_microdeg",
            "1e-6 °",
            -units.LONGITUDE_MAX_MICRODEG,
            units.LONGITUDE_MAX_MICRODEG,
            "WGS 84 longitude",
        ),
        integer(
            "clock_offset_us",
            "µs",
            -units.CLOCK_OFFSET_MAX_US,
            units.CLOCK_OFFSET_MAX_US,
            "the EVSE's own estimate of its clock error",
        ),
        text("key_id", "the enrolled key that verified it"),
        DIGEST,
        RECEIVED_AT,
    ),
)

QUARANTINED = Frame(
    "quarantine",
    "a landed packet that is no reading, with its reason; what it claims is not verified",
    (
        digest("packet_digest", "of the whole packet as received"),
        text("reason", "settlement.reasons.PacketReason"),
        text("detail", "what was wrong, where, and what was expected"),
        text("evse_id", "claimed EVSE", nullable=True),
        text("vehicle_id", "claimed vehicle", nullable=True),
        time("started_at", "claimed start", nullable=True),
        time("ended_at", "claimed end", nullable=True),
        integer(
            "claimed_export_milliwh",
            "mWh",
            0,
            units.READING_MAX_MILLIWH,
            "claimed discharge, where it could be read",
            nullable=True,
        ),
        text("key_id", "the key it names", nullable=True),
        RECEIVED_AT,
        integer("batch_id", "", 1, 2**63 - 1, "the landing batch"),
    ),
)

MATCHED_DISCHARGE = Frame(
    "matched_discharge",
    "the discharge of one vehicle in one settlement interval of one event",
    (
        text("program", "the tariff"),
        text("event_id", "the grid stress event"),
        VEHICLE_ID,
        time("event_started_at", "start of the effective window"),
        STARTED_AT,
        ENDED_AT,
        milliwh("energy_milliwh", "exported energy", high=units.LINE_MAX_MILLIWH),
        integer(
            "event_discharged_us",
            "µs",
            0,
            2**53,
            "time within the whole event in which the vehicle exported",
        ),
        integer("readings", "", 1, 2**31, "number of readings it rests on"),
        integer(
            "price_micros_per_kwh",
            "1e-6 currency per kWh",
            -units.PRICE_MAX_MICROS_PER_KWH,
            units.PRICE_MAX_MICROS_PER_KWH,
            "real-time price in force",
        ),
        ppm("incentive_rate_ppm", "contract rate"),
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
        text("program", "the tariff"),
        text("event_id", "the grid stress event"),
        VEHICLE_ID,
        STARTED_AT,
        ENDED_AT,
        milliwh("energy_milliwh", "exported energy", high=units.LINE_MAX_MILLIWH),
        integer(
            "avg_w",
            "W",
            0,
            units.AVERAGE_MAX_W,
            "average over the settlement interval, for reading; tiers compare exactly",
        ),
        integer("readings", "", 1, 2**31, "number of readings it rests on"),
        integer(
            "price_micros_per_kwh",
            "1e-6 currency per kWh",
            -units.PRICE_MAX_MICROS_PER_KWH,
            units.PRICE_MAX_MICROS_PER_KWH,
            "real-time price paid",
        ),
        ppm("incentive_rate_ppm", "contract rate"),
        ppm("tier_multiplier_ppm", "by discharge rate and duration"),
        ppm("thermal_factor_ppm", "by battery temperature", high=units.PPM),
        micros("amount_micros", "the product, rounded once to micros"),
    ),
)

SETTLEMENT = Frame(
    "settlement",
    "all lines of one vehicle × one event, rounded once: what is paid",
    (
        text("settlement_id", "derived from the content (UUID)"),
        text("program", "the tariff"),
        integer("program_version", "", 1, 2**31, "version of the tariff"),
        text("event_id", "the grid stress event"),
        VEHICLE_ID,
        text("currency", "ISO 4217"),
        integer("energy_milliwh", "mWh", 0, 10**15, "sum of the lines"),
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

FRAMES: tuple[Frame, ...] = (
    RAW_PACKET,
    READING,
    QUARANTINED,
    MATCHED_DISCHARGE,
    UNPAID,
    LINE,
    SETTLEMENT,
    RECEIPT,
)
