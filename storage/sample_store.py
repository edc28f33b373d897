"""Samples landed over one connection that is opened when needed, each batch in one transaction.

StorageError
└── SamplesRefusedError   a sample that the table cannot hold
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Final

import psycopg

from storage.engine import Connection, Role, connect
from storage.errors import DatabaseUnavailableError, StorageError
from storage.thermal_samples import Sample, put_samples

STATEMENT_TIMEOUT: Final = "30s"


class SamplesRefusedError(StorageError):
    """The database blames a sample of the batch: landed again, it will be refused again."""


class SampleStore:
    """Lands batches as ``Role.INGEST``; blocks; belongs to one thread at a time."""

    def __init__(self, dsn: str, *, now: Callable[[], datetime]) -> None:
        """``dsn``: libpq connection string; ``now``: the clock for when samples became known."""
        self._dsn = dsn
        self._now = now
        self._conn: Connection | None = None

    def land(self, samples: Sequence[Sample]) -> int:
        """Store samples in one transaction; when this returns, it is committed. How many are new.

        Raises:
            DatabaseUnavailableError: not stored, or not known to be: land them again.
            UnsafeDatabaseError: the database can lose commits.
            SamplesRefusedError: not stored, and never will be as they are.
        """
        try:
            if self._conn is None:
                self._conn = connect(self._dsn, Role.INGEST)
                self._conn.execute(f"set statement_timeout = '{STATEMENT_TIMEOUT}'")
                self._conn.commit()
            new = put_samples(self._conn, samples, now=self._now())
            self._conn.commit()
        except (psycopg.DataError, psycopg.IntegrityError) as error:
            self.close()
            raise SamplesRefusedError(str(error)) from error
        except psycopg.Error as error:
            self.close()
            raise DatabaseUnavailableError(
                "landing samples", str(error), sqlstate=error.sqlstate or ""
            ) from error
        except BaseException:
            self.close()
            raise
        return new

    def close(self) -> None:
        """Give the connection back; the next call opens another."""
        conn, self._conn = self._conn, None
        if conn is not None:
            with suppress(psycopg.Error):
                conn.close()
