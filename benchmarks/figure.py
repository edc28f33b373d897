"""A figure and what it is measured against."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table.

    Attributes:
        name: what was measured.
        value: in ``unit``.
        limit: the same unit, what the machine gave in the same run; None where there is none.
        limit_name: what the limit is.
        aim: what the figure, or its ratio to the limit, should be, in words.
        met: whether it is.
    """

    name: str
    value: float
    unit: str
    limit: float | None
    limit_name: str
    aim: str
    met: bool

    @property
    def ratio(self) -> float | None:
        """``value`` over ``limit``."""
        return self.value / self.limit if self.limit else None


def rate(count: int, work: Callable[[], object]) -> float:
    """How many per second, for one run of ``work`` over ``count``."""
    began = perf_counter()
    work()
    return count / (perf_counter() - began)


def interleaved(*measures: Callable[[], float], rounds: int = 3) -> list[float]:
    """Medians of several measures taken in turn, so that what disturbs one disturbs all."""
    taken: list[list[float]] = [[] for _ in measures]
    for _ in range(rounds):
        for values, measure in zip(taken, measures, strict=True):
            values.append(measure())
    return [statistics.median(values) for values in taken]


Benchmark = Callable[[], Sequence[Figure]]
