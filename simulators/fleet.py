r"""The fleet: publishes an evening's deliveries over MQTT at QoS 2, a few connections for all.

    python -m simulators.fleet --host 127.0.0.1 --port 1883 --username fleet \
        --password-file secret --date 2026-07-01 --evses 50 --out evening/

Every EVSE's topic keeps to one connection, so what is sent there arrives in the order in which it
is given, and a phase begins when everything before it is acknowledged (PUBCOMP). A broker that goes
away is waited for until the deadline. A broker's access list refuses silently: it acknowledges and
drops.
"""

import argparse
import os
import ssl
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Final

from simulators.evening import add_arguments, from_arguments, write
from simulators.labels import Delivery, Label
from simulators.mqtt_connection import (
    POLL_S,
    WINDOW_MAX,
    BrokerAddress,
    Connection,
    FleetError,
    NotAcknowledgedError,
)

CONNECTIONS_MAX: Final = 50

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Published:
    """What was sent and acknowledged, and how long it took."""

    total: int
    by_label: dict[Label, int]
    seconds: float


def publish(
    deliveries: Iterable[Delivery],
    broker: BrokerAddress,
    *,
    connections: int = 6,
    window: int = WINDOW_MAX,
    deadline_s: float = 600.0,
    packets_per_s: float | None = None,
    client_prefix: str = "fleet",
    progress: Progress | None = None,
    stop: threading.Event | None = None,
) -> Published:
    """Publish deliveries in the order of their phases, and wait until all are acknowledged.

    Args:
        deliveries: ordered by phase, as ``Evening.deliveries`` has them.
        broker: where to.
        connections: 1 to 50; an EVSE keeps to one.
        window: open publications per connection, 1 to 20; a lower limit of the broker's counts.
        deadline_s: for everything together, seconds.
        packets_per_s: at most so many, over all connections; None is as fast as it goes.
        client_prefix: of the client ids; two fleets on one broker need two.
        progress: called with (acknowledged, total), from this thread, a few times a second.
        stop: ends the run early when set.

    Raises:
        BrokerRefusedError: no connection at the start.
        NotAcknowledgedError: the deadline passed or ``stop`` was set before all were.
        ValueError: connections or window out of bounds.
    """
    if not (1 <= connections <= CONNECTIONS_MAX and 1 <= window <= WINDOW_MAX):
        raise ValueError(
            f"connections {connections}, window {window};"
            f" expected 1 to {CONNECTIONS_MAX}, 1 to {WINDOW_MAX}"
        )
    run = _Run(list(deliveries), deadline_s=deadline_s, progress=progress, stop=stop)
    try:
        run.connect(broker, connections, window, client_prefix)
        run.send(_Pacer(packets_per_s, run.halt))
    finally:
        run.close()
    return run.outcome()


class _Run:
    """One call of ``publish``."""

    def __init__(
        self,
        work: list[Delivery],
        *,
        deadline_s: float,
        progress: Progress | None,
        stop: threading.Event | None,
    ) -> None:
        self._work = work
        self._deadline_s = deadline_s
        self._progress = progress
        self._stop = stop
        self._began = time.monotonic()
        self._lines: list[Connection] = []
        self.halt = threading.Event()

    def connect(self, broker: BrokerAddress, connections: int, window: int, prefix: str) -> None:
        for i in range(connections):
            self._lines.append(Connection(broker, f"{prefix}-{i}", window))
            self._lines[-1].open()

    def close(self) -> None:
        for line in self._lines:
            line.close()

    @property
    def _done(self) -> int:
        return sum(line.done for line in self._lines)

    def outcome(self) -> Published:
        if self._done < len(self._work):
            raise NotAcknowledgedError(self._done, len(self._work), self._deadline_s)
        labels = Counter(one.label for one in self._work)
        return Published(len(self._work), dict(labels), time.monotonic() - self._began)

    def send(self, pacer: "_Pacer") -> None:
        topics = sorted({one.topic_evse_id for one in self._work})
        line_of = {topic: self._lines[i % len(self._lines)] for i, topic in enumerate(topics)}
        with ThreadPoolExecutor(max_workers=len(self._lines)) as executor:
            for _, phase in groupby(self._work, key=lambda one: one.phase):
                shares: dict[Connection, list[Delivery]] = defaultdict(list)
                for one in phase:
                    shares[line_of[one.topic_evse_id]].append(one)
                try:
                    self._watch(
                        {
                            executor.submit(_send, line, share, pacer, self.halt)
                            for line, share in shares.items()
                        }
                    )
                except BaseException:
                    # Leaving the executor waits for its threads, which end only when halted.
                    self.halt.set()
                    raise

    def _watch(self, running: set[Future[None]]) -> None:
        while running:
            finished, running = wait(running, timeout=POLL_S)
            for future in finished:
                future.result()
            if self._progress:
                self._progress(self._done, len(self._work))
            late = time.monotonic() - self._began > self._deadline_s
            if late or (self._stop is not None and self._stop.is_set()):
                self.halt.set()


