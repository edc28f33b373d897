"""From what a YAML or JSON reader gives to limits, or an error that names what is wrong."""

import re
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Final

from settlement.limits.model import CurrencyLimits, Limits

MONEY_MAX: Final = 10**15
"""No posting is larger (``settlement.schemas.SETTLEMENT``)."""

_CURRENCY: Final = re.compile(r"[A-Z]{3}")
_SHOWN_CHARS: Final = 80

_RANGES: Final[Mapping[str, tuple[int, int]]] = {
    "minor_units": (0, 6),
    "line_minor": (1, MONEY_MAX),
    "posting_minor": (1, MONEY_MAX),
    "vehicle_day_minor": (1, MONEY_MAX),
    "account_day_minor": (1, MONEY_MAX),
    "account_month_minor": (1, MONEY_MAX),
    "approval_above_minor": (0, MONEY_MAX),
    "account_day_postings": (1, 10**9),
    "vehicle_day_kwh": (1, 10**6),
    "unrated_kw": (1, 10_000),
}

_ORDER: Final = (
    ("line_minor", "posting_minor"),
    ("approval_above_minor", "posting_minor"),
    ("posting_minor", "vehicle_day_minor"),
    ("posting_minor", "account_day_minor"),
    ("account_day_minor", "account_month_minor"),
)
"""The first may not exceed the second: else one of the two would never be reached."""


class LimitsError(ValueError):
    """Limits that cannot be used.

    Attributes:
        where: the path of the key, such as ``currencies.USD.line_minor``.
        found: the value, as a message shows it.
        expected: what is permitted, in words.
    """

    def __init__(self, source: str, where: str, found: str, expected: str) -> None:
        super().__init__(f"{source}: {where or 'the limits'}: {found}; expected {expected}")
        self.where = where
        self.found = found
        self.expected = expected


def parse(document: object, source: str) -> Limits:
    """Limits from their document. Every key must stand there: a limit left out would be one that
    nobody has said.

    Args:
        document: as a YAML or JSON reader gives it.
        source: the file or table it came from, for messages.

    Raises:
        LimitsError: a key is missing, unknown, of the wrong type, out of range, or contradicts another.
    """
    whole = _section(document, source, "", [field.name for field in fields(Limits)])
    currencies = whole["currencies"]
    if not isinstance(currencies, Mapping) or not currencies:
        raise LimitsError(
            source, "currencies", _shown(currencies), "a section with at least one currency"
        )
    return Limits(
        currencies={code: _currency(code, said, source) for code, said in currencies.items()},
        account_day_postings=_whole(whole, "account_day_postings", source, ""),
        vehicle_day_kwh=_whole(whole, "vehicle_day_kwh", source, ""),
        unrated_kw=_whole(whole, "unrated_kw", source, ""),
    )


def plain(limits: Limits) -> dict[str, object]:
    """Limits as JSON can hold them; ``parse`` reads it back.

    >>> from settlement.limits.model import DEFAULTS
    >>> parse(plain(DEFAULTS), "defaults") == DEFAULTS
    True
    """
    return asdict(limits)


def _currency(code: object, said: object, source: str) -> CurrencyLimits:
    if not isinstance(code, str) or not _CURRENCY.fullmatch(code):
        raise LimitsError(
            source, "currencies", _shown(code), "codes of three capitals (ISO 4217), such as USD"
        )
    names = [field.name for field in fields(CurrencyLimits)]
    where = f"currencies.{code}."
    section = _section(said, source, where, names)
    made = CurrencyLimits(**{name: _whole(section, name, source, where) for name in names})
    for lower, upper in _ORDER:
        if getattr(made, lower) > getattr(made, upper):
            raise LimitsError(
                source,
                where + lower,
                str(getattr(made, lower)),
                f"at most {upper}, which is {getattr(made, upper)}",
            )
    return made


def _section(found: object, source: str, where: str, names: list[str]) -> Mapping[str, object]:
    if not isinstance(found, Mapping):
        raise LimitsError(
            source, where.rstrip("."), _shown(found), f"a section with {', '.join(names)}"
        )
    for name in found:
        if name not in names:
            raise LimitsError(source, f"{where}{name}", "unknown key", f"one of {', '.join(names)}")
    for name in names:
        if name not in found:
            raise LimitsError(source, where + name, "missing", "a value: no limit is implied")
    return found


def _whole(section: Mapping[str, object], name: str, source: str, where: str) -> int:
    found = section[name]
    low, high = _RANGES[name]
    if type(found) is not int or not low <= found <= high:
        raise LimitsError(
            source, where + name, _shown(found), f"a whole number from {low} to {high}"
        )
    return found


def _shown(found: object) -> str:
    try:
        text = repr(found)
    except (ValueError, RecursionError):
        # An integer of thousands of digits, or lists without end.
        text = f"a value of type {type(found).__name__}"
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}…"
