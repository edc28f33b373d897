"""How wrong this machine's clock is, as this machine knows it: from chrony, else from the kernel.

* chrony: ``chronyc -c tracking``, fifth field: seconds to be added to the system's time, so the
  error is its opposite (chronyc(1): positive is "slow").
* kernel, adjtimex(2): synchronised, ``offset`` and ``esterror``; unsynchronised, ``maxerror``, which
  then is some 16 s: what is signed like that is put aside as of an unsure clock, never lost.

Beyond 50 ms the other side accepts no packet: a warning says so here first.
"""

import ctypes
import logging
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Final

from evse_agent.config import Config
from evse_agent.log import say
from settlement.units import CLOCK_OFFSET_MAX_US

logger = logging.getLogger(__name__)

WARN_BEYOND_US: Final = 50_000
EVERY_S: Final = 60.0
_ANSWER_WITHIN_S: Final = 2.0
_OFFSET_FIELD: Final = 4
_LEAP_FIELD: Final = 13
_TIME_ERROR: Final = 5
_STA_UNSYNC: Final = 0x0040
_STA_NANO: Final = 0x2000
_US_PER_S: Final = 1_000_000
_NS_PER_US: Final = 1000


@dataclass(frozen=True, slots=True)
class Offset:
    """The clock's error in microseconds, positive when it is fast, who says so, and whether anybody
    keeps the clock.
    """

    microseconds: int
    source: str
    synchronised: bool

    @property
    def milliseconds(self) -> str:
        """Decimal text, as a packet carries it.

        >>> Offset(-1250, "chrony", True).milliseconds, Offset(20, "kernel", True).milliseconds
        ('-1.250', '0.020')
        """
        whole, rest = divmod(abs(self.microseconds), 1000)
        return f"{'-' if self.microseconds < 0 else ''}{whole}.{rest:03}"


def _bounded(microseconds: int) -> int:
    return max(-CLOCK_OFFSET_MAX_US, min(CLOCK_OFFSET_MAX_US, microseconds))


def of_chrony(answer: str) -> Offset | None:
    """What ``chronyc -c tracking`` says; None when it says nothing of use.

    >>> of_chrony("C0A80101,192.168.1.1,3,1782925215.1,0.000012345,0,0,0,0,0,0,0,64.0,Normal")
    Offset(microseconds=-12, source='chrony', synchronised=True)
    """
    parts = answer.strip().split(",")
    if len(parts) <= _LEAP_FIELD:
        return None
    try:
        seconds = Decimal(parts[_OFFSET_FIELD])
        microseconds = round(-seconds * _US_PER_S)
    except (InvalidOperation, ValueError, OverflowError):
        return None
    synchronised = parts[_LEAP_FIELD] != "Not synchronised"
    return Offset(_bounded(microseconds), "chrony", synchronised)


def ask_chrony() -> Offset | None:
    """None when there is no chrony, or it does not answer, or is not synchronised."""
    program = shutil.which("chronyc")
    if program is None:
        return None
    try:
        done = subprocess.run(  # noqa: S603 - a program of the machine, fixed arguments
            [program, "-c", "tracking"],
            capture_output=True,
            text=True,
            timeout=_ANSWER_WITHIN_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = of_chrony(done.stdout) if done.returncode == 0 else None
    return found if found is not None and found.synchronised else None


class _Timex(ctypes.Structure):
    """struct timex of adjtimex(2)."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 256),
    )


def of_kernel(*, offset: int, maxerror: int, esterror: int, status: int, answer: int) -> Offset:
    """What adjtimex(2) says; errors in microseconds, ``offset`` in nanoseconds with STA_NANO."""
    if status & _STA_UNSYNC or answer == _TIME_ERROR:
        return Offset(_bounded(maxerror), "kernel", synchronised=False)
    phase = abs(offset) // (_NS_PER_US if status & _STA_NANO else 1)
    return Offset(_bounded(phase + esterror), "kernel", synchronised=True)


def ask_kernel() -> Offset:
    """Reads only; needs no right."""
    timex = _Timex()
    answer = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(timex))
    if answer < 0:
        # Nobody knows: as much as the kernel itself says of a clock that nobody keeps.
        return Offset(16 * _US_PER_S, "kernel", synchronised=False)
    return of_kernel(
        offset=timex.offset,
        maxerror=timex.maxerror,
        esterror=timex.esterror,
        status=timex.status,
        answer=answer,
    )


def source_of(config: Config) -> Callable[[], Offset]:
    """Who is asked, by the configuration."""
    if config.clock_source == "stated":
        stated = Offset(
            round(Decimal(config.clock_offset or "0") * 1000), "stated", synchronised=True
        )
        return lambda: stated
    if config.clock_source == "kernel":
        return ask_kernel
    return lambda: ask_chrony() or ask_kernel()


class Clock:
    """The offset as last asked; warns when it becomes too large, and says when it is over."""

    def __init__(self, ask: Callable[[], Offset]) -> None:
        self._ask = ask
        self._warned = False
        self.offset: Offset = Offset(0, "nobody", synchronised=False)
        self.refresh()

    @property
    def trusted(self) -> bool:
        """Whether packets of now will be accepted."""
        return self.offset.synchronised and abs(self.offset.microseconds) <= WARN_BEYOND_US

    def refresh(self) -> None:
        """Ask again; takes up to two seconds."""
        self.offset = self._ask()
        fields = {
            "offset_ms": self.offset.milliseconds,
            "source": self.offset.source,
            "synchronised": self.offset.synchronised,
        }
        if not self.trusted and not self._warned:
            say(
                logger,
                logging.WARNING,
                "clock_off",
                **fields,
                consequence="packets are signed with this error, and put aside beyond 50 ms",
                do="let chrony keep the clock: chronyc tracking",
            )
        elif self.trusted and self._warned:
            say(logger, logging.INFO, "clock_good", **fields)
        self._warned = not self.trusted
