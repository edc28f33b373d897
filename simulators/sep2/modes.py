"""What a control asks for: the elements of DERControlBase, from names and numbers.

Watts are given in watts, percentages in hundredths of a percent as the standard has them on the
wire (``opModFixedW`` 8000 is 80 % discharge), switches as True or False.
"""

from collections.abc import Mapping
from typing import Final

from simulators.sep2.markup import Markup, joined, node

ModeValue = int | bool

WATTS: Final = frozenset(
    {
        "opModTargetW",
        "opModMaxLimWAbsorb",
        "opModMaxLimWInject",
        "csipaus:opModExpLimW",
        "csipaus:opModGenLimW",
        "csipaus:opModImpLimW",
        "csipaus:opModLoadLimW",
    }
)
"""ActivePower, a multiplier and a value; the second and third only in the edition of 2023."""

HUNDREDTHS: Final = frozenset({"opModFixedW", "opModMaxLimW"})
SWITCHES: Final = frozenset({"opModConnect", "opModEnergize"})
SECONDS: Final = frozenset({"rampTms"})
"""A ramp time, hundredths of a second: it goes with the modes and is none itself."""

INT16_MAX: Final = 32_767
MULTIPLIER_MAX: Final = 9


class UnusableModeError(ValueError):
    """A mode that is not known here, or a value that does not fit: what was found and expected."""


def names(modes: Mapping[str, ModeValue]) -> frozenset[str]:
    """The names of the modes that are set."""
    return frozenset(modes) - SECONDS


def base(modes: Mapping[str, ModeValue], extensions: str = "") -> Markup:
    """The DERControlBase, in the order of the schema; extensions come last.

    Raises:
        UnusableModeError: a mode or a value that the element cannot hold.
    """
    own = sorted(
        (name for name in modes if ":" not in name), key=lambda name: (name == "rampTms", name)
    )
    foreign = sorted(name for name in modes if ":" in name)
    content = joined(_mode(name, modes[name]) for name in (*own, *foreign))
    return node("DERControlBase", content, Markup(extensions))


def active_power(name: str, watts: int) -> Markup:
    """An ActivePower of that name: the exact value with the smallest multiplier.

    Raises:
        UnusableModeError: more digits than a 16-bit value holds.
    """
    value, multiplier = watts, 0
    while abs(value) > INT16_MAX and value % 10 == 0 and multiplier < MULTIPLIER_MAX:
        value, multiplier = value // 10, multiplier + 1
    if abs(value) > INT16_MAX:
        raise UnusableModeError(
            f"{name}: {watts} W; expected at most {INT16_MAX} times a power of ten"
        )
    return node(name, node("multiplier", multiplier), node("value", value))


def _mode(name: str, value: ModeValue) -> Markup:
    if name in SWITCHES:
        if not isinstance(value, bool):
            raise UnusableModeError(f"{name}: {value!r}; expected true or false")
        return node(name, value)
    if name not in WATTS | HUNDREDTHS | SECONDS:
        known = ", ".join(sorted(WATTS | HUNDREDTHS | SWITCHES | SECONDS))
        raise UnusableModeError(f"{name}: not a mode that is served here; expected one of {known}")
    if isinstance(value, bool) or not isinstance(value, int):
        raise UnusableModeError(f"{name}: {value!r}; expected a whole number")
    return active_power(name, value) if name in WATTS else node(name, value)
