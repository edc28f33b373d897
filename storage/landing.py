"""Landing: packets into raw_packet, each exactly once, whatever happens in between.

One transaction per batch: its rows, what is set aside, and its manifest in landing_batch. First the
rows go in directly (COPY, the fastest way there is); a duplicate makes that fail as a whole, and
then the batch goes by way of a temporary table with ON CONFLICT DO NOTHING, which tells new from
known. Either way the key decides, never the arrival, so that landing the same batch again, after an
answer was lost, changes nothing. benchmarks hold the rates.

    StorageError
    ├── DatabaseUnavailableError   not stored, or not known to be: keep the batch, land it again
    └── _RefusedError              inside this module: a statement failed, the connection did not
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Final, TypeVar

from adbc_driver_postgresql import dbapi
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random

from storage.arrivals import (
    Arrival,
    Fate,
    Landed,
    Outcome,
    Sorted,
    set_aside,
    sort_out,
    strangers,
)
from storage.engine import Role, adbc_connect
from storage.errors import DatabaseUnavailableError, StorageError
from storage.landing_steps import (
    ensure_partitions,
    find_bringers,
    find_conflicts,
    insert_directly,
    insert_staged,
    store,
)

__all__ = ["Arrival", "DatabaseUnavailableError", "Fate", "Landed", "Lander", "Outcome"]

BATCH_MAX_ROWS: Final = 50_000
ATTEMPTS: Final = 4
"""Tries of one transaction that other transactions made fail."""

ISOLATION_MAX_TRIALS: Final = 500
"""Trial insertions in search of a row that the database refuses."""

DATA_ERRORS: Final = ("22", "23", "54")
"""Classes of SQLSTATE that blame a row: data exception, constraint violation, limit exceeded
(PostgreSQL manual, Appendix A). Any other failure blames the database, and the batch is kept."""

TRANSIENT: Final = frozenset({"40001", "40P01", "55P03"})
"""Serialization failure, deadlock, lock timeout: the same transaction again may succeed."""

T = TypeVar("T")


class _RefusedError(StorageError):
    """The database refused a statement and rolled back; the connection still stands."""

    def __init__(self, error: dbapi.Error) -> None:
        super().__init__(str(error))
        said = dict(error.details or ())
        primary = said.get("PG_DIAG_MESSAGE_PRIMARY", b"").decode("utf-8", "replace")
        self.found = primary or str(error)
        self.sqlstate = error.sqlstate or ""

    @property
    def blames_data(self) -> bool:
        return self.sqlstate.startswith(DATA_ERRORS)


def _may_pass(error: BaseException) -> bool:
    return isinstance(error, _RefusedError) and error.sqlstate in TRANSIENT


class Lander:
    """Lands batches over one connection of its own, opened when first needed.

    Any number of landers may land the same packets at the same time, in threads, processes or on
    other machines; one lander belongs to one thread at a time.
    """

    def __init__(self, dsn: str) -> None:
        """``dsn``: libpq connection string; connects as ``Role.INGEST`` unless it names a user."""
        self._dsn = dsn
        self._connection: dbapi.Connection | None = None

    def land(self, arrivals: Sequence[Arrival]) -> Landed:
        """Store a batch in one transaction; when this returns, it is committed.

        Landing arrivals again, in any grouping and order, adds nothing to raw_packet: their
        outcome is then DUPLICATE, and the manifest counts them.

        Args:
            arrivals: at most ``BATCH_MAX_ROWS``.

        Returns:
            An outcome per arrival, in their order.

        Raises:
            DatabaseUnavailableError: not stored, or not known to be. Keep the batch and land it
                again: what was stored after all will be a duplicate.
            UnsafeDatabaseError: the database can lose commits.
            ValueError: too many arrivals, or a ``received_at`` without time zone.
        """
        if len(arrivals) > BATCH_MAX_ROWS:
            raise ValueError(
                f"{len(arrivals)} arrivals in one batch; expected at most {BATCH_MAX_ROWS}"
            )
        if not arrivals:
            return Landed(None, [])
        batch = sort_out(arrivals)
        try:
            if met := strangers(batch):
                # Where a client speaks for several EVSE; nobody else pays for the question.
                bringers = self._run(lambda cursor: find_bringers(cursor, met))
                batch = sort_out(arrivals, bringers=bringers)
            self._run(lambda cursor: ensure_partitions(cursor, batch))
            with suppress(_RefusedError):
                return self._transaction(lambda cursor: store(cursor, batch, insert_directly))
            try:
                return self._run(lambda cursor: store(cursor, batch, insert_staged))
            except _RefusedError as error:
                if not (error.blames_data and self._set_poison_aside(batch)):
                    raise
            return self._run(lambda cursor: store(cursor, batch, insert_staged))
        except _RefusedError as error:
            raise DatabaseUnavailableError(
                "landing", error.found, sqlstate=error.sqlstate
            ) from error

    def conflicts(self, outcomes: Sequence[Outcome]) -> set[int]:
        """Indexes of outcomes whose identity was judged before with other content.

        Raises:
            DatabaseUnavailableError: the question could not be asked.
        """
        asked = {
            index: (outcome.identity, outcome.digest)
            for index, outcome in enumerate(outcomes)
            if outcome.identity is not None and outcome.digest is not None
        }
        if not asked:
            return set()
        try:
            return self._run(lambda cursor: find_conflicts(cursor, asked))
        except _RefusedError as error:
            raise DatabaseUnavailableError(
                "looking for conflicts", error.found, sqlstate=error.sqlstate
            ) from error

    def close(self) -> None:
        """Give the connection back; the next call opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(dbapi.Error):
                connection.close()

    def _transaction(self, work: Callable[[dbapi.Cursor], T], *, keep: bool = True) -> T:
        """Work, then commit (or roll back, for a trial). Never leaves a transaction open."""
        if self._connection is None:
            self._connection = adbc_connect(self._dsn, Role.INGEST)
        connection = self._connection
        try:
            with connection.cursor() as cursor:
                result = work(cursor)
            if keep:
                connection.commit()
            else:
                connection.rollback()
        except dbapi.Error as error:
            try:
                connection.rollback()
            except dbapi.Error:
                self.close()
                raise DatabaseUnavailableError(
                    "landing", str(error), sqlstate=error.sqlstate or ""
                ) from error
            raise _RefusedError(error) from error
        except BaseException:
            self.close()
            raise
        return result

    def _run(self, work: Callable[[dbapi.Cursor], T], *, keep: bool = True) -> T:
        """The transaction, again where another transaction was what stopped it."""
        retrying = Retrying(
            stop=stop_after_attempt(ATTEMPTS),
            wait=wait_random(0, 0.05),
            retry=retry_if_exception(_may_pass),
            reraise=True,
        )
        result: T = retrying(self._transaction, work, keep=keep)
        return result

    def _set_poison_aside(self, batch: Sorted) -> bool:
        """Find the rows that the database refuses by halves, and move them aside with its words.

        After ``ISOLATION_MAX_TRIALS`` what has not been tried goes aside too: it stays evidence,
        and one hostile batch cannot hold up everything behind it.
        """
        poison: dict[int, str] = {}
        pending = [batch.candidates]
        trials = 0
        while pending:
            rows = pending.pop()
            trials += 1
            if trials > ISOLATION_MAX_TRIALS:
                poison |= dict.fromkeys(
                    (row.index for row in rows), "beside too many rows that the database refuses"
                )
                continue
            try:
                trial = partial(insert_staged, batch=batch, rows=rows, batch_id=1)
                self._run(trial, keep=False)
            except _RefusedError as error:
                if not error.blames_data:
                    raise
                if len(rows) == 1:
                    poison[rows[0].index] = (
                        f"the database refuses it: {error.found} (SQLSTATE {error.sqlstate})"
                    )
                else:
                    middle = len(rows) // 2
                    pending += [rows[:middle], rows[middle:]]
        for row in batch.candidates:
            if row.index in poison:
                for index in (row.index, *row.others):
                    arrival, identity = batch.arrivals[index], batch.identities[index]
                    batch.asides[index] = set_aside(
                        arrival, "unreadable", poison[row.index], identity
                    )
        batch.candidates = [row for row in batch.candidates if row.index not in poison]
        return bool(poison)
