"""A case in a folder under other terms: what a replay of the folder with those terms would give."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

import cases
from settlement import engine
from settlement.comparing import CurrencyChangedError
from settlement.programs import ProgramError
from tasks.key_values import UnusableChangeError
from tasks.other_terms import Change
from tasks.what_if import of_case
from tests.cases.folders import BASELINES, PROGRAM, folder
from tests.tasks.scene import PROGRAM_FILE

GOLDEN = Path(__file__).parents[1] / "golden"


def edited(case: Path, at: Path, changes: Mapping[str, Any]) -> Path:
    """A copy of a case in which the programs' top-level keys have other values."""
    shutil.copytree(case, at)
    for path in (*at.glob("program.yaml"), *at.glob("programs/*.yaml")):
        body = yaml.safe_load(path.read_text("utf-8")) | changes
        path.write_text(yaml.safe_dump(body), "utf-8")
    return at


def payable(case: Path) -> dict[tuple[str, str, str], int]:
    """What a replay of the folder pays, in micros."""
    read = cases.read(case)
    settlements = engine.compute(read.readings_in, read.facts, cases.PERIOD).settlements
    amount = pl.col("lines_micros") + pl.col("rounding_difference_micros")
    rows = settlements.filter(pl.col("state") == "booked").select(
        "program", "event_id", "vehicle_id", amount
    )
    return {row[:3]: row[3] for row in rows.iter_rows()}


EDITS: dict[str, tuple[str, tuple[str, ...], dict[str, Any]]] = {
    "rounding": (
        "half-cent-half-away",
        ("rounding.mode=half_even",),
        {"rounding": {"mode": "half_even", "stage": "settlement"}},
    ),
    "quantity": ("net-per-event", ("quantity=export_only",), {"quantity": "export_only"}),
    "clamping": ("net-all-charged", ("net_per=interval",), {"net_per": "interval"}),
    "several versions": (
        "program-version-change",
        ("price={source: fixed, per_kwh: '9'}",),
        {"price": {"source": "fixed", "per_kwh": "9"}},
    ),
    "from a fixed price to one that nobody has": (
        "elrp-against-baseline",
        ("price.source=rtp", "price.per_kwh="),
        {"price": {"source": "rtp"}},
    ),
    "no cap": ("season-hours-cap", ("caps=",), {"caps": {}}),
    "thermal off": ("thermal-filter", ("thermal=off",), {"thermal": False}),
    "minor units": ("half-cent-half-away", ("minor_units=3",), {"minor_units": 3}),
}


@pytest.mark.parametrize(("golden", "settings", "changes"), EDITS.values(), ids=EDITS.keys())
def test_a_case_under_other_terms_is_the_replay_of_the_folder_with_those_terms(
    golden: str, settings: tuple[str, ...], changes: dict[str, Any], tmp_path: Path
) -> None:
    # given
    case = GOLDEN / golden
    # when
    rows = of_case(case, Change(settings=settings)).comparison.settlements
    # then
    key = ("program", "event_id", "vehicle_id")
    for side, same in (
        ("before", payable(case)),
        ("after", payable(edited(case, tmp_path / golden, changes))),
    ):
        paid = rows.filter(pl.col(f"{side}_state") == "booked").select(*key, f"{side}_micros")
        assert {row[:3]: row[3] for row in paid.iter_rows()} == same


def test_half_cents_rounded_to_even_are_told_event_by_event() -> None:
    found = of_case(
        GOLDEN / "half-cent-half-away", Change(settings=("rounding.mode=half_even",))
    ).comparison
    # 0.125 → 0.12 instead of 0.13; 0.135 → 0.14 both ways; −0.125 → −0.12 instead of −0.13
    assert found.settlements.select("event_id", "difference_micros").rows() == [
        ("event-1", -10_000),
        ("event-2", 0),
        ("event-3", 10_000),
    ]
    assert found.currencies.select("winners", "losers", "unchanged").rows() == [(0, 0, 1)]


