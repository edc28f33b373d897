"""End-to-end receipts: what a device is told of its packets after COMMIT, on ``v2g/<client>/receipt``.

A charger may forget a packet when its receipt has come, and not before: what the broker acknowledged,
a broker can lose. A receipt is no promise to anybody. One that is lost, or dropped here because too
many wait, costs a packet sent twice, which lands once and is answered with ``already_landed``. So
everything here is bounded, nothing is waited for and nothing is sent again.

    {"version": 1,
     "received": [{"digest": "<hex SHA-256 of the packet's bytes>", "state": "landed"}, …],
     "missing":  [{"evse_id": "DE*ABC*E7", "stream_epoch": 1, "first": 5, "last": 7}, …]}
"""

import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from typing import Final, NamedTuple

from ingest_daemon.buffer import Answered
from ingest_daemon.states import State, state_of
from storage.arrivals import Outcome
from storage.streams import Gap

VERSION: Final = 1
ENTRIES_MAX: Final = 100
"""Packets, and gaps, of one message."""
MESSAGE_MAX_BYTES: Final = 16 * 1024
DETAIL_MAX_CHARS: Final = 200
WINDOW_MAX: Final = 256
"""Messages that the broker has not acknowledged; more wait here."""
MISSING_MAX: Final = 1_000
"""Messages about gaps that wait; the watch tells of them again."""
_MID_MAX: Final = 0xFFFF
SILENT_S: Final = 600.0
"""A broker that refuses receipts is asked again after this."""
_NOT_AUTHORISED: Final = 0x87


class Message(NamedTuple):
    """One PUBLISH to come; ``mid`` is its packet identifier."""

    mid: int
    topic: str
    payload: bytes
    entries: int


class Receipts:
    """What waits to be told, by client, and what the broker has yet to acknowledge.

    One thread takes, and tells what the broker confirms; ``offer`` and ``offer_missing`` are for others.

    Args:
        wanted: whether devices are told anything at all.
        entries_max: packets that wait to be told of; what comes beyond it is dropped.
        dropped: called with how many were.
    """

    def __init__(self, *, wanted: bool, entries_max: int, dropped: Callable[[int], object]) -> None:
        self._wanted = wanted
        self._connected = False
        self._silent_until_s = 0.0
        self._entries_max = entries_max
        self._dropped = dropped
        self._offered: deque[Sequence[Answered]] = deque()
        self._waiting: dict[str, list[str]] = {}
        self._entries = 0
        self._missing: deque[tuple[str, list[str]]] = deque()
        self._missing_lock = threading.Lock()
        self._window = WINDOW_MAX
        self._open: set[int] = set()
        self._mid = 0

    @property
    def up(self) -> bool:
        """Whether devices can be told, now."""
        return self._wanted and self._connected and time.monotonic() >= self._silent_until_s

    def connected(self, *, receive_maximum: int) -> None:
        """Subscribed: what was under way on the last connection is forgotten."""
        self._open.clear()
        self._window = min(WINDOW_MAX, receive_maximum)
        self._connected = True

    def lost(self) -> None:
        """No connection: until there is one nothing is taken; what waits goes on waiting."""
        self._connected = False

    def confirmed(self, mid: int, reason: int) -> bool:
        """The broker has answered for a message. True when it refuses what was not refused before.

        ``reason``: its code (MQTT 5 §3.4.2.1). Where it is not authorised, nothing more is sent for
        ``SILENT_S``: mosquitto 2.0.11 acknowledges such messages and then closes the connection, and
        packets shall land whether or not their devices may be told.
        """
        self._open.discard(mid)
        if reason != _NOT_AUTHORISED or not self.up:
            return False
        self._silent_until_s = time.monotonic() + SILENT_S
        self._dropped(self._entries)
        self._entries = 0
        self._waiting.clear()
        return True

    def offer(self, answers: Sequence[Answered]) -> bool:
        """These packets are committed. From any thread; whether ``messages`` must follow."""
        if self.up:
            self._offered.append(answers)
        elif self._wanted:
            self._dropped(len(answers))
        return self.up

    def offer_missing(self, client: str, gaps: Sequence[Gap]) -> bool:
        """Gaps in what this client brings; False when it cannot be told now. From any thread."""
        if not self.up:
            return False
        entries = [
            json.dumps(
                {
                    "evse_id": gap.evse_id,
                    "stream_epoch": gap.stream_epoch,
                    "first": gap.first,
                    "last": gap.last,
                },
                separators=(",", ":"),
            )
            for gap in gaps
        ]
        with self._missing_lock:
            if len(self._missing) + len(entries) // ENTRIES_MAX >= MISSING_MAX:
                return False
            for part in _parts(entries):
                self._missing.append((client, part))
        return True

    def messages(self) -> Iterator[Message]:
        """Messages to be sent now, as many as the window takes; each counts as sent."""
        if not self.up:
            return
        while self._offered:
            self._add(self._offered.popleft())
        while len(self._open) < self._window:
            found = self._next()
            if found is None:
                return
            client, kind, entries = found
            payload = f'{{"version":{VERSION},"{kind}":[{",".join(entries)}]}}'
            yield Message(self._free_mid(), f"v2g/{client}/receipt", payload.encode(), len(entries))

    def _add(self, answers: Sequence[Answered]) -> None:
        room = self._entries_max - self._entries
        for held, outcome, conflict in answers[:room]:
            client = held.arrival.topic_evse_id
            if client:
                entry = _entry(held.arrival.packet, outcome, conflict=bool(conflict))
                self._waiting.setdefault(client, []).append(entry)
                self._entries += 1
        if len(answers) > room:
            self._dropped(len(answers) - room)

    def _next(self) -> tuple[str, str, list[str]] | None:
        # Whoever has waited longest; the rest of a long list goes to the end.
        if self._waiting:
            client = next(iter(self._waiting))
            entries = self._waiting.pop(client)
            first, *rest = _parts(entries)
            if rest:
                self._waiting[client] = entries[len(first) :]
            self._entries -= len(first)
            return client, "received", first
        with self._missing_lock:
            if self._missing:
                return self._missing[0][0], "missing", self._missing.popleft()[1]
        return None

    def _free_mid(self) -> int:
        while True:
            self._mid = self._mid % _MID_MAX + 1
            if self._mid not in self._open:
                self._open.add(self._mid)
                return self._mid


def _entry(packet: bytes, outcome: Outcome, *, conflict: bool) -> str:
    state = state_of(outcome, conflict=conflict)
    detail = outcome.detail if state is State.ASIDE else ""
    more = f',"detail":{json.dumps(detail[:DETAIL_MAX_CHARS])}' if detail else ""
    return f'{{"digest":"{sha256(packet).hexdigest()}","state":"{state.value}"{more}}}'


def _parts(entries: Sequence[str]) -> Iterator[list[str]]:
    """Lists that fit a message each."""
    part: list[str] = []
    size = 0
    for entry in entries:
        if part and (len(part) == ENTRIES_MAX or size + len(entry) > MESSAGE_MAX_BYTES):
            yield part
            part, size = [], 0
        part.append(entry)
        size += len(entry) + 1
    if part:
        yield part
