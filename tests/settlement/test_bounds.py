"""Products that could wrap are refused before they are formed."""

import polars as pl
import pytest

from settlement.bounds import BoundExceededError, assert_fits
from settlement.units import INT128_MAX

COLUMNS = ("energy", "price")


def frame(energy: list[int | None], price: list[int | None]) -> pl.DataFrame:
    return pl.DataFrame(
        {"energy": energy, "price": price}, schema={"energy": pl.Int64(), "price": pl.Int64()}
    )


@pytest.mark.parametrize(
    ("energy", "price"),
    [
        ([10], [10]),
        ([-10], [10]),
        ([10], [-10]),
        ([1, -10, 3], [10, None, 2]),
        ([100], [0]),  # a factor of zero counts as one: what was multiplied before it must fit too
        ([0], [100]),
        ([100], [None]),
        ([], []),
    ],
)
def test_a_product_up_to_the_limit_fits(energy, price):
    assert_fits(frame(energy, price), COLUMNS, limit=100)


@pytest.mark.parametrize(
    ("energy", "price", "product"),
    [
        ([101], [1], 101),
        ([-101], [1], 101),
        ([1], [-101], 101),
        ([1, 0, -51], [0, 2, 1], 102),  # largest values, though they meet in no row
        ([101], [0], 101),
        ([101], [None], 101),
    ],
)
def test_a_product_beyond_it_is_refused_with_what_it_could_reach(energy, price, product):
    with pytest.raises(BoundExceededError) as caught:
        assert_fits(frame(energy, price), COLUMNS, limit=100)

    error = caught.value
    assert (error.columns, error.product, error.limit) == (COLUMNS, product, 100)
    assert str(error).startswith(f"the product of the largest energy × price could reach {product / 100:.3f}e+02, beyond 1.000e+02;")  # fmt: skip


def test_the_limit_is_128_bits_unless_stated():
    # given two factors of which the product is the largest integer of 128 bits, or one more
    whole = pl.DataFrame({"one": pl.Series([INT128_MAX], dtype=pl.Int128)})
    halves = pl.DataFrame({"one": [2**62], "two": [2**62], "three": [8]})

    # then the one fits and the other does not
    assert_fits(whole, ("one",))
    with pytest.raises(BoundExceededError, match=r"one × two × three could reach 1\.701e\+38"):
        assert_fits(halves, ("one", "two", "three"))