def test_netting_that_falls_away_is_told_as_money_and_as_a_reason() -> None:
    found = of_case(GOLDEN / "net-per-event", Change(settings=("quantity=export_only",))).comparison
    assert found.vehicles["difference_micros"].to_list() == [900_000]
    assert found.reasons.select("reason", "difference_milliwh").rows() == [("NETTED", -1_500_000)]


def test_a_program_takes_the_place_of_the_one_of_its_name_or_of_another_that_is_named(
    tmp_path: Path,
) -> None:
    # given the same terms under the program's own name, and under another one
    case = folder(tmp_path / "case")
    doubled = PROGRAM + "price: {source: fixed, per_kwh: '1.00'}\n"
    own, other = tmp_path / "own.yaml", tmp_path / "other.yaml"
    own.write_text(doubled)
    other.write_text(doubled.replace("evening", "morning"))
    # when
    by_name = of_case(case, Change(programs=(own,)))
    by_hand = of_case(case, Change(instead=(("evening", other),)))
    # then 7.65 kWh × 0.85 = 6.5025, instead of 3.40
    assert by_name.comparison.vehicles["difference_micros"].to_list() == [6_500_000 - 3_400_000]
    assert by_name.comparison.settlements.equals(by_hand.comparison.settlements)


def test_settings_come_after_files(tmp_path: Path) -> None:
    # given a file with a fixed price
    case, file = folder(tmp_path / "case"), tmp_path / "other.yaml"
    file.write_text(PROGRAM + "price: {source: fixed, per_kwh: '1.00'}\n")
    # when
    found = of_case(case, Change(programs=(file,), settings=("price.per_kwh=2",)))
    # then 7.65 kWh × 2 × 0.85 = 13.005, half a cent away from zero
    assert found.comparison.vehicles["after_micros"].to_list() == [13_010_000]


def test_other_baselines_take_the_place_of_those_of_the_case(tmp_path: Path) -> None:
    # given a case against a baseline of −1.5 kW
    program = PROGRAM.replace("export_only", "against_baseline")
    case = folder(tmp_path / "case", {"program.yaml": program, "baselines.csv": BASELINES})
    file = tmp_path / "other.csv"
    file.write_text(BASELINES.replace("-1.5", "0.5"))
    # when
    found = of_case(case, Change(baselines=file)).comparison
    # then 2 kWh more: 1 at 0.42 and 1 at 0.615
    assert found.currencies.select("before_milliwh", "after_milliwh").rows() == [
        (6_150_000, 8_150_000)
    ]
    # and a program that computes its own leaves those of the case aside
    computed = of_case(
        case, Change(settings=("baseline.method=before_event", "baseline.before_min=60"))
    ).comparison
    assert computed.reasons["reason"].to_list() == ["BASELINE_MISSING"]


def test_what_is_settled_at_another_time_is_said(tmp_path: Path) -> None:
    # given a capacity program in the place of an energy program
    file = tmp_path / "capacity.yaml"
    file.write_text(
        "program: evening\nversion: 1\ncurrency: USD\nproduct: capacity\n"
        "capacity: {per_avg_kw: '100'}\n"
    )
    # when
    found = of_case(folder(tmp_path / "case"), Change(programs=(file,)))
    # then
    (note,) = found.notes
    assert note.startswith("evening: product energy now, capacity then; a capacity program settles")
    assert found.comparison.settlements["event_id"].to_list() == ["EV1", "season-2026"]


def test_a_case_is_only_read(tmp_path: Path) -> None:
    # given
    case = folder(tmp_path / "case")
    before = {path: path.read_bytes() for path in case.rglob("*")}
    # when
    of_case(case, Change(settings=("quantity=net",)))
    # then
    assert {path: path.read_bytes() for path in case.rglob("*")} == before


