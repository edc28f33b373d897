"""The bounded hand-over between the sources of packets and the one landing thread.

Room is given back when a batch has landed, not when it is taken: what is being landed still counts.
What the buffer holds is therefore bounded, whatever the database does:

    from the broker    at most V2G_BUFFER_PACKETS packets of 16 KiB (8,192 × 16 KiB = 128 MiB)
    from HTTP          at most V2G_HTTP_BUFFER_PACKETS packets and V2G_HTTP_BUFFER_BYTES (16 MiB)

The broker never sends more than its window (MQTT 5 §3.3.4), so MQTT never has to be refused; HTTP
is refused (503), and its clients come again. Nothing that was taken is ever dropped.
"""

import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple, Protocol

from storage.arrivals import Arrival, Outcome


class Sender(Protocol):
    """Whoever waits for the fate of packets: a connection to the broker, or an upload.

    Called by the landing thread, so it must not wait for anything.
    """

    asks_conflicts: bool
    """Whether it must know of each packet whether its identity belongs to another content. Who need
    not is told all the same, as long as packets do not wait for it."""

    def landed(self, batch: "Sequence[Held]") -> None:
        """These packets are committed, in the order in which they came."""

    def answer(self, answers: "Sequence[Answered]") -> None:
        """What became of the same packets, a moment later."""


class Room:
    """How much of one kind of source may be held; guarded by the buffer's lock."""

    def __init__(self, name: str, *, packets_max: int, bytes_max: int) -> None:
        self.name: Final = name
        self.packets_max: Final = packets_max
        self.bytes_max: Final = bytes_max
        self.packets = 0
        self.bytes = 0


class Held(NamedTuple):
    """One packet on its way to the database, and who is told when it is there."""

    arrival: Arrival
    sender: Sender
    token: int
    room: Room


class Answered(NamedTuple):
    """What became of one packet; ``conflict`` None: that could not be, or was not asked."""

    held: Held
    outcome: Outcome
    conflict: bool | None


@dataclass(frozen=True, slots=True)
class Depth:
    """What is held now, the batch that is being landed included."""

    packets: int
    bytes: int
    oldest_received_at: datetime | None


class Buffer:
    """First in, first out, over all sources; safe to use from every thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._waiting: deque[Held] = deque()
        self._landing: Sequence[Held] = ()
        self._rooms: set[Room] = set()
        self._waiting_since = 0.0
        self._closed = False

    def offer(self, held: Sequence[Held], room: Room) -> bool:
        """Take all of these, which share one room, if there is room for all; else take none."""
        size = sum(len(one.arrival.packet) for one in held)
        with self._lock:
            if (
                self._closed
                or room.packets + len(held) > room.packets_max
                or room.bytes + size > room.bytes_max
            ):
                return False
            self._rooms.add(room)
            room.packets += len(held)
            room.bytes += size
            if not self._waiting:
                self._waiting_since = time.monotonic()
            self._waiting.extend(held)
            self._changed.notify_all()
        return True

    def take(self, rows_max: int, *, linger_s: float, idle_s: float) -> Sequence[Held] | None:
        """The next batch, at most ``rows_max`` packets, in order of arrival.

        Waits up to ``idle_s`` seconds for a first packet (then an empty batch), and for more until
        the first has waited ``linger_s``. None when the buffer is closed and empty. Must be
        followed by ``release`` before the next call.
        """
        with self._lock:
            self._changed.wait_for(lambda: self._waiting or self._closed, timeout=idle_s)
            if not self._waiting:
                return None if self._closed else ()
            # What is left behind by a full batch keeps the older time: it does not linger again.
            give_up_at = self._waiting_since + linger_s
            while len(self._waiting) < rows_max and not self._closed:
                left_s = give_up_at - time.monotonic()
                if left_s <= 0 or not self._changed.wait(timeout=left_s):
                    break
            count = min(rows_max, len(self._waiting))
            self._landing = [self._waiting.popleft() for _ in range(count)]
            return self._landing

    def release(self, batch: Sequence[Held]) -> None:
        """The batch has landed: its room is free again."""
        with self._lock:
            for one in batch:
                one.room.packets -= 1
                one.room.bytes -= len(one.arrival.packet)
            self._landing = ()
            self._changed.notify_all()

    def close(self) -> None:
        """Take nothing more; what is held can still be taken out, without lingering."""
        with self._lock:
            self._closed = True
            self._changed.notify_all()

    def wait_empty(self, room: Room, *, timeout_s: float) -> bool:
        """Whether nothing of this room is held any more, after at most ``timeout_s`` seconds."""
        with self._lock:
            return self._changed.wait_for(lambda: room.packets == 0, timeout=timeout_s)

    def depth(self) -> Depth:
        """What is held now."""
        with self._lock:
            first = (
                self._landing[0] if self._landing else self._waiting[0] if self._waiting else None
            )
            return Depth(
                packets=sum(room.packets for room in self._rooms),
                bytes=sum(room.bytes for room in self._rooms),
                oldest_received_at=None if first is None else first.arrival.received_at,
            )
