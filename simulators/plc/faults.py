"""What can be wrong with an answer, one fault per request, by script."""

import random
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Kind(StrEnum):
    """What happens to the answer."""

    NONE = "none"
    EXCEPTION = "exception"
    """A Modbus exception, ``number`` its code."""
    SHORT_FRAME = "short_frame"
    """The header promises more bytes than ever come."""
    SHORT_DATA = "short_data"
    """A whole frame whose byte count promises more than is in it."""
    FEWER = "fewer"
    """A whole frame with one register too few."""
    MORE = "more"
    """And with one too many."""
    STALE = "stale"
    """The answer before this one, under its own transaction id, and never the right one."""
    STALE_THEN_RIGHT = "stale_then_right"
    NO_TRANSACTION = "no_transaction"
    """The answer before this one under transaction id 0."""
    WRONG_UNIT = "wrong_unit"
    WRONG_FUNCTION = "wrong_function"
    WRONG_PROTOCOL = "wrong_protocol"
    NOISE = "noise"
    """Bytes that are no frame."""
    SWAPPED = "swapped"
    """Values of two registers with their words the other way round."""
    MISSING = "missing"
    """Every sensor not implemented: 0x8000, NaN."""
    ZEROS = "zeros"
    """All registers zero, as in a PLC that is still starting."""
    DRIP = "drip"
    """One byte every ``number`` milliseconds."""
    STALL = "stall"
    """Nothing, the connection stays open."""
    LATE = "late"
    """Nothing now; the answer comes right before the next one."""
    RESET = "reset"
    """RST instead of an answer."""
    CLOSE = "close"
    """FIN instead of an answer."""


@dataclass(frozen=True)
class Fault:
    """A fault, and its number: exception code, milliseconds."""

    kind: Kind = Kind.NONE
    number: int = 0

    @classmethod
    def parse(cls, text: str) -> "Fault":
        """``exception:2``, ``stall``… Raises ValueError.

        >>> Fault.parse("exception:6")
        Fault(kind=<Kind.EXCEPTION: 'exception'>, number=6)
        """
        kind, _, number = text.partition(":")
        if kind not in set(Kind):
            expected = ", ".join(Kind)
            raise ValueError(f"fault {kind!r}; expected one of {expected}")
        return cls(Kind(kind), int(number or _NUMBERS.get(Kind(kind), 0)))


_NUMBERS: Final = {Kind.EXCEPTION: 4, Kind.DRIP: 20}


class Script:
    """The faults of the requests to come, in order; after them answers are right again.

    Args:
        faults: the first ones.
        rate: how often, of a million requests beyond the script, one is wrong at random.
        seed: of that randomness.
    """

    def __init__(self, faults: Iterable[Fault] = (), *, rate: float = 0.0, seed: int = 0) -> None:
        self._next = deque(faults)
        self._rate = rate
        self._rng = random.Random(seed)
        self.done: list[Fault] = []

    def add(self, *faults: Fault) -> None:
        """More, at the end."""
        self._next.extend(faults)

    def clear(self) -> None:
        """No more faults."""
        self._next.clear()

    def take(self) -> Fault:
        """The fault of this request."""
        if self._next:
            fault = self._next.popleft()
        elif self._rate and self._rng.random() < self._rate:
            kind = self._rng.choice([one for one in Kind if one is not Kind.NONE])
            fault = Fault.parse(kind.value)
        else:
            return Fault()
        self.done.append(fault)
        return fault
