"""`v2g replay`, as a shell sees it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cases.folders import PRICES, READINGS, folder

DEADLINE_S = 60


def replay(*arguments: str | Path, columns: str = "40") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        (sys.executable, "-m", "cli.main", "replay", *map(str, arguments)),
        capture_output=True, text=True, timeout=DEADLINE_S, check=False,
        env={**os.environ, "COLUMNS": columns},
    )  # fmt: skip


def test_its_help_teaches():
    text = replay("--help", columns="100").stdout
    for word in ("program.yaml", "--out", "--force", "statement.html", "Exit 0", "Example:"):
        assert word in text


def test_a_case_is_settled_and_shown(tmp_path: Path):
    # when
    done = replay(folder(tmp_path / "case"), "--out", tmp_path / "out", columns="120")

    # then
    assert (done.returncode, done.stderr) == (0, "")
    assert "3.40 USD" in done.stdout
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "lines.csv",
        "settlements.csv",
        "statement.html",
        "unpaid.csv",
    ]


def test_one_json_document_holds_integers(tmp_path: Path):
    # given a case without its second price
    case = folder(tmp_path / "case", {"prices.csv": "".join(PRICES.splitlines(keepends=True)[:2])})

    # when
    done = replay(case, "--out", tmp_path / "out", "--json")

    # then it is settled, and says what is held
    assert done.returncode == 0
    (program,) = json.loads(done.stdout)["programs"]
    assert (program["settlements"], program["held"], program["amount_minor"]) == (1, 1, 0)
    assert program["unpaid"] == [
        {"reason": "PRICE_MISSING", "energy_milliwh": 4_050_000, "would_have_been_micros": None}
    ]


def test_a_held_settlement_is_said_so(tmp_path: Path):
    case = folder(tmp_path / "case", {"prices.csv": "".join(PRICES.splitlines(keepends=True)[:2])})
    done = replay(case, "--out", tmp_path / "out")
    assert done.returncode == 0
    assert "1 settlements are held" in done.stdout


def test_two_replays_of_a_case_differ_in_no_byte(tmp_path: Path):
    # when a case is settled twice, under the same name
    case = folder(tmp_path / "case")
    for out in ("a", "b"):
        assert replay(case, "--out", tmp_path / out).returncode == 0

    # then
    for file in (tmp_path / "a").iterdir():
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()


@pytest.mark.parametrize("columns", ["20", "200"])
def test_an_unusable_case_is_refused_on_one_line(columns: str, tmp_path: Path):
    # given
    bad = READINGS.replace(",4600,", ",46OO,", 1)

    # when
    done = replay(
        folder(tmp_path / "case", {"readings.csv": bad}), "--out", tmp_path / "out", columns=columns
    )

    # then there is one line, whatever the width of the terminal, and no result
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("readings.csv, row 2, column export_end_wh: '46OO'; expected a number")
    assert not (tmp_path / "out").exists()


def test_results_are_replaced_only_when_asked(tmp_path: Path):
    # given results
    case, out = folder(tmp_path / "case"), tmp_path / "out"
    assert replay(case, "--out", out).returncode == 0
    (out / "lines.csv").write_text("mine")

    # when
    unasked = replay(case, "--out", out)
    kept = (out / "lines.csv").read_text()
    asked = replay(case, "--out", out, "--force")

    # then
    assert unasked.returncode == 2
    assert "--force" in unasked.stderr
    assert len(unasked.stderr.splitlines()) == 1
    assert kept == "mine"
    assert asked.returncode == 0
    assert (out / "lines.csv").read_text() != "mine"


def test_a_place_that_cannot_be_written_to_is_said_on_one_line(tmp_path: Path):
    # given a file where a folder above the results should be
    (tmp_path / "file").write_text("")

    # when
    done = replay(folder(tmp_path / "case"), "--out", tmp_path / "file" / "out")

    # then
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "Traceback" not in done.stderr
