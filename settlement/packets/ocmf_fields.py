"""What stands in an OCMF record's readings (OCMF 1.4 §3, table RD), each made complete.

Meters spell freely: numbers as text with leading blanks, units and fields left out where they equal
the reading before, two families of OBIS codes in several spellings. What can be meant in one way
only is accepted; docs/packets.md lists it. What the meter marks as unfit for billing is read all the
same, and the reading says why it is unfit.
"""

import re
import reprlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from decimal import ROUND_DOWN, Context, Decimal, InvalidOperation
from typing import Final

from settlement.packets.content import UnreadablePacketError
from settlement.packets.fields import NUMBER_MAX_CHARS, Digits

EXPORT_REGISTERS: Final = ("C0", "C2", "2.8.0", "C1", "C3")
IMPORT_REGISTERS: Final = ("B0", "B2", "1.8.0", "B1", "B3", "98.8.0")
"""Which register counts where a record states several, the first first: of all time at the mains, of
the transaction at the mains (it begins anew with each, and continuity is lost with it), the plain register
of IEC 62056, then those on the device's side."""

CHANNEL_MARK: Final = "@"

CLOCKS: Final[Mapping[str, str]] = {
    "S": "synchronised",
    "I": "informative",
    "R": "relative",
    "U": "unknown",
}
BILLABLE_CLOCKS: Final = frozenset("SIR")

KINDS: Final[Mapping[str, str]] = {
    "B": "begin",
    "C": "charging",
    "X": "exception",
    "E": "end",
    "L": "ended locally",
    "R": "ended remotely",
    "A": "aborted",
    "P": "power failure",
    "S": "suspended",
    "T": "tariff change",
}

ERROR_FLAGS: Final[Mapping[str, str]] = {
    "E": "energy not usable for billing",
    "t": "time not usable for billing",
}

STATUSES: Final[Mapping[str, str]] = {
    "N": "not present",
    "G": "good",
    "T": "timeout",
    "D": "disconnected",
    "R": "not found",
    "M": "manipulated",
    "X": "exchanged",
    "I": "incompatible range",
    "O": "out of range",
    "S": "substitute",
    "E": "error",
    "F": "read error",
}

READINGS_MAX: Final = 512
"""Entries of RD; a record has no room for more unless they say nothing."""

_INHERITED: Final = ("TM", "TX", "RI", "RU", "RT", "EF", "ST")
_PLACES: Final = {"kwh": 6, "wh": 3}
_MAGNITUDE_MAX: Final = 10**18
"""mWh; as many digits as a packet's decimal text may have."""

_EXACTLY: Final = Context(prec=2 * NUMBER_MAX_CHARS, rounding=ROUND_DOWN)

