"""Every packet until its receipt: an SQLite file that survives kill -9 and the loss of power.

WAL with synchronous=FULL: a COMMIT has reached the disk when it returns (sqlite.org/pragma.html).
A sequence is taken, and the packet stored that carries it, in one transaction: so none is ever used
twice. When the store is new, or was lost, the epoch of the stream rises; it is the time of that
moment in milliseconds, and never below the one that the file ``….epoch`` beside the store remembers.

Full is a state with a name: a new packet is refused and the old ones stay. Only ``settle``
deletes, and it is given the digests of receipts.
"""

import contextlib
import json
import os
import sqlite3
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Final, NamedTuple, Self

from evse_agent.errors import StoreDamagedError, StoreFullError
from evse_agent.intervals import State
from evse_agent.samples import End, RefusedError, parse, to_json
from evse_agent.store_file import damaged, exclusive, named, next_epoch

FORMAT: Final = "1"
LOCK_WAIT_MS: Final = 5000
_DIGESTS_AT_ONCE: Final = 500
_TABLES: Final = """
    CREATE TABLE IF NOT EXISTS fact (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS packet (
        epoch INTEGER NOT NULL, sequence INTEGER NOT NULL,
        digest BLOB NOT NULL UNIQUE CHECK (length(digest) = 32),
        stored_at INTEGER NOT NULL, bytes BLOB NOT NULL,
        PRIMARY KEY (epoch, sequence)
    );
"""


class Stored(NamedTuple):
    """A packet that waits for its receipt. ``stored_at``: milliseconds since 1970."""

    epoch: int
    sequence: int
    stored_at: int
    packet: bytes

    @property
    def digest(self) -> bytes:
        return sha256(self.packet).digest()


class Depth(NamedTuple):
    """What waits. ``oldest_at``: milliseconds since 1970, None when nothing waits."""

    packets: int
    bytes: int
    oldest_at: int | None


def utc_now() -> datetime:
    """The clock of the agent."""
    return datetime.now(UTC)


