"""The same rules, slow and plain: one reading at a time, in fractions, comparing all with all.

Written from the text of the rules and sharing nothing with the package but the names of its units; it
is what the package is compared with.
"""

import itertools
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from fractions import Fraction
from math import asin, cos, radians, sin, sqrt
from typing import Any

Row = dict[str, Any]
Key = tuple[str, str, int, str | None]

STEP = 1_000
POWER_MAX_W = 10_000_000
PIECE_MAX = 10**10
ERR, EXCHANGED, TWO, ABOVE, OUTSIDE = (
    "ERR_DATA_INCONSISTENCY",
    "METER_EXCHANGED",
    "TWO_PLACES",
    "ABOVE_RATING",
    "OUTSIDE_RADIUS",
)
ORDER = (ERR, EXCHANGED, TWO, ABOVE, OUTSIDE)


def us(span: timedelta) -> int:
    return span // timedelta(microseconds=1)


def delivered(watts: int, span: timedelta) -> Fraction:
    """Milliwatt-hours at a power in a time."""
    return Fraction(watts * us(span), 3_600_000)


def difference(row: Row, way: str) -> int:
    return int(row[f"{way}_end_milliwh"] - row[f"{way}_start_milliwh"])


def overlap(one: Row, other: Row) -> bool:
    return bool(one["started_at"] < other["ended_at"] and other["started_at"] < one["ended_at"])


