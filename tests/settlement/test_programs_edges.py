"""The ends of what a program's values may be, and what lies just beyond them."""

import pytest

from settlement.programs import Program, ProgramError, parse

MINIMAL: dict[str, object] = {"program": "p", "version": 1, "currency": "EUR", "product": "energy"}
TIERS = [{"from": str(n), "multiplier": "1"} for n in range(32)]
RUNS = [{"name": f"run {n}", "after_days": n} for n in range(12)]

# Values at the ends of what is permitted.
EDGES: dict[str, dict[str, object]] = {
    "a name of one": {"program": "p"},
    "a name of 64": {"program": "p" * 64},
    "the first version": {"version": 1},
    "the last version": {"version": 2**31 - 1},
    "no minor units": {"minor_units": 0},
    "six places of minor units": {"minor_units": 6},
    "the first time": {"valid_from": "2020-01-01T00:00:00Z"},
    "the last time": {"valid_from": "2099-12-31T23:59:59.999999Z"},
    "a price of nothing": {"price": {"source": "fixed", "per_kwh": "0"}},
    "the highest price": {"price": {"source": "fixed", "per_kwh": "100"}},
    "the lowest multiplier": {"tiers": {"power_kw": [{"from": "0", "multiplier": "0"}]}},
    "the highest multiplier": {"tiers": {"power_kw": [{"from": "0", "multiplier": "4"}]}},
    "32 tiers": {"tiers": {"power_kw": TIERS, "duration_min": TIERS}},
    "temperatures of the range": {"thermal": {"curve_c": [["-50", "1"], ["150", "1"]]}},
    "32 points": {"thermal": {"curve_c": [[str(n + 20), "1"] for n in range(32)]}},
    "every day": {"season": {"weekdays": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]}},
    "all hours": {"season": {"hours": ["00:00", "24:00"]}},
    "the last minute": {"season": {"hours": ["23:59", "24:00"]}},
    "1000 holidays": {"season": {"holidays": ["2026-07-03"] * 1_000}},
    "the lowest cap": {"caps": {"season_hours": 1}},
    "the highest cap": {"caps": {"season_hours": 8_784}},
    "tolerances of nothing": {"checks": {"register_vs_power_pct": 0, "soc_vs_energy_pct": 0}},
    "tolerances of all": {"checks": {"register_vs_power_pct": 100, "soc_vs_energy_pct": 100}},
    "the widest radius": {"checks": {"site_radius_m": 100_000}},
    "the narrowest radius": {"checks": {"site_radius_m": 1}},
    "a day of look-back": {"checks": {"lookback_min": 1_440, "lookahead_min": 1_440}},
    "12 runs": {"runs": RUNS},
    "one run on the day": {"runs": [{"name": "only", "after_days": 0}]},
}


@pytest.mark.parametrize("change", EDGES.values(), ids=EDGES)
def test_both_ends_of_a_range_belong_to_it(change: dict[str, object]) -> None:
    assert isinstance(parse(MINIMAL | change, "p.yaml"), Program)


BEYOND = {
    "a name of 65": ({"program": "p" * 65}, "program"),
    "the time after the last": ({"valid_from": "2100-01-01T00:00:00Z"}, "valid_from"),
    "33 points": (
        {"thermal": {"curve_c": [[str(n + 20), "1"] for n in range(33)]}},
        "thermal.curve_c",
    ),
    "1001 holidays": ({"season": {"holidays": ["2026-07-03"] * 1_001}}, "season.holidays"),
    "13 months": ({"season": {"months": [*range(1, 13), 1]}}, "season.months"),
    "more hours than a year has": ({"caps": {"event_hours": 8_785}}, "caps.event_hours"),
    "a wider radius": ({"checks": {"site_radius_m": 100_001}}, "checks.site_radius_m"),
}


@pytest.mark.parametrize(("change", "key"), BEYOND.values(), ids=BEYOND)
def test_what_lies_just_beyond_a_range_is_refused(change: dict[str, object], key: str) -> None:
    with pytest.raises(ProgramError) as caught:
        parse(MINIMAL | change, "p.yaml")
    assert caught.value.key == key
