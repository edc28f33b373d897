"""``python -m simulators.plc``: see ``--help``."""

import argparse
import math
import random
import signal
import sys
import time
from collections.abc import Callable, Sequence
from typing import Final

from simulators.plc.faults import Fault, Kind, Script
from simulators.plc.memory import Memory, Model, Register
from simulators.plc.server import LOOPBACK, Plc

LIMIT_REGISTER: Final = 200
UNLIMITED: Final = 0xFFFF
PLAIN_REGISTER: Final = 100

_ABOUT = """\
A PLC beside a battery, on Modbus TCP: SunSpec models 1, 701, 714 and 803 from address 40000, the same
battery as float32 in the plain registers 100 and 101, and a limit of power, in W, that may be written
to register 200 (65535: no limit).

By itself the battery heats up from 25 to about 60 °C within --minutes, and cools down again. While the limit
register says 0 it cools.
"""
_MORE = """\
Faults, one per request from the first on, then right answers: --fault KIND[:NUMBER], again and again.
{faults}

Try it:  python -m simulators.plc --port 5020 --minutes 2 --fault stall --fault exception:6 &
         python -m ingest_daemon.modbus --once infra/modbus.example.yaml
"""


class Battery:
    """Heats up while it may be used, cools while it is held at 0 W; the same for the same seed."""

    def __init__(self, *, minutes: float, seed: int, limit: Callable[[], int]) -> None:
        self._span_s = 60.0 * minutes
        self._limit = limit
        self._rng = random.Random(seed)
        self._at_s = 0.0
        self._celsius = 25.0

    def celsius(self, at_s: float) -> float:
        """Its hottest module."""
        passed, self._at_s = max(0.0, at_s - self._at_s), at_s
        towards = (
            20.0 if self._limit() == 0 else 43.0 - 18.0 * math.cos(math.pi * at_s / self._span_s)
        )
        part = 1.0 - math.exp(-passed / (self._span_s / 8.0))
        self._celsius += (towards - self._celsius) * part
        return round(self._celsius + self._rng.uniform(-0.05, 0.05), 1)


def scenario(*, minutes: float, seed: int) -> Memory:
    """A battery that heats up, in SunSpec models and in plain registers."""
    writable = {LIMIT_REGISTER: UNLIMITED}
    battery = Battery(minutes=minutes, seed=seed, limit=lambda: memory.writable[LIMIT_REGISTER])

    def cooler(by: float) -> Callable[[float], float]:
        return lambda at_s: battery.celsius(at_s) - by

    memory = Memory(
        [
            Model(701, {"TmpAmb": 21.5, "TmpCab": cooler(5.0), "TmpSnk": cooler(2.0)}),
            Model(714, {"Prt[0].Tmp": cooler(3.0)}, counts={"NPrt": 1}),
            Model(
                803, {"ModTmpMax": battery.celsius, "ModTmpMin": cooler(4.0)}, counts={"NStr": 1}
            ),
        ],
        [Register("pack", PLAIN_REGISTER, "float32", battery.celsius, scale=1.0)],
        writable=writable,
    )
    return memory


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(
        prog="python -m simulators.plc",
        description=_ABOUT,
        epilog=_MORE.format(faults="  " + " ".join(one for one in Kind if one is not Kind.NONE)),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--host", default=LOOPBACK, help="address to listen on [%(default)s]")
    parser.add_argument(
        "--port", type=int, default=5020, help="port; 0: any free one [%(default)s]"
    )
    parser.add_argument(
        "--minutes", type=float, default=10.0, help="from cold to hot, > 0 [%(default)s]"
    )
    parser.add_argument("--seed", type=int, default=1, help="of everything random [%(default)s]")
    parser.add_argument(
        "--fault", action="append", default=[], type=_fault, metavar="KIND[:NUMBER]",
        help="a fault, one per request",
    )  # fmt: skip
    parser.add_argument(
        "--fault-rate", type=float, default=0.0, metavar="SHARE",
        help="beyond those, so many of all requests go wrong at random, 0 to 1 [%(default)s]",
    )  # fmt: skip
    chosen = parser.parse_args(arguments)
    if chosen.minutes <= 0:
        parser.error(f"--minutes {chosen.minutes}; expected more than 0")
    script = Script(chosen.fault, rate=chosen.fault_rate, seed=chosen.seed)
    memory = scenario(minutes=chosen.minutes, seed=chosen.seed)
    ends = {signal.SIGINT, signal.SIGTERM}
    # Before any thread starts: it inherits the mask, so that the signal is ours to wait for.
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    with Plc(memory, script=script, host=chosen.host, port=chosen.port, now=time.monotonic) as plc:
        print(f"PLC on {plc.host}:{plc.port}, device id 1", flush=True)
        signal.sigwait(ends)
    print(f"PLC stopped after {plc.requests} requests and {len(plc.writes)} writes", flush=True)
    return 0


def _fault(text: str) -> Fault:
    try:
        return Fault.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


if __name__ == "__main__":
    sys.exit(main())
