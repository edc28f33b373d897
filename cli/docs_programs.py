"""docs/programs.md: every key of a program, from the table that the parser reads through."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from cli.map import ROOT
from cli.markdown import GENERATED, heading, row
from settlement.programs import keys
from settlement.programs.key import REQUIRED, Key
from settlement.programs.rows import Rows

INTRO: Final = """\
A program is a tariff as data: one YAML file, one version. Everything but `program`, `version`,
`currency` and `product` may be left out and then has the default below. What is not understood is
refused, with the file, the key, what was found and what is permitted; nothing is ignored.

Decimals are text in quotation marks, because `1.15` without them is a binary fraction before any
program sees it. Whole numbers stand without them. Times of day stand in quotation marks, because
YAML reads an unquoted `16:00` as 960. Sections that do nothing unless given, and values marked so,
can also be switched off with `off`.

A version that has settled anything is never changed: a change is a file with the next `version` and
its `valid_from`. An event follows the version in force as it starts; one that starts before all of
them follows the first."""

TOGETHER: Final = """\
Refused, each with the key that must change:

* `capacity` without the product capacity, `order` without the product order, and the other way round.
* With the products capacity and order: multipliers other than 1, `thermal`, a fixed price per kWh,
  `negative_price: pass_through`. With the product order also a minimum, and
  `quantity: export_only`. They would have no effect.
* `price.per_kwh` with `source: rtp`, and its absence with `source: fixed`.
* Multipliers of power and duration whose product exceeds 4.
* A `thermal.release_c` within which `thermal.curve_c` is 0 anywhere: the limit would be reached and
  released at once.
* A method for a baseline where none is needed, keys of `baseline` that the method has no use for,
  `of` below `days` (highest_days), `search_days` below the days that are needed.
* Two runs of one name."""

EXAMPLES: Final[Mapping[str, str]] = {
    "": """\
program: evening-peak
version: 2
valid_from: "2027-01-01T00:00:00-08:00"
currency: USD
timezone: America/Los_Angeles
product: energy
quantity: net
net_per: event
negative_price: zero
correction: delta
runs:
  - {name: initial, after_days: 1}
  - {name: final, after_days: 55, materiality: "0.50"}""",
    "price": 'price: {source: fixed, per_kwh: "2.00"}',
    "tiers": """\
tiers:
  mode: slab
  power_kw: [{from: "0", multiplier: "1.00"}, {from: "5", multiplier: "1.15"}]
  duration_min: [{from: "0", multiplier: "1.00"}, {from: "60", multiplier: "1.10"}]""",
    "thermal": """\
thermal:
  time_constant_min: 30
  curve_c: [["20", "1"], ["45", "1"], ["55", "0"]]
  missing: "0.5"
  fresh_min: 5
  release_c: ["20", "45"]""",
    "season": """\
season:
  months: [6, 7, 8, 9]
  hours: ["14:00", "19:00"]
  weekdays: weekdays
  holidays: ["2027-07-05", "2027-09-06"]""",
    "minimum": 'minimum: {event_kwh: "1.5", duration_min: 30, avg_kw: "2"}',
    "caps": 'caps: {season_hours: 60, event_hours: 3, event_kwh: "40", season_kwh: off}',
    "capacity": """\
product: capacity
capacity: {per_avg_kw: "225.00", average_over: event_hours, absent: zero}""",
    "order": """\
product: order
order: {price_per_kw: "7.00", penalty_per_kw: "11.00", cap_at_order: true}""",
    "baseline": """\
quantity: against_baseline
baseline: {method: highest_days, days: 5, of: 10, like: weekpart, search_days: 45}""",
    "checks": """\
checks:
  register_vs_power_pct: 5
  soc_vs_energy_pct: off
  site_radius_m: 500
  lookback_min: 60""",
    "rounding": "rounding: {mode: half_even, stage: line}",
}
"""What each section may look like; a test parses them."""

PACKS: Final = "programs"
_WHAT: Final = "# What: "


def as_written(value: object) -> str:
    """A default as it would stand in the file.

    >>> as_written(["20", "45"]), as_written("off"), as_written(True), as_written(REQUIRED)
    ('`["20", "45"]`', '`off`', '`true`', 'required')
    """
    if value is REQUIRED:
        return "required"
    if isinstance(value, str) and not value[:1].isdigit():
        return f"`{value}`"
    return f"`{json.dumps(value)}`"


def key_rows(key: Key[Any], prefix: str = "") -> Iterator[str]:
    """The row of a key, and those of the keys of its rows."""
    path = f"{prefix}{key.path}"
    yield row(f"`{path}`", key.kind.permitted, as_written(key.default), key.meaning)
    if isinstance(key.kind, Rows):
        for part in key.kind.keys:
            yield from key_rows(part, f"{path}[].")


def section(title: str, meaning: str, of: Sequence[Key[Any]], example: str) -> Iterator[str]:
    """One section: what it is for, its keys, an example."""
    yield f"\n## {title}\n"
    if meaning:
        yield f"{meaning}\n"
    yield from heading("key", "permitted", "default", "meaning")
    for key in of:
        yield from key_rows(key)
    yield f"\n```yaml\n{example}\n```"


def packs(root: Path) -> Iterator[str]:
    """The programs ready for use, each with what its comment says it is."""
    yield "\n## Programs ready for use\n"
    yield (
        "Each begins with its source, what was confirmed there, what is assumed and what could not"
        " be\nconfirmed. Read that before money depends on it, and check the source: live programs"
        " change.\n"
    )
    yield from heading("file", "what it is")
    for file in sorted((root / PACKS).glob("*.yaml")):
        comment = [line for line in file.read_text("utf-8").splitlines() if line.startswith("#")]
        start = next(n for n, line in enumerate(comment) if line.startswith(_WHAT))
        what = [comment[start].removeprefix(_WHAT)]
        for line in comment[start + 1 :]:
            if not line.startswith("#  "):
                break
            what.append(line.removeprefix("#").strip())
        yield row(f"[{file.name}](../{PACKS}/{file.name})", " ".join(what))


def programs_page(root: Path = ROOT) -> str:
    """docs/programs.md: every key by section, what does not go together, the programs in stock."""
    top = [key for key in keys.KEYS if "." not in key.path]
    lines = ["# Programs", "", GENERATED, INTRO, *section("The program", "", top, EXAMPLES[""])]
    for one in keys.SECTIONS:
        inside = [key for key in keys.KEYS if key.path.startswith(f"{one.path}.")]
        lines += section(one.path, one.meaning, inside, EXAMPLES[one.path])
    lines += ["\n## What does not go together\n", TOGETHER, *packs(root)]
    return "\n".join(lines) + "\n"
