"""Kinds of values that are tables: rows with keys, and rows of plain decimals."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Generic, TypeVar

from settlement.programs.errors import Place
from settlement.programs.key import Fields, Key
from settlement.programs.scalars import Decimal

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Rows(Generic[T]):
    """A list of sections with the same keys, strictly ascending by one of them.

    Attributes:
        keys: of one row.
        build: one row from its values.
        rank: what must rise from row to row.
        rising: its key, in words.
        most: how many rows there may be.
        first: what the first row must begin with; None for anything.
    """

    keys: tuple[Key[Any], ...]
    build: Callable[[Fields], T]
    rank: Callable[[T], int]
    rising: str
    most: int
    first: int | None = None

    @property
    def permitted(self) -> str:
        names = ", ".join(key.path for key in self.keys)
        start = "" if self.first is None else f", the first from {self.first}"
        return f"1 to {self.most} rows of {{{names}}}, ascending by {self.rising}{start}"

    def read(self, found: object, place: Place) -> tuple[T, ...]:
        if not isinstance(found, list) or not 0 < len(found) <= self.most:
            raise place.error(found, self.permitted)
        rows = [
            self.build(Fields(one, place.row(number), self.keys))
            for number, one in enumerate(found)
        ]
        if self.first is not None and self.rank(rows[0]) != self.first:
            raise place.row(0).error(found[0], self.permitted)
        for number, (one, following) in enumerate(pairwise(rows), start=1):
            if self.rank(one) >= self.rank(following):
                raise place.row(number).error(found[number], self.permitted)
        return tuple(rows)


@dataclass(frozen=True, slots=True)
class Pairs:
    """A list of pairs of decimals, strictly ascending by the first of each pair."""

    first: Decimal
    second: Decimal
    names: tuple[str, str]
    most: int

    @property
    def permitted(self) -> str:
        one, other = self.names
        return (
            f"1 to {self.most} pairs [{one}, {other}], ascending by {one}; {one} is"
            f" {self.first.permitted}, {other} {self.second.permitted}"
        )

    def read(self, found: object, place: Place) -> tuple[tuple[int, int], ...]:
        if not isinstance(found, list) or not 0 < len(found) <= self.most:
            raise place.error(found, self.permitted)
        pairs: list[tuple[int, int]] = []
        for number, one in enumerate(found):
            here = place.row(number)
            if not isinstance(one, list) or len(one) != len(self.names):
                raise here.error(one, f"a pair [{', '.join(self.names)}]")
            pair = self.first.read(one[0], here.row(0)), self.second.read(one[1], here.row(1))
            if pairs and pair[0] <= pairs[-1][0]:
                raise here.error(one, f"pairs ascending by {self.names[0]}")
            pairs.append(pair)
        return tuple(pairs)


@dataclass(frozen=True, slots=True)
class Band:
    """Two decimals, the first not above the second; both belong to the band."""

    edge: Decimal

    @property
    def permitted(self) -> str:
        return f"[low, high], low below high, each {self.edge.permitted}"

    def read(self, found: object, place: Place) -> tuple[int, int]:
        if not isinstance(found, list) or len(found) != len(("low", "high")):
            raise place.error(found, self.permitted)
        low, high = (self.edge.read(one, place.row(number)) for number, one in enumerate(found))
        if low >= high:
            raise place.error(found, self.permitted)
        return low, high
