"""What cannot be used is refused on one line that says where, what, and what was expected."""

from pathlib import Path

import pytest

import cases
from cases import CaseError
from tests.cases.bad import BAD
from tests.cases.folders import PRICES, READINGS, folder


@pytest.mark.parametrize(("changes", "pieces"), BAD.values(), ids=BAD.keys())
def test_what_cannot_be_used_is_refused_on_one_line_that_says_where(
    changes: dict[str, str | bytes | None], pieces: tuple[str, ...], tmp_path: Path
):
    # given a case with one thing wrong
    case = folder(tmp_path / "case", changes)

    # when it is read
    with pytest.raises(CaseError) as caught:
        cases.read(case)

    # then the one line says where, what, and what was expected, in this order
    said = str(caught.value)
    assert said.isprintable()
    assert said.startswith(pieces[0])
    places = [said.find(piece) for piece in pieces]
    assert -1 not in places, said
    assert places == sorted(places), said
    assert "; expected " in said


def test_of_several_mistakes_the_first_by_row_and_then_by_column_is_named(tmp_path: Path):
    # given a mistake in row 3, and two in row 2
    bad = (
        READINGS.replace("E1,V1,S1,1", "E1,V1,S1,x")
        .replace(",1000,", ",y,")
        .replace(",8650,", ",z,")
    )

    # when
    with pytest.raises(CaseError) as caught:
        cases.read(folder(tmp_path / "case", {"readings.csv": bad}))

    # then
    assert (caught.value.row, caught.value.column) == (2, "sequence")


def test_a_mistake_behind_many_rows_is_found_at_its_row(tmp_path: Path):
    # given a table of more than one piece, with and without quotation marks before the mistake
    row = "2026-07-01T17:00:00Z,2026-07-01T17:30:00Z,{},USD,2026-07-0{}T00:00:00Z\n"
    head = PRICES.splitlines()[0] + ",received_at\n"
    good = row.format("0.42", 1) * 60_000

    for mark in ("", row.format('"0.42"', 2)):
        # when
        with pytest.raises(CaseError) as caught:
            cases.read(
                folder(tmp_path / "case", {"prices.csv": head + mark + good + row.format("x", 1)})
            )

        # then
        assert caught.value.row == 60_002 + bool(mark)


def test_a_folder_that_is_none_is_refused(tmp_path: Path):
    with pytest.raises(CaseError, match="no folder"):
        cases.read(tmp_path / "nowhere")


def test_a_table_that_is_a_folder_is_refused(tmp_path: Path):
    case = folder(tmp_path / "case", {"prices.csv": None})
    (case / "prices.csv").mkdir()

    with pytest.raises(CaseError, match="no regular file"):
        cases.read(case)


def test_a_table_too_large_is_refused_unread(tmp_path: Path):
    # given two gibibytes that take no place on the disk
    case = folder(tmp_path / "case")
    with (case / "readings.csv").open("r+b") as stream:
        stream.truncate(2**31)

    # then
    with pytest.raises(CaseError, match="at most 1073741824"):
        cases.read(case)
