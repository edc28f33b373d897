"""JSON as RFC 8259 has it, and stricter: UTF-8, each name once, no NaN; digits stay as they were written."""

import json
from typing import Final, NoReturn

from grid.errors import FeedUnreadableError

__all__ = ["Digits", "parse"]

_WHOLE_DIGITS: Final = 20


class Digits(str):
    """A JSON number with a point or an exponent, as it was written."""

    __slots__ = ()


def parse(body: bytes, *, where: str, expected: str) -> object:
    """A whole body; numbers with a point are ``Digits``, others int.

    Raises:
        FeedUnreadableError: no such JSON; it says ``where`` and what was ``expected``.
    """

    def refuse_constant(word: str) -> NoReturn:
        raise ValueError(word)

    try:
        found: object = json.loads(
            body.decode("utf-8"),
            object_pairs_hook=_unique_names,
            parse_constant=refuse_constant,
            parse_float=Digits,
            parse_int=_whole,
        )
    except (ValueError, RecursionError) as error:
        raise FeedUnreadableError(where, f"no JSON ({str(error)[:200]})", expected) from error
    return found


def _unique_names(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a name twice in one object")
    return fields


def _whole(digits: str) -> int:
    if len(digits) > _WHOLE_DIGITS:
        raise ValueError(f"a number of {len(digits)} digits")
    return int(digits)
