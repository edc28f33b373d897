"""Decimal text as exact integers: the only way in which digits enter this system."""

from typing import Final

MAX_WHOLE_DIGITS: Final = 15


def decimal_text(value: str, places: int) -> int:
    """Decimal text as an exact integer count of 10^-places.

    Raises:
        ValueError: not plain ASCII decimal digits, more than 15 before the point, or more than
            ``places`` after it. Nothing is rounded.

    >>> decimal_text("12345.678", 3), decimal_text("-0.5", 3), decimal_text("7", 0)
    (12345678, -500, 7)
    """
    whole, point, fraction = value.removeprefix("-").partition(".")
    digits = whole + fraction.ljust(places, "0")
    if (
        not (digits.isascii() and digits.isdigit())
        or not 0 < len(whole) <= MAX_WHOLE_DIGITS
        or len(fraction) > places
        or (point and not fraction)
    ):
        raise ValueError(value)
    return -int(digits) if value.startswith("-") else int(digits)
