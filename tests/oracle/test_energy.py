"""The engine and the oracle on energy paid by the kWh."""

from collections.abc import Callable

import pytest

from tests.oracle.comparing import CHUNKS, compare


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_energy_paid_by_the_kwh_is_settled_alike_twice(
    chunk: int, record_property: Callable[[str, object], None]
) -> None:
    record_property("lines compared", compare("energy", chunk))
