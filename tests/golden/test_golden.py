"""Every golden case, settled by the oracle and by the command, against figures worked out by hand."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

import oracle
from cli.main import app
from tests.golden import reading

HERE = Path(__file__).parent
CASES = sorted(path.parent for path in HERE.glob("*/expected"))
FILES = ("settlements", "lines", "unpaid")


def expected(case: Path) -> dict[str, str]:
    return {name: (case / "expected" / f"{name}.csv").read_text("utf-8") for name in FILES}


def test_there_are_at_least_thirty_situations():
    assert len(CASES) >= 30


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_case_states_its_situation_and_its_arithmetic(case: Path):
    text = (case / "README.md").read_text("utf-8")

    assert text.startswith("# ")
    assert "## Arithmetic" in text


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_oracle_comes_to_the_figures_worked_out_by_hand(case: Path):
    result = oracle.settle(reading.read(case))

    assert reading.written(result) == expected(case)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_replay_writes_the_figures_worked_out_by_hand_byte_for_byte(case: Path, tmp_path: Path):
    out = tmp_path / "out"

    run = CliRunner().invoke(app, ["replay", str(case), "--out", str(out)])

    assert run.exit_code == 0, run.output
    assert {name: (out / f"{name}.csv").read_bytes() for name in FILES} == {
        name: text.encode() for name, text in expected(case).items()
    }
