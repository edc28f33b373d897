"""The store's file and what stands beside it: the lock, the last epoch, and SQLite's errors in words."""

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Final

from evse_agent.errors import StoreDamagedError, StoreError, StoreFullError
from settlement.units import EARLIEST

_FULL: Final = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)


def next_epoch(path: Path, *, above: int, now: datetime) -> int:
    """The number of a new stream, written beside the store first: if the store is lost, the next
    one is still above it.

    Args:
        path: of the store.
        above: the epoch before, 0 for none.
        now: the time of day, of which the number is made.

    Raises:
        StoreError: the clock is not set.
        OSError: the folder takes no file.
    """
    if now < EARLIEST:
        raise StoreError(
            f"clock: found {now.isoformat()}; expected the time of day: a new stream is numbered"
            " by it, so set the clock first"
        )
    marker = path.with_name(path.name + ".epoch")
    with contextlib.suppress(FileNotFoundError, ValueError):
        above = max(above, int(marker.read_text(encoding="ascii")[:20]))
    epoch = max(round(now.timestamp() * 1000), above + 1)
    unfinished = marker.with_name(marker.name + ".new")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(f"{epoch}\n")
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(marker)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return epoch


def exclusive(path: Path) -> int:
    """A lock beside the store that ends with the process."""
    lock = path.with_name(path.name + ".lock")
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError(
            f"StoreFile {path}: found a folder that cannot be used ({error.strerror}); expected one"
            f" that uid {os.geteuid()} may write"
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise StoreError(
            f"StoreFile {path}: found another agent that has it; expected to be the only one:"
            " end that one first"
        ) from error
    return descriptor


def damaged(path: Path, found: str) -> StoreDamagedError:
    return StoreDamagedError(
        f"StoreFile {path}: found a damaged file ({found}); expected the agent's store."
        " It was not touched: the packets in it have no receipt yet. Keep it for an expert"
        f" (mv '{path}' '{path}.damaged'; likewise {path.name}-wal and -shm), then start again:"
        " a new stream begins, and the daemon names what is missing of the old one"
    )


@contextlib.contextmanager
def named(path: Path) -> Iterator[None]:
    """What SQLite says, in our words."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in _FULL:
            raise StoreFullError(
                f"StoreFile {path}: found a disk that takes nothing more ({error}); expected room:"
                " free some, nothing of the store was thrown away"
            ) from error
        if code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
            raise damaged(path, str(error)) from error
        raise StoreError(f"StoreFile {path}: found {error}; expected a store") from error
    except OSError as error:
        raise StoreError(f"StoreFile {path}: found {error.strerror}; expected a store") from error
