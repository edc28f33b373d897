"""A pack as a table and as a page."""

import csv
import io
import xml.etree.ElementTree as ET
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from decimal import Decimal

import polars as pl
import pytest

from statements import page, table
from statements.pack import Pack
from statements.shown import statement_of
from tests.statements.packed import VEHICLE, make_pack, program_body


@pytest.fixture(scope="module")
def pack() -> Pack:
    return make_pack()


def rows(pack: Pack) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(table.render(pack).decode(), newline="")))


def test_the_table_holds_settlement_lines_and_what_was_not_paid(pack: Pack) -> None:
    # when
    settlement, first, second, unpaid = rows(pack)
    # then
    assert [row["record"] for row in (settlement, first, second, unpaid)] == [
        "settlement", "line", "line", "unpaid",
    ]  # fmt: skip
    assert (settlement["amount"], settlement["energy_kwh"]) == ("4.01", "7.200000")
    assert (first["amount"], first["price_per_kwh"]) == ("1.625778", "0.420000")
    assert (second["amount"], second["tier_multiplier"]) == ("2.380604", "1.265000")
    assert (unpaid["reason"], unpaid["would_have_been"]) == ("OUTSIDE_WINDOW", "1.285200")


def test_a_row_is_recomputed_from_its_cells(pack: Pack) -> None:
    # when
    lines = [row for row in rows(pack) if row["record"] == "line"]
    # then
    names = (
        "energy_kwh", "price_per_kwh", "incentive_rate", "tier_multiplier", "thermal_factor",
    )  # fmt: skip
    for line in lines:
        product = Decimal(1)
        for name in names:
            product *= Decimal(line[name])
        assert round(product, 6) == Decimal(line["amount"])


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "＝1"])
def test_text_is_no_formula(pack: Pack, name: str) -> None:
    # given
    renamed = replace(
        pack,
        unpaid=pack.unpaid.with_columns(vehicle_id=pl.lit(name)),
        bookings=(),
    )
    # when
    (row,) = rows(renamed)
    # then
    assert row["vehicle_id"] == f"'{name}"


def test_a_negative_amount_is_a_plain_number(pack: Pack) -> None:
    # given
    negative = replace(
        pack, unpaid=pack.unpaid.with_columns(would_have_been_micros=pl.lit(-1_234_567_890))
    )
    # when
    row = rows(negative)[-1]
    # then
    assert row["would_have_been"] == "-1234.567890"


def test_lines_end_as_spreadsheets_want_them(pack: Pack) -> None:
    assert table.render(pack).count(b"\r\n") == 5


def test_the_page_is_one_document_with_a_chart_from_the_signed_packets() -> None:
    # given
    thermal = {"curve_c": [["20", "1"], ["45", "1"], ["55", "0"]], "missing": "hold"}
    pack = make_pack(body=program_body(thermal=thermal))
    # when
    with ThreadPoolExecutor(2) as executor:
        shown = statement_of(pack, executor)
        document = "".join(page.render(shown))
    # then
    root = ET.fromstring(document.removeprefix("<!DOCTYPE html>\n"))  # noqa: S314 - our own
    text = " ".join(root.itertext())
    assert shown.readings.height == 90
    assert f"Settlement statement: vehicle {VEHICLE}" in text
    assert "4.01 USD" in text
    assert "OUTSIDE_WINDOW" in text
    assert pack.seals[0].root.hex() in text
    assert root.findall(".//{http://www.w3.org/2000/svg}path")
