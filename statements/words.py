"""Reasons in plain words, for the person who was not paid."""

from collections.abc import Mapping
from typing import Final

from settlement.reasons import UnpaidReason

REASONS: Final[Mapping[UnpaidReason, str]] = {
    UnpaidReason.ERR_DATA_INCONSISTENCY: (
        "The measurements contradict each other: the meter's registers, the power, the battery's state"
        " of charge or two reports of the same interval do not agree. Nothing is paid until this is"
        " resolved."
    ),
    UnpaidReason.METER_EXCHANGED: (
        "The meter was exchanged, or its register started anew, during this time, so what was"
        " delivered is not known."
    ),
    UnpaidReason.TWO_PLACES: (
        "The vehicle was reported at two chargers at the same time. Nothing is paid until this is"
        " resolved."
    ),
    UnpaidReason.ABOVE_RATING: (
        "More energy was reported than the contract's rated power can deliver in this time."
    ),
    UnpaidReason.OUTSIDE_RADIUS: "The vehicle was too far from the site of its contract.",
    UnpaidReason.OUTSIDE_WINDOW: "No event was in force at this time.",
    UnpaidReason.EVENT_CANCELLED: "The event had been cancelled by then.",
    UnpaidReason.EVENT_SUPERSEDED: "Another event had replaced this one for good by then.",
    UnpaidReason.EVENT_RANDOMISED: (
        "The event lets each device draw its own start or end at random, and at this time not every"
        " device was in it."
    ),
    UnpaidReason.LATE_NOTICE: "The event was called only after this time.",
    UnpaidReason.OUTSIDE_GROUP: (
        "The event in force was called for another group of sites than the vehicle's."
    ),
    UnpaidReason.NO_CONTRACT: "The vehicle had no contract in force when the event started.",
    UnpaidReason.DOUBLE_ENROLMENT: (
        "The vehicle is enrolled more than once for this time. Nothing is paid until this is resolved."
    ),
    UnpaidReason.OUTSIDE_SEASON: "The program does not pay in this month, on this day or at this hour.",
    UnpaidReason.OVER_CAP: "Beyond what the program pays at most.",
    UnpaidReason.NO_ORDER: "The program pays for orders, and there was none for this time.",
    UnpaidReason.PRICE_MISSING: (
        "The price of this time is not known yet. The settlement is held and can be paid once it is."
    ),
    UnpaidReason.BASELINE_MISSING: (
        "The baseline of this time is not known. The settlement is held and can be paid once it is."
    ),
    UnpaidReason.NEGATIVE_PRICE: "The price was negative, and the program pays nothing then.",
    UnpaidReason.THERMAL_MISSING: (
        "No battery temperature recent enough is known. The settlement is held and can be paid once"
        " one is."
    ),
    UnpaidReason.THERMAL_LIMIT_REACHED: (
        "The battery had reached its temperature limit and was not back in its normal range."
    ),
    UnpaidReason.BELOW_MINIMUM: "Below the least energy, duration or power that the program pays for.",
    UnpaidReason.CHARGED_BEFORE: (
        "Deducted, because the vehicle had charged as much shortly before or after the event."
    ),
    UnpaidReason.NETTED: (
        "Offset by what the vehicle charged in the same event or interval, or by its baseline."
    ),
    UnpaidReason.PERIOD_HELD: (
        "The data of this whole period is being looked into. The amount is what it comes to as the data"
        " stands; it can be paid once that is done."
    ),
}
"""One sentence or two for every reason."""


def in_words(reason: str) -> str:
    """A reason in words; an unknown one as it is."""
    return REASONS[UnpaidReason(reason)] if reason in set(UnpaidReason) else reason