_TIME: Final = re.compile(
    r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:[,.](\d{1,6}))?(Z|[+-]\d\d:?\d\d)(?: *([A-Za-z]))?",
    re.ASCII,
)
# A-B: may be missing; B, E and F may be letters that stand for "any". F 0 and 255 are the present
# value; another is a value stored at some earlier time.
_OBIS: Final = re.compile(
    r"(?:0?1-([0-9A-Za-z]{1,2}):)?([0-9A-Fa-f]{1,2})\.0?8\.(?:00?|e)(?:[.*&](?:00?|255|FF|200))?",
    re.ASCII | re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Reading:
    """One entry of RD, what it left out taken from the entry before.

    Attributes:
        place: its number in RD, from 0.
        at: when, UTC.
        clock: letter of the clock's state; empty: none.
        kind: letter of the transaction; empty: none.
        register: one of ``EXPORT_REGISTERS`` or ``IMPORT_REGISTERS``, and the channel where the code
            names one (``2.8.0@2``); empty: none that counts here.
        milliwatt_hours: what the register showed; None: it is no energy register, or not stated.
        problem: why its flags forbid billing; empty where they do not.
    """

    place: int
    at: datetime
    clock: str
    kind: str
    register: str
    milliwatt_hours: int | None
    problem: str


def register_of(code: str) -> str:
    """The register that an OBIS code means, in one spelling; empty: none that counts.

    >>> [register_of(c) for c in ("1-b:2.8.e", "01-00:02.08.00.FF", "01-00:c2.08.00*FF")]
    ['2.8.0', '2.8.0', 'C2']
    >>> [register_of(c) for c in ("1-0:1.8.1", "1-0:1.8.0*198", "1-b:1.9.0")]
    ['', '', '']
    """
    match = _OBIS.fullmatch(code.strip())
    if match is None:
        return ""
    value = match[2].upper().lstrip("0")
    for name in (value, f"{value}.8.0"):
        if name in EXPORT_REGISTERS or name in IMPORT_REGISTERS:
            return name
    return ""


def channel_of(code: str) -> str:
    """The channel that an OBIS code names, for a meter that counts several lines: registers of two
    have no difference. Empty: 0, or a letter, which stands for any.

    >>> [channel_of(c) for c in ("1-2:2.8.0", "01-00:C2.08.00*FF", "1-b:2.8.e", "2.8.0")]
    ['2', '', '', '']
    """
    match = _OBIS.fullmatch(code.strip())
    named = (match[1] or "") if match else ""
    return named.lstrip("0") if named.isdigit() else ""


def time_of(where: str, value: object) -> tuple[datetime, str]:
    """A time of OCMF, ``2018-07-24T13:22:04,000+0200 S``, as UTC and the clock's letter."""
    expected = "a time such as 2018-07-24T13:22:04,000+0200 S"
    match = _TIME.fullmatch(value.strip()) if type(value) is str and len(value) <= 48 else None  # noqa: PLR2004
    if match is None:
        found = "missing" if value is None else reprlib.repr(value)
        raise UnreadablePacketError(where, found, expected)
    whole, fraction, offset, clock = match.groups()
    try:
        at = datetime.fromisoformat(whole).replace(
            microsecond=int((fraction or "0").ljust(6, "0")), tzinfo=_zone(offset)
        )
        return at.astimezone(UTC), (clock or "").upper()
    except (ValueError, OverflowError) as error:
        raise UnreadablePacketError(where, reprlib.repr(value), expected) from error


def _zone(offset: str) -> timezone:
    if offset == "Z":
        return UTC
    hours, minutes = int(offset[1:3]), int(offset[-2:])
    away = timedelta(hours=hours, minutes=minutes)
    return timezone(-away if offset[0] == "-" else away)


def milliwatt_hours(where: str, value: object, unit: str) -> int:
    """A register's value as whole mWh, rounded toward zero.

    Args:
        where: for the error.
        value: a JSON number or text; blanks around it are allowed.
        unit: kWh or Wh.

    Raises:
        UnreadablePacketError: no decimal number, or beyond 10^18 mWh.

    >>> milliwatt_hours("RV", "       9.038", "kWh"), milliwatt_hours("RV", "62500.20319999", "kWh")
    (9038000, 62500203199)
    """
    expected = "a register's value, such as 2935.6"
    try:
        digits = value.strip() if isinstance(value, str) else ""
        if not (0 < len(digits) <= NUMBER_MAX_CHARS and digits.isascii()) or "_" in digits:
            raise ValueError
        exact = Decimal(digits)
        if not exact.is_finite() or exact.adjusted() > NUMBER_MAX_CHARS:
            raise ValueError
        counted = int(
            exact.scaleb(_PLACES[unit.casefold()], _EXACTLY).to_integral_value(ROUND_DOWN)
        )
        if abs(counted) >= _MAGNITUDE_MAX:
            raise ValueError
    except (ValueError, InvalidOperation) as error:
        found = "missing" if value is None else reprlib.repr(value)
        raise UnreadablePacketError(where, found, expected) from error
    return counted


def readings(entries: object) -> list[Reading]:
    """The entries of RD, in their order, each complete.

    Raises:
        UnreadablePacketError: no list, no entries, or a field that cannot be read.
    """
    complete: list[Reading] = []
    stated: dict[str, object] = {}
    for place, entry in enumerate(entries_of(entries)):
        where = f"payload.RD[{place}]"
        if "RV" in entry or entry.get("RI", stated.get("RI")) != stated.get("RI"):
            # A value is inherited only by the register that showed it.
            stated.pop("RV", None)
        stated |= {name: entry[name] for name in (*_INHERITED, "RV") if name in entry}
        complete.append(_reading(where, place, stated))
    return complete


def entries_of(entries: object) -> list[dict[str, object]]:
    """RD as a list of objects."""
    if not isinstance(entries, list) or not entries:
        found = "missing" if entries is None else reprlib.repr(entries)
        raise UnreadablePacketError("payload.RD", found, "a list of readings")
    if len(entries) > READINGS_MAX:
        raise UnreadablePacketError(
            "payload.RD", f"{len(entries)} readings", f"at most {READINGS_MAX}"
        )
    for place, entry in enumerate(entries):
        if not isinstance(entry, dict):
            raise UnreadablePacketError(f"payload.RD[{place}]", reprlib.repr(entry), "an object")
    return entries


def times(entries: object) -> list[datetime]:
    """Only the times of which RD makes points, for who needs no more. Raises UnreadablePacketError."""
    found: list[datetime] = []
    registered: list[datetime] = []
    stated: object = None
    code: object = None
    for place, entry in enumerate(entries_of(entries)):
        stated, code = entry.get("TM", stated), entry.get("RI", code)
        found.append(time_of(f"payload.RD[{place}].TM", stated)[0])
        if isinstance(code, str) and register_of(code):
            registered.append(found[-1])
    return registered or found


def _reading(where: str, place: int, stated: Mapping[str, object]) -> Reading:
    at, clock = time_of(f"{where}.TM", stated.get("TM"))
    words = {name: _word(f"{where}.{name}", stated.get(name)) for name in _INHERITED[1:]}
    register, unit = register_of(words["RI"]), words["RU"]
    problems = list(_flags(clock, words))
    if register and (channel := channel_of(words["RI"])):
        register = f"{register}{CHANNEL_MARK}{channel}"
    value = None
    if register and unit.casefold() not in _PLACES:
        problems.append(f"RU {unit!r} is no unit of energy (kWh or Wh)")
    elif register and stated.get("RV") is None:
        problems.append(f"RV: no value for {words['RI']}")
    elif register:
        value = milliwatt_hours(f"{where}.RV", stated.get("RV"), unit)
    said = f"RD[{place}]: {', '.join(problems)}" if problems else ""
    return Reading(place, at, clock, words["TX"], register, value, said)


def _word(where: str, value: object) -> str:
    if value is None:
        return ""
    if type(value) is not str or len(value) > 64 or not (value.isprintable() or not value):  # noqa: PLR2004
        if type(value) is Digits:
            return str(value)
        raise UnreadablePacketError(where, reprlib.repr(value), "a short text")
    return value.strip()


def _flags(clock: str, words: Mapping[str, str]) -> Iterable[str]:
    """Why a reading's own flags forbid billing on it."""
    if clock not in BILLABLE_CLOCKS:
        yield f"TM: clock {CLOCKS.get(clock, clock or 'not stated')}"
    for letter, said in ERROR_FLAGS.items():
        if letter in words["EF"]:
            yield f"EF {words['EF']!r}: {said}"
    if words["ST"] not in ("", "G"):
        yield f"ST {words['ST']!r}: meter status {STATUSES.get(words['ST'], 'unknown')}"
    if words["TX"] == "X":
        yield "TX 'X': an exception, not usable for billing from here on"
