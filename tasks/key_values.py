"""``KEY=VALUE``: a key of a program and another value for it, as a command line gives them.

UnusableChangeError   what was asked for cannot be done
"""

import re
from collections.abc import Mapping
from typing import Any, Final

import yaml

from settlement.programs import paying
from settlement.programs.key import Kind
from settlement.programs.keys import KEYS, SECTIONS
from settlement.programs.scalars import Decimal, OrOff, OrWord

_KINDS: Final[Mapping[str, Kind[Any]]] = {key.path: key.kind for key in KEYS}
_SECTIONS: Final = frozenset(section.path for section in SECTIONS)
_FIXED: Final[Mapping[str, str]] = {
    "program": "its name; --instead NAME=FILE puts another program in its place",
    "version": "which rules they are; --program FILE puts others in their place",
    "valid_from": "which events follow it; --program FILE puts other versions in its place",
    "runs": "when amounts are booked, and here nothing is",
    "correction": "how amounts are booked, and here nothing is",
}
"""Keys that cannot be set, with what they say."""


_DECIMALS: Final = frozenset(
    key.path
    for key in (paying.POWER_TIERS, paying.DURATION_TIERS, paying.CURVE_C, paying.RELEASE_C)
)
"""Lists in which every number is decimal text."""

_SWITCHES: Final = ("tag:yaml.org,2002:bool", "tag:yaml.org,2002:null")


LEFT_OUT: Final = object()
"""In place of a value: the key is left out, and its default counts."""


class UnusableChangeError(ValueError):
    """A change that cannot be made.

    Attributes:
        asked: the option, with its value.
        found: what is wrong with it.
        expected: what would be right.
    """

    def __init__(self, asked: str, found: str, expected: str) -> None:
        shown = asked if asked.isprintable() else ascii(asked)
        super().__init__(f"{shown}: {found}; expected {expected}")
        self.asked = asked
        self.found = found
        self.expected = expected


def read_setting(setting: str) -> tuple[list[str], object]:
    """The parts of the key, and the value.

    Raises:
        UnusableChangeError: it is no ``KEY=VALUE``, or a key that cannot be set.
    """
    key, separator, text = setting.partition("=")
    key = key.strip()
    parts = key.split(".")
    if not separator or not all(parts):
        raise UnusableChangeError(
            f"--set {setting}", "no value", "KEY=VALUE, such as rounding.mode=half_even"
        )
    if key in _FIXED:
        raise UnusableChangeError(
            f"--set {setting}", f"{key} says {_FIXED[key]}", "a key that amounts depend on"
        )
    for above in (".".join(parts[:end]) for end in range(1, len(parts))):
        if above in _KINDS and above not in _SECTIONS:
            raise UnusableChangeError(
                f"--set {setting}", f"{above} holds no keys", f"--set {above}=… as a whole"
            )
    if not text.strip():
        return parts, LEFT_OUT
    # No shell passes quotation marks on, so that what can only be decimal text is.
    decimal = key in _DECIMALS or (key in _KINDS and _is_decimal(_KINDS[key]))
    try:
        # Subclasses of the safe loader: they make plain values only.
        return parts, yaml.load(text, _Values if decimal else _Numbers)  # noqa: S506
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UnusableChangeError(
            f"--set {setting}", "a value that is no YAML", 'such as "2.00", 60 or [5, 6]'
        ) from error


def _is_decimal(kind: Kind[Any]) -> bool:
    while isinstance(kind, OrOff | OrWord):
        kind = kind.kind
    return isinstance(kind, Decimal)


class _Values(yaml.SafeLoader):
    """PyYAML's safe loader, to which times, hours such as 16:00 and decimals are text."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's own way of saying it
        first: [(tag, form) for tag, form in resolvers if tag in _SWITCHES]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


class _Numbers(_Values):
    """The same, to which whole numbers are numbers."""

    yaml_implicit_resolvers = _Values.yaml_implicit_resolvers | {
        first: [("tag:yaml.org,2002:int", re.compile(r"^-?[0-9]{1,18}$"))]
        for first in "-0123456789"
    }
