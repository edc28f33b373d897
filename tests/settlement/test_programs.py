"""A program is read whole or refused by name."""

import pytest
import yaml

from settlement import programs
from settlement.programs import ProgramError
from tests.settlement.frames import EXAMPLE

MINIMAL: dict[str, object] = {"program": "p", "version": 1, "currency": "EUR", "product": "energy"}


def test_the_shipped_example_is_read() -> None:
    program = programs.parse(yaml.safe_load(EXAMPLE.read_text()), EXAMPLE.name)
    assert [b.start for b in program.power_tiers] == [0, 5_000, 10_000]
    assert [b.multiplier_ppm for b in program.duration_tiers] == [1_000_000, 1_100_000]


def test_all_but_four_keys_have_defaults() -> None:
    program = programs.parse(MINIMAL, "p.yaml")
    assert (program.minor_units, program.rounding_mode, program.register_tolerance_pct) == (
        2,
        "half_away",
        5,
    )


@pytest.mark.parametrize("key", sorted(MINIMAL))
def test_four_keys_are_required(key: str) -> None:
    with pytest.raises(ProgramError, match=f"p.yaml: {key}: 'missing'"):
        programs.parse({k: v for k, v in MINIMAL.items() if k != key}, "p.yaml")


CHANGES = {
    "an unknown key": ({"tarif": 1}, "tarif"),
    "an unknown key in a section": ({"rounding": {"mod": "down"}}, "rounding.mod"),
    "a product that is not computed": ({"product": "capacity"}, "product"),
    "a quantity that is not computed": ({"quantity": "net"}, "quantity"),
    "graduated tiers, which are not computed": ({"tiers": {"mode": "graduated"}}, "tiers.mode"),
    "a float": (
        {"tiers": {"power_kw": [{"from": "0", "multiplier": 1.15}]}},
        "tiers.power_kw[0].multiplier",
    ),
    "a multiplier of four places": (
        {"tiers": {"power_kw": [{"from": "0", "multiplier": "1.0001"}]}},
        "tiers.power_kw[0].multiplier",
    ),
    "a multiplier of five": (
        {"tiers": {"power_kw": [{"from": "0", "multiplier": "5"}]}},
        "tiers.power_kw[0].multiplier",
    ),
    "a negative multiplier": (
        {"tiers": {"power_kw": [{"from": "0", "multiplier": "-1"}]}},
        "tiers.power_kw[0].multiplier",
    ),
    "tiers that begin above 0": (
        {"tiers": {"power_kw": [{"from": "1", "multiplier": "1"}]}},
        "tiers.power_kw",
    ),
    "tiers out of order": (
        {
            "tiers": {
                "power_kw": [
                    {"from": "0", "multiplier": "1"},
                    {"from": "5", "multiplier": "1"},
                    {"from": "5", "multiplier": "1"},
                ]
            }
        },
        "tiers.power_kw",
    ),
    "tiers that multiply beyond fourfold": (
        {
            "tiers": {
                "power_kw": [{"from": "0", "multiplier": "4"}],
                "duration_min": [{"from": "0", "multiplier": "1.001"}],
            }
        },
        "tiers",
    ),
    "no tiers": ({"tiers": {"power_kw": []}}, "tiers.power_kw"),
    "a tier that is text": ({"tiers": {"power_kw": ["5"]}}, "tiers.power_kw"),
    "a section that is text": ({"rounding": "half_up"}, "rounding"),
    "half_up, which means two things": ({"rounding": {"mode": "half_up"}}, "rounding.mode"),
    "a zone that does not exist": ({"timezone": "Mars/Olympus"}, "timezone"),
    "a zone that is a path": ({"timezone": "../../etc/passwd"}, "timezone"),
    "a version that is a bool": ({"version": True}, "version"),
    "seven decimal places of currency": ({"minor_units": 7}, "minor_units"),
    "a tolerance above 100 %": (
        {"checks": {"register_vs_power_pct": 101}},
        "checks.register_vs_power_pct",
    ),
}


@pytest.mark.parametrize(("change", "key"), CHANGES.values(), ids=CHANGES)
def test_what_is_not_understood_is_refused_with_its_key(
    change: dict[str, object], key: str
) -> None:
    with pytest.raises(ProgramError) as caught:
        programs.parse(MINIMAL | change, "p.yaml")
    assert caught.value.key == key
    assert caught.value.expected
