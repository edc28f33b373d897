"""Packs of every product and way of correcting: each is recomputed from what it holds."""

from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import polars as pl
import pytest

from settlement.booking import Allocation
from settlement.periods import Period
from settlement.schemas import BASELINE, ORDER
from statements.packing import read, write
from statements.verify import State, verify
from tests.statements.packed import HOUR, PERIOD, PROGRAM, START, VEHICLE, make_pack, program_body

PLAIN: dict[str, Any] = {"tiers": None, "negative_price": None}
BASELINES = pl.DataFrame(
    [(VEHICLE, START - HOUR, START + 2 * HOUR, 1_000)], schema=BASELINE.schema, orient="row"
)
ORDERS = pl.DataFrame(
    [("peak", VEHICLE, START, START + HOUR / 2, 9_000)], schema=ORDER.schema, orient="row"
)
SEASON = Period(PERIOD.started_at, START + timedelta(days=40))


@pytest.fixture(scope="module")
def threads() -> Iterator[Executor]:
    with ThreadPoolExecutor(2) as executor:
        yield executor


PRODUCTS: dict[str, tuple[dict[str, Any], dict[str, Any], int]] = {
    "net energy": ({"quantity": "net"}, {}, 401),
    "against a provided baseline": (
        {"quantity": "against_baseline"},
        {"known": {"baselines": BASELINES}},
        456,  # 8.2 kW: 4.1 kWh in each half; 4.1 × 0.85 × 1.265 × (0.42 + 0.615) = 4.5628 …
    ),
    "an order": (
        PLAIN
        | {
            "product": "order",
            "quantity": None,
            "price": None,
            "order": {"price_per_kw": "7.00", "penalty_per_kw": "11.00"},
        },
        {"known": {"baselines": BASELINES, "orders": ORDERS}},
        4131,  # (8.2 × 7.00 − 0.8 × 11.00) × 0.85 = 48.6 × 0.85 = 41.31
    ),
    "capacity": (
        PLAIN
        | {
            "product": "capacity",
            "price": None,
            "season": {"months": [7]},
            "capacity": {"per_avg_kw": "225.00"},
        },
        {
            "run": {
                "period": SEASON,
                "accounts": ((PROGRAM, "", VEHICLE), (PROGRAM, "season-2026", VEHICLE)),
            }
        },
        137700,  # 7.2 kW × 225.00 × 0.85
    ),
}


@pytest.mark.parametrize(("body", "changes", "minor"), PRODUCTS.values(), ids=PRODUCTS.keys())
def test_every_product_is_recomputed_from_its_pack(
    threads: Executor, body: dict[str, Any], changes: dict[str, Any], minor: int
) -> None:
    # given
    pack = make_pack(body=program_body(**body), **changes)
    # when
    found = verify(read(write(pack)), threads)
    # then
    assert pack.settlements["amount_minor"].to_list() == [minor]
    assert found.stands, found.first_difference


FRAMES = {
    "a baseline": ("against a provided baseline", "baselines", "baseline_w", 2_000),
    "an order": ("an order", "orders", "ordered_w", 8_000),
}


@pytest.mark.parametrize(
    ("product", "frame", "column", "value"), FRAMES.values(), ids=FRAMES.keys()
)
def test_what_a_product_rests_on_cannot_be_changed(
    threads: Executor, product: str, frame: str, column: str, value: int
) -> None:
    # given
    body, changes, _ = PRODUCTS[product]
    pack = make_pack(body=program_body(**body), **changes)
    (run,) = pack.runs
    other = getattr(run.known, frame).with_columns(pl.lit(value).alias(column))
    changed = replace(pack, runs=(replace(run, known=replace(run.known, **{frame: other})),))
    # when
    found = verify(changed, threads)
    # then
    assert next(c.name for c in found.checks if c.state is State.BROKEN) == "lines"


def test_energy_used_in_the_season_is_part_of_the_evidence(threads: Executor) -> None:
    # given: a cap of 10 kWh per season, of which 5 were used before
    used = pl.DataFrame(
        [(PROGRAM, VEHICLE, 2026, 5_000_000)],
        schema={"program": pl.String(), "vehicle_id": pl.String(), "season": pl.Int32(),
                "energy_milliwh": pl.Int64()},
        orient="row",
    )  # fmt: skip
    pack = make_pack(body=program_body(caps={"season_kwh": "10"}), known={"season_used": used})
    (run,) = pack.runs
    forgotten = replace(run, known=replace(run.known, season_used=used.clear()))
    # when
    honest = verify(read(write(pack)), threads)
    changed = verify(replace(pack, runs=(forgotten,)), threads)
    # then
    assert honest.stands, honest.first_difference
    assert pack.settlements["energy_milliwh"].to_list() == [5_000_000]
    assert not changed.stands


def test_what_was_booked_before_must_explain_the_journal(threads: Executor) -> None:
    # given
    pack = make_pack()
    (one,) = pack.bookings
    before = (Allocation("owner", "anna", 100),)
    # when
    found = verify(replace(pack, bookings=(replace(one, before=before),)), threads)
    # then
    assert [c.name for c in found.checks if c.state is State.BROKEN] == ["money"]
