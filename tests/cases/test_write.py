"""What a case comes to is written exactly, the same way every time, and harmless in a spreadsheet."""

import csv
import io
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cases
from cases.write import LINE_COLUMNS, SETTLEMENT_COLUMNS, UNPAID_COLUMNS, decimals
from settlement.decimals import decimal_text
from tests.cases.folders import PRICES, PROGRAM, READINGS, folder, settled

PAGE = ("<!DOCTYPE html>\n",)


def written(at: Path, changes: dict[str, str | bytes | None] | None = None) -> dict[str, str]:
    case = cases.read(folder(at / "case", changes))
    cases.write(at / "out", settled(case), case, statement=PAGE)
    return {name: (at / "out" / name).read_text("utf-8") for name in cases.OUTPUTS}


def test_a_case_comes_to_four_files(tmp_path: Path):
    # when
    files = written(tmp_path)

    # then
    assert files["settlements.csv"] == (
        f"{','.join(SETTLEMENT_COLUMNS)}\n"
        "V1,EV1,evening,USD,7.650000,3.40,3.402338,-0.002338,booked\n"
    )
    assert files["lines.csv"] == (
        f"{','.join(LINE_COLUMNS)}\n"
        "V1,EV1,2026-07-01T17:00:00Z,2026-07-01T17:30:00Z,3.600000,7.200,0.420000,0.850000,1.000000,"
        "1.000000,1.285200,energy,,\n"
        "V1,EV1,2026-07-01T17:30:00Z,2026-07-01T18:00:00Z,4.050000,8.100,0.615000,0.850000,1.000000,"
        "1.000000,2.117138,energy,,\n"
    )
    assert files["unpaid.csv"] == f"{','.join(UNPAID_COLUMNS)}\n"
    assert files["statement.html"] == PAGE[0]


def test_a_held_settlement_says_what_is_missing(tmp_path: Path):
    # given no price for the second half
    files = written(tmp_path, {"prices.csv": "".join(PRICES.splitlines(keepends=True)[:2])})

    # then
    assert (
        files["settlements.csv"]
        .splitlines()[1]
        .endswith(",0.00,1.285200,0.000000,held: PRICE_MISSING")
    )
    assert files["unpaid.csv"].splitlines()[1] == (
        "V1,EV1,2026-07-01T17:30:00Z,2026-07-01T18:00:00Z,4.050000,PRICE_MISSING,"
    )


def test_the_order_of_rows_changes_no_byte(tmp_path: Path):
    # given the same tables from the bottom up
    def upside_down(text: str) -> str:
        head, *rows = text.splitlines()
        return "\n".join([head, *reversed(rows)]) + "\n"

    # when
    one = written(tmp_path / "a")
    other = written(
        tmp_path / "b",
        {"readings.csv": upside_down(READINGS), "prices.csv": upside_down(PRICES)},
    )

    # then
    assert one == other


@pytest.mark.parametrize("sign", ["=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20"])
def test_no_cell_is_a_formula(sign: str, tmp_path: Path):
    # given a vehicle and an event whose names a spreadsheet would compute
    name = f'{sign}HYPERLINK("x";"y")'
    changes: dict[str, str | bytes | None] = {}
    quoted = '"' + name.replace('"', '""') + '"'
    from tests.cases.folders import CONTRACTS, EVENTS

    changes["contracts.csv"] = CONTRACTS.replace("V1", quoted)
    changes["readings.csv"] = READINGS.replace("V1", quoted)
    changes["events.csv"] = EVENTS.replace("EV1", quoted)

    # when
    files = written(tmp_path, changes)

    # then each cell begins with an apostrophe, and holds the whole name
    for table in ("settlements.csv", "lines.csv"):
        for row in list(csv.reader(io.StringIO(files[table])))[1:]:
            assert row[:2] == [f"'{name}", f"'{name}"]


def test_results_are_not_overwritten_unasked(tmp_path: Path):
    # given results
    first = written(tmp_path)
    case = cases.read(tmp_path / "case")

    # when they are written again
    with pytest.raises(cases.OutputExistsError, match=r"settlements\.csv exists"):
        cases.write(tmp_path / "out", settled(case), case, statement=("other",))

    # then nothing has changed, and with force everything is replaced and nothing is left behind
    assert (tmp_path / "out" / "statement.html").read_text() == first["statement.html"]
    cases.write(tmp_path / "out", settled(case), case, statement=("other",), force=True)
    assert (tmp_path / "out" / "statement.html").read_text() == "other"
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == sorted(cases.OUTPUTS)


def test_a_statement_that_fails_midway_leaves_no_results(tmp_path: Path):
    # given
    case = cases.read(folder(tmp_path / "case"))

    def breaking():
        yield "<p>"
        raise RuntimeError

    # when
    with pytest.raises(RuntimeError):
        cases.write(tmp_path / "out", settled(case), case, statement=breaking())

    # then
    assert list((tmp_path / "out").iterdir()) == []


def test_a_file_where_the_folder_should_be_is_left_alone(tmp_path: Path):
    case = cases.read(folder(tmp_path / "case"))
    (tmp_path / "out").write_text("mine")
    with pytest.raises(cases.OutputExistsError):
        cases.write(tmp_path / "out", settled(case), case, statement=PAGE, force=True)
    assert (tmp_path / "out").read_text() == "mine"


@pytest.mark.parametrize(("minor_units", "amount"), [(0, "3"), (2, "3.40"), (3, "3.402")])
def test_money_is_written_in_the_currencys_minor_units(minor_units, amount, tmp_path: Path):
    files = written(tmp_path, {"program.yaml": f"{PROGRAM}minor_units: {minor_units}\n"})
    assert files["settlements.csv"].splitlines()[1].split(",")[5] == amount


def test_graduated_tiers_show_their_exact_mean(tmp_path: Path):
    # given two brackets of power, 5 kW at 1 and the rest at 1.15
    tiers = (
        'tiers: {mode: graduated, power_kw: [{from: "0", multiplier: "1"},'
        ' {from: "5", multiplier: "1.15"}]}\n'
    )

    # when
    rows = list(
        csv.DictReader(
            io.StringIO(written(tmp_path, {"program.yaml": PROGRAM + tiers})["lines.csv"])
        )
    )

    # then (2.5 + 1.1 × 1.15) / 3.6, and (2.5 + 1.55 × 1.15) / 4.05
    assert [row["tier_multiplier"] for row in rows] == ["1.045833333333", "1.057407407407"]


@given(st.integers(-(2**62), 2**62), st.sampled_from([0, 2, 3, 6]))
def test_decimals_are_read_back_as_the_same_integer(value: int, places: int):
    # when
    text = pl.DataFrame({"a": [value]}).select(decimals(pl.col("a"), places)).item()

    # then
    whole = text.partition(".")[0].removeprefix("-")
    if len(whole) <= 15:
        assert decimal_text(text, places) == value
    assert not text.startswith("-0") or value < 0
