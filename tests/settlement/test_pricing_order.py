"""Lines and settlements come out in one order, whatever order the discharge came in."""

from itertools import permutations

import pytest

from settlement.pricing import price
from tests.settlement.matched import at, matched, row, tariff, unpaid

ORDER = {"price_per_kw": "7.00", "penalty_per_kw": "11.00", "cap_at_order": True}


@pytest.mark.parametrize(
    "keys",
    list(
        permutations(
            [
                # Each later key falls while an earlier one rises, so that leaving one out shows.
                ("a", "day-1", "van", "17:00"),
                ("a", "day-2", "car", "18:00"),
                ("a", "day-2", "car", "19:00"),
                ("b", "day-0", "bus", "16:00"),
            ]
        )
    ),
)
def test_rows_are_ordered_by_program_event_vehicle_and_time(keys):
    # given discharge of two programs, in some order
    rows = [
        row(vehicle, at(clock), at(clock).replace(minute=30), 1_000, program=program, event_id=event)
        for program, event, vehicle, clock in keys
    ]  # fmt: skip
    programs = {name: [tariff(program=name)] for name in ("a", "b")}

    # when it is priced
    result = price(matched(*rows), unpaid(), programs)

    # then
    assert result.lines.select("program", "event_id", "vehicle_id", "started_at").rows() == [
        ("a", "day-1", "van", at("17:00")),
        ("a", "day-2", "car", at("18:00")),
        ("a", "day-2", "car", at("19:00")),
        ("b", "day-0", "bus", at("16:00")),
    ]
    assert result.settlements.select("program", "event_id", "vehicle_id").rows() == [
        ("a", "day-1", "van"),
        ("a", "day-2", "car"),
        ("b", "day-0", "bus"),
    ]


def test_terms_of_one_time_are_ordered_by_name():
    # given an order of 2 kW that two vehicles delivered in part
    rows = [
        row(vehicle, at("17:00"), at("18:00"), 1_000_000, ordered_w=2_000)
        for vehicle in ("van", "car")
    ]

    # when they are priced
    lines = price(
        matched(*rows), unpaid(), {"tariff": [tariff(product="order", order=ORDER)]}
    ).lines

    # then what was delivered stands before what was missing, vehicle by vehicle
    assert lines.select("vehicle_id", "term").rows() == [
        ("car", "delivery"),
        ("car", "shortfall"),
        ("van", "delivery"),
        ("van", "shortfall"),
    ]
