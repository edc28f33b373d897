"""Currencies by number (ISO 4217), as other formats name them."""

from collections.abc import Mapping
from typing import Final

NUMBERS: Final[Mapping[str, int]] = {
    "AED": 784, "AUD": 36, "BGN": 975, "BRL": 986, "CAD": 124, "CHF": 756, "CLP": 152, "CNY": 156,
    "COP": 170, "CZK": 203, "DKK": 208, "EUR": 978, "GBP": 826, "HKD": 344, "HUF": 348, "IDR": 360,
    "ILS": 376, "INR": 356, "ISK": 352, "JPY": 392, "KRW": 410, "MXN": 484, "MYR": 458, "NOK": 578,
    "NZD": 554, "PHP": 608, "PLN": 985, "RON": 946, "SAR": 682, "SEK": 752, "SGD": 702, "THB": 764,
    "TRY": 949, "TWD": 901, "UAH": 980, "USD": 840, "ZAR": 710,
}  # fmt: skip


class UnknownCurrencyError(ValueError):
    """``currency`` has no number here."""

    def __init__(self, currency: str) -> None:
        super().__init__(
            f"currency {currency}: its ISO 4217 number is not known here; expected one of"
            f" {', '.join(NUMBERS)}"
        )
        self.currency = currency


def number_of(currency: str) -> int:
    """The number of a currency.

    Raises:
        UnknownCurrencyError: it is not among ``NUMBERS``.

    >>> number_of("USD")
    840
    """
    if currency not in NUMBERS:
        raise UnknownCurrencyError(currency)
    return NUMBERS[currency]
