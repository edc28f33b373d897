"""Which call meets which fault, exactly: a list for the calls to come, and lists for single postings.

    script = Script()
    script.calls("ok", "reset")                           # the first call is answered well, the next reset
    script.posting("0198*", "ok", "error:number=503")     # of each such posting the second call fails
    script.status("*", "forgets:times=forever")           # of its status queries all

A posting's own list goes before the list of the calls, which goes before what the seed draws.
"""

import threading
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Final, Self

from simulators.clearinghouse.faults import OF_QUERIES, OF_SIGNATURES, Fault, UnusableFaultError

OK: Final = "ok"
FOREVER: Final = "forever"
STEPS_MAX: Final = 100_000
TIMES_MAX: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Step:
    """What so many calls meet, one after the other.

    Attributes:
        fault: None is a good answer.
        times: so many calls; None: all that come.
    """

    fault: Fault | None
    times: int | None = 1

    @classmethod
    def parse(cls, text: str) -> Self:
        """From ``ok`` or a fault's text, ``times=N`` or ``times=forever`` among its options.

        Raises:
            UnusableFaultError: as the fault's, or a number of times that is none.
        """
        name, *options = text.split(":")
        times = [option.partition("=")[2] for option in options if option.startswith("times=")]
        rest = [option for option in options if not option.startswith("times=")]
        if len(times) > 1:
            raise UnusableFaultError(f"step {text!r}: times said {len(times)} times; expected once")
        if name == OK and rest:
            raise UnusableFaultError(f"step {text!r}: {OK} knows no option but times")
        fault = None if name == OK else Fault.parse(":".join((name, *rest)))
        return cls(fault, _times(text, times[0]) if times else 1)


def _times(text: str, said: str) -> int | None:
    if said == FOREVER:
        return None
    if not (said.isascii() and said.isdigit() and 1 <= int(said) <= TIMES_MAX):
        raise UnusableFaultError(f"step {text!r}: times={said}; expected 1 and more, or {FOREVER}")
    return int(said)


class _Rule:
    """A list of steps for every posting that fits a pattern, each from its own beginning."""

    def __init__(self, pattern: str, steps: Sequence[Step]) -> None:
        self._pattern = pattern
        self._steps = steps
        self._seen: Counter[str] = Counter()

    def take(self, posting_id: str) -> Step | None:
        if not fnmatchcase(posting_id, self._pattern):
            return None
        left = self._seen[posting_id]
        for step in self._steps:
            if step.times is None or left < step.times:
                self._seen[posting_id] += 1
                return step
            left -= step.times
        return None


class Script:
    """Lists of steps; may be changed from any thread while the server runs.

    Args:
        signs: whether the clearinghouse signs, without which faults of signatures mean nothing.
    """

    def __init__(self, *, signs: bool = True) -> None:
        self._signs = signs
        self._lock = threading.Lock()
        self._calls: deque[Step] = deque()
        self._postings: list[_Rule] = []
        self._status: list[_Rule] = []

    def calls(self, *steps: str) -> None:
        """What the postings to come meet, in the order in which they come.

        Raises:
            UnusableFaultError: a step that cannot be followed; so do the next two.
        """
        parsed = self._parsed(steps, queries=False)
        with self._lock:
            self._calls.extend(parsed)

    def posting(self, pattern: str, *steps: str) -> None:
        """What each posting whose id fits ``pattern`` (* and ?) meets, from its next call on."""
        parsed = self._parsed(steps, queries=False)
        with self._lock:
            self._postings.append(_Rule(pattern, parsed))

    def status(self, pattern: str, *steps: str) -> None:
        """What the status queries of each such posting meet."""
        parsed = self._parsed(steps, queries=True)
        with self._lock:
            self._status.append(_Rule(pattern, parsed))

    def clear(self) -> None:
        """Nothing more of it."""
        with self._lock:
            self._calls.clear()
            self._postings.clear()
            self._status.clear()

    def take_call(self, posting_id: str) -> Step | None:
        """What this call of a posting meets; None: the script does not say."""
        with self._lock:
            for rule in self._postings:
                if step := rule.take(posting_id):
                    return step
            if not self._calls:
                return None
            step = self._calls[0]
            if step.times == 1:
                self._calls.popleft()
            elif step.times is not None:
                self._calls[0] = replace(step, times=step.times - 1)
            return step

    def take_query(self, posting_id: str) -> Step | None:
        """What this status query meets; None: the script does not say."""
        with self._lock:
            for rule in self._status:
                if step := rule.take(posting_id):
                    return step
            return None

    def _parsed(self, texts: Sequence[str], *, queries: bool) -> list[Step]:
        if not 1 <= len(texts) <= STEPS_MAX:
            raise UnusableFaultError(f"script: {len(texts)} steps; expected 1 to {STEPS_MAX}")
        steps = [Step.parse(text) for text in texts]
        for step in steps:
            if step.fault is not None:
                require_usable(step.fault, signs=self._signs, queries=queries)
        return steps


def require_usable(fault: Fault, *, signs: bool, queries: bool) -> None:
    """Raise UnusableFaultError where a fault can do nothing.

    Args:
        fault: which.
        signs: whether the clearinghouse signs its answers.
        queries: whether it is to meet status queries.
    """
    if fault.kind in OF_QUERIES and not queries:
        raise UnusableFaultError(f"fault {fault.kind}: expected for status queries only")
    if fault.kind in OF_SIGNATURES and not signs:
        raise UnusableFaultError(
            f"fault {fault.kind}: this clearinghouse signs nothing; expected a key to sign with"
        )
