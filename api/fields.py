"""Fields that a request may bring: how each is read, and how it is told in OpenAPI.

Both stand in one place, so that what is published and what is accepted cannot drift apart.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from api.requests import TEXT_MAX_CHARS, Fields


class Field(Protocol):
    """A field of a body, a query or a path."""

    @property
    def name(self) -> str: ...
    @property
    def description(self) -> str: ...
    @property
    def required(self) -> bool: ...
    def take(self, given: Fields) -> object:
        """Its value. Raises Problem: missing, or not what ``schema`` says."""

    def schema(self) -> Mapping[str, Any]:
        """Its values as JSON Schema (2020-12)."""


@dataclass(frozen=True, slots=True)
class Text:
    """A text; where it is not required, null and nothing are the default.

    Attributes:
        private: never shown in a refusal: it is a secret, or may hold one.
    """

    name: str
    description: str
    required: bool = False
    default: str = ""
    private: bool = False

    def take(self, given: Fields) -> str:
        return given.text(self.name, None if self.required else self.default, private=self.private)

    def schema(self) -> Mapping[str, Any]:
        shape: dict[str, Any] = {
            "type": "string" if self.required else ["string", "null"],
            "maxLength": TEXT_MAX_CHARS,
            # Neither half a character, which no UTF-8 can hold, nor NUL.
            "pattern": r"^[^\u0000\uD800-\uDFFF]*$",
        }
        if not self.required and self.default:
            shape["default"] = self.default
        if self.private:
            shape |= {"format": "password", "writeOnly": True}
        return shape


@dataclass(frozen=True, slots=True)
class Choice:
    """One of some words; the first is the default, and may be empty for "any"."""

    name: str
    description: str
    words: Sequence[str]
    required: bool = False

    def take(self, given: Fields) -> str:
        return given.choice(self.name, self.words, self.words[0])

    def schema(self) -> Mapping[str, Any]:
        return {"type": "string", "enum": list(self.words), "default": self.words[0]}


@dataclass(frozen=True, slots=True)
class Number:
    """An integer within bounds, both included."""

    name: str
    description: str
    low: int
    high: int
    default: int
    required: bool = False

    def take(self, given: Fields) -> int:
        return given.number(self.name, self.low, self.high, self.default)

    def schema(self) -> Mapping[str, Any]:
        return {
            "type": "integer",
            "minimum": self.low,
            "maximum": self.high,
            "default": self.default,
        }


@dataclass(frozen=True, slots=True)
class Seconds:
    """A span of time in whole seconds."""

    name: str
    description: str
    longest: timedelta
    default: timedelta
    required: bool = False

    def take(self, given: Fields) -> timedelta:
        return given.seconds(self.name, self.longest, self.default)

    def schema(self) -> Mapping[str, Any]:
        return {
            "type": "integer",
            "minimum": 0,
            "maximum": int(self.longest.total_seconds()),
            "default": int(self.default.total_seconds()),
        }


@dataclass(frozen=True, slots=True)
class Time:
    """A time with its zone (RFC 3339)."""

    name: str
    description: str
    required: bool = False

    def take(self, given: Fields) -> datetime | None:
        return given.time(self.name, required=self.required)

    def schema(self) -> Mapping[str, Any]:
        kind = "string" if self.required else ["string", "null"]
        return {"type": kind, "format": "date-time"}


def taken(fields: Collection[Field], given: Fields) -> dict[str, Any]:
    """The values of all fields. Raises Problem: one is wrong, or something else was sent, too."""
    values = {one.name: one.take(given) for one in fields}
    given.nothing_else()
    return values
