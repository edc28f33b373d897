"""The limits themselves. Money is in minor units, and always without its sign: taking back is
bounded as paying is.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class CurrencyLimits:
    """Limits on money in one currency; each is the most that may pass, itself included.

    Attributes:
        minor_units: decimal places of the amounts.
        line_minor: one line of a settlement.
        posting_minor: one posting, which is what a settlement moves for one account.
        vehicle_day_minor: all postings for one vehicle and day.
        account_day_minor: all postings to one account for one day.
        account_month_minor: the same for one calendar month, which is what a statement covers.
        approval_above_minor: a posting above it waits for a named approver.
    """

    minor_units: int
    line_minor: int
    posting_minor: int
    vehicle_day_minor: int
    account_day_minor: int
    account_month_minor: int
    approval_above_minor: int


@dataclass(frozen=True, slots=True)
class Limits:
    """One version of all limits.

    Attributes:
        currencies: by code of ISO 4217; a payout in any other currency is a breach.
        account_day_postings: how many postings one account may get for one day.
        vehicle_day_kwh: energy that one vehicle may be paid for on one day.
        unrated_kw: the power that a vehicle is taken to be able to deliver, where its contract names
            none. Where the contract does, metering has held every reading against that already.
    """

    currencies: Mapping[str, CurrencyLimits]
    account_day_postings: int
    vehicle_day_kwh: int
    unrated_kw: int


def _scaled(minor_units: int, by: int) -> CurrencyLimits:
    """Limits of about the same worth, in a currency whose unit is worth 1/``by`` of a dollar."""
    unit = by * 10**minor_units
    return CurrencyLimits(
        minor_units=minor_units,
        line_minor=2_500 * unit,
        posting_minor=5_000 * unit,
        vehicle_day_minor=5_000 * unit,
        account_day_minor=25_000 * unit,
        account_month_minor=250_000 * unit,
        approval_above_minor=1_000 * unit,
    )


DEFAULTS: Final = Limits(
    currencies={
        **{code: _scaled(2, 1) for code in ("AUD", "CAD", "CHF", "EUR", "GBP", "NZD", "USD")},
        **{code: _scaled(2, 10) for code in ("DKK", "NOK", "SEK")},
        "JPY": _scaled(0, 100),
    },
    account_day_postings=10_000,
    vehicle_day_kwh=2_000,
    unrated_kw=500,
)
"""What stands until somebody sets limits: wide enough for a depot of buses and a season's capacity
payment, and far below what a slipped decimal point makes of either."""
