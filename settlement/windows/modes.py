"""Control modes: which of them an event is paid for, where several events hold different ones."""

from typing import Final

UNNAMED: Final = ""
"""What no event names: an event that says no modes competes for this and for all that others name."""

PAID_FIRST: Final = (
    # A power that is asked for.
    "opModTargetW",
    "opModFixedW",
    "csipaus:opModStorageTargetW",
    # A power that must not be exceeded.
    "opModMaxLimW",
    "csipaus:opModGenLimW",
    "csipaus:opModExpLimW",
    "csipaus:opModLoadLimW",
    "csipaus:opModImpLimW",
)
"""Names as in ``DERControlBase``. All others follow, by name; what is not named comes last."""

_PLACE: Final = {name: place for place, name in enumerate(PAID_FIRST)}


def order(mode: str) -> tuple[int, bool, str]:
    """Sorts modes: of the events that hold one at a time, the holder of the first mode is paid."""
    return _PLACE.get(mode, len(PAID_FIRST)), mode == UNNAMED, mode