REFUSED: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "nothing": ({}, UnusableChangeError, "nothing is different; expected --program"),
    "no value": ({"settings": ["quantity"]}, UnusableChangeError, "no value; expected KEY=VALUE"),
    "no key": ({"settings": ["=net"]}, UnusableChangeError, "no value; expected KEY=VALUE"),
    "unknown key": (
        {"settings": ["quanity=net"]},
        ProgramError,
        "evening 1 with --set: quanity: unknown key.*did you mean quantity",
    ),
    "unknown section": ({"settings": ["roundings.mode=down"]}, ProgramError, "roundings: unknown"),
    "below a value": (
        {"settings": ["quantity.of=net"]}, UnusableChangeError, "quantity holds no keys",
    ),
    "a section that is a value": (
        {"settings": ["rounding=x", "rounding.mode=down"]}, UnusableChangeError, "no section",
    ),
    "bad value": ({"settings": ["quantity=all"]}, ProgramError, "quantity: 'all'; expected net"),
    "no YAML": ({"settings": ["quantity=["]}, UnusableChangeError, "no YAML"),
    "several lines": ({"settings": ["a\nb"]}, UnusableChangeError, r"--set a\\nb'"),
    "a name": ({"settings": ["program=x"]}, UnusableChangeError, "program says its name"),
    "runs": ({"settings": ["runs=[]"]}, UnusableChangeError, "when amounts are booked"),
    "contradiction": (
        {"settings": ["price.per_kwh=2"]}, ProgramError, "price.per_kwh: '2'; expected no price",
    ),
    "another currency": (
        {"settings": ["currency=EUR"]}, CurrencyChangedError, "USD as it is, EUR under",
    ),
    "for nobody": (
        {"settings": ["quantity=net"], "only": frozenset({"x"})},
        UnusableChangeError,
        "--for x: no such program; expected one of evening",
    ),
    "for without set": (
        {"programs": [PROGRAM_FILE], "only": frozenset({"x"})}, UnusableChangeError, "no --set",
    ),
    "no file": ({"programs": [Path("nowhere.yaml")]}, cases.CaseError, "nowhere.yaml: No such"),
    "no such program": (
        {"programs": [PROGRAM_FILE]},
        UnusableChangeError,
        "no program example-energy is there; expected one of evening, or --instead NAME=",
    ),
    "instead of nobody": (
        {"instead": [("x", PROGRAM_FILE)]}, UnusableChangeError, "no program x is there",
    ),
    "the same place twice": (
        {"instead": [("evening", PROGRAM_FILE), ("evening", PROGRAM_FILE)]},
        UnusableChangeError,
        "takes its place already",
    ),
    "baselines that nobody takes": (
        {"baselines": Path("b.csv")}, UnusableChangeError, "no program takes a provided baseline",
    ),
    "no baselines": (
        {"baselines": Path("b.csv"), "settings": ["quantity=against_baseline"]},
        cases.CaseError,
        "b.csv: No such file",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("change", "error", "said"), REFUSED.values(), ids=REFUSED.keys())
def test_a_change_that_cannot_be_made_is_refused_by_name_on_one_line(
    change: dict[str, Any], error: type[Exception], said: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=said) as refused:
        of_case(folder(tmp_path / "case"), Change(**change))
    assert len(str(refused.value).splitlines()) == 1


def test_a_version_that_stands_twice_is_refused(tmp_path: Path) -> None:
    files = [tmp_path / "a.yaml", tmp_path / "b.yaml"]
    for file in files:
        file.write_text(PROGRAM)
    with pytest.raises(UnusableChangeError, match="version 1 of evening again"):
        of_case(folder(tmp_path / "case"), Change(programs=files))


def test_settings_need_a_program_that_settles_something(tmp_path: Path) -> None:
    case = folder(tmp_path / "case", {"events.csv": None})
    with pytest.raises(UnusableChangeError, match="settles any event here"):
        of_case(case, Change(settings=("quantity=net",)))


def test_settings_hold_for_the_programs_that_they_are_for() -> None:
    case = GOLDEN / "double-enrolment-two-programs"
    both = of_case(case, Change(settings=("minor_units=3",))).places
    one = of_case(case, Change(settings=("minor_units=3",), only=frozenset({"early"}))).places
    assert (both, one) == (3, 3)
    with pytest.raises(ProgramError, match="early 1 with --set"):
        of_case(case, Change(settings=("quantity=x",), only=frozenset({"early"})))
