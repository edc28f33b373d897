"""The landing thread against a store that behaves as told: who learns what, when, in which order."""

import random
import threading
from datetime import UTC, datetime
from typing import Any

import pytest

from embedded.processes import wait_until
from ingest_daemon.backoff import Backoff
from ingest_daemon.buffer import Buffer, Held, Room
from ingest_daemon.errors import UnsafeStartError
from ingest_daemon.health import Health
from ingest_daemon.landing import Landing
from ingest_daemon.metrics import Metrics
from storage.errors import DatabaseUnavailableError, UnsafeDatabaseError
from storage.landing import Arrival, Fate, Landed, Outcome

NOW = datetime(2026, 7, 1, tzinfo=UTC)
AWAY = DatabaseUnavailableError("landing", "the server closed the connection")


class Store:
    """Lands what it is given, after raising what it was told to raise."""

    def __init__(self, *, raising=(), conflicts=frozenset()) -> None:
        self.landed: list[list[bytes]] = []
        self._raising = list(raising)
        self._conflicts = conflicts

    def land(self, arrivals):
        if self._raising:
            raise self._raising.pop(0)
        self.landed.append([arrival.packet for arrival in arrivals])
        return Landed(
            len(self.landed), [Outcome(Fate.NEW, arrival.packet, None, "") for arrival in arrivals]
        )

    def conflicts(self, outcomes):
        if isinstance(self._conflicts, Exception):
            raise self._conflicts
        return {
            index for index, outcome in enumerate(outcomes) if outcome.digest in self._conflicts
        }

    def close(self):
        pass


class Sender:
    def __init__(self, told: list[Any], *, asks_conflicts: bool) -> None:
        self.asks_conflicts = asks_conflicts
        self._told = told

    def landed(self, batch):
        self._told.append(("landed", [held.token for held in batch]))

    def answer(self, answers):
        self._told += [
            ("answer", held.token, outcome.fate, conflict) for held, outcome, conflict in answers
        ]


class Scene:
    def __init__(self, store: Store, *, probe=lambda: None) -> None:
        self.told: list[Any] = []
        self.failures: list[BaseException] = []
        self.buffer = Buffer()
        self.room = Room("test", packets_max=100, bytes_max=1000)
        self.broker, self.upload = (
            Sender(self.told, asks_conflicts=False),
            Sender(self.told, asks_conflicts=True),
        )
        self.health = Health("database")
        self.reached = threading.Event()
        self.landing = Landing(
            self.buffer, store, probe, health=self.health, metrics=Metrics(self.buffer, now=lambda: NOW),
            backoff=Backoff(first_s=0.001, longest_s=0.01, rng=random.Random(1)), rows_max=10, linger_s=0, now=lambda: NOW,
            reached=self.reached.set, failed=self.failures.append,
        )  # fmt: skip

    def give(self, sender: Sender, **packets: int) -> None:
        assert self.buffer.offer(
            [
                Held(Arrival(name.encode(), NOW, "test"), sender, token, self.room)
                for name, token in packets.items()
            ],
            self.room,
        )

    def answers(self) -> dict[int, bool | None]:
        """Token → whether there was a conflict."""
        return {told[1]: told[3] for told in self.told if told[0] == "answer"}

    def run(self) -> bool:
        self.buffer.close()
        self.landing.start()
        return self.landing.finish(timeout_s=20)


def test_everyone_is_told_in_order_of_arrival_and_of_the_commit_before_conflicts_are_asked():
    scene = Scene(Store(conflicts=AWAY))
    scene.give(scene.broker, a=1, b=2)
    scene.give(scene.upload, c=0)
    scene.give(scene.broker, d=3)

    assert scene.run()

    assert scene.told == [
        ("landed", [1, 2]),
        ("landed", [0]),
        ("landed", [3]),
        *(("answer", token, Fate.NEW, None) for token in (1, 2, 0, 3)),
    ]


def test_a_conflict_is_told_to_the_one_it_belongs_to():
    scene = Scene(Store(conflicts={b"c", b"e"}))
    scene.give(scene.broker, c=1)
    scene.give(scene.upload, c=0, d=11)
    scene.give(scene.upload, e=2)

    scene.run()

    assert scene.answers() == {1: True, 0: True, 11: False, 2: True}


def test_while_packets_wait_behind_a_full_batch_conflicts_are_asked_for_uploads_only():
    store = Store(conflicts={b"a", b"d", b"l"})
    scene = Scene(store)
    scene.give(scene.broker, **{name: token for token, name in enumerate("abc")})
    scene.give(scene.upload, d=10, e=11)
    scene.give(scene.broker, **{name: token for token, name in enumerate("fghijkl", start=20)})

    scene.run()

    assert [len(batch) for batch in store.landed] == [10, 2]
    assert scene.answers() == {0: None, 1: None, 2: None, 10: True, 11: False} | dict.fromkeys(
        range(20, 25)
    ) | {25: False, 26: True}


@pytest.mark.parametrize(
    "error",
    [AWAY, UnsafeDatabaseError({"fsync": "off"}), RuntimeError("ours")],
    ids=["away", "unsafe", "unforeseen"],
)
def test_a_batch_that_could_not_be_landed_is_kept_and_landed_later(error):
    store = Store(raising=[error] * 3)
    scene = Scene(store)
    scene.give(scene.broker, a=1, b=2)

    assert scene.run()

    assert store.landed == [[b"a", b"b"]]
    assert scene.told[0] == ("landed", [1, 2])
    assert (scene.room.packets, scene.failures) == (0, [])


def test_nobody_is_told_anything_while_the_database_is_away_and_giving_up_ends_it():
    scene = Scene(Store(raising=[AWAY] * 100_000))
    scene.give(scene.broker, a=1)
    scene.buffer.close()
    scene.landing.start()
    wait_until(
        lambda: (
            not all(one.up for one in scene.health.checks().values()) and scene.reached.is_set()
        ),
        deadline_s=10,
        what="the database to be missed",
    )

    drained = scene.landing.finish(timeout_s=0.05)

    assert not drained
    assert scene.told == []
    assert scene.buffer.depth().packets == 1


def test_an_unsafe_database_at_the_start_ends_the_daemon():
    def probe():
        raise UnsafeDatabaseError({"fsync": "off"})

    scene = Scene(Store(), probe=probe)
    scene.run()

    [failure] = scene.failures
    assert isinstance(failure, UnsafeStartError)
    assert "fsync = off" in str(failure)
    assert not scene.reached.is_set()


def test_a_database_that_is_away_at_the_start_is_waited_for():
    answers = [AWAY, AWAY, None]

    def probe():
        if (answer := answers.pop(0)) is not None:
            raise answer

    scene = Scene(Store(), probe=probe)
    scene.give(scene.broker, a=1)

    assert scene.run()

    assert scene.reached.is_set()
    assert scene.told[0] == ("landed", [1])
