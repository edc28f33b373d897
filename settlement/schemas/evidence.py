"""The evidence: raw packets, readings, what was quarantined, and battery temperatures."""

from settlement import units
from settlement.schemas.kinds import (
    Column,
    Frame,
    Kind,
    digest,
    integer,
    milliwh,
    text,
    time,
)

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
        integer(
            "stream_epoch",
            "",
            0,
            units.SEQUENCE_MAX,
            "the packet's stream, as it claims; empty: landed before streams were watched",
            nullable=True,
        ),
        integer(
            "sequence",
            "",
            0,
            units.SEQUENCE_MAX,
            "its place in the stream, as it claims",
            nullable=True,
        ),
        integer(
            "sequence_step",
            "",
            1,
            units.SEQUENCE_MAX,
            "by how much the sequence rises from packet to packet: a meter's record leaves room for"
            " its readings",
            nullable=True,
        ),
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
                f"power at the {edge}, discharge positive; empty: not stated",
                nullable=True,
            )
            for edge in ("start", "end")
        ),
        *(
            register(f"{way}_{edge}_milliwh", f"the meter's {way} register at the {edge}")
            for way in ("export", "import")
            for edge in ("start", "end")
        ),
        *(
            integer(
                f"soc_{edge}_ppm",
                "1e-6",
                0,
                units.PPM,
                f"state of charge at the {edge}; empty: not stated",
                nullable=True,
            )
            for edge in ("start", "end")
        ),
        integer(
            "latitude_microdeg",
            "1e-6 °",
            -units.LATITUDE_MAX_MICRODEG,
            units.LATITUDE_MAX_MICRODEG,
            "WGS 84 latitude; empty: not stated",
            nullable=True,
        ),
        integer(
            "longitude_microdeg",
            "1e-6 °",
            -units.LONGITUDE_MAX_MICRODEG,
            units.LONGITUDE_MAX_MICRODEG,
            "WGS 84 longitude; empty: not stated",
            nullable=True,
        ),
        integer(
            "clock_offset_us",
            "µs",
            -units.CLOCK_OFFSET_MAX_US,
            units.CLOCK_OFFSET_MAX_US,
            "the EVSE's own estimate of its clock error; empty: not stated",
            nullable=True,
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

TEMPERATURE = Frame(
    "temperature",
    "one battery temperature as measured",
    (
        EVSE_ID,
        VEHICLE_ID,
        time("measured_at", "when it was measured"),
        integer(
            "battery_millicelsius",
            "1e-3 °C",
            units.TEMPERATURE_MIN_MILLICELSIUS,
            units.TEMPERATURE_MAX_MILLICELSIUS,
            "battery temperature",
        ),
        RECEIVED_AT,
    ),
)
