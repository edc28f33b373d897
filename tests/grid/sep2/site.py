"""A utility on loopback with real mutual TLS, and a feed that reads it; time as the test wants it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import Any

from grid.config import Sep2Config
from grid.feeds import FeedReading
from grid.sep2.bounds import Bounds
from grid.sep2.feed import Sep2Feed
from simulators.sep2 import Authority, Pair, Sep2Server, ServerClock, World
from storage import secrets

QUICK = Bounds(connect_s=2.0, silence_s=0.3, document_s=1.0, attempts=2)


@dataclass
class Time:
    """Time that moves when somebody waits, and when a test moves it; one for us and for the server."""

    # Today, because OpenSSL holds the certificates against this machine's clock.
    began_at: datetime = field(
        default_factory=lambda: datetime.now(UTC).replace(microsecond=340_000)
    )
    passed_s: float = 0.0

    def now(self) -> datetime:
        return self.began_at + timedelta(seconds=self.passed_s)

    def monotonic(self) -> float:
        return self.passed_s

    def sleep(self, seconds: float) -> None:
        self.passed_s += seconds

    def go_to(self, moment: datetime) -> None:
        self.passed_s = (moment - self.began_at).total_seconds()

    @property
    def second(self) -> datetime:
        """Now, cut to the second."""
        return self.now().replace(microsecond=0)


class RealTime(Time):
    """The machine's own time, for deadlines that are to pass; nobody waits for a tick in it."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return monotonic()

    def sleep(self, seconds: float) -> None:
        pass


@dataclass
class Utility:
    """A server's world, its files, and an aggregator with two devices that it knows."""

    folder: Path
    time: Time
    authority: Authority
    server_pair: Pair
    client_pair: Pair
    world: World
    devices: list[str] = field(default_factory=list)

    def take_real_time(self) -> None:
        """For us and for the server, from now on. Its offset is then known to a second only."""
        self.time = RealTime()
        self.world.clock = ServerClock()

    @contextmanager
    def serve(self, **more: Any) -> Iterator[Sep2Server]:
        pair = self.server_pair
        given = {
            "certificate": pair.certificate,
            "key": pair.key,
            "ca": self.authority.certificate,
        } | more
        with Sep2Server(self.world, **given) as server:
            yield server

    def config(self, url: str, **more: Any) -> Sep2Config:
        given: dict[str, Any] = {
            "name": "utility",
            "kind": "ieee2030.5",
            "url": f"{url}/dcap",
            "certificate": self.client_pair.certificate,
            "key": self.client_pair.key,
            "ca": self.authority.certificate,
            "programs": [
                {"match": {"description": "Grid stress"}, "program": "energy", "group": "g"}
            ],
            "tariffs": [{"match": {"description": "RTP export"}, "program": "energy"}],
        }
        return Sep2Config.model_validate(given | more)

    def feed(self, url: str, *, bounds: Bounds | None = None, **more: Any) -> Sep2Feed:
        return Sep2Feed(
            self.config(url, **more),
            secrets,
            monotonic=self.time.monotonic,
            sleep=self.time.sleep,
            bounds=bounds or replace(QUICK, silence_s=5.0),
        )

    def read(self, url: str, **more: Any) -> FeedReading:
        return self.feed(url, **more).read(self.time.now)


_authorities: dict[str, tuple[Authority, Pair, Pair]] = {}


def utility(folder: Path, *, offset_s: float = 0.0, **world: Any) -> Utility:
    """A fresh world; the certificates are made once per folder."""
    time = Time()
    if str(folder) not in _authorities:
        authority = Authority(folder / "authority")
        _authorities[str(folder)] = (authority, authority.server(), authority.client("aggregator"))
    authority, server_pair, client_pair = _authorities[str(folder)]
    made = World(clock=ServerClock(time.now, offset_s=offset_s), **world)
    found = Utility(folder, time, authority, server_pair, client_pair, made)
    made.add_device(client_pair.lfdi)
    for number in (1, 2):
        lfdi = f"{number:040X}"
        made.add_device(lfdi, manager=client_pair.lfdi)
        found.devices.append(lfdi)
    return found
