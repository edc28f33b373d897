"""The watch for gaps: which packets of which stream are missing, named, and told to who has them.

A thread of its own with a connection of its own, so that landing never waits for it. It looks three
times within V2G_GAP_EVERY_S, each time at what has landed since, and leaves what is younger than a
third of it alone: several daemons that share the load overtake each other. Trouble with the database
passes or is told by landing; here it only means to look again later.

A gap that is new is told at once; while it stays open again after 1, 2, 4 … times V2G_GAP_EVERY_S, up
to six hours. One daemon tells, whoever of them is connected to the broker first.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol

from ingest_daemon.log import say
from ingest_daemon.metrics import Metrics
from storage import streams
from storage.engine import Connection, Role, connect
from storage.errors import StorageError
from storage.streams import Gap, Watch

logger = logging.getLogger(__name__)

LOOKS: Final = 3
"""Within one interval."""
LOOKS_AT_ONCE_MAX: Final = 20
"""Transactions of one look, when much has landed."""
REMEMBERED: Final = timedelta(days=30)
"""A gap older than this is told no more; it stands in the database, and in `v2g gaps list`."""
OPEN_MAX: Final = 20_000
"""Open gaps held in memory: the newest."""
ASKED_MAX: Final = 1_000
"""Of them, how many are asked at each look whether they are still open."""
TOLD_MAX: Final = 1_000
"""And how many are told at each look."""
AGAIN_LONGEST_S: Final = 6 * 3600.0
OVERLAP: Final = timedelta(minutes=5)
"""What others name is committed a little later than it says it was found."""
STATEMENT_TIMEOUT_S: Final = 30
TROUBLE_S: Final = 5.0


class Teller(Protocol):
    """Who can tell devices; ``ingest_daemon.mqtt.Subscriber`` is one."""

    def report(self, client: str, gaps: Sequence[Gap]) -> bool:
        """Tell a device what is missing; False when it cannot be told now."""


@dataclass(slots=True)
class _Open:
    """An open gap: when it is told next (of the monotonic clock), and how long after that again."""

    at_s: float
    again_s: float


class GapWatch:
    """Runs until told to stop.

    Args:
        dsn: libpq connection string; connects as ``Role.INGEST``.
        teller: who tells devices; None names gaps and tells nobody.
        can_tell: whether the teller has a connection now.
        every_s: within which a gap is named.
        now: the clock for what is remembered.
    """

    def __init__(
        self,
        dsn: str,
        *,
        teller: Teller | None,
        can_tell: Callable[[], bool],
        every_s: float,
        metrics: Metrics,
        now: Callable[[], datetime],
    ) -> None:
        self._dsn = dsn
        self._teller = teller
        self._can_tell = can_tell
        self._every_s = every_s
        self._metrics = metrics
        self._now = now
        self._open: dict[Gap, _Open] = {}
        self._known_until: datetime | None = None
        self._learnt: set[Gap] = set()
        self._reporter = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="gaps", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def finish(self, *, timeout_s: float) -> None:
        """Look no more. A look that is under way is left behind: it is undone with its connection."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                conn = connect(self._dsn, Role.INGEST)
            except StorageError as error:
                self._trouble(error)
                continue
            with contextlib.closing(conn):
                try:
                    self._watch(conn)
                except Exception as error:  # noqa: BLE001 - gaps are named later; landing must go on
                    self._trouble(error)

    def _trouble(self, error: Exception) -> None:
        self._reporter = False
        words = str(error).splitlines()[0] if str(error) else type(error).__name__
        # That the database is away is told by landing already.
        level = logging.INFO if isinstance(error, StorageError) else logging.WARNING
        say(logger, level, "gaps_not_looked_for", error=words, consequence="looks again")
        self._stop.wait(max(TROUBLE_S, self._every_s))

    def _watch(self, conn: Connection) -> None:
        conn.autocommit = True
        conn.execute(f"set statement_timeout = '{STATEMENT_TIMEOUT_S}s'")
        watch = Watch(conn)
        pause_s = self._every_s / LOOKS
        while not self._stop.is_set():
            for _ in range(LOOKS_AT_ONCE_MAX):
                look = watch.look(grace=timedelta(seconds=pause_s))
                self._say(look)
                if not look.batches or self._stop.is_set():
                    break
            self._learn(conn)
            self._forget(conn)
            self._tell(conn)
            self._stop.wait(pause_s)

    def _say(self, look: streams.Look) -> None:
        if look.left_out:
            say(logger, logging.WARNING, "streams_in_pieces", streams=look.left_out,
                consequence="not every gap in them is named")  # fmt: skip
        if look.gaps:
            self._metrics.gaps_found.inc(len(look.gaps))
            first = look.gaps[0]
            say(
                logger,
                logging.WARNING,
                "gaps",
                gaps=len(look.gaps),
                evse_id=first.evse_id,
                stream_epoch=first.stream_epoch,
                first=first.first,
                last=first.last,
                see="v2g gaps list",
            )

    def _learn(self, conn: Connection) -> None:
        """Gaps that were named since the last look, by whomever."""
        since = self._known_until or self._now() - REMEMBERED
        named = streams.found_since(conn, since - OVERLAP, most=OPEN_MAX)
        if named:
            self._known_until = named[0].found_at
        new = set(named) - self._learnt
        self._learnt = set(named)
        for gap in streams.still_open(conn, new):
            self._open[gap] = _Open(at_s=time.monotonic(), again_s=self._every_s)
        for gap in sorted(self._open, key=lambda one: one.found_at)[
            : max(0, len(self._open) - OPEN_MAX)
        ]:
            del self._open[gap]

    def _forget(self, conn: Connection) -> None:
        """Gaps in which something has landed, and old ones."""
        oldest = self._now() - REMEMBERED
        asked = list(self._open)[:ASKED_MAX]
        standing = streams.still_open(conn, asked)
        for gap in asked:
            kept = self._open.pop(gap)
            # Put back at the end: whoever was asked longest ago is asked first.
            if gap in standing and gap.found_at > oldest:
                self._open[gap] = kept
        self._metrics.gaps_open.set(len(self._open))

    def _tell(self, conn: Connection) -> None:
        if self._teller is None or not self._may_tell(conn):
            return
        moment = time.monotonic()
        due = [gap for gap, one in self._open.items() if one.at_s <= moment][:TOLD_MAX]
        if not due:
            return
        for client, gaps in _by_client(
            due, streams.brought_by(conn, {g.evse_id for g in due})
        ).items():
            if not self._teller.report(client, gaps):
                return
        for gap in due:
            one = self._open[gap]
            one.at_s = moment + one.again_s
            one.again_s = min(2 * one.again_s, AGAIN_LONGEST_S)

    def _may_tell(self, conn: Connection) -> bool:
        if not self._can_tell():
            if self._reporter:
                streams.cease_to_report(conn)
                self._reporter = False
        elif not self._reporter:
            self._reporter = streams.become_reporter(conn)
        return self._reporter


def _by_client(gaps: Sequence[Gap], clients: Mapping[str, set[str]]) -> dict[str, list[Gap]]:
    told: dict[str, list[Gap]] = {}
    for gap in sorted(gaps):
        for client in clients[gap.evse_id]:
            told.setdefault(client, []).append(gap)
    return told
