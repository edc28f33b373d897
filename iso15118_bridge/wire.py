"""Names and numbers as they travel, and where the library's names differ from the schema's.

`iso15118` 0.31.2 calls two elements of MeterInfo by names that the schema does not have. Its codec
drops what the schema does not know, without a word: the register that says what a car discharged
never reaches the car. So names are put right on the way out and turned back on the way in.
"""

import json
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Final, TypeGuard

Message = dict[str, Any]
"""One message as JSON: {"SessionSetupReq": {"Header": {...}, ...}}."""

DISCHARGED: Final = "BPT_DischargedEnergyReadingWh"
CHARGED: Final = "ChargedEnergyReadingWh"
METER_INFO: Final = "MeterInfo"

LIBRARY_TO_SCHEMA: Final[Mapping[str, str]] = {
    "BPTDischargedEnergyReadingWh": DISCHARGED,
    "BPTInductiveEnergyReadingVARh": "BPT_InductiveEnergyReadingVARh",
}
SCHEMA_TO_LIBRARY: Final[Mapping[str, str]] = {
    schema: library for library, schema in LIBRARY_TO_SCHEMA.items()
}

BIDIRECTIONAL: Final[Mapping[int, str]] = {5: "AC_BPT", 6: "DC_BPT"}
"""The only services under which energy may flow back, by ServiceID."""
SERVICES: Final[Mapping[int, str]] = {1: "AC", 2: "DC", 3: "WPT", 4: "DC_ACDP", **BIDIRECTIONAL}


def renamed(text: str, names: Mapping[str, str]) -> str:
    """A message in JSON with the element names of every MeterInfo replaced.

    >>> renamed('{"A": {"MeterInfo": {"BPTDischargedEnergyReadingWh": 7}}}', LIBRARY_TO_SCHEMA)
    '{"A": {"MeterInfo": {"BPT_DischargedEnergyReadingWh": 7}}}'
    """
    if not any(name in text for name in names):
        return text
    message = json.loads(text)
    for info in meter_infos(message):
        for old, new in names.items():
            if old in info:
                info[new] = info.pop(old)
    return json.dumps(message)


def meter_infos(message: Message) -> Iterator[dict[str, Any]]:
    """The MeterInfo of a message, if it has one."""
    for body in message.values():
        if isinstance(body, dict) and isinstance(body.get(METER_INFO), dict):
            yield body[METER_INFO]


def split(message: Message) -> tuple[str, Mapping[str, Any]]:
    """Name and body of a message; ("", {}) for what is none."""
    if len(message) != 1:
        return "", {}
    name, body = next(iter(message.items()))
    return (name, body) if isinstance(body, dict) else ("", {})


def number(value: object) -> Decimal | None:
    """A RationalNumber, value times ten to the exponent; None for anything else.

    >>> number({"Exponent": -1, "Value": 4000})
    Decimal('400.0')
    """
    if not isinstance(value, dict):
        return None
    exponent, digits = value.get("Exponent"), value.get("Value")
    if is_count(exponent, least=-128, most=127) and is_count(digits, least=-32768, most=32767):
        return Decimal(digits).scaleb(exponent)
    return None


def is_count(value: object, *, least: int, most: int) -> TypeGuard[int]:
    """Whether a value is a whole number in a range; True and False are none."""
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
