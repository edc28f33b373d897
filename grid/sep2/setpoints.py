"""What a ``DERControlBase`` asks for: its modes, and the numbers of those that have one.

Percentages are of what a device has set (``DERSettings``), so watts of them need that device.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from operator import attrgetter
from typing import Final

from grid.sep2.documents import NAMESPACE, Element
from grid.sep2.errors import Sep2Error
from grid.sep2.fields import POWER_OF_TEN_MAX, Fields

__all__ = ["EXTENSIONS", "Asked", "Setpoint", "Settings", "asked", "scaled", "watts"]

EXTENSIONS: Final = {
    "https://csipaus.org/ns": "csipaus",
    "https://csipaus.org/ns/v1.3-beta/storage": "csipaus-storage",
}
"""Namespaces whose controls are understood, and the prefix they are named with here, whatever prefix a
document binds. A control of any other namespace is named ``{namespace}opMod…``."""

_PER_CENT: Final = Decimal("0.01")
_HUNDRED: Final = 10_000
_VALUE_MAX: Final = 2**32
"""Int16 in the 2018 edition; UInt16 and Int32 for others later. What is asked for is not bounded here."""

_POWERS: Final = {
    "opModTargetW": "W",
    "opModDeltaW": "W",
    "opModMaxLimWAbsorb": "W",
    "opModMaxLimWInject": "W",
    "opModTargetVar": "var",
    "opModMaxLimVarAbsorb": "var",
    "opModMaxLimVarInject": "var",
    "opModTargetV": "V",
    **{
        f"{prefix}:{name}": "W"
        for prefix in EXTENSIONS.values()
        for name in ("opModExpLimW", "opModImpLimW", "opModGenLimW", "opModLoadLimW")
    },
    "csipaus-storage:opModStorageTargetW": "W",
}
"""Controls with a multiplier and a value."""

_PERCENTAGES: Final = {
    "opModFixedW": -_HUNDRED,
    "opModFixedV": -_HUNDRED,
    "opModMaxLimW": 0,
    "opModMaxLimPctWAbsorb": 0,
    "opModMaxLimPctVAAbsorb": 0,
    "opModMaxLimPctVAInject": 0,
}
"""Controls in hundredths of a percent, and the least of each."""

_LATER: Final = "DERControlBase_r2_3"
"""Where revisions after 2023 put controls of theirs."""

_SWITCHES: Final = frozenset({"opModConnect", "opModEnergize", "opModGridConnectPermit"})
_DISABLED: Final = frozenset({"true", "1"})


@dataclass(frozen=True, slots=True)
class Setpoint:
    """One number that is asked for.

    Attributes:
        mode: the control's name.
        value: exact, in ``unit``; positive: to the grid.
        unit: ``W``, ``var``, ``V``, ``%`` (of what the device has set) or ``on`` (1 or 0).
    """

    mode: str
    value: Decimal
    unit: str


@dataclass(frozen=True, slots=True)
class Asked:
    """All that is asked for.

    Attributes:
        modes: names of the controls that are there, in order of the alphabet; ``rampTms`` is none, it
            says how to come to another.
        setpoints: of those that have a number of their own, in the same order.
        disabled: those of ``modes`` that are there to be off (2023 edition): they compete as if they had
            a value, and ask for nothing.
    """

    modes: tuple[str, ...]
    setpoints: tuple[Setpoint, ...]
    disabled: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Settings:
    """The limits a device has set (``DERSettings``), watts, exact; None: not said.

    Attributes:
        max_w: ``setMaxW``.
        max_charge_w: ``setMaxChargeRateW``.
        max_discharge_w: ``setMaxDischargeRateW``.
    """

    max_w: Decimal | None
    max_charge_w: Decimal | None = None
    max_discharge_w: Decimal | None = None


def asked(base: Fields) -> Asked:
    """What a ``DERControlBase`` asks for.

    Raises:
        Sep2Error: a control is there twice, or its number cannot be read or is out of bounds.
    """
    found: dict[str, Element] = {}
    later = base.element.iterfind(f"{{{NAMESPACE}}}{_LATER}/*")
    for element in (*base.element, *later):
        named = _mode(element.tag)
        if named is None:
            continue
        if named in found:
            raise base.error(named, f"{named} twice", "each control once")
        found[named] = element
    setpoints, disabled = [], []
    for named in sorted(found):
        if found[named].get("disabled", "").strip() in _DISABLED:
            disabled.append(named)
            continue
        made = _setpoint(named, Fields(found[named], base.where, f"{base.below}/{named}"))
        if made is not None:
            setpoints.append(made)
    return Asked(tuple(sorted(found)), tuple(setpoints), tuple(disabled))


def _mode(tag: str) -> str | None:
    namespace, _, local = tag.rpartition("}")
    if not local.startswith("opMod"):
        return None
    namespace = namespace.removeprefix("{")
    if namespace == NAMESPACE:
        return local
    return f"{EXTENSIONS[namespace]}:{local}" if namespace in EXTENSIONS else tag


def _setpoint(named: str, fields: Fields) -> Setpoint | None:
    if named in _POWERS:
        return Setpoint(named, scaled(fields), _POWERS[named])
    if named in _PERCENTAGES:
        hundredths = fields.whole(low=_PERCENTAGES[named], high=_HUNDRED)
        return Setpoint(named, hundredths * _PER_CENT, "%")
    if named in _SWITCHES:
        return Setpoint(named, Decimal(fields.truth("")), "on")
    return None


def scaled(fields: Fields) -> Decimal:
    """A value with its multiplier: ``value`` times ten to the ``multiplier``, exact."""
    power = fields.whole("multiplier", low=-POWER_OF_TEN_MAX, high=POWER_OF_TEN_MAX, default=0)
    return Decimal(fields.whole("value", low=-_VALUE_MAX, high=_VALUE_MAX)).scaleb(power)


def watts(setpoint: Setpoint, settings: Settings | None, *, where: str = "") -> Decimal:
    """What a setpoint of active power is for one device, in watts; positive: to the grid.

    ``opModFixedW`` is a share of ``setMaxChargeRateW`` when negative, and of ``setMaxDischargeRateW``,
    or else ``setMaxW``, when positive; ``opModMaxLimW`` is a share of ``setMaxW``, and
    ``opModMaxLimPctWAbsorb`` of ``setMaxChargeRateW``.

    Raises:
        Sep2Error: not of active power, or the device has not set what the share is of.
    """
    if setpoint.unit == "W":
        return setpoint.value
    bases = _bases(setpoint)
    if setpoint.unit != "%" or not bases:
        raise Sep2Error(where, f"{setpoint.mode} in {setpoint.unit}", "a setpoint of active power")
    for named in bases:
        base = _SETTINGS[named](settings) if settings is not None else None
        if base is not None:
            return setpoint.value * base * _PER_CENT
    raise Sep2Error(
        where,
        f"{setpoint.mode} of {setpoint.value} % and no {' or '.join(bases)}",
        "DERSettings of the device, which say how many watts 100 % are",
    )


_SETTINGS: Final[Mapping[str, Callable[[Settings], Decimal | None]]] = {
    "setMaxW": attrgetter("max_w"),
    "setMaxChargeRateW": attrgetter("max_charge_w"),
    "setMaxDischargeRateW": attrgetter("max_discharge_w"),
}


def _bases(setpoint: Setpoint) -> Sequence[str]:
    match setpoint.mode:
        case "opModFixedW" if setpoint.value < 0:
            return ("setMaxChargeRateW",)
        case "opModFixedW":
            return ("setMaxDischargeRateW", "setMaxW")
        case "opModMaxLimW":
            return ("setMaxW",)
        case "opModMaxLimPctWAbsorb":
            return ("setMaxChargeRateW",)
        case _:
            return ()
