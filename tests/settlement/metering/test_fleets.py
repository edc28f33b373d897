"""Random small fleets with everything that can be wrong with them: the package against the plain
implementation of the same rules, and the laws that hold whatever the readings say.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from random import Random
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from settlement import units
from settlement.metering import measure
from settlement.schemas import CONTRACT, SITE
from tests.settlement.metering.makers import (
    CHECKS,
    HOME,
    Row,
    at,
    contract,
    frame,
    reading,
    site,
    timeline,
)
from tests.settlement.metering.naive import Naive

FLEETS = 75
NORTH = {"latitude_microdeg": 37_002_249}
"""250.08 m north of home: just outside."""
EVSES = ("A", "B", "C")
CARS = ("car", "van", "bus")
SUMS = ("exported_milliwh", "imported_milliwh", "covered_us", "discharged_us", "readings")


class Fleet:
    """One fleet of a few EVSEs and vehicles over some hours, drawn from a seed."""

    def __init__(self, seed: int) -> None:
        self.dice = Random(seed)
        dice = self.dice
        self.checks = replace(
            CHECKS,
            register_tolerance_pct=dice.choice([0, 5, 100]),
            soc_tolerance_pct=dice.choice([None, 0, 25]),
            site_radius_m=dice.choice([None, 250]),
        )
        self.contracts = [self.contract(n) for n in range(dice.randint(0, 5))]
        self.sites = dice.choice(
            [
                None,
                [site(), site("away", latitude_microdeg=37_010_000)],
                [site(), site("no", latitude_microdeg=None)],
            ]
        )
        minutes = sorted(dice.sample(range(1, 360), dice.randint(0, 8)))
        edges = [at("15:00") + timedelta(minutes=m) for m in minutes]
        events = {n: dice.choice(["", "e1", "e2"]) for n in range(1, len(edges))}
        self.cells = timeline(*edges, events=events)
        self.rows = [row for evse in EVSES for row in self.series(evse)]
        self.spoil()
        self.imports, self.idle = dice.random() < 0.5, dice.random() < 0.5

    def contract(self, number: int) -> Row:
        dice = self.dice
        return contract(
            dice.choice(CARS),
            contract_id=f"c{number}",
            rated_w=dice.choice([None, 5_500, 11_000]),
            capacity_milliwh=dice.choice([None, 50_000_000]),
            site_id=dice.choice(["", "home", "away", "no"]),
            valid_from=dice.choice([units.EARLIEST, at("16:00"), at("17:07")]),
            valid_to=dice.choice([None, at("17:07"), at("18:30")]),
        )

    def series(self, evse: str) -> list[Row]:
        """Honest readings of one EVSE, with gaps, changes of vehicle and meters exchanged between."""
        dice = self.dice
        now = at("15:00") + timedelta(minutes=dice.randint(0, 60))
        export, import_ = dice.choice([0, 5_000_000]), dice.choice([0, 5_000_000])
        car = dice.choice(CARS)
        step = dice.choice([1, 5, 20, 60])
        rows = []
        for _ in range(dice.randint(0, 12)):
            if dice.random() < 0.15:
                now += timedelta(minutes=dice.randint(1, 90))
                export += dice.choice([0, 500, 100_000])
            if dice.random() < 0.1:
                car = dice.choice(CARS)
            if dice.random() < 0.05:
                export = dice.choice([0, 1_000, 1_001])
            length = timedelta(minutes=step, seconds=dice.choice([0, 0, 7]))
            kind = dice.choice(["export", "export", "import", "idle"])
            most = 6_500 * length // timedelta(milliseconds=3_600)
            energy = dice.randint(most // 2, most)
            ends = export + energy * (kind == "export"), import_ + energy * (kind == "import")
            soc = dice.choice([None, 500_000])
            lost = (ends[0] - export - ends[1] + import_) // 50
            rows.append(
                reading(
                    now,
                    now + length,
                    (export, ends[0]),
                    (import_, ends[1]),
                    evse_id=evse,
                    vehicle_id=car,
                    soc_start_ppm=soc,
                    soc_end_ppm=None if soc is None else soc - lost,
                    **dice.choice([HOME, HOME, {}, HOME | NORTH]),
                )
            )
            now += length
            export, import_ = ends
        return rows

    def spoil(self) -> None:
        dice = self.dice
        for _ in range(dice.choice([0, 1, 2, 5]) if self.rows else 0):
            row = dice.choice(self.rows)
            match dice.randrange(10):
                case 0:
                    row["conflicted"] = True
                case 1:
                    row["power_start_w"] = dice.choice([None, 0, 9_000])
                case 2:
                    row["export_end_milliwh"] = dice.choice([0, 1_000, 4_000_000, 10**10 + 1])
                case 3:
                    row["import_end_milliwh"] = dice.choice([0, 50, 4_000_000])
                case 4:
                    row["latitude_microdeg"] = dice.choice([None, 37_002_248, 37_002_249])
                case 5:
                    row["soc_end_ppm"] = dice.choice([None, 0, 999_000])
                case 6:
                    row["ended_at"] += timedelta(minutes=dice.randint(1, 60))
                case 7:
                    later = timedelta(minutes=dice.choice([0, 3, 60, 120]))
                    self.replay(row["evse_id"], later, dice.choice([row["evse_id"], *EVSES]))
                case 8:
                    row["export_start_milliwh"] += dice.choice([-1, 1_000, 1_001, 10**6])
                    row["export_end_milliwh"] += 10**6
                case _:
                    self.rows.append(row | {"evse_id": dice.choice(EVSES), "stream_epoch": 2})

    def replay(self, evse: str, later: timedelta, to: str) -> None:
        same = [row for row in self.rows if row["evse_id"] == evse]
        hours = max(row["ended_at"] for row in same) - min(row["started_at"] for row in same)
        for row in same:
            self.rows.append(
                row
                | {
                    "started_at": row["started_at"] + hours + later,
                    "ended_at": row["ended_at"] + hours + later,
                    "evse_id": to,
                }
            )

    def measured(self, rows: list[Row] | None = None) -> dict[tuple[Any, ...], list[int]]:
        """By vehicle, EVSE, interval and fault."""
        pieces = measure(
            frame(self.rows if rows is None else rows),
            self.cells,
            self.checks,
            pl.DataFrame(self.contracts, schema=CONTRACT.schema),
            None if self.sites is None else pl.DataFrame(self.sites, schema=SITE.schema),
            imports=self.imports,
            idle=self.idle,
        )
        found = {
            (p["vehicle_id"], p["evse_id"], p["interval"], p["fault"]): [p[name] for name in SUMS]
            for p in pieces.to_dicts()
        }
        assert len(found) == pieces.height, "one piece in two rows"
        return found

    def naive(self) -> Naive:
        edges: list[datetime] = self.cells["started_at"].to_list()
        return Naive(
            self.rows,
            self.contracts,
            self.sites,
            edges,
            self.cells["event_id"].to_list(),
            self.checks,
        )


@pytest.mark.parametrize("block", range(4))
def test_fleets_are_measured_as_the_plain_implementation_does(block: int) -> None:
    seen: set[str | None] = set()
    for seed in range(block * FLEETS, (block + 1) * FLEETS):
        fleet = Fleet(seed)
        measured = fleet.measured()
        expected = fleet.naive().pieces(imports=fleet.imports, idle=fleet.idle)
        assert measured == expected, f"fleet {seed}"
        seen |= {fault for *_, fault in measured}
    assert seen == {
        None,
        "ERR_DATA_INCONSISTENCY",
        "METER_EXCHANGED",
        "TWO_PLACES",
        "ABOVE_RATING",
        "OUTSIDE_RADIUS",
    }


seeds = st.integers(0, 2**32)


@settings(max_examples=40, deadline=None)
@given(seed=seeds)
def test_what_vehicles_exported_and_imported_is_in_their_pieces_to_the_milliwatt_hour(
    seed: int,
) -> None:
    fleet = Fleet(seed)
    fleet.imports = fleet.idle = True
    naive = fleet.naive()
    metered = dict.fromkeys(CARS, (0, 0, 0))
    for row in fleet.rows:
        car = row["vehicle_id"]
        exported, imported = naive.energy(row)
        metered[car] = (metered[car][0] + exported, metered[car][1] + imported, 1)
    found = dict.fromkeys(CARS, (0, 0, 0))
    for (car, *_), sums in fleet.measured().items():
        found[car] = (found[car][0] + sums[0], found[car][1] + sums[1], 1)
    assert found == metered


@settings(max_examples=40, deadline=None)
@given(seed=seeds, order=st.randoms(use_true_random=False))
def test_the_order_of_readings_does_not_matter(seed: int, order: Random) -> None:
    fleet = Fleet(seed)
    shuffled = list(fleet.rows)
    order.shuffle(shuffled)
    assert fleet.measured(shuffled) == fleet.measured()


@settings(max_examples=40, deadline=None)
@given(seed=seeds)
def test_finer_cells_hold_the_same_energy_and_time_per_fault(seed: int) -> None:
    fleet = Fleet(seed)
    fleet.imports = fleet.idle = True
    fleet.checks = replace(fleet.checks, soc_tolerance_pct=None)
    # A piece beyond the bound is a fault of the piece, and finer pieces are smaller.
    fleet.rows = [r for r in fleet.rows if r["export_end_milliwh"] <= units.PIECE_MAX_MILLIWH]

    def totals() -> dict[tuple[Any, ...], list[int]]:
        sums: dict[tuple[Any, ...], list[int]] = {}
        for (car, evse, _, fault), piece in fleet.measured().items():
            before = sums.get((car, evse, fault), [0, 0, 0])
            sums[car, evse, fault] = [a + b for a, b in zip(before, piece[:3], strict=True)]
        return sums

    coarse = totals()
    fleet.cells = timeline(*[at("15:00") + timedelta(seconds=100 * n) for n in range(300)])
    assert totals() == coarse


@settings(max_examples=40, deadline=None)
@given(seed=seeds)
def test_time_that_stands_is_covered_and_discharged_once_per_vehicle(seed: int) -> None:
    fleet = Fleet(seed)
    fleet.idle = True
    widths = fleet.cells.select((pl.col("ended_at") - pl.col("started_at")).dt.total_microseconds())
    width = widths.to_series().to_list()
    covered: dict[tuple[str, int], int] = {}
    for (car, _, interval, fault), (_, _, us, discharged, _) in fleet.measured().items():
        if fault is None:
            covered[car, interval] = covered.get((car, interval), 0) + us
            assert discharged <= width[interval]
    assert all(us <= width[interval] for (_, interval), us in covered.items())


@settings(max_examples=40, deadline=None)
@given(seed=seeds, hours=st.integers(0, 5))
def test_a_replayed_series_earns_nothing_more(seed: int, hours: int) -> None:
    fleet = Fleet(seed)
    # One honest EVSE, until its meter is exchanged: by its registers alone, the same range on a new
    # meter and on the old one are alike.
    honest, counted = [], 0
    for row in fleet.series("A"):
        if row["export_start_milliwh"] < max(counted, 4_000_000):
            break
        counted = row["export_end_milliwh"]
        honest.append(row)
    fleet.rows = honest
    fleet.contracts, fleet.imports, fleet.idle = [], True, True

    def sound() -> int:
        found = fleet.measured().items()
        return sum(sums[0] for (*_, fault), sums in found if fault is None)

    once = sound()
    if fleet.rows:
        fleet.replay("A", timedelta(hours=hours), "A")
    assert sound() == once
