"""The terms: who is enrolled at which rate, where, against which baseline, ordered to deliver what."""

from settlement import units
from settlement.schemas.evidence import VEHICLE_ID
from settlement.schemas.kinds import Column, Frame, integer, ppm, text, time


def _interval(what: str) -> tuple[Column, ...]:
    return (
        time("started_at", f"start of the half-open interval {what}"),
        time("ended_at", "its end, not included"),
    )


def _watts(name: str, meaning: str) -> Column:
    return integer(name, "W", -units.POWER_MAX_W, units.POWER_MAX_W, meaning)


CONTRACT = Frame(
    "contract",
    "a vehicle's enrolment in a program at an incentive rate",
    (
        text("contract_id", "its name, for ever"),
        VEHICLE_ID,
        text("evse_id", "the EVSE at the enrolled site; empty where none is named"),
        text("site_id", "the enrolled site; empty where none is named"),
        text("program", "the tariff"),
        ppm("incentive_rate_ppm", "factor on the program's price"),
        time("valid_from", "in force from"),
        time("valid_to", "in force until, not included; empty: open", nullable=True),
        integer(
            "capacity_milliwh",
            "mWh",
            1,
            units.PIECE_MAX_MILLIWH,
            "usable capacity of the battery; empty: not known, and not checked against",
            nullable=True,
        ),
        integer(
            "rated_w",
            "W",
            1,
            units.POWER_MAX_W,
            "rated discharge power; empty: not known, and not checked against",
            nullable=True,
        ),
    ),
)

SITE = Frame(
    "site",
    "the place of a certified meter",
    (
        text("site_id", "its name"),
        integer(
            "latitude_microdeg",
            "1e-6 °",
            -units.LATITUDE_MAX_MICRODEG,
            units.LATITUDE_MAX_MICRODEG,
            "WGS 84 latitude; empty: not known",
            nullable=True,
        ),
        integer(
            "longitude_microdeg",
            "1e-6 °",
            -units.LONGITUDE_MAX_MICRODEG,
            units.LONGITUDE_MAX_MICRODEG,
            "WGS 84 longitude; empty: not known",
            nullable=True,
        ),
        text("site_group", "the group of devices that events may address; empty: none"),
    ),
)

BASELINE = Frame(
    "baseline",
    "what a vehicle would have drawn without the event",
    (
        VEHICLE_ID,
        *_interval("that it speaks of"),
        _watts("baseline_w", "average power, import positive"),
    ),
)

ORDER = Frame(
    "power_order",
    "what a vehicle was ordered to deliver in an event",
    (
        text("event_id", "the grid stress event"),
        VEHICLE_ID,
        *_interval("of the order; each one is settled by itself"),
        integer("ordered_w", "W", 0, units.POWER_MAX_W, "ordered reduction or discharge"),
    ),
)
