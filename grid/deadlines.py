"""One deadline for many waits: it holds for each byte, whatever shorter timeouts a server resets."""

import ssl
from collections.abc import Callable
from typing import Any

__all__ = ["Deadline", "bounded_socket"]


class Deadline:
    """How much of a stretch of time is left, and of the part of it that the next thing may take."""

    def __init__(self, seconds: float, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._ends = monotonic() + seconds
        self._part_ends = self._ends
        self.part_s = seconds

    def begin_part(self, seconds: float) -> None:
        """For what comes next so much at most, and a quarter of what is left: however many things in a
        row use up their part, there is time for another.
        """
        self.part_s = min(seconds, self.all_left / 4)
        self._part_ends = self._monotonic() + self.part_s

    def extend(self, seconds: float) -> None:
        """So much more for the whole: for what is to be done whatever came before."""
        self._ends = max(self._ends, self._monotonic()) + seconds

    @property
    def left(self) -> float:
        """Seconds of the part, at least a millisecond: 0 would mean no timeout at all."""
        return max(0.001, self._part_ends - self._monotonic())

    @property
    def over(self) -> bool:
        """Whether the part is used up."""
        return self._monotonic() >= self._part_ends

    @property
    def all_left(self) -> float:
        """Seconds of the whole."""
        return max(0.0, self._ends - self._monotonic())


def bounded_socket(deadline: Deadline) -> type[ssl.SSLSocket]:
    """Sockets whose every wait ends with the deadline, whatever shorter timeout is set for it."""

    class Bounded(ssl.SSLSocket):
        def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
            self._shorten()
            return super().recv(buflen, flags)

        def send(self, data: Any, flags: int = 0) -> int:
            self._shorten()
            return super().send(data, flags)

        def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002 - as inherited
            self._shorten()
            super().do_handshake(block)

        def _shorten(self) -> None:
            if deadline.over:
                raise TimeoutError("the deadline is over")
            timeout = self.gettimeout()
            self.settimeout(deadline.left if timeout is None else min(timeout, deadline.left))

    return Bounded