class Store:
    """The open store; safe to use from every thread. One process at a time has it.

    Raises:
        StoreDamagedError: the file is no store, or damaged; it is left as it is.
        StoreError: another agent has it, the folder is not writable, or the clock is not set.
    """

    def __init__(
        self, path: Path, *, bytes_max: int, now: Callable[[], datetime] = utc_now
    ) -> None:
        self.path = path
        self._bytes_max = bytes_max
        self._now = now
        self._lock = threading.RLock()
        self.rotten: set[tuple[int, int]] = set()
        """Packets whose bytes are no longer those that were stored: kept, and never sent."""
        self._held = exclusive(path)
        try:
            with named(path):
                self._db = self._open()
                self._prepare()
        except BaseException:
            os.close(self._held)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close it and let another process have it. Idempotent."""
        with self._lock:
            self._db.close()
            if self._held >= 0:
                os.close(self._held)
                self._held = -1

    def _open(self) -> sqlite3.Connection:
        # Made by us, so that it is never open to others, not even for a moment.
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        db = sqlite3.connect(
            self.path, timeout=LOCK_WAIT_MS / 1000, isolation_level=None, check_same_thread=False
        )
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA cache_size = -2048")
        db.execute("PRAGMA journal_size_limit = 1048576")
        return db

    def _prepare(self) -> None:
        [(answer,)] = self._db.execute("PRAGMA quick_check(1)").fetchall()
        if answer != "ok":
            raise damaged(self.path, str(answer))
        self._db.executescript(_TABLES)
        kept = self.fact("format")
        if kept not in {None, FORMAT}:
            raise StoreDamagedError(
                f"StoreFile {self.path}: found format {kept}; expected {FORMAT}: another version"
                " of the agent wrote it, let that one empty it"
            )
        if kept is None:
            epoch = next_epoch(self.path, above=0, now=self._now())
            with self._transaction():
                self._put("stream_epoch", str(epoch))
                self._put("next_sequence", "0")
                self._put("format", FORMAT)
        packets, size, _ = self._count()
        self._packets, self._bytes = packets, size

    # --- packets -----------------------------------------------------------------------------------

    def add(self, make: Sequence[Callable[[int, int], bytes]], state: State) -> list[Stored]:
        """Store packets and where the session stands, all or nothing.

        Args:
            make: one per packet: given its epoch and sequence, the signed bytes.
            state: of the open session after them.

        Raises:
            StoreFullError: no room, in the store's bound or on the disk. Nothing has changed.
            Exception: what ``make`` raises. Nothing has changed.
        """
        stored: list[Stored] = []
        with self._lock, named(self.path), self._transaction():
            epoch, sequence = self.epoch, int(self.fact("next_sequence") or 0)
            at = round(self._now().timestamp() * 1000)
            for number, one in enumerate(make, start=sequence):
                stored.append(Stored(epoch, number, at, one(epoch, number)))
            size = sum(len(one.packet) for one in stored)
            if stored and self._bytes + size > self._bytes_max:
                raise StoreFullError(
                    f"StoreFile {self.path}: found {self._packets} packets, {self._bytes} bytes;"
                    f" expected room for {size} more within StoreMaxBytes {self._bytes_max}:"
                    " see why no receipts come (python -m evse_agent status), or raise StoreMaxBytes"
                )
            self._db.executemany(
                "INSERT INTO packet (epoch, sequence, stored_at, digest, bytes) VALUES (?,?,?,?,?)",
                [(*one[:3], one.digest, one.packet) for one in stored],
            )
            if stored:
                self._put("next_sequence", str(stored[-1].sequence + 1))
            self._put("edge", "" if state.edge is None else to_json(state.edge))
            self._put("last", "" if state.last is None else to_json(state.last))
            self._put("ended", json.dumps([(one, at.isoformat()) for one, at in state.ended]))
        # Only what is committed is counted.
        with self._lock:
            self._packets += len(stored)
            self._bytes += sum(len(one.packet) for one in stored)
        return stored

    def settle(self, digests: Collection[bytes]) -> list[tuple[int, int]]:
        """Delete the packets with these digests. The (epoch, sequence) of those that were here."""
        gone: list[tuple[int, int, int]] = []
        wanted = list(digests)
        with self._lock, named(self.path), self._transaction():
            for begin in range(0, len(wanted), _DIGESTS_AT_ONCE):
                part = wanted[begin : begin + _DIGESTS_AT_ONCE]
                marks = ",".join("?" * len(part))
                gone += self._db.execute(
                    f"DELETE FROM packet WHERE digest IN ({marks})"  # noqa: S608 - question marks alone
                    " RETURNING epoch, sequence, length(bytes)",
                    part,
                ).fetchall()
            if gone:
                self._put("last_receipt_at", self._now().isoformat())
        with self._lock:
            self._packets -= len(gone)
            self._bytes -= sum(size for _, _, size in gone)
        return [(epoch, sequence) for epoch, sequence, _ in gone]

    def oldest(
        self,
        limit: int,
        *,
        besides: Collection[tuple[int, int]] = (),
        bytes_max: int = 1 << 40,
    ) -> list[Stored]:
        """The oldest packets, at most ``limit`` and ``bytes_max``, without those ``besides``."""
        found: list[Stored] = []
        size = 0
        with self._lock, named(self.path):
            rows = self._db.execute(
                "SELECT epoch, sequence, stored_at, bytes, digest FROM packet"
                " ORDER BY epoch, sequence"
            )
            for *row, digest in rows:
                if len(found) >= limit:
                    break
                one = Stored(*row)
                if (one.epoch, one.sequence) in besides:
                    continue
                size += len(one.packet)
                if size > bytes_max:
                    break
                if one.digest == digest:
                    found.append(one)
                else:
                    # Sent like this it could only be set aside; here it can still be looked at.
                    self.rotten.add((one.epoch, one.sequence))
            rows.close()
        return found

    def between(self, epoch: int, first: int, last: int, limit: int) -> list[Stored]:
        """The packets of a range of sequences, both ends included, the first ``limit`` of them."""
        with self._lock, named(self.path):
            rows = self._db.execute(
                "SELECT epoch, sequence, stored_at, bytes FROM packet"
                " WHERE epoch = ? AND sequence BETWEEN ? AND ? ORDER BY sequence LIMIT ?",
                (epoch, first, last, limit),
            ).fetchall()
        return [Stored(*row) for row in rows]

    def depth(self) -> Depth:
        """What waits."""
        with self._lock, named(self.path):
            row = self._db.execute(
                "SELECT stored_at FROM packet ORDER BY epoch, sequence LIMIT 1"
            ).fetchone()
            return Depth(self._packets, self._bytes, row[0] if row else None)

    def _count(self) -> tuple[int, int, int | None]:
        row: tuple[int, int, int | None] = self._db.execute(
            "SELECT count(*), coalesce(sum(length(bytes)), 0), min(stored_at) FROM packet"
        ).fetchone()
        return row

    # --- facts ---------------------------------------------------------------------------------------

    @property
    def epoch(self) -> int:
        """Of the stream now."""
        return int(self.fact("stream_epoch") or 0)

    def raise_epoch(self) -> int:
        """Begin a new stream: something else stands under our identities. The new epoch."""
        with self._lock, named(self.path):
            epoch = next_epoch(self.path, above=self.epoch, now=self._now())
            with self._transaction():
                self._put("stream_epoch", str(epoch))
                self._put("next_sequence", "0")
        return epoch

    def state(self) -> State:
        """Where the session stood when the last line was accepted."""
        samples = []
        for name in ("edge", "last"):
            line = self.fact(name)
            try:
                sample = parse(line.encode()) if line else None
            except RefusedError as error:
                raise damaged(self.path, f"its {name} is no sample: {error}") from error
            samples.append(None if isinstance(sample, End) else sample)
        ended = json.loads(self.fact("ended") or "[]")
        edge, last = samples
        return State(edge, last, tuple((one, datetime.fromisoformat(at)) for one, at in ended))

    def fact(self, name: str) -> str | None:
        """A kept value."""
        with self._lock, named(self.path):
            row = self._db.execute("SELECT value FROM fact WHERE name = ?", (name,)).fetchone()
        return row[0] if row else None

    def keep(self, **facts: object) -> None:
        """Keep values, as JSON."""
        with self._lock, named(self.path), self._transaction():
            for name, value in facts.items():
                self._put(name, json.dumps(value))

    def kept(self, name: str) -> object:
        """A value of ``keep``; None when there is none."""
        value = self.fact(name)
        return None if value is None else json.loads(value)

    def _put(self, name: str, value: str) -> None:
        self._db.execute(
            "INSERT INTO fact VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            (name, value),
        )

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            raise
