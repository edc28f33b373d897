"""What two keys of a program may not say together, each of them permitted by itself."""

import pytest
import yaml

from settlement.programs import ProgramError, parse

MINIMAL: dict[str, object] = {"program": "p", "version": 1, "currency": "EUR", "product": "energy"}

# What stands in the file beyond the four required keys; the key that is named; part of the message.
CONTRADICTIONS: dict[str, tuple[str, str, str]] = {
    "a fixed price that is missing": ("price: {source: fixed}", "price.per_kwh", "missing"),
    "a fixed price that would be ignored": (
        'price: {source: rtp, per_kwh: "2"}',
        "price.per_kwh",
        "source is rtp",
    ),
    "tiers that multiply beyond fourfold": (
        'tiers: {power_kw: [{from: "0", multiplier: "4"}], duration_min: [{from: "0", multiplier: "1.001"}]}',
        "tiers",
        "at most 4",
    ),
    "a release band above the curve": (
        'thermal: {curve_c: [["20", "1"], ["44.999", "1"]]}',
        "thermal.release_c",
        "curve_c is above 0",
    ),
    "a release band that ends where the curve is 0": (
        'thermal: {curve_c: [["20", "1"], ["45", "0"], ["50", "0"]]}',
        "thermal.release_c",
        "curve_c is above 0",
    ),
    "a release band that begins where the curve is 0": (
        'thermal: {curve_c: [["21", "0"], ["30", "1"], ["50", "1"]]}',
        "thermal.release_c",
        "curve_c is above 0",
    ),
    "a release band within a gap of the curve": (
        'thermal: {curve_c: [["0", "1"], ["10", "0"], ["50", "0"]]}',
        "thermal.release_c",
        "curve_c is above 0",
    ),
    "capacity without its section": ("product: capacity", "capacity", "per_avg_kw"),
    "an order without its section": ("product: order", "order", "price_per_kw"),
    "capacity terms for energy": ('capacity: {per_avg_kw: "1"}', "capacity", "product is energy"),
    "order terms for energy": ('order: {price_per_kw: "1"}', "order", "product is energy"),
    "order terms for capacity": (
        '{product: capacity, capacity: {per_avg_kw: "1"}, order: {price_per_kw: "1"}}',
        "order",
        "product is capacity",
    ),
    "tiers for capacity": (
        '{product: capacity, capacity: {per_avg_kw: "1"}, tiers: {power_kw: [{from: "0", multiplier: "2"}]}}',
        "tiers",
        "product capacity",
    ),
    "thermal for capacity": (
        '{product: capacity, capacity: {per_avg_kw: "1"}, thermal: {curve_c: [["45", "1"]]}}',
        "thermal",
        "product capacity",
    ),
    "tiers for an order": (
        '{product: order, order: {price_per_kw: "1"}, tiers: {duration_min: [{from: "0", multiplier: "2"}]}}',
        "tiers",
        "product order",
    ),
    "thermal for an order": (
        '{product: order, order: {price_per_kw: "1"}, thermal: {curve_c: [["45", "1"]]}}',
        "thermal",
        "product order",
    ),
    "a minimum for an order": (
        '{product: order, order: {price_per_kw: "1"}, minimum: {avg_kw: "1"}}',
        "minimum",
        "product order",
    ),
    "a price per kWh for an order": (
        '{product: order, order: {price_per_kw: "1"}, price: {source: fixed, per_kwh: "1"}}',
        "price.per_kwh",
        "product order",
    ),
    "negative prices for capacity": (
        '{product: capacity, capacity: {per_avg_kw: "1"}, negative_price: pass_through}',
        "negative_price",
        "product capacity",
    ),
    "an order without a baseline": (
        '{product: order, order: {price_per_kw: "1"}, quantity: export_only}',
        "quantity",
        "against_baseline",
    ),
    "a baseline that is not needed": (
        "baseline: {method: like_days}",
        "baseline.method",
        "need a baseline",
    ),
    "a key that the method has no use for": (
        "{quantity: against_baseline, baseline: {method: like_days, before_min: 60}}",
        "baseline.before_min",
        "no such key with method like_days",
    ),
    "days for a baseline that is provided": (
        "{quantity: against_baseline, baseline: {days: 5}}",
        "baseline.days",
        "no such key with method provided",
    ),
    "fewer days than are averaged": (
        "{quantity: against_baseline, baseline: {method: highest_days, days: 11}}",
        "baseline.of",
        "not fewer than the 11",
    ),
    "a search that cannot find enough": (
        "{quantity: against_baseline, baseline: {method: highest_days, search_days: 9, days: 5}}",
        "baseline.search_days",
        "not fewer than the 10",
    ),
    "two runs of one name": (
        "runs: [{name: a, after_days: 1}, {name: a, after_days: 2}]",
        "runs",
        "no two have the same name",
    ),
}


@pytest.mark.parametrize(("text", "key", "part"), CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_what_contradicts_another_key_is_refused_with_the_one_to_change(
    text: str, key: str, part: str
) -> None:
    body = MINIMAL | yaml.safe_load(text)

    with pytest.raises(ProgramError) as caught:
        parse(body, "p.yaml")

    assert caught.value.key == key
    assert part in str(caught.value)


# At the edge of what is refused above.
PERMITTED = {
    "a product of exactly four": 'tiers: {power_kw: [{from: "0", multiplier: "4"}], duration_min: [{from: "0", multiplier: "1"}]}',
    "a release band that ends with the curve": 'thermal: {curve_c: [["20", "1"], ["45", "1"]]}',
    "a release band that begins with the curve": 'thermal: {curve_c: [["20", "1"], ["55", "0"]]}',
    "a release band just inside two zeros": 'thermal: {curve_c: [["19.999", "0"], ["30", "1"], ["45.001", "0"]]}',
    "all of the days": "{quantity: against_baseline, baseline: {method: highest_days, days: 10}}",
    "as many days as are needed": "{quantity: against_baseline, baseline: {method: like_days, search_days: 10}}",
    "minutes before the event": "{quantity: against_baseline, baseline: {method: before_event, before_min: 30}}",
    "a baseline for an order": '{product: order, order: {price_per_kw: "1"}, baseline: {method: like_days}}',
    "a minimum for capacity": '{product: capacity, capacity: {per_avg_kw: "1"}, minimum: {avg_kw: "1"}}',
    "export only for capacity": '{product: capacity, capacity: {per_avg_kw: "1"}, quantity: export_only}',
}


@pytest.mark.parametrize("text", PERMITTED.values(), ids=PERMITTED)
def test_what_just_goes_together_is_read(text: str) -> None:
    assert parse(MINIMAL | yaml.safe_load(text), "p.yaml").program == "p"