class Naive:
    """One fleet, its contracts, sites, cells (edges and event names) and tolerances."""

    def __init__(
        self,
        rows: Sequence[Row],
        contracts: Sequence[Row],
        sites: Sequence[Row] | None,
        edges: Sequence[datetime],
        events: Sequence[str],
        checks: Any,
    ) -> None:
        self.rows = rows
        self.contracts = contracts
        self.sites = sites
        self.edges = edges
        self.events = events
        self.checks = checks
        self.found: list[set[str]] = [set() for _ in rows]

    def terms(self, row: Row) -> list[Row]:
        return [
            c
            for c in self.contracts
            if c["vehicle_id"] == row["vehicle_id"]
            and c["valid_from"] <= row["started_at"]
            and (c["valid_to"] is None or row["started_at"] < c["valid_to"])
        ]

    def least(self, row: Row, name: str) -> int | None:
        return min((c[name] for c in self.terms(row) if c[name] is not None), default=None)

    def rated(self, row: Row) -> int:
        rated = self.least(row, "rated_w")
        return POWER_MAX_W if rated is None else rated

    def cell(self, moment: datetime) -> int:
        return bisect_right(self.edges, moment) - 1

    def faults(self) -> list[str | None]:
        """The first fault of each reading."""
        self.by_itself()
        self.overlaps()
        doubted = [bool(f & {ERR, EXCHANGED}) for f in self.found]
        self.continuity(doubted)
        self.charge([bool(f & {ERR, EXCHANGED}) for f in self.found])
        self.position()
        return [next((reason for reason in ORDER if reason in f), None) for f in self.found]

    def by_itself(self) -> None:
        for row, found in zip(self.rows, self.found, strict=True):
            span = row["ended_at"] - row["started_at"]
            if row["conflicted"]:
                found.add(ERR)
            back = [way for way in ("export", "import") if difference(row, way) < 0]
            bound = delivered(self.rated(row), span) * Fraction(11, 10) + STEP
            if back:
                near = all(row[f"{way}_end_milliwh"] <= bound for way in back)
                found.add(EXCHANGED if near else ERR)
            elif row["power_start_w"] is not None and row["power_end_w"] is not None:
                metered = difference(row, "export") - difference(row, "import")
                drawn = delivered(row["power_start_w"] + row["power_end_w"], span) / 2
                apart = abs(metered - drawn)
                larger = max(abs(metered), abs(drawn))
                if apart > STEP and apart * 100 > larger * self.checks.register_tolerance_pct:
                    found.add(ERR)
            rated = self.least(row, "rated_w")
            if (
                rated is not None
                and self.energy(row)[0] > delivered(rated, span) * Fraction(102, 100) + STEP
            ):
                found.add(ABOVE)

    def overlaps(self) -> None:
        for n, one in enumerate(self.rows):
            for m, other in enumerate(self.rows):
                if n == m or not overlap(one, other):
                    continue
                if one["evse_id"] == other["evse_id"]:
                    self.found[n].add(ERR)
                elif one["vehicle_id"] == other["vehicle_id"] and moved(one) and moved(other):
                    self.found[n].add(TWO)

    def continuity(self, doubted: Sequence[bool]) -> None:
        chains = defaultdict(list)
        for n, row in enumerate(self.rows):
            if not doubted[n]:
                chains[row["evse_id"]].append(n)
        for chain in chains.values():
            chain.sort(key=lambda n: self.rows[n]["started_at"])
            for way in ("export", "import"):
                self.walk(chain, way)

    def walk(self, chain: Sequence[int], way: str) -> None:
        highest = lowest = before = 0
        ended: datetime | None = None
        for n in chain:
            row = self.rows[n]
            start, end = row[f"{way}_start_milliwh"], row[f"{way}_end_milliwh"]
            if ended is None:
                highest, lowest = end, start
            else:
                watts = self.rated(row) if way == "export" else POWER_MAX_W
                gap = row["started_at"] - ended
                bound = delivered(watts, gap) * Fraction(11, 10) + STEP
                if start < before and start <= bound and (start <= STEP or start < lowest):
                    highest, lowest = end, start
                else:
                    if start < highest or start - highest > bound:
                        self.found[n].add(ERR)
                    highest, lowest = max(highest, end), min(lowest, start)
            before, ended = end, row["ended_at"]

    def charge(self, doubted: Sequence[bool]) -> None:
        if self.checks.soc_tolerance_pct is None:
            return
        groups = defaultdict(list)
        for n, row in enumerate(self.rows):
            if not doubted[n] and self.contradict([row]):
                self.found[n].add(ERR)
            event = self.events[self.cell(row["started_at"])]
            if event:
                groups[row["evse_id"], row["vehicle_id"], event].append(n)
        alone = [bool(found & {ERR, EXCHANGED}) for found in self.found]
        for group in groups.values():
            if self.contradict([self.rows[n] for n in group if not alone[n]]):
                for n in group:
                    self.found[n].add(ERR)

    def contradict(self, rows: Sequence[Row]) -> bool:
        lost = given = Fraction(0)
        capacities = []
        for row in rows:
            capacity = self.least(row, "capacity_milliwh")
            socs = row["soc_start_ppm"], row["soc_end_ppm"]
            if capacity is None or None in socs:
                continue
            capacities.append(capacity)
            lost += Fraction((socs[0] - socs[1]) * capacity, 1_000_000)
            given += difference(row, "export") - difference(row, "import")
        apart = abs(lost - given)
        larger = max(abs(lost), abs(given))
        tolerance = self.checks.soc_tolerance_pct
        return bool(
            capacities and apart * 100 > larger * tolerance and apart * 100 > 2 * min(capacities)
        )

    def position(self) -> None:
        if self.checks.site_radius_m is None or self.sites is None:
            return
        for row, found in zip(self.rows, self.found, strict=True):
            named = {c["site_id"] for c in self.terms(row)}
            here = row["latitude_microdeg"], row["longitude_microdeg"]
            known = [
                (s["latitude_microdeg"], s["longitude_microdeg"])
                for s in self.sites
                if s["site_id"] in named
            ]
            known = [place for place in known if None not in place]
            if None in here or not known:
                continue
            if min(metres(here, place) for place in known) > self.checks.site_radius_m:
                found.add(OUTSIDE)

    def energy(self, row: Row) -> tuple[int, int]:
        """Exported and imported: a register that ran backwards counts as the powers say."""
        exported, imported = difference(row, "export"), difference(row, "import")
        drawn = 0
        if row["power_start_w"] is not None and row["power_end_w"] is not None:
            span = row["ended_at"] - row["started_at"]
            drawn = int(delivered(row["power_start_w"] + row["power_end_w"], span) / 2)
        return (
            max(drawn, 0) if exported < 0 else exported,
            max(-drawn, 0) if imported < 0 else imported,
        )

    def pieces(self, *, imports: bool, idle: bool) -> dict[Key, list[int]]:
        """exported, imported, covered, discharged, readings; by vehicle, EVSE, interval and fault."""
        faults = self.faults()
        covered: dict[tuple[str, str | None], list[tuple[datetime, datetime]]] = defaultdict(list)
        total: dict[Key, list[int]] = defaultdict(lambda: [0] * 5)
        order = sorted(
            range(len(self.rows)),
            key=lambda n: (
                self.rows[n]["started_at"],
                self.rows[n]["ended_at"],
                self.rows[n]["evse_id"],
            ),
        )
        for n in order:
            row = self.rows[n]
            back = difference(row, "export") < 0 or difference(row, "import") < 0
            exported, imported = self.energy(row)
            if not (idle or back or exported > 0 or (imports and imported > 0)):
                continue
            seen = covered[row["vehicle_id"], faults[n]]
            for cell, part, values in self.parts(row, exported, imported):
                if not (idle or back or values[0] > 0 or values[1] > 0):
                    continue
                sums = total[row["vehicle_id"], row["evse_id"], cell, faults[n]]
                length = us(part[1] - part[0])
                sums[0] += values[0]
                sums[1] += values[1]
                sums[2] += new_time(part, seen)
                sums[3] += length if values[0] > 0 else 0
                sums[4] += 1
            seen.append((row["started_at"], row["ended_at"]))
        result: dict[Key, list[int]] = defaultdict(lambda: [0] * 5)
        for (vehicle, evse, cell, fault), sums in total.items():
            reason = ERR if max(sums[:2]) > PIECE_MAX else fault
            key = vehicle, evse, cell, reason
            result[key] = [a + b for a, b in zip(result[key], sums, strict=True)]
        return dict(result)

    def parts(
        self, row: Row, exported: int, imported: int
    ) -> list[tuple[int, tuple[datetime, datetime], tuple[int, int]]]:
        start, end = row["started_at"], row["ended_at"]
        cuts = [start, *(edge for edge in self.edges if start < edge < end), end]
        left = [exported, imported]
        result = []
        for a, b in itertools.pairwise(cuts):
            share = Fraction(us(b - a), us(end - start))
            values = [int(energy * share) for energy in (exported, imported)]
            if b == end:
                values = left
            left = [whole - part for whole, part in zip(left, values, strict=True)]
            result.append((self.cell(a), (a, b), (values[0], values[1])))
        return result


def moved(row: Row) -> bool:
    return difference(row, "export") != 0 or difference(row, "import") != 0


def new_time(part: tuple[datetime, datetime], seen: Sequence[tuple[datetime, datetime]]) -> int:
    """How much of a part none of these covers, piece by piece between all their edges."""
    edges = sorted({*part, *(edge for span in seen for edge in span if part[0] < edge < part[1])})
    return sum(
        us(b - a)
        for a, b in itertools.pairwise(edges)
        if not any(start <= a and b <= end for start, end in seen)
    )


def metres(one: tuple[int, int], other: tuple[int, int]) -> float:
    (lat, lon), (lat2, lon2) = ([radians(v / 1e6) for v in place] for place in (one, other))
    h = sin((lat - lat2) / 2) ** 2 + cos(lat) * cos(lat2) * sin((lon - lon2) / 2) ** 2
    return 2 * 6_371_008.8 * asin(min(1.0, sqrt(h)))
