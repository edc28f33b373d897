"""Declared bounds, asserted immediately before a product is formed.

Polars' 64- and 128-bit integers wrap silently. So before columns are multiplied and summed, the
largest absolute value of each is multiplied as Python integers, which do not wrap.
"""

import polars as pl

from settlement.units import INT128_MAX


class BoundExceededError(ArithmeticError):
    """A product could leave the 128 bits in which it is formed. Nothing has been computed."""

    def __init__(self, columns: tuple[str, ...], product: int, limit: int) -> None:
        super().__init__(
            f"the product of the largest {' × '.join(columns)} could reach {product:.3e}, beyond"
            f" {limit:.3e}; a value outside its declared range must have slipped in"
        )
        self.columns = columns
        self.product = product
        self.limit = limit


def assert_fits(frame: pl.DataFrame, columns: tuple[str, ...], *, limit: int = INT128_MAX) -> None:
    """Refuse a frame in which the product of these columns could wrap.

    Each maximum counts as at least 1, so that every partial product is covered too.

    Raises:
        BoundExceededError: with the columns and what their product could reach.
    """
    product = 1
    for name in columns:
        low, high = frame[name].min(), frame[name].max()
        # An empty or all-null column multiplies nothing.
        product *= max(1, *(abs(int(edge)) for edge in (low, high) if isinstance(edge, int)), 1)
    if product > limit:
        raise BoundExceededError(columns, product, limit)
