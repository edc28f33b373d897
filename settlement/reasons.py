"""Why a packet is not a reading, and why a kWh is not paid: two closed lists.

The order of the members is their precedence: a packet that is wrong in several ways gets the first,
and a meter's record inside a packet counts as a part of it.
A test shows that every member is documented and that the rules can produce it.
"""

from enum import StrEnum


class PacketReason(StrEnum):
    """Why a landed packet is quarantined. A packet has exactly one verdict: a reading, or one of these."""

    UNREADABLE = "UNREADABLE"
    """Not a packet of a known format: not three parts, not JSON, a field missing or of the wrong
    type, a JSON name twice, NaN or Infinity, longer than 8 KiB."""
    UNKNOWN_KEY = "UNKNOWN_KEY"
    """The packet names a key that is not enrolled, or is, or carries, the record of a meter that has no
    enrolled key."""
    KEY_NOT_VALID = "KEY_NOT_VALID"
    """The key is revoked (and the packet came after that), expired, or not yet valid at the signed time."""
    WRONG_ALGORITHM = "WRONG_ALGORITHM"
    """The packet asks for another algorithm than the key's record fixes, such as a curve that this key
    was not allowed."""
    BAD_SIGNATURE = "BAD_SIGNATURE"
    """A signature does not stand over the received bytes."""
    WRONG_DEVICE = "WRONG_DEVICE"
    """The key belongs to another EVSE than the packet names, or the key of the meter inside to another
    than the packet's own."""
    WRONG_TOPIC = "WRONG_TOPIC"
    """It came on the topic of another client than the key's record names; that is the EVSE, unless the
    record says otherwise."""
    NOT_BILLABLE = "NOT_BILLABLE"
    """The meter itself says that it must not be billed: an error flag, a status other than good, a clock
    of unknown state, no energy register; or its records do not make one interval."""
    VALUE_OUT_OF_RANGE = "VALUE_OUT_OF_RANGE"
    """A value outside its permitted range: a register that runs backwards, an interval that is empty
    or longer than an hour, a position that is not on earth, more energy than a reading may hold."""
    CLOCK_OFFSET = "CLOCK_OFFSET"
    """The EVSE declared that its clock is off by more than the tolerance (50 ms)."""
    FUTURE_TIME = "FUTURE_TIME"
    """The signed time lies in the future of its receipt, beyond the tolerance."""
    DUPLICATE_CONTENT = "DUPLICATE_CONTENT"
    """The same signed content again, under another signature or in another wrapping. The first one
    counts."""
    CONFLICTING_CONTENT = "CONFLICTING_CONTENT"
    """A second, validly signed content for an identity (EVSE, epoch, sequence), or for the number of a
    meter's record, that already has one: ERR_DATA_INCONSISTENCY. Neither is paid until an operator
    resolves it."""


SIGNED: frozenset[PacketReason] = frozenset(
    {
        PacketReason.WRONG_DEVICE,
        PacketReason.WRONG_TOPIC,
        PacketReason.NOT_BILLABLE,
        PacketReason.VALUE_OUT_OF_RANGE,
        PacketReason.CLOCK_OFFSET,
        PacketReason.FUTURE_TIME,
        PacketReason.DUPLICATE_CONTENT,
        PacketReason.CONFLICTING_CONTENT,
    }
)
"""Reasons that are given only after an enrolled key's signature has been found to stand."""


class UnpaidReason(StrEnum):
    """Why energy of a verified reading earns nothing, or nothing yet."""

    ERR_DATA_INCONSISTENCY = "ERR_DATA_INCONSISTENCY"
    """Registers and powers, or the state of charge and the energy, disagree beyond the program's
    tolerance; registers run backwards or jump; the reading's identity carries two contents; another
    discharge of the same EVSE overlaps it; or it is more energy than an EVSE can deliver."""
    METER_EXCHANGED = "METER_EXCHANGED"
    """The meter was exchanged, or its register rolled over, within the reading: what it delivered
    meanwhile is not known."""
    TWO_PLACES = "TWO_PLACES"
    """One vehicle at two EVSEs at one time; neither is paid until resolved."""
    ABOVE_RATING = "ABOVE_RATING"
    """More energy than the contract's rated power delivers in that time."""
    OUTSIDE_RADIUS = "OUTSIDE_RADIUS"
    """The vehicle was further from its site than the program's radius."""
    OUTSIDE_WINDOW = "OUTSIDE_WINDOW"
    """Discharged while no grid stress window was in force."""
    EVENT_CANCELLED = "EVENT_CANCELLED"
    """Discharged within the interval of an event that was cancelled by then."""
    EVENT_SUPERSEDED = "EVENT_SUPERSEDED"
    """Discharged within the interval of an event that had been superseded for good, after the one that
    superseded it."""
    EVENT_RANDOMISED = "EVENT_RANDOMISED"
    """Discharged within the interval of an event at a time when, by the randomisation of its start,
    duration or cancellation, some devices are in it and some are not."""
    LATE_NOTICE = "LATE_NOTICE"
    """Discharged within the interval of an event before it was created."""
    OUTSIDE_GROUP = "OUTSIDE_GROUP"
    """Discharged while an event was in force only for a group that the vehicle's site is not in."""
    NO_CONTRACT = "NO_CONTRACT"
    """The vehicle has no contract in force as the event starts."""
    DOUBLE_ENROLMENT = "DOUBLE_ENROLMENT"
    """Several contracts are in force as the event starts, or two programs would pay for the same time;
    neither is paid until resolved."""
    OUTSIDE_SEASON = "OUTSIDE_SEASON"
    """Within an event, outside the months, hours and days in which the program pays."""
    OVER_CAP = "OVER_CAP"
    """Beyond a cap of the program: hours of a season or event; after all other reasons, energy of an event
    or season."""
    NO_ORDER = "NO_ORDER"
    """The program pays for orders, and the vehicle had none for that time."""
    PRICE_MISSING = "PRICE_MISSING"
    """No price is known for the interval. The settlement is held; settling the period again after the
    price has come pays it."""
    NEGATIVE_PRICE = "NEGATIVE_PRICE"
    """The price was negative and the program pays zero then."""
    BASELINE_MISSING = "BASELINE_MISSING"
    """No baseline is known for the interval. The settlement is held."""
    THERMAL_LIMIT_REACHED = "THERMAL_LIMIT_REACHED"
    """The filtered battery temperature had reached the limit and was not yet back in the release band."""
    THERMAL_MISSING = "THERMAL_MISSING"
    """No battery temperature fresh enough, and the program holds the settlement then."""
    BELOW_MINIMUM = "BELOW_MINIMUM"
    """Below the program's minimum of energy or duration per event, or of power per interval."""
    NETTED = "NETTED"
    """Offset by charging in the same event or interval, or by not staying below the baseline."""
    CHARGED_BEFORE = "CHARGED_BEFORE"
    """Charged shortly before or after the event, only to be discharged in it: deducted."""
    PERIOD_HELD = "PERIOD_HELD"
    """Nothing is against this energy by itself, but the whole period is held, by the quality of its data
    or by the second opinion. What it would have been is what the held run computed, all factors
    included; it is paid when the gate passes or a named person releases the period."""


HELD: frozenset[UnpaidReason] = frozenset(
    {UnpaidReason.PRICE_MISSING, UnpaidReason.BASELINE_MISSING, UnpaidReason.THERMAL_MISSING}
)
"""Reasons that hold the whole settlement instead of paying the rest of it."""
