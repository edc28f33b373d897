"""What a program may not say, and what the message then names."""

from decimal import Decimal
from typing import Any

import pytest
import yaml

from settlement.programs import ProgramError, parse

MINIMAL: dict[str, object] = {"program": "p", "version": 1, "currency": "EUR", "product": "energy"}


def test_a_message_names_source_key_value_and_what_is_permitted() -> None:
    with pytest.raises(ProgramError) as caught:
        parse(MINIMAL | {"rounding": {"mode": "half_up"}}, "p.yaml")

    error = caught.value
    assert (error.source, error.key, error.found) == ("p.yaml", "rounding.mode", "half_up")
    assert str(error) == ("p.yaml: rounding.mode: 'half_up'; expected half_away, half_even or down")


# What stands in the file beyond the four required keys; the key that is named; part of the message.
WRONG: dict[str, tuple[str, str, str]] = {
    # Keys.
    "an unknown key": ("tarif: 1", "tarif", "unknown key"),
    "a mistyped key": ("roundng: {}", "roundng", "did you mean rounding?"),
    "a mistyped key in a section": (
        "rounding: {mod: down}",
        "rounding.mod",
        "one of mode, stage; did you mean rounding.mode?",
    ),
    "a key outside of its section": (
        "lookback_min: 5",
        "lookback_min",
        "did you mean checks.lookback_min?",
    ),
    "a path as a key": ("rounding.mode: down", "rounding.mode", "unknown key"),
    "a key that is a number": ("5: 1", "5", "unknown key"),
    "a key that YAML reads as true": ("on: 1", "True", "unknown key"),
    "a mistyped key in a row": (
        'tiers: {power_kw: [{form: "0", multiplier: "1"}]}',
        "tiers.power_kw[0].form",
        "did you mean from?",
    ),
    "a key missing in a row": (
        "runs: [{name: initial}]",
        "runs[0].after_days",
        "missing",
    ),
    "a section that is text": ("rounding: half_up", "rounding", "a section with mode, stage"),
    "a section that is empty": ("season:", "season", "a section with months"),
    "a row that is text": ('tiers: {power_kw: ["5"]}', "tiers.power_kw[0]", "a section with from"),
    # The program itself.
    "an empty name": ('program: ""', "program", "text of 1 to 64"),
    "a name of two lines": ('program: "a\\nb"', "program", "printable"),
    "a name with a blank at its end": ('program: "a "', "program", "no blank at either end"),
    "a name that is a number": ("program: 5", "program", "text of 1 to 64"),
    "a version that is a bool": ("version: true", "version", "a whole number from 1"),
    "a version in quotation marks": ('version: "1"', "version", "without quotation marks"),
    "a version that is a float": ("version: 1.0", "version", "a whole number"),
    "version 0": ("version: 0", "version", "from 1 to 2147483647"),
    "a version beyond 32 bits": ("version: 2147483648", "version", "from 1 to 2147483647"),
    "a currency in small letters": ("currency: usd", "currency", "three capitals"),
    "a currency of four letters": ("currency: EURO", "currency", "three capitals"),
    "a currency beyond ASCII": ("currency: ÀÉÎ", "currency", "three capitals"),
    "seven decimal places of currency": ("minor_units: 7", "minor_units", "from 0 to 6"),
    "a zone that does not exist": ("timezone: Mars/Olympus", "timezone", "IANA"),
    "a zone that is a path": ("timezone: ../../etc/passwd", "timezone", "IANA"),
    "a zone that is a folder": ("timezone: America", "timezone", "IANA"),
    "a zone that differs by machine": ("timezone: localtime", "timezone", "IANA"),
    "a zone that is a number": ("timezone: 5", "timezone", "IANA"),
    "a product that is not known": ("product: power", "product", "energy, capacity or order"),
    "a quantity that is not known": (
        "quantity: gross",
        "quantity",
        "net, export_only or against_baseline",
    ),
    "a clamp that is not known": ("net_per: day", "net_per", "event or interval"),
    "a correction that is not known": ("correction: none", "correction", "reverse_and_rebook"),
    "a negative price that is refused": (
        "negative_price: refuse",
        "negative_price",
        "zero or pass_through",
    ),
    "a time without an offset": ("valid_from: 2026-05-01T00:00:00", "valid_from", "an offset"),
    "a time that is a date": ("valid_from: 2026-05-01", "valid_from", "an offset"),
    "a time before all chargers": ('valid_from: "2019-12-31T23:59:59Z"', "valid_from", "2020"),
    "a time that overflows": ('valid_from: "0001-01-01T00:00:00+14:00"', "valid_from", "2020"),
    # Price.
    "a price that is a float": (
        "price: {source: fixed, per_kwh: 2.5}",
        "price.per_kwh",
        'decimal text from "0" to "100"',
    ),
    "a price that is a whole number": (
        "price: {source: fixed, per_kwh: 2}",
        "price.per_kwh",
        "in quotation marks",
    ),
    "a price of seven places": (
        'price: {source: fixed, per_kwh: "2.0000001"}',
        "price.per_kwh",
        "at most 6 places",
    ),
    "a price beyond every market": (
        'price: {source: fixed, per_kwh: "100.000001"}',
        "price.per_kwh",
        'to "100"',
    ),
    # Tiers.
    "a multiplier that is a float": (
        'tiers: {power_kw: [{from: "0", multiplier: 1.15}]}',
        "tiers.power_kw[0].multiplier",
        "in quotation marks",
    ),
    "a multiplier of four places": (
        'tiers: {power_kw: [{from: "0", multiplier: "1.0001"}]}',
        "tiers.power_kw[0].multiplier",
        "at most 3 places",
    ),
    "a multiplier above fourfold": (
        'tiers: {power_kw: [{from: "0", multiplier: "4.001"}]}',
        "tiers.power_kw[0].multiplier",
        'to "4"',
    ),
    "a negative multiplier": (
        'tiers: {power_kw: [{from: "0", multiplier: "-1"}]}',
        "tiers.power_kw[0].multiplier",
        'from "0"',
    ),
    "tiers that begin above 0": (
        'tiers: {power_kw: [{from: "1", multiplier: "1"}]}',
        "tiers.power_kw[0]",
        "the first from 0",
    ),
    "tiers of one beginning": (
        'tiers: {duration_min: [{from: "0", multiplier: "1"}, {from: "0", multiplier: "2"}]}',
        "tiers.duration_min[1]",
        "ascending by from",
    ),
    "no tiers": ("tiers: {power_kw: []}", "tiers.power_kw", "1 to 32 rows"),
    "33 tiers": (
        "tiers: {power_kw: ["
        + ", ".join(f'{{from: "{n}", multiplier: "1"}}' for n in range(33))
        + "]}",
        "tiers.power_kw",
        "1 to 32 rows",
    ),
    "a mode that is not known": ("tiers: {mode: step}", "tiers.mode", "slab or graduated"),
    # Thermal.
    "thermal without a curve": ("thermal: {}", "thermal.curve_c", "missing"),
    "a curve without points": ("thermal: {curve_c: []}", "thermal.curve_c", "1 to 32 pairs"),
    "a point of three": (
        'thermal: {curve_c: [["20", "1", "2"]]}',
        "thermal.curve_c[0]",
        "a pair",
    ),
    "a curve that falls back": (
        'thermal: {curve_c: [["20", "1"], ["45", "1"], ["45", "0"]]}',
        "thermal.curve_c[2]",
        "ascending by temperature",
    ),
    "a factor above 1": (
        'thermal: {curve_c: [["20", "1.000001"]]}',
        "thermal.curve_c[0][1]",
        'to "1"',
    ),
    "a temperature of no battery": (
        'thermal: {curve_c: [["-50.001", "1"]]}',
        "thermal.curve_c[0][0]",
        'from "-50"',
    ),
    "a temperature that is a number": (
        'thermal: {curve_c: [[20, "1"]]}',
        "thermal.curve_c[0][0]",
        "in quotation marks",
    ),
    "a missing temperature that is ignored": (
        'thermal: {curve_c: [["45", "1"]], missing: ignore}',
        "thermal.missing",
        "hold, or decimal text",
    ),
    "a missing temperature's factor above 1": (
        'thermal: {curve_c: [["45", "1"]], missing: "1.1"}',
        "thermal.missing",
        'to "1"',
    ),
    "a release band upside down": (
        'thermal: {curve_c: [["45", "1"]], release_c: ["45", "20"]}',
        "thermal.release_c",
        "low below high",
    ),
    # Season, minimum, caps.
    "no month": ("season: {months: []}", "season.months", "at least one"),
    "month 13": ("season: {months: [6, 13]}", "season.months[1]", "from 1 to 12"),
    "a month twice": ("season: {months: [6, 6]}", "season.months[1]", "none twice"),
    "hours without quotation marks": (
        "season: {hours: [16:00, 21:00]}",
        "season.hours[0]",
        "in quotation marks",
    ),
    "hours across midnight": (
        'season: {hours: ["21:00", "06:00"]}',
        "season.hours",
        "the first before the second",
    ),
    "an empty hour": ('season: {hours: ["21:00", "21:00"]}', "season.hours", "before the second"),
    "after midnight": ('season: {hours: ["16:00", "24:01"]}', "season.hours[1]", '"24:00"'),
    "minute 60": ('season: {hours: ["16:60", "21:00"]}', "season.hours[0]", '"HH:MM"'),
    "an hour of one digit": ('season: {hours: ["9:00", "21:00"]}', "season.hours[0]", '"HH:MM"'),
    "one hour": ('season: {hours: ["16:00"]}', "season.hours", "HH:MM"),
    "a day that is not known": ("season: {weekdays: [monday]}", "season.weekdays[0]", "mon, tue"),
    "a day twice": ("season: {weekdays: [mon, mon]}", "season.weekdays[1]", "none twice"),
    "days that are one word": ("season: {weekdays: mon}", "season.weekdays", "weekends"),
    "a holiday in words": ("season: {holidays: [easter]}", "season.holidays[0]", "a date"),
    "a holiday with a time": (
        "season: {holidays: [2026-07-03T00:00:00Z]}",
        "season.holidays[0]",
        "a date",
    ),
    "a holiday in another spelling": (
        'season: {holidays: ["20260703"]}',
        "season.holidays[0]",
        "2026-07-03",
    ),
    "a negative minimum": ('minimum: {event_kwh: "-1"}', "minimum.event_kwh", 'from "0"'),
    "a minimum with an exponent": ('minimum: {avg_kw: "1e3"}', "minimum.avg_kw", "decimal text"),
    "a duration as text": (
        'minimum: {duration_min: "30"}',
        "minimum.duration_min",
        "without quotation marks",
    ),
    "no hours in a season": ("caps: {season_hours: 0}", "caps.season_hours", "from 1 to 8784"),
    "a fraction of an hour": ("caps: {event_hours: 1.5}", "caps.event_hours", "a whole number"),
    "an energy cap that is a number": (
        "caps: {event_kwh: 40}",
        "caps.event_kwh",
        "quotation marks",
    ),
    "a cap that is true": ("caps: {event_kwh: true}", "caps.event_kwh", "or off"),
    # Capacity and order.
    "capacity without its rate": (
        "{product: capacity, capacity: {}}",
        "capacity.per_avg_kw",
        "missing",
    ),
    "a negative penalty": (
        '{product: order, order: {price_per_kw: "1", penalty_per_kw: "-1"}}',
        "order.penalty_per_kw",
        'from "0"',
    ),
    "a flag that is text": (
        '{product: order, order: {price_per_kw: "1", cap_at_order: "yes"}}',
        "order.cap_at_order",
        "true or false",
    ),
    # Checks, rounding, runs.
    "a tolerance above 100 %": (
        "checks: {register_vs_power_pct: 101}",
        "checks.register_vs_power_pct",
        "from 0 to 100",
    ),
    "a register check that is off": (
        "checks: {register_vs_power_pct: off}",
        "checks.register_vs_power_pct",
        "a whole number",
    ),
    "a radius of nothing": ("checks: {site_radius_m: 0}", "checks.site_radius_m", "or off"),
    "a look-back beyond a day": ("checks: {lookback_min: 1441}", "checks.lookback_min", "1440"),
    "half_up, which means two things": ("rounding: {mode: half_up}", "rounding.mode", "half_away"),
    "a stage that is not known": ("rounding: {stage: run}", "rounding.stage", "settlement or line"),
    "no runs": ("runs: []", "runs", "1 to 12 rows"),
    "runs out of order": (
        "runs: [{name: a, after_days: 2}, {name: b, after_days: 1}]",
        "runs[1]",
        "ascending by after_days",
    ),
    "13 runs": (
        "runs: [" + ", ".join(f"{{name: r{n}, after_days: {n}}}" for n in range(13)) + "]",
        "runs",
        "1 to 12 rows",
    ),
    "a materiality that is a number": (
        "runs: [{name: a, after_days: 1, materiality: 1}]",
        "runs[0].materiality",
        "in quotation marks",
    ),
}


@pytest.mark.parametrize(("text", "key", "part"), WRONG.values(), ids=WRONG)
def test_what_is_not_understood_is_refused_with_its_key(text: str, key: str, part: str) -> None:
    body = MINIMAL | yaml.safe_load(text)

    with pytest.raises(ProgramError) as caught:
        parse(body, "p.yaml")

    assert caught.value.key == key
    assert part in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("body", [None, [], "energy", 5], ids=repr)
def test_a_file_that_is_no_section_is_refused(body: Any) -> None:
    with pytest.raises(ProgramError, match=r"^p.yaml: the program: .* a section with program"):
        parse(body, "p.yaml")


def test_a_message_stays_short_whatever_was_found() -> None:
    endless: list[object] = []
    endless.append(endless)
    for found in ("x" * 10_000, 10**5_000, endless, Decimal(1), {"a": [1] * 1_000}):
        with pytest.raises(ProgramError) as caught:
            parse(MINIMAL | {"version": found}, "p.yaml")
        assert len(str(caught.value)) < 250
