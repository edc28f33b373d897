"""What cannot be booked is refused, and the error says in fields what its message says in words."""

import pytest

from settlement.booking import ShareError, allocate
from settlement.booking.errors import CurrencyChangedError, MissingTermsError, TwoSettlementsError

OF = ("tariff", "peak", "car")


def test_shares_that_are_no_whole_say_what_was_found_and_expected():
    with pytest.raises(ShareError) as caught:
        allocate(1, [])

    error = caught.value
    assert error.found
    assert error.expected
    assert str(error) == f"shares: {error.found}; expected {error.expected}"


def test_missing_terms_are_named_with_the_settlement_that_needs_them():
    error = MissingTermsError("shares", "contract-car", OF)

    assert (error.what, error.name, error.of) == ("shares", "contract-car", OF)
    assert str(error) == "settlement tariff / peak / car: no shares of 'contract-car' was given"


def test_a_settlement_computed_twice_is_named():
    error = TwoSettlementsError(OF)

    assert error.of == OF
    assert str(error) == "settlement tariff / peak / car was computed twice; expected one per run"


def test_a_changed_currency_is_named_with_both():
    error = CurrencyChangedError(OF, "USD", "EUR")

    assert (error.of, error.booked, error.computed) == (OF, "USD", "EUR")
    assert str(error) == (
        "settlement tariff / peak / car was booked in USD and is now computed in EUR; expected one"
        " currency for all versions of a program that has been booked"
    )
