"""Money as banks write it, in decimals, and as we count it, in minor units; exactly, both ways."""

import re
from typing import Final

from iso20022.errors import Iso20022Error

_NONE: Final = frozenset({"CLP", "ISK", "JPY", "KRW", "PYG", "UGX", "VND", "XAF", "XOF", "XPF"})
_THREE: Final = frozenset({"BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"})
_TWO: Final = frozenset(
    {
        "AED", "ARS", "AUD", "BAM", "BGN", "BRL", "CAD", "CHF", "CNY", "COP", "CZK", "DKK", "EGP", "EUR",
        "GBP", "GEL", "HKD", "HUF", "IDR", "ILS", "INR", "KES", "MAD", "MDL", "MKD", "MXN", "MYR", "NGN",
        "NOK", "NZD", "PEN", "PHP", "PKR", "PLN", "QAR", "RON", "RSD", "SAR", "SEK", "SGD", "THB", "TRY",
        "TWD", "UAH", "USD", "UYU", "ZAR",
    }
)  # fmt: skip
"""ISO 4217, as far as it is known here: of others nobody may guess where the point stands."""

_DECIMAL: Final = re.compile(r"[+-]?([0-9]{1,18})(?:\.([0-9]{1,17}))?")
AMOUNT_MAX_MINOR: Final = 10**15
"""Of one payment, either way; the bound of every amount in minor units."""


def exponent_of(currency: str) -> int:
    """Digits after the point of a currency (ISO 4217).

    Raises:
        Iso20022Error: a currency that is not known here.

    >>> exponent_of("EUR"), exponent_of("JPY"), exponent_of("KWD")
    (2, 0, 3)
    """
    for exponent, currencies in ((2, _TWO), (0, _NONE), (3, _THREE)):
        if currency in currencies:
            return exponent
    raise Iso20022Error(
        "currency", repr(currency[:10]), "a currency whose minor unit is known here"
    )


def minor_of(text: str, currency: str) -> int:
    """Minor units of a decimal, with no rounding.

    Raises:
        Iso20022Error: no decimal, more digits than the currency has, out of range, unknown currency.

    >>> minor_of("12.3", "EUR"), minor_of("-7.000", "JPY")
    (1230, -7)
    """
    exponent = exponent_of(currency)
    found = _DECIMAL.fullmatch(text.strip())
    if found is None:
        raise Iso20022Error("amount", repr(text.strip()[:40]), "a decimal, such as 12.34")
    whole, part = found[1], (found[2] or "").rstrip("0")
    if len(part) > exponent:
        raise Iso20022Error(
            "amount",
            text.strip()[:40],
            f"at most {exponent} digits after the point, for {currency}",
        )
    minor = int(whole + part.ljust(exponent, "0"))
    if minor > AMOUNT_MAX_MINOR:
        raise Iso20022Error("amount", text.strip()[:40], f"at most {AMOUNT_MAX_MINOR} minor units")
    return -minor if text.strip().startswith("-") else minor


def decimal_of(minor: int, currency: str) -> str:
    """The decimal of an amount in minor units.

    Raises:
        Iso20022Error: a currency that is not known here.

    >>> decimal_of(1230, "EUR"), decimal_of(-5, "KWD"), decimal_of(7, "JPY")
    ('12.30', '-0.005', '7')
    """
    exponent = exponent_of(currency)
    digits = str(abs(minor)).rjust(exponent + 1, "0")
    shown = f"{digits[:-exponent]}.{digits[-exponent:]}" if exponent else digits
    return f"-{shown}" if minor < 0 else shown
