"""The page about cases names every file and every column."""

from pathlib import Path

import pytest

import cases
from cases import events, evidence, packets, terms
from cases.fields import Field

PAGE = (Path(__file__).parents[2] / "docs" / "cases.md").read_text("utf-8")

FIELDS = {
    "contracts.csv": terms.CONTRACTS,
    "sites.csv": terms.SITES,
    "readings.csv": evidence.READINGS,
    "keys.csv": packets.KEYS,
    "thermal.csv": evidence.TEMPERATURES,
    "events.csv": events.EVENTS,
    "prices.csv": terms.PRICES,
    "baselines.csv": terms.BASELINES,
    "orders.csv": terms.ORDERS,
}


@pytest.mark.parametrize("name", [*cases.INPUTS, *cases.OUTPUTS])
def test_every_file_of_a_case_is_documented(name: str):
    assert f"`{name}" in PAGE


@pytest.mark.parametrize(("file", "fields"), FIELDS.items(), ids=FIELDS.keys())
def test_every_column_is_documented_beside_its_file(file: str, fields: tuple[Field, ...]):
    # given the row of the file
    (row,) = (line for line in PAGE.splitlines() if line.startswith(f"| `{file}` |"))

    # then
    assert [field.name for field in fields if f"`{field.name}`" not in row] == []


@pytest.mark.parametrize(
    "status",
    sorted(s for s in events.CANCELLED | events.OTHERS | events.SUPERSEDED if not s.isdigit()),
)
def test_every_status_is_documented(status: str):
    assert f"`{status}`" in PAGE
