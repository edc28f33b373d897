"""The programs ready for use, and the page that shows every key."""

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from settlement import programs
from settlement.programs import ProgramError, keys
from settlement.programs.key import REQUIRED, Key
from settlement.programs.model import Correction, Product, Quantity
from settlement.programs.rows import Rows

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "programs.md").read_text("utf-8")
PACKS = sorted((ROOT / "programs").glob("*.yaml"))
MINIMAL: dict[str, object] = {"program": "p", "version": 1, "currency": "EUR", "product": "energy"}


def shipped(name: str) -> programs.Program:
    file = ROOT / "programs" / f"{name}.yaml"
    return programs.parse(yaml.safe_load(file.read_text("utf-8")), file.name)


def all_keys(some: tuple[Key[Any], ...], prefix: str = "") -> Iterator[tuple[str, Key[Any]]]:
    for key in some:
        yield f"{prefix}{key.path}", key
        if isinstance(key.kind, Rows):
            yield from all_keys(key.kind.keys, f"{prefix}{key.path}[].")


KEYS = dict(all_keys(keys.KEYS))


@pytest.mark.parametrize("file", PACKS, ids=lambda file: file.stem)
def test_a_shipped_program_is_read_and_carries_the_name_of_its_file(file: Path) -> None:
    assert shipped(file.stem).program == file.stem


@pytest.mark.parametrize("file", PACKS, ids=lambda file: file.stem)
@pytest.mark.parametrize("part", ["What", "Source", "Confirmed", "Assumed", "Not confirmed"])
def test_a_shipped_program_says_where_it_is_from_and_what_is_not_known(
    file: Path, part: str
) -> None:
    comment = re.match(r"(?:#.*\n)+", file.read_text("utf-8"))
    assert comment, "the file begins with its comment"
    assert re.search(rf"^# {part}: \S.{{5,}}", comment[0], re.MULTILINE)


@pytest.mark.parametrize("file", PACKS, ids=lambda file: file.stem)
def test_a_program_from_outside_says_when_its_source_was_read(file: Path) -> None:
    text = file.read_text("utf-8")
    source = re.search(r"# Source: ((?:.*\n)(?:#   .*\n)*)", text)
    assert source
    assert "this project" in source[1] or "Read in November 2026" in source[1]


def test_the_shipped_tariffs_hold_the_terms_that_were_published() -> None:
    elrp = shipped("california-elrp-a5")
    assert elrp.fixed_price_micros_per_kwh == 2_000_000
    assert elrp.season.months == frozenset(range(5, 11))
    assert elrp.caps.season_us == timedelta(hours=60) // timedelta(microseconds=1)

    rhode_island, massachusetts = (shipped(f"connectedsolutions-{s}") for s in ("ri", "ma"))
    assert rhode_island.capacity
    assert massachusetts.capacity
    assert rhode_island.capacity.per_avg_kw_micros == 225_000_000
    assert massachusetts.capacity.per_avg_kw_micros == 275_000_000

    usef = shipped("usef-flexibility-order")
    assert usef.product is Product.ORDER
    assert usef.order
    assert usef.order.cap_at_order
    # 7 € and 11 € per MW.
    assert usef.order.price_micros_per_kw * 1_000 == 7_000_000
    assert usef.order.penalty_micros_per_kw * 1_000 == 11_000_000


def test_the_demonstrations_tariff_states_its_calendar_and_counts_export_only() -> None:
    example = shipped("example-energy")
    assert example.quantity is Quantity.EXPORT_ONLY
    assert [run.after_days for run in example.runs] == [0, 12, 55]
    assert example.correction is Correction.DELTA
    assert [bracket.start for bracket in example.power_tiers] == [0, 5_000, 10_000]
    assert [bracket.multiplier_ppm for bracket in example.duration_tiers] == [1_000_000, 1_100_000]


@pytest.mark.parametrize("path", KEYS)
def test_every_key_stands_on_its_page_with_its_default_and_its_meaning(path: str) -> None:
    key = KEYS[path]

    rows = [line for line in PAGE.splitlines() if line.startswith(f"| `{path}` |")]

    assert len(rows) == 1
    permitted, default, meaning = rows[0].removeprefix(f"| `{path}` | ").split(" | ")
    assert permitted == key.kind.permitted
    assert meaning.removesuffix(" |") == key.meaning
    if key.default is REQUIRED:
        assert default == "required"
    elif isinstance(key.default, str):
        assert default.replace('"', "") == f"`{key.default}`"
    else:
        assert default == f"`{json.dumps(key.default)}`"


def test_the_page_shows_no_key_that_is_refused() -> None:
    assert set(re.findall(r"^\| `([\w.\[\]]+)` \|", PAGE, re.MULTILINE)) == set(KEYS)


@pytest.mark.parametrize(
    "path", [path for path, key in KEYS.items() if "[" not in path and key.default is not REQUIRED]
)
def test_a_default_written_out_changes_nothing(path: str) -> None:
    section, _, name = path.rpartition(".")
    inside: dict[str, dict[str, object]] = {
        "thermal": {"curve_c": [["20", "1"], ["45", "1"], ["55", "0"]]},
        "capacity": {"per_avg_kw": "1"},
        "order": {"price_per_kw": "1"},
    }
    body = MINIMAL | ({section: inside[section]} if section in inside else {})
    if section in {"capacity", "order"}:
        body["product"] = section
    if section == "baseline":
        method = {"baseline.of": "highest_days", "baseline.before_min": "before_event"}
        body |= {"quantity": "against_baseline"}
        inside["baseline"] = {"method": method.get(path, "like_days")}
        body["baseline"] = inside["baseline"]

    stated = {name: KEYS[path].default}
    written = body | ({section: inside.get(section, {}) | stated} if section else stated)

    if path == "baseline.method":
        body.pop("baseline")
    assert programs.parse(written, "p.yaml") == programs.parse(body, "p.yaml")


def test_every_example_of_the_page_is_a_program() -> None:
    examples = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert len(examples) == len(keys.SECTIONS) + 1
    for example in examples:
        try:
            programs.parse(MINIMAL | yaml.safe_load(example), "example")
        except ProgramError as error:
            pytest.fail(f"{example}: {error}")
