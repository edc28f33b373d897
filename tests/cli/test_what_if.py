"""`v2g what-if`, as a shell sees it: what it prints, what it writes, and how it ends."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app
from tests.cases.folders import CONTRACTS, READINGS, folder
from tests.tasks.scene import START, WHOLE, Scene

GOLDEN = Path(__file__).parents[1] / "golden"
DEADLINE_S = 60
EVEN = ("--set", "rounding.mode=half_even")
FORMULA = "=1+1"


def run(
    *words: str | Path, status: int = 0, columns: str = "160", database: str = ""
) -> tuple[str, str]:
    """Standard output and standard error of a call in this process."""
    result = CliRunner().invoke(
        app,
        ["what-if", *map(str, words)],
        env={"COLUMNS": columns, "V2G_DATABASE_URL": database},
    )
    assert result.exit_code == status, result.output
    return result.stdout, result.stderr


def three_vehicles(at: Path, name: str = "V3") -> Path:
    """One that charges in between, one that does not, and one without a second half hour."""
    contracts, readings = CONTRACTS, READINGS
    for number, vehicle in ((2, "V2"), (3, name)):
        contracts += CONTRACTS.splitlines()[1].replace("V1,E1", f"{vehicle},E{number}") + "\n"
        for row in READINGS.splitlines()[1:]:
            readings += row.replace("E1,V1,S1", f"E{number},{vehicle},S{number}") + "\n"
    readings = readings.replace("4600,8650,0,0,8100,8100", "4600,8650,0,1000,6100,6100", 1)
    return folder(at, {"contracts.csv": contracts, "readings.csv": readings})


def test_its_help_teaches() -> None:
    text = run("--help", columns="100")[0]
    for word in ("--program", "--instead", "--set", "--baselines", "--csv", "Exit 0", "Example:"):
        assert word in text


def test_winners_losers_and_the_unchanged_are_counted(tmp_path: Path) -> None:
    # given that one of three vehicles has charged 1 kWh at 0.615 × 0.85
    out, err = run(three_vehicles(tmp_path / "case"), "--set", "quantity=net", "--top", "2")
    # then it loses 3.40225 − 2.8795: 3.40 − 2.88
    assert err == ""
    assert "0 vehicles win, 1 lose, 2 are unchanged: 10.20 USD now, 9.68 USD then, −0.52 USD" in out
    assert "1 more vehicles have smaller differences" in out
    assert "NETTED" in out


def test_one_json_document_holds_integers_and_adds_up(tmp_path: Path) -> None:
    # when
    found = json.loads(run(three_vehicles(tmp_path / "case"), "--set", "quantity=net", "--json")[0])
    # then
    assert [(v["vehicle_id"], v["difference_micros"]) for v in found["vehicles"]] == [
        ("V2", 0),
        ("V3", 0),
        ("V1", -520_000),
    ]
    (totals,) = found["totals"]
    assert totals["after_micros"] - totals["before_micros"] == -520_000
    assert found["unpaid"] == [
        {
            "program": "evening",
            "reason": "NETTED",
            "before_milliwh": 0,
            "after_milliwh": 1_000_000,
            "difference_milliwh": 1_000_000,
            "before_micros": None,
            "after_micros": 522_750,
        }
    ]
    assert (found["source"], found["known_at"], found["notes"]) == ("case", None, [])


def test_all_vehicles_and_events_are_written_and_harmless_in_a_spreadsheet(
    tmp_path: Path,
) -> None:
    # given a vehicle that a spreadsheet would compute, and rich would take for a style
    case, out = three_vehicles(tmp_path / "case", FORMULA), tmp_path / "out.csv"
    # when
    run(case, "--set", "quantity=net", "--csv", out, "--top", "1")
    # then
    with out.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert [row["vehicle_id"] for row in rows] == ["'=1+1", "V1", "V2"]
    assert rows[1] == {
        "vehicle_id": "V1",
        "event_id": "EV1",
        "program": "evening",
        "currency": "USD",
        "now": "3.40",
        "then": "2.88",
        "difference": "-0.52",
        "energy_kwh_now": "7.650000",
        "energy_kwh_then": "6.650000",
        "status_now": "booked",
        "status_then": "booked",
    }
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_csv_is_replaced_only_when_asked(tmp_path: Path) -> None:
    # given
    out = tmp_path / "out.csv"
    out.write_text("mine")
    case = GOLDEN / "half-cent-half-away"
    # when, then
    assert "--force" in run(case, *EVEN, "--csv", out, status=2)[1]
    assert out.read_text() == "mine"
    run(case, *EVEN, "--csv", out, "--force")
    assert out.read_text() != "mine"


def test_a_held_settlement_says_why(tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    case = GOLDEN / "elrp-against-baseline"
    shown = run(case, "--set", "price.source=rtp", "--set", "price.per_kwh=", "--csv", out)[0]
    assert "PRICE_MISSING" in shown
    assert "held: PRICE_MISSING" in out.read_text()


def test_a_name_in_brackets_is_shown_as_it_is(tmp_path: Path) -> None:
    # given names that rich would take for a style that ends
    case = three_vehicles(tmp_path / "[/case]", "[/red]")
    # when, then
    assert "[/red]" in run(case, *EVEN)[0]


PERIOD = ("--from", "2026-07-01T17:00:00Z", "--to", "2026-07-01T18:00:00Z")
BAD: dict[str, tuple[tuple[str, ...], str]] = {
    "nothing at all": ((), "expected CASE, or --from and --to"),
    "half a period": (PERIOD[:2], "expected CASE, or --from and --to"),
    "no database": ((*PERIOD, *EVEN), "expected --database or V2G_DATABASE_URL"),
    "no time": (
        (*PERIOD[:3], "tomorrow", *EVEN, "--database", "x"), "'tomorrow': expected a time with its",
    ),
    "an empty period": (
        (*PERIOD[:3], PERIOD[1], *EVEN, "--database", "x"), "expected the end after the start",
    ),
    "as of no time": (
        (*PERIOD, *EVEN, "--as-of", "2026-07-01", "--database", "x"), "--as-of '2026-07-01': exp",
    ),
    "case and period": (("CASE", *PERIOD, *EVEN), "a case has no --from, --to and --as-of"),
    "no case": (("CASE/nowhere", *EVEN), "no folder; expected the folder of a case"),
    "nothing different": (("CASE",), "nothing is different; expected --program"),
    "instead of what": (("CASE", "--instead", "x.yaml"), "expected NAME=FILE"),
    "unknown key": (("CASE", "--set", "quanity=net"), "quanity: unknown key; expected one of"),
    "no file": (("CASE", "--program", "nowhere.yaml"), "nowhere.yaml: No such file"),
    "no folder for the CSV": (("CASE", *EVEN, "--csv", "no/such/a.csv"), "no/such: no such folder"),
    "a folder for a CSV": (("CASE", *EVEN, "--csv", "/"), "/ exists; expected a file's name"),
}  # fmt: skip


@pytest.mark.parametrize(("words", "said"), BAD.values(), ids=BAD.keys())
def test_what_cannot_be_compared_is_refused_on_one_line(
    words: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    # given
    case = folder(tmp_path / "case")
    # when
    out, err = run(*(w.replace("CASE", str(case)) for w in words), status=2, columns="20")
    # then
    assert out == ""
    (line,) = err.splitlines()
    assert said in line


def test_a_database_that_is_not_there_is_one_line() -> None:
    database = "host=127.0.0.1 port=1 dbname=nowhere connect_timeout=2"
    out, err = run(*PERIOD, *EVEN, status=2, database=database)
    assert out == ""
    assert len(err.splitlines()) == 1


def test_a_shell_gets_the_same(tmp_path: Path) -> None:
    done = subprocess.run(
        (sys.executable, "-m", "cli.main", "what-if", str(folder(tmp_path / "case")), *EVEN),
        capture_output=True, text=True, timeout=DEADLINE_S, check=False,
        env={**os.environ, "COLUMNS": "120"},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "3.40 USD now, 3.40 USD then, 0.00 USD" in done.stdout


def test_a_period_of_the_database_is_shown(plain_database: str, tmp_path: Path) -> None:
    # given half an hour at 7.2 kW, settled, and one more event without any
    scene = Scene(plain_database)
    evse = "DE*V2G*E00001"
    scene.set_up(evse)
    scene.deliver(scene.packet(evse, n) for n in range(120))
    scene.settle()
    period = ("--from", WHOLE.started_at.isoformat(), "--to", WHOLE.ended_at.isoformat())
    double = ("--set", "tiers.power_kw=[{from: 0, multiplier: 2}]")
    # when
    out, err = run(*period, *double, database=plain_database)
    # then 3.6 kWh × 0.42 × 0.85 = 1.2852, and twice as much: 2.5704
    assert err == ""
    assert "1 vehicles win, 0 lose, 0 are unchanged: 1.29 USD now, 2.57 USD then, +1.28" in out
    assert "books differ" not in out
    # and a period that is not over is refused
    early = run(*period, *double, "--as-of", START.isoformat(), status=2, database=plain_database)
    assert "is not over" in early[1]
