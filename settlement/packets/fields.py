"""Fields of a packet, read from JSON so that nothing can be read two ways; for every format.

A name given twice, NaN, and numbers of a length that nobody needs are refused. Where a field is
missing or of the wrong kind, the error names it, what was found and what was expected.
"""

import json
import reprlib
from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final, NoReturn

from settlement import units
from settlement.decimals import MAX_WHOLE_DIGITS, decimal_text
from settlement.packets.content import UnreadablePacketError

Fields = Mapping[str, object]

NUMBER_MAX_CHARS: Final = 40
"""Digits of a number in a meter's record; meters write a dozen."""

# What base64url has in place of + and /, back; and what it has not, to something that is no base64.
_TO_STANDARD_ALPHABET: Final = bytes.maketrans(b"-_+/=", b"+/!!!")
_PADDING: Final = (b"", b"===", b"==", b"=")


class Digits(str):
    """A JSON number, as the text that was received: its digits are significant."""

    __slots__ = ()


def base64url(where: str, part: bytes) -> bytes:
    """Bytes from base64url without padding (RFC 7515 §2). Raises UnreadablePacketError."""
    expected = "base64url without padding (RFC 7515 §2)"
    try:
        standard = part.translate(_TO_STANDARD_ALPHABET) + _PADDING[len(part) % 4]
        decoded = a2b_base64(standard, strict_mode=True)
    except Base64Error as error:
        raise UnreadablePacketError(where, f"not base64url ({error})", expected) from error
    # Of the last letter some bits may stand for nothing. Set, they would be bytes that no signature and
    # no digest covers (RFC 4648 §3.5).
    unpaired = len(decoded) % 3
    if unpaired and b2a_base64(decoded[-unpaired:], newline=False) != standard[-4:]:
        raise UnreadablePacketError(where, "bits beyond the last byte", expected)
    return decoded


def _refuse_constant(name: str) -> NoReturn:
    raise UnreadablePacketError("JSON", name, "finite numbers")


def _refuse_float(digits: str) -> NoReturn:
    raise UnreadablePacketError(
        "JSON", f"the number {digits[:NUMBER_MAX_CHARS]}", "integers, or decimals as text"
    )


def _integer(digits: str) -> int:
    if len(digits) > MAX_WHOLE_DIGITS + 1:
        raise UnreadablePacketError(
            "JSON", f"a number of {len(digits)} digits", f"at most {MAX_WHOLE_DIGITS} digits"
        )
    return int(digits)


def _digits(digits: str) -> Digits:
    if len(digits) > NUMBER_MAX_CHARS:
        raise UnreadablePacketError(
            "JSON", f"a number of {len(digits)} characters", f"at most {NUMBER_MAX_CHARS}"
        )
    return Digits(digits)


def _unique_names(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise UnreadablePacketError(
            "JSON", f"the name {twice[:NUMBER_MAX_CHARS]!r} twice", "each name once"
        )
    return fields


EXACT: Final = json.JSONDecoder(
    object_pairs_hook=_unique_names,
    parse_constant=_refuse_constant,
    parse_float=_refuse_float,
    parse_int=_integer,
)
"""Integers are ``int``; a number with a point is refused."""

AS_WRITTEN: Final = json.JSONDecoder(
    object_pairs_hook=_unique_names,
    parse_constant=_refuse_constant,
    parse_float=_digits,
    parse_int=_digits,
)
"""Every number is its ``Digits``."""


def json_object(where: str, part: bytes, decoder: json.JSONDecoder = EXACT) -> dict[str, object]:
    """A JSON object from UTF-8.

    Raises:
        UnreadablePacketError: no UTF-8, no JSON, no object, a name twice, or a number that the
            decoder refuses.
    """
    try:
        value = decoder.decode(part.decode("utf-8"))
    except UnreadablePacketError:
        raise
    except (ValueError, RecursionError) as error:
        raise UnreadablePacketError(
            where, f"not JSON ({error})", "a JSON object in UTF-8"
        ) from error
    if not isinstance(value, dict):
        raise UnreadablePacketError(where, f"a JSON {type(value).__name__}", "a JSON object")
    return value


def wrong(where: str, fields: Fields, name: str, expected: str) -> UnreadablePacketError:
    """The error for a field that is missing or of the wrong kind."""
    # reprlib: a value may be nested deeper than repr can follow.
    found = reprlib.repr(fields[name]) if name in fields else "missing"
    return UnreadablePacketError(f"{where}.{name}", found, expected)


def text(fields: Fields, name: str, where: str = "payload") -> str:
    """An id: 1 to 64 printable characters."""
    value = fields.get(name)
    if type(value) is not str or not is_id(value):
        raise wrong(where, fields, name, f"1 to {units.ID_MAX_CHARS} printable characters")
    return value


def is_id(value: str) -> bool:
    """Whether a text may stand for an id in a table, a log and a topic."""
    return 0 < len(value) <= units.ID_MAX_CHARS and value.isprintable()


def count(fields: Fields, name: str) -> int:
    """A JSON integer from 0 to 2^53 - 1."""
    value = fields.get(name)
    if type(value) is not int or not 0 <= value <= units.SEQUENCE_MAX:
        raise wrong("payload", fields, name, "a JSON integer from 0 to 2^53 - 1")
    return value


def time(fields: Fields, name: str) -> datetime:
    """A time as RFC 3339 text with its offset, in UTC."""
    value = fields.get(name)
    try:
        if type(value) is not str or len(value) > 32:  # noqa: PLR2004 - longer than any RFC 3339 time in µs
            raise ValueError
        parsed = datetime.fromisoformat(value)
        if parsed.tzinfo is None:
            raise ValueError
        return parsed.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise wrong(
            "payload",
            fields,
            name,
            "a time as RFC 3339 text with its offset, such as 2026-07-01T17:00:15Z",
        ) from error


def decimal(places: int) -> Callable[[Fields, str], int]:
    """A reader of decimal text as an exact count of 10^-places."""

    def parse(fields: Fields, name: str) -> int:
        value = fields.get(name)
        try:
            if type(value) is not str:
                raise ValueError
            return decimal_text(value, places)
        except ValueError as error:
            expected = f"a decimal as text with at most {places} digits after the point"
            raise wrong("payload", fields, name, expected) from error

    return parse
