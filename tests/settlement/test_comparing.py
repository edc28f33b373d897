"""Two computations held against each other: nothing is left out, and who gains is said of each."""

from dataclasses import dataclass
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from settlement.comparing import (
    BOTH,
    CurrencyChangedError,
    compare,
    require_same_currencies,
)
from settlement.engine import Computed
from settlement.periods import Period
from settlement.schemas import MATCHED_DISCHARGE, SETTLEMENT, UNPAID
from tests.settlement import frames

SCHEMA = {name: kind for name, kind in SETTLEMENT.schema.items() if name != "settlement_id"}


@dataclass(frozen=True)
class Side:
    """One side of a comparison, as far as it is compared."""

    settlements: pl.DataFrame
    unpaid: pl.DataFrame


def settlement(vehicle: str, event: str, minor: int, **changes: Any) -> dict[str, Any]:
    """A settlement of so many cents, whose lines came to four millionths less."""
    return {
        "program": "evening",
        "program_version": 1,
        "event_id": event,
        "vehicle_id": vehicle,
        "contract_id": f"contract-{vehicle}",
        "currency": "USD",
        "energy_milliwh": 1_000_000,
        "lines_micros": minor * 10_000 - 4,
        "amount_minor": minor,
        "rounding_difference_micros": 4,
        "state": "booked",
        "reason": "",
    } | changes


def unpaid(vehicle: str, reason: str, milliwh: int, micros: int | None) -> dict[str, Any]:
    return {
        "program": "evening",
        "event_id": "e1",
        "vehicle_id": vehicle,
        "evse_id": "E",
        "started_at": frames.at("17:00"),
        "ended_at": frames.at("18:00"),
        "energy_milliwh": milliwh,
        "reason": reason,
        "would_have_been_micros": micros,
    }


def side(*rows: dict[str, Any], unpaid: tuple[dict[str, Any], ...] = ()) -> Side:
    return Side(
        pl.DataFrame(rows, schema=SCHEMA) if rows else pl.DataFrame(schema=SCHEMA),
        pl.DataFrame(unpaid, schema=UNPAID.schema) if unpaid else UNPAID.empty(),
    )


def test_winners_losers_and_the_unchanged_are_told_apart() -> None:
    # given one vehicle that gains, one that loses, one that gains what it loses
    before = side(
        settlement("V1", "e1", 100),
        settlement("V2", "e1", 100),
        settlement("V3", "e1", 100),
        settlement("V3", "e2", 50),
    )
    after = side(
        settlement("V1", "e1", 130),
        settlement("V2", "e1", 90),
        settlement("V3", "e1", 50),
        settlement("V3", "e2", 100),
    )
    # when
    found = compare(before, after)
    # then who gains most is first, who loses most last
    assert found.vehicles.select("vehicle_id", "difference_micros").rows() == [
        ("V1", 300_000),
        ("V3", 0),
        ("V2", -100_000),
    ]
    assert found.currencies.rows(named=True) == [
        {
            "currency": "USD",
            "winners": 1,
            "losers": 1,
            "unchanged": 1,
            "before_milliwh": 4_000_000,
            "after_milliwh": 4_000_000,
            "before_micros": 3_500_000,
            "after_micros": 3_700_000,
            "difference_micros": 200_000,
        }
    ]


def test_what_only_one_side_settles_is_compared_with_nothing() -> None:
    # given
    before, after = side(settlement("V1", "e1", 100)), side(settlement("V2", "e1", 70))
    # when
    found = compare(before, after)
    # then
    columns = ("vehicle_id", "before_micros", "after_micros", "before_state", "after_state")
    assert found.settlements.select(columns).rows() == [
        ("V1", 1_000_000, 0, "booked", ""),
        ("V2", 0, 700_000, "", "booked"),
    ]
    (program,) = found.programs.rows(named=True)
    assert (program["before_settlements"], program["after_settlements"]) == (1, 1)


def test_what_is_held_pays_nothing_and_counts_as_held() -> None:
    # given lines whose settlement is held on the other side
    held = settlement(
        "V1", "e1", 0, lines_micros=999_996, rounding_difference_micros=0, state="held",
        reason="PRICE_MISSING",
    )  # fmt: skip
    # when
    found = compare(side(settlement("V1", "e1", 100)), side(held))
    # then
    (row,) = found.settlements.rows(named=True)
    assert (row["before_micros"], row["after_micros"]) == (1_000_000, 0)
    assert (row["before_milliwh"], row["after_milliwh"]) == (1_000_000, 0)
    assert (row["after_state"], row["after_reason"]) == ("held", "PRICE_MISSING")
    (program,) = found.programs.rows(named=True)
    assert (program["before_held"], program["after_held"]) == (0, 1)


def test_amounts_of_different_minor_units_are_compared_as_money() -> None:
    # given 1.00 in cents, and 1.0000 in hundredths of cents, of the same lines
    cents = settlement("V1", "e1", 100)
    finer = settlement("V1", "e1", 10_000, lines_micros=999_996)
    # when, then
    assert compare(side(cents), side(finer)).vehicles["difference_micros"].to_list() == [0]


def test_two_contracts_of_one_vehicle_and_season_are_one_row() -> None:
    both = side(settlement("V1", "s", 100), settlement("V1", "s", 20, contract_id="other"))
    found = compare(both, side(settlement("V1", "s", 100)))
    assert found.settlements["difference_micros"].to_list() == [-200_000]


