"""Which vehicles are settled a second time, and the readings that the engine saw of them.

A vehicle's rank is a keyed hash of its name. The key holds the id of the run, so that nobody knows
before a run whom it will look at, and everybody can tell afterwards. The lowest ranks are taken: the
share of all vehicles that was asked for, and further ones until there are lines enough.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from hashlib import blake2b, sha256
from heapq import nsmallest
from typing import Final

import polars as pl

from settlement import units
from settlement.engine import Readings
from settlement.periods import Period

SHARE_PPM: Final = 10_000
"""Of the vehicles of a run, unless a setting says otherwise."""

LINES_AT_LEAST: Final = 200
"""Where a run has so many; a share of a small run would be next to nothing."""

VEHICLES_AT_LEAST: Final = 200
"""So many are looked at while readings pass, in the hope of lines enough."""

READINGS_MAX: Final = 200_000
"""Of the vehicles chosen; it bounds the time and memory of a second opinion."""

_RANKS: Final = 2**64
_IDENTITY: Final = ("evse_id", "stream_epoch", "sequence")


class Sample:
    """Vehicles of one run, chosen by rank, and all their readings that passed by.

    A reading of another vehicle at the same EVSE is kept as well: rules compare neighbours.
    """

    def __init__(
        self,
        salt: bytes,
        share_ppm: int,
        *,
        again: Iterable[str] = (),
        readings_max: int = READINGS_MAX,
    ) -> None:
        """A sample of nothing so far.

        Args:
            salt: see ``salt_of``.
            share_ppm: of all vehicles.
            again: vehicles that are taken in any case.
            readings_max: with more, vehicles of the highest ranks are left out.
        """
        self._salt = salt
        self._share = share_ppm * _RANKS // units.PPM
        self._again = frozenset(again)
        self._readings_max = readings_max
        self._below = _RANKS
        self._ranks: dict[str, int] = {}
        self._kept = pl.DataFrame()

    def rank(self, vehicle: str) -> int:
        """The lower, the sooner it is taken; from 0 to 2^64 − 1."""
        if vehicle in self._again:
            return 0
        digest = blake2b(vehicle.encode(), key=self._salt, digest_size=8).digest()
        return int.from_bytes(digest)

    def watching(self, readings: Readings) -> Readings:
        """The same readings; those of low ranks are kept as they pass."""

        def read(period: Period) -> pl.DataFrame:
            frame = readings(period)
            self._keep(frame)
            return frame

        return read

    def choose(self, lines: Mapping[str, int]) -> list[str]:
        """The vehicles to look at, by rank.

        Args:
            lines: of each vehicle that the run says anything about, how many. A vehicle that only
                has readings may be chosen as well: the run may have forgotten it.
        """
        ranks = self._ranks | {vehicle: self.rank(vehicle) for vehicle in lines}
        chosen, found = [], 0
        for vehicle in sorted(ranks, key=lambda one: (ranks[one], one)):
            rank = ranks[vehicle]
            if rank >= self._below:
                break
            if rank >= self._share and found >= LINES_AT_LEAST and vehicle not in self._again:
                break
            chosen.append(vehicle)
            found += lines.get(vehicle, 0)
        return chosen

    def readings(self, vehicles: Iterable[str]) -> pl.DataFrame:
        """All readings of these vehicles, and those of others at the same EVSEs; each once."""
        if self._kept.is_empty():
            return self._kept
        return _with_neighbours(self._kept, vehicles)

    def _keep(self, frame: pl.DataFrame) -> None:
        seen = frame["vehicle_id"].unique().to_list()
        new = {vehicle: self.rank(vehicle) for vehicle in seen if vehicle not in self._ranks}
        if new:
            self._ranks |= new
            lowest = nsmallest(VEHICLES_AT_LEAST + 1, self._ranks.values())
            if len(lowest) > VEHICLES_AT_LEAST:
                self._below = min(self._below, max(self._share, lowest[-1]))
        parts = [self._kept] if self._kept.width else []
        kept = pl.concat([*parts, _with_neighbours(frame, self._low(seen))])
        self._kept = self._bounded(kept.unique(_IDENTITY, maintain_order=True))

    def _low(self, vehicles: Iterable[str]) -> list[str]:
        return [vehicle for vehicle in vehicles if self._ranks[vehicle] < self._below]

    def _bounded(self, kept: pl.DataFrame) -> pl.DataFrame:
        """What remains when vehicles of the highest ranks give way; the lowest one always stays."""
        if kept.height <= self._readings_max:
            return kept
        counts = dict(kept["vehicle_id"].value_counts().iter_rows())
        total = 0
        for number, vehicle in enumerate(sorted(self._low(counts), key=self._ranks.__getitem__)):
            total += counts[vehicle]
            if total > self._readings_max and number > 0:
                self._below = min(self._below, self._ranks[vehicle])
                break
        return _with_neighbours(kept, self._low(counts))


def salt_of(run_id: str, period: Period, known_at: datetime) -> bytes:
    """What ranks of a run are keyed by."""
    return sha256(f"{run_id} {period} {known_at.isoformat()}".encode()).digest()


def _with_neighbours(frame: pl.DataFrame, vehicles: Iterable[str]) -> pl.DataFrame:
    theirs = pl.col("vehicle_id").is_in(sorted(vehicles))
    evses = frame.filter(theirs)["evse_id"].unique()
    return frame.filter(theirs | pl.col("evse_id").is_in(evses.implode()))
