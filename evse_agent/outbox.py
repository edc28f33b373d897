"""What is sent next over the broker: new packets first, then what waits, and again what got no receipt.

A packet under way is claimed: until its receipt, or until ``receipt_timeout`` has passed on a standing
connection, it is not sent again by either way. At most ``window`` are claimed, and what waits may take
only half of it: however much waits after an outage, a new packet finds room.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from evse_agent.log import say
from evse_agent.store import Store, Stored

logger = logging.getLogger(__name__)

NEW_MAX: Final = 1000
"""New packets remembered as new; more than this without a connection are what waits."""

Key = tuple[int, int]


@dataclass(slots=True)
class _Claim:
    at: float
    waited: bool


class Outbox:
    """Which packets are under way; safe to use from every thread.

    Args:
        store: where they all are.
        publish: hands one to the broker's connection; False when it takes none now.
        window: claims at once.
        receipt_timeout: seconds.
        monotonic: seconds.
    """

    def __init__(
        self,
        store: Store,
        publish: Callable[[bytes], bool],
        *,
        window: int,
        receipt_timeout: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._publish = publish
        self._window = window
        self._timeout = receipt_timeout
        self._monotonic = monotonic
        self._lock = threading.RLock()
        self._standing = False
        self._claims: dict[Key, _Claim] = {}
        self._uploading: frozenset[Key] = frozenset()
        self._new: deque[Stored] = deque(maxlen=NEW_MAX)
        self._again: deque[Stored] = deque(maxlen=window)
        self.resent = 0

    # --- what happens ------------------------------------------------------------------------------

    def stored(self, packets: Iterable[Stored]) -> None:
        """These were just stored."""
        with self._lock:
            if self._standing:
                self._new.extend(packets)

    def settled(self, keys: Iterable[Key]) -> None:
        """These are receipted and gone."""
        gone = frozenset(keys)
        with self._lock:
            for key in gone:
                self._claims.pop(key, None)
            for queue in (self._new, self._again):
                if any((one.epoch, one.sequence) in gone for one in queue):
                    left = [one for one in queue if (one.epoch, one.sequence) not in gone]
                    queue.clear()
                    queue.extend(left)

    def connected(self) -> None:
        """The connection stands anew. What is claimed is sent by the client library again; its time
        begins now.
        """
        now = self._monotonic()
        with self._lock:
            self._standing = True
            for claim in self._claims.values():
                claim.at = now

    def disconnected(self) -> None:
        """What is new waits like the rest."""
        with self._lock:
            self._standing = False
            self._new.clear()

    def missing(self, epoch: int, first: int, last: int) -> int:
        """The other side misses these: what is here is sent next. How many are here, at most a window."""
        found = self._store.between(epoch, first, last, self._window)
        with self._lock:
            queued = {(one.epoch, one.sequence) for one in self._again}
            fresh = {(one.epoch, one.sequence) for one in self._new}
            now = self._monotonic()
            for one in found:
                key = (one.epoch, one.sequence)
                claim = self._claims.get(key)
                # Just sent: its receipt is on the way. Not sent yet: it comes anyway.
                if claim is not None and now - claim.at < self._timeout / 4:
                    continue
                if key not in queued and key not in fresh and key not in self._uploading:
                    self._claims.pop(key, None)
                    self._again.append(one)
        return len(found)

    # --- what follows --------------------------------------------------------------------------------

    def send(self, *, waiting_too: bool) -> int:
        """Publish what may be published now. How many were.

        ``waiting_too`` False leaves what waits to the uploads.
        """
        with self._lock:
            self._expire()
            sent = 0
            while self._new and len(self._claims) < self._window:
                if not self._claim(self._new[0], waited=False):
                    return sent
                self._new.popleft()
                sent += 1
            while self._again and self._room() > 0:
                if not self._claim(self._again[0], waited=True):
                    return sent
                self._again.popleft()
                sent += 1
            room = self._room() if waiting_too else 0
            if room > 0:
                for one in self._store.oldest(room, besides=self.under_way()):
                    if not self._claim(one, waited=True):
                        return sent
                    sent += 1
                    self.resent += 1
            return sent

    def under_way(self) -> Collection[Key]:
        """What is claimed, uploaded now, or about to be published."""
        with self._lock:
            new = {(one.epoch, one.sequence) for one in self._new}
            return self._claims.keys() | self._uploading | new

    def for_upload(self, limit: int, *, bytes_max: int) -> list[Stored]:
        """The oldest packets that are not under way, claimed for an upload until ``uploaded``.

        Without a connection nothing else is under way: what the client library still holds goes too,
        and if it goes twice, it counts once.
        """
        with self._lock:
            if not self._standing:
                self._claims.clear()
            chosen = self._store.oldest(limit, besides=self.under_way(), bytes_max=bytes_max)
            self._uploading = frozenset((one.epoch, one.sequence) for one in chosen)
        return chosen

    def uploading(self, packets: Sequence[Stored]) -> None:
        """Only these of the chosen fit."""
        with self._lock:
            self._uploading = frozenset((one.epoch, one.sequence) for one in packets)

    def uploaded(self) -> None:
        """The upload is over, whatever became of it."""
        with self._lock:
            self._uploading = frozenset()

    def waiting(self) -> int:
        """Packets that are not under way; without a connection, all."""
        with self._lock:
            if not self._standing:
                return self._store.depth().packets
            return self._store.depth().packets - len(self.under_way())

    def _room(self) -> int:
        waited = sum(claim.waited for claim in self._claims.values())
        return min(self._window - len(self._claims), self._window // 2 - waited)

    def _claim(self, one: Stored, *, waited: bool) -> bool:
        if not self._publish(one.packet):
            return False
        self._claims[one.epoch, one.sequence] = _Claim(self._monotonic(), waited)
        return True

    def _expire(self) -> None:
        now = self._monotonic()
        late = [key for key, claim in self._claims.items() if now - claim.at > self._timeout]
        for key in late:
            del self._claims[key]
        if late:
            say(logger, logging.WARNING, "no_receipt", packets=len(late),
                after_s=f"{self._timeout:g}", consequence="they are sent again")  # fmt: skip
