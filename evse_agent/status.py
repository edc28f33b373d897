"""What the store tells of an agent, running or not: what waits, receipts, broker, limit, clock."""

import fcntl
import json
import os
import sqlite3
from contextlib import closing
from datetime import UTC, datetime

from evse_agent.clock import source_of
from evse_agent.config import Config
from evse_agent.errors import StoreError
from evse_agent.store_file import named

LOCK_WAIT_S = 5.0


def status(config: Config, *, now: datetime) -> dict[str, object]:
    """Read without a right to change anything.

    Raises:
        StoreError: there is no store, or it cannot be read.
    """
    path = config.store_file
    with named(path):
        there = path.exists()
    if not there:
        raise StoreError(f"StoreFile {path}: found nothing; expected a store: the agent never ran")
    with (
        named(path),
        closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=LOCK_WAIT_S)) as db,
    ):
        facts: dict[str, str] = dict(db.execute("SELECT name, value FROM fact").fetchall())
        packets, size, oldest = db.execute(
            "SELECT count(*), coalesce(sum(length(bytes)), 0), min(stored_at) FROM packet"
        ).fetchone()
    offset = source_of(config)()
    return {
        "running": _running(config),
        "evse_id": config.evse_id,
        "stream_epoch": int(facts.get("stream_epoch", 0)),
        "next_sequence": int(facts.get("next_sequence", 0)),
        "waiting": packets,
        "waiting_bytes": size,
        "store_max_bytes": config.store_max_bytes,
        "oldest_waits_s": None if oldest is None else round(now.timestamp() - oldest / 1000, 1),
        "last_receipt_at": facts.get("last_receipt_at"),
        "broker": _json(facts.get("broker")),
        "command": _json(facts.get("command")),
        "session_open": bool(facts.get("edge")),
        "clock_offset_ms": offset.milliseconds,
        "clock_source": offset.source,
        "clock_synchronised": offset.synchronised,
        "at": now.astimezone(UTC).isoformat(),
    }


def _json(value: str | None) -> object:
    return None if value is None else json.loads(value)


def _running(config: Config) -> bool:
    """Whether an agent holds the lock of the store."""
    lock = config.store_file.with_name(config.store_file.name + ".lock")
    try:
        descriptor = os.open(lock, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
