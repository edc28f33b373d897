"""Digests of a run: what it came to, so that a replay can be held against it bit for bit, and what it
knew, so that it can be told whether a difference lies in the inputs or in the code.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import date, datetime
from enum import Enum
from hashlib import sha256
from typing import Any, Final
from zoneinfo import ZoneInfo

import polars as pl

from settlement import merkle
from settlement.engine import Readings
from settlement.facts import Facts
from settlement.periods import Period
from settlement.windows import Window

_TIMES: Final = "%Y-%m-%dT%H:%M:%S%.6fZ"
_NULL: Final = "\\N"
_LANE: Final = 8
_LANES: Final = range(0, 32, _LANE)
_MODULUS: Final = 2**64
_UNSAID: Final[Mapping[str, object]] = {
    "modes": (),
    "randomize_start_s": 0,
    "randomize_duration_s": 0,
    "resumes": True,
    "cancelled_randomly": False,
    "noticed_at": None,
    "first_created_at": None,
}
"""Of an event that says nothing of these, runs before it could had the digest that they still have."""


@dataclass(frozen=True, slots=True)
class Outputs:
    """Merkle roots (RFC 9162 §2.1) over what a run computed.

    Attributes:
        all: over the roots of settlements, lines and unpaid rows, each over its rows in their order.
        unpaid: of the unpaid rows alone.
    """

    all: bytes
    unpaid: bytes


def outputs(settlements: pl.DataFrame, lines: pl.DataFrame, unpaid: pl.DataFrame) -> Outputs:
    r"""The roots of a run's frames, whose rows are in a fixed order.

    A row's leaf is its line of CSV (RFC 4180): columns in the order of their schema, integers in
    digits, times in UTC with microseconds, ``\N`` for null.
    """
    of_unpaid = root(unpaid)
    return Outputs(merkle.root([root(settlements), root(lines), of_unpaid]), of_unpaid)


def root(frame: pl.DataFrame) -> bytes:
    """The root over the rows of a frame, which are in a fixed order."""
    return merkle.root(_rows(frame))


def _rows(frame: pl.DataFrame) -> list[bytes]:
    return _csv(frame).splitlines()


def _csv(frame: pl.DataFrame) -> bytes:
    text = frame.write_csv(include_header=False, null_value=_NULL, datetime_format=_TIMES)
    return text.encode()


class Inputs:
    """A fingerprint of everything that a run read; not a proof, but it tells two inputs apart.

    Readings go by their own digests, summed up lane by lane, so that neither their order nor the
    stretches in which they were read change it.
    """

    def __init__(self, facts: Facts) -> None:
        self._facts = sha256(b"".join(_facts(facts))).digest()
        self._sums = [0] * len(_LANES) * 2
        self._readings = 0
        self._since: datetime | None = None

    def counting(self, readings: Readings) -> Readings:
        """The same readings, counted as they are read: each once, though stretches overlap."""

        def read(period: Period) -> pl.DataFrame:
            frame = readings(period)
            fresh = (
                frame if self._since is None else frame.filter(pl.col("started_at") >= self._since)
            )
            self._since = period.ended_at
            self._readings += fresh.height
            self._add(0, fresh)
            self._add(len(_LANES), fresh.filter("conflicted"))
            return frame

        return read

    def _add(self, at: int, frame: pl.DataFrame) -> None:
        lanes = frame.select(
            pl.col("digest")
            .bin.slice(start, _LANE)
            .bin.reinterpret(dtype=pl.UInt64)
            .sum()
            .alias(str(start))
            for start in _LANES
        )
        for number, total in enumerate(lanes.row(0)):
            self._sums[at + number] = (self._sums[at + number] + (total or 0)) % _MODULUS

    def digest(self) -> bytes:
        """Over what has been read so far."""
        text = json.dumps([self._facts.hex(), self._readings, self._sums])
        return sha256(text.encode()).digest()


def _facts(facts: Facts) -> Iterator[bytes]:
    for one in fields(facts):
        value = getattr(facts, one.name)
        if isinstance(value, pl.DataFrame):
            text = _csv(value.sort(value.columns))
        else:
            text = json.dumps(_plain(value), sort_keys=True).encode()
        yield one.name.encode() + b"\n" + text + b"\n"


def _plain(value: Any) -> Any:
    match value:
        case Enum():
            return value.value
        case None | str() | int():
            return value
        case datetime() | date():
            return value.isoformat()
        case ZoneInfo():
            return value.key
        case frozenset():
            return sorted(map(_plain, value))
        case Mapping():
            return {str(key): _plain(one) for key, one in value.items()}
        case list() | tuple():
            return [_plain(one) for one in value]
    if is_dataclass(value):
        said = {one.name: getattr(value, one.name) for one in fields(value)}
        unsaid = _UNSAID if isinstance(value, Window) else {}
        return {
            name: _plain(one)
            for name, one in said.items()
            if name not in unsaid or one != unsaid[name]
        }
    raise TypeError(f"{type(value).__name__} among the facts of a run has no plain form")
