"""docs/packets.md says what the decoders do."""

from pathlib import Path
from typing import Final

import pytest

from settlement import units
from settlement.packets import carried, jws, ocmf, ocmf_fields, ocmf_points
from settlement.packets.keys import CURVES, OCA_PREFIX

PAGE: Final = (Path(__file__).parents[2] / "docs" / "packets.md").read_text("utf-8")


@pytest.mark.parametrize("name", [*jws.FIELDS, carried.NAME, *CURVES, OCA_PREFIX])
def test_every_field_and_curve_is_explained(name: str) -> None:
    assert f"`{name}`" in PAGE


@pytest.mark.parametrize("order", [ocmf_fields.EXPORT_REGISTERS, ocmf_fields.IMPORT_REGISTERS])
def test_the_order_of_registers_is_the_one_that_is_used(order: tuple[str, ...]) -> None:
    assert ", ".join(f"`{name}`" for name in order) in PAGE


def test_every_status_that_forbids_billing_is_named() -> None:
    bad = [said for letter, said in ocmf_fields.STATUSES.items() if letter != "G"]
    assert ", ".join(bad) in PAGE


def test_the_limits_are_those_of_the_code() -> None:
    assert f"at most {units.PACKET_MAX_BYTES // 1024} KiB" in PAGE
    assert f"at most {ocmf_points.POINTS_MAX} different times" in PAGE
    assert f"1 to {carried.RECORDS_MAX} OCMF records" in PAGE
    assert f"2^{ocmf.NUMBER_MAX.bit_length() - 1}" in PAGE
    versions = sorted(ocmf.VERSIONS, key=lambda one: tuple(map(int, one.split("."))))
    assert f"{versions[0]} to {versions[-1]}" in PAGE
