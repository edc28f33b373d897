"""The engine and the oracle on capacity, paid by the season."""

from collections.abc import Callable

import pytest

from tests.oracle.comparing import CHUNKS, compare


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_capacity_is_settled_alike_twice(
    chunk: int, record_property: Callable[[str, object], None]
) -> None:
    record_property("lines compared", compare("capacity", chunk))
