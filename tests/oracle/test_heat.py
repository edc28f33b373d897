"""The engine and the oracle on energy that is derated by the battery's temperature."""

from collections.abc import Callable

import pytest

from tests.oracle.comparing import CHUNKS, compare


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_energy_of_batteries_of_any_temperature_is_settled_alike_twice(
    chunk: int, record_property: Callable[[str, object], None]
) -> None:
    record_property("lines compared", compare("heat", chunk))