def test_unpaid_energy_is_compared_reason_by_reason() -> None:
    # given a reason that goes away, one that comes, and one whose money nobody knows
    before = side(
        unpaid=(
            unpaid("V1", "NETTED", 500, 70),
            unpaid("V2", "NETTED", 300, None),
            unpaid("V1", "PRICE_MISSING", 9, None),
        )
    )
    after = side(unpaid=(unpaid("V1", "BELOW_MINIMUM", 800, 90), unpaid("V1", "PRICE_MISSING", 4, None)))  # fmt: skip
    # when
    found = compare(before, after).reasons
    # then
    assert found.rows() == [
        ("evening", "BELOW_MINIMUM", 0, 800, 800, None, 90),
        ("evening", "NETTED", 800, 0, -800, 70, None),
        ("evening", "PRICE_MISSING", 9, 4, -5, None, None),
    ]


def test_two_currencies_are_never_added_up() -> None:
    # given two programs that pay one vehicle in two currencies
    euros = settlement("V1", "e1", 100, program="abend", currency="EUR")
    # when
    found = compare(side(settlement("V1", "e1", 100), euros), side(euros))
    # then
    assert found.currencies.select("currency", "losers", "unchanged", "after_micros").rows() == [
        ("EUR", 0, 1, 1_000_000),
        ("USD", 1, 0, 0),
    ]


def test_a_program_that_changes_its_currency_is_refused() -> None:
    # given
    before = side(settlement("V1", "e1", 100))
    after = side(settlement("V2", "e1", 100, currency="EUR"))
    # when, then
    with pytest.raises(CurrencyChangedError, match=r"evening: USD as it is, EUR under") as error:
        compare(before, after)
    assert (error.value.before, error.value.after) == ("USD", "EUR")


def test_a_program_that_changes_its_currency_is_refused_before_anything_is_settled() -> None:
    here, there = frames.example_program(), frames.example_program(currency="EUR")
    name = here.program
    with pytest.raises(CurrencyChangedError, match=name):
        require_same_currencies({name: [here]}, {name: [there]})
    require_same_currencies({name: [here]}, {name: [here], "another": [there]})


def test_what_the_engine_decides_can_be_compared() -> None:
    # given what the engine gives of one half hour, and nothing
    window = frames.window("e1", "17:00", "18:00")
    known = frames.facts(
        [window], [frames.price("16:00", "19:00", 420_000)], [frames.contract("V1")]
    )
    row = frames.reading("V1", frames.at("17:00"), frames.at("17:30"), 3_600_000)
    period = Period(frames.at("16:00"), frames.at("19:00"))
    found = frames.computed(frames.readings(row), known, period)
    nothing = Computed(
        MATCHED_DISCHARGE.empty(), UNPAID.empty(), found.lines.clear(), found.settlements.clear()
    )
    # when
    difference = compare(nothing, found)
    # then 3.6 kWh × 0.42 × 0.85 × 1.15 = 1.47798
    paid = found.settlements["amount_minor"].sum() * 10_000
    assert paid > 0
    assert difference.currencies["difference_micros"].to_list() == [paid]


_ROWS = st.lists(
    st.builds(
        settlement,
        st.sampled_from(["V1", "V2", "V3", "V4"]),
        st.sampled_from(["e1", "e2", "e3"]),
        st.integers(-(10**9), 10**9),
        program=st.sampled_from(["evening", "morning"]),
        contract_id=st.sampled_from(["c1", "c2"]),
        energy_milliwh=st.integers(-(10**12), 10**12),
    ),
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(before=_ROWS, after=_ROWS)
def test_the_sum_of_differences_is_the_difference_of_sums(
    before: list[dict[str, Any]], after: list[dict[str, Any]]
) -> None:
    # when any settlements are held against any others
    found = compare(side(*before), side(*after))
    # then every frame adds up to the same, and each row's difference is its own
    was, would_be = (sum(row["amount_minor"] for row in rows) * 10_000 for rows in (before, after))
    energy = sum(row["energy_milliwh"] for row in after)
    for frame in (found.settlements, found.vehicles, found.programs, found.currencies):
        assert frame["before_micros"].sum() == was
        assert frame["after_micros"].sum() == would_be
        assert frame["difference_micros"].sum() == would_be - was
        assert frame["after_milliwh"].sum() == energy
        own = frame["after_micros"] - frame["before_micros"]
        assert frame["difference_micros"].to_list() == own.to_list()
    counted = found.currencies.select("winners", "losers", "unchanged").sum().row(0)
    assert sum(counted) == found.vehicles.height
    assert found.vehicles["difference_micros"].is_sorted(descending=True)


@settings(max_examples=60, deadline=None)
@given(before=_ROWS, after=_ROWS)
def test_the_other_way_round_every_gain_is_a_loss(
    before: list[dict[str, Any]], after: list[dict[str, Any]]
) -> None:
    there = compare(side(*before), side(*after)).settlements
    back = compare(side(*after), side(*before)).settlements
    assert there["difference_micros"].to_list() == [-x for x in back["difference_micros"]]


@settings(max_examples=60, deadline=None)
@given(rows=_ROWS)
def test_the_order_of_rows_does_not_matter(rows: list[dict[str, Any]]) -> None:
    one, other = compare(side(*rows), side()), compare(side(*reversed(rows)), side())
    for name in ("settlements", "vehicles", "currencies", "programs", "reasons"):
        assert getattr(one, name).equals(getattr(other, name))
    assert set(BOTH) <= set(one.settlements.columns)
