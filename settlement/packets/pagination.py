"""The counter of a meter's records: what is missing, what came twice, what came out of order.

Every record of a meter and context has the number of the one before and one more (OCMF 1.4, PG).
Nothing can be inferred across a missing number; a number that comes again is the same record, or
another content that claims to be it.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class Pagination:
    """What a stream of one context's numbers shows.

    Attributes:
        context: T transaction or F fiscal.
        first: the least number.
        last: the greatest.
        gaps: missing numbers between them, as (first, last) of each run.
        repeats: numbers that came more than once, ascending.
        late: numbers that came after a greater one, in the order in which they came.
    """

    context: str
    first: int
    last: int
    gaps: tuple[tuple[int, int], ...]
    repeats: tuple[int, ...]
    late: tuple[int, ...]

    @property
    def whole(self) -> bool:
        """Whether every number came once and in its turn."""
        return not (self.gaps or self.repeats or self.late)


def pagination(numbered: Iterable[tuple[str, int]]) -> tuple[Pagination, ...]:
    """The paginations of one meter's records, by context.

    Args:
        numbered: context and number of each record, in the order in which they came.

    >>> pagination([("T", 7), ("T", 10), ("T", 8), ("T", 8)])
    (Pagination(context='T', first=7, last=10, gaps=((9, 9),), repeats=(8,), late=(8,)),)
    """
    by_context: dict[str, list[int]] = {}
    for context, number in numbered:
        by_context.setdefault(context, []).append(number)
    return tuple(_of(context, numbers) for context, numbers in sorted(by_context.items()))


def _of(context: str, numbers: list[int]) -> Pagination:
    times = Counter(numbers)
    ordered = sorted(times)
    late, greatest = [], -1
    for number in dict.fromkeys(numbers):
        if number < greatest:
            late.append(number)
        greatest = max(greatest, number)
    return Pagination(
        context=context,
        first=ordered[0],
        last=ordered[-1],
        gaps=tuple((one + 1, two - 1) for one, two in pairwise(ordered) if two > one + 1),
        repeats=tuple(number for number in ordered if times[number] > 1),
        late=tuple(late),
    )