def _send(
    line: Connection, share: Sequence[Delivery], pacer: "_Pacer", halt: threading.Event
) -> None:
    for one in share:
        pacer.wait_turn()
        if halt.is_set():
            return
        line.publish(one, stop=halt)
    line.settle(stop=halt)


class _Pacer:
    """Gives out turns at a steady pace to all connections together."""

    def __init__(self, per_s: float | None, halt: threading.Event) -> None:
        self._gap_s = 1 / per_s if per_s else 0.0
        self._halt = halt
        self._lock = threading.Lock()
        self._next = time.monotonic()

    def wait_turn(self) -> None:
        """Wait for the next turn, or until halted."""
        if not self._gap_s:
            return
        with self._lock:
            turn = max(self._next, time.monotonic())
            self._next = turn + self._gap_s
        self._halt.wait(timeout=max(0.0, turn - time.monotonic()))


def _show(done: int, total: int) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{done} of {total} packets acknowledged")


def main(arguments: Sequence[str] | None = None) -> None:
    """Publish an evening of the fleet. Exit 0 when all is acknowledged, 1 when not, 2 on misuse."""
    parser = argparse.ArgumentParser(prog="python -m simulators.fleet", description=main.__doc__)
    add_arguments(parser)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=1883)
    parser.add_argument("--username", default="")
    parser.add_argument("--password-file", type=Path, help="file with the password on one line")
    parser.add_argument("--ca-file", type=Path, help="use TLS and trust these certificates only")
    parser.add_argument("--mqtt311", action="store_true", help="speak MQTT 3.1.1 instead of 5")
    parser.add_argument("--connections", type=int, default=6, help="1 to 50 (default 6)")
    parser.add_argument(
        "--window", type=int, default=WINDOW_MAX, help="open packets each (default 20)"
    )
    parser.add_argument(
        "--packets-per-s", type=float, help="at most so many (default: as fast as it goes)"
    )
    parser.add_argument(
        "--deadline-s", type=float, default=600.0, help="give up after (default 600)"
    )
    parser.add_argument(
        "--out", type=Path, help="also write roster.csv, feed.json and truth.json there"
    )
    parsed = parser.parse_args(arguments)
    try:
        evening = from_arguments(parsed, now=datetime.now(UTC))
        deliveries = evening.deliveries
        if parsed.out:
            write(evening, parsed.out)
        broker = BrokerAddress(
            host=parsed.host,
            port=parsed.port,
            username=parsed.username,
            password=parsed.password_file.read_text(encoding="utf-8").strip()
            if parsed.password_file
            else "",
            tls=ssl.create_default_context(cafile=parsed.ca_file) if parsed.ca_file else None,
            mqtt5=not parsed.mqtt311,
        )
        sent = publish(
            deliveries,
            broker,
            connections=parsed.connections,
            window=parsed.window,
            deadline_s=parsed.deadline_s,
            packets_per_s=parsed.packets_per_s,
            client_prefix=f"fleet-{os.getpid()}",
            progress=_show,
        )
    except FleetError as error:
        parser.exit(1, f"{error}\n")
    except (ValueError, OSError) as error:
        parser.error(str(error))
    labels = ", ".join(f"{label.value} {count}" for label, count in sorted(sent.by_label.items()))
    sys.stdout.write(f"{sent.total} packets acknowledged in {sent.seconds:.1f} s: {labels}\n")


if __name__ == "__main__":
    main()
