"""Many agents in one process, which may be killed at any moment: ``python -m tests.outage.host FOLDER``.

Each is the agent of ``python -m evse_agent run`` with its own store, key, connection and uploads; but
nobody speaks on its socket: what its controller says is handed over here. Where the controller goes on
after a kill is what the store knows.

Commands on standard input, answers on standard output, a line each:

    feed N    every sample up to number N, as fast as they are taken     progress COUNT …, fed N
    turn N    a sample of each charger, live, N a second                 turned
    live N    the same, one turn after the other                         live
    halt      no more of them                                            halted

The end of the input is the end of the process. ``live.jsonl`` tells when each live packet
was stored, when it was receipted, and when a charger's connection to the broker came and went.
"""

import json
import os
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Final

from evse_agent import config, log
from evse_agent.agent import Agent
from evse_agent.config import Config
from evse_agent.intervals import Interval
from tests.outage.plan import Meter, Plan

FEEDERS: Final = 8
ROUND: Final = 12
"""Samples of one charger before the next one's turn."""


class Live:
    """The record of live packets; a line is written at once, so that it survives a kill."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", buffering=1)
        self._lock = threading.Lock()
        self.on = False

    def tell(self, what: str, evse_id: str, sequence: int) -> None:
        with self._lock:
            fields = {"what": what, "evse_id": evse_id, "sequence": sequence, "at": time.time()}
            self._file.write(json.dumps(fields) + "\n")


class Hosted(Agent):
    """The agent, without the signals of a process of its own, and with its controller's words."""

    def __init__(self, settings: Config, meter: Meter, plan: Plan, live: Live) -> None:
        super().__init__(settings)
        self.evse_id = settings.evse_id
        self._meter = meter
        self._live = live
        self._made: dict[bytes, int] = {}
        live.tell("down", self.evse_id, 0)
        last = self._state.last
        # The newest is said again: its answer may have been lost, and it must not count twice.
        self.next = 0 if last is None else plan.number(last.at)

    def begin(self) -> None:
        self._link.start()
        if self._drain is not None:
            self._drain.start()
        self._intake.start()
        threading.Thread(target=self._main, name=f"main {self.evse_id}", daemon=True).start()

    def _main(self) -> None:
        try:
            while not self._ended():
                self._tick()
        except BaseException:  # noqa: BLE001 - said, and it ends the process
            # As in a process of its own: an agent whose main thread ends is no agent any more.
            traceback.print_exc()
            os._exit(1)

    def say(self) -> None:
        """The controller's next line, with its answer."""
        line = json.dumps(self._meter.sample(self.next)).encode()
        answer = self.line(line)
        if answer != {"accepted": True}:
            raise AssertionError(f"{self.evse_id}, sample {self.next}: {answer}")
        self.next += 1

    def _broker_changed(self, up: bool, why: str) -> None:
        if not up:
            self._live.tell("down", self.evse_id, 0)
        super()._broker_changed(up, why)
        if up:
            self._live.tell("up", self.evse_id, 0)

    def _packet(self, interval: Interval, epoch: int, sequence: int) -> bytes:
        made = super()._packet(interval, epoch, sequence)
        if self._live.on:
            self._made[sha256(made).digest()] = sequence
            self._live.tell("stored", self.evse_id, sequence)
        return made

    def _settled(self, held: Sequence[tuple[bytes, str, str]]) -> None:
        for digest, _, _ in held:
            sequence = self._made.pop(digest, None)
            if sequence is not None:
                self._live.tell("receipted", self.evse_id, sequence)
        super()._settled(held)


class Host:
    """All of them, and what is asked of them."""

    def __init__(self, folder: Path) -> None:
        self._plan = plan = Plan.load(folder / "plan.json")
        self._live = Live(folder / "live.jsonl")
        self._halt = threading.Event()
        self._living: threading.Thread | None = None
        self._count = 0
        self._counting = threading.Lock()
        self.agents = [
            Hosted(config.load(folder / str(number) / "config.json"), Meter(plan, evse_id), plan, self._live)
            for number, evse_id in enumerate(plan.evses)
        ]  # fmt: skip
        for agent in self.agents:
            agent.begin()

    def feed(self, last: int) -> None:
        with ThreadPoolExecutor(FEEDERS) as pool:
            parts = [self.agents[n::FEEDERS] for n in range(FEEDERS)]
            for done in [pool.submit(self._feed, part, last) for part in parts]:
                done.result()

    def _feed(self, agents: Sequence[Hosted], last: int) -> None:
        left = [agent for agent in agents if agent.next <= last]
        while left:
            for agent in left:
                for _ in range(min(ROUND, last + 1 - agent.next)):
                    agent.say()
                self._progress(ROUND)
            left = [agent for agent in left if agent.next <= last]

    def _progress(self, more: int) -> None:
        with self._counting:
            self._count += more
            say(f"progress {self._count}")

    def turn(self, a_second: float) -> None:
        self._live.on = True
        self._take_turns(a_second, 1)
        self._live.on = False

    def live(self, a_second: float) -> None:
        self._live.on = True
        turns = self._plan.last - self._plan.outage_last
        self._living = threading.Thread(
            target=self._take_turns, args=(a_second, turns), daemon=True
        )
        self._living.start()

    def _take_turns(self, a_second: float, turns: int) -> None:
        begins = time.monotonic()
        for number in range(turns * len(self.agents)):
            due = begins + number / a_second
            if self._halt.wait(max(0.0, due - time.monotonic())):
                return
            self.agents[number % len(self.agents)].say()

    def halt(self) -> None:
        self._halt.set()
        if self._living is not None:
            self._living.join()
        self._halt.clear()
        self._live.on = False


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main(folder: Path) -> None:
    log.configure("WARNING", journal=False)
    host = Host(folder)
    say("ready")
    for line in sys.stdin:
        what, _, value = line.strip().partition(" ")
        if what == "feed":
            host.feed(int(value))
            say(f"fed {value}")
        elif what == "turn":
            host.turn(float(value))
            say("turned")
        elif what == "live":
            host.live(float(value))
            say("live")
        elif what == "halt":
            host.halt()
            say("halted")
    os._exit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
