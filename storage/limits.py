"""The limits in force, and who set them.

Errors: LimitsError where a stored document no longer reads, and DatabaseUnavailableError.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from psycopg.types.json import Jsonb

from settlement.limits import DEFAULTS, Limits, parse, plain
from storage.engine import Connection

_LOCK: Final = 0x7632_675F_6C69

NOBODY: Final = ""
"""Who set the defaults."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A version of the limits; 0 are the defaults, which nobody set (``set_at`` is None then)."""

    version: int
    limits: Limits
    set_by: str
    set_at: datetime | None
    why: str


_DEFAULT: Final = Standing(0, DEFAULTS, NOBODY, None, "defaults: nobody has set any")


def in_force(conn: Connection) -> Standing:
    """The last version that was set, or the defaults. Any role that screens or decides."""
    row = conn.execute(
        "select version, document, set_by, set_at, why from limit_version"
        " order by version desc limit 1"
    ).fetchone()
    return _DEFAULT if row is None else _standing(row)


def history(conn: Connection) -> list[Standing]:
    """All versions, the last one first, down to the defaults."""
    rows = conn.execute(
        "select version, document, set_by, set_at, why from limit_version order by version desc"
    ).fetchall()
    return [*map(_standing, rows), _DEFAULT]


def put(conn: Connection, limits: Limits, *, by: str, why: str, now: datetime) -> Standing:
    """Set limits, in the caller's transaction. Postings that were screened before keep their verdict.

    Args:
        conn: as ``v2g_operator``.
        limits: the new version, as a whole.
        by: who sets them; may approve nothing that is screened under them.
        why: kept with them.
        now: when.

    Returns:
        The version in force now; the one that stood before where it says the same.
    """
    conn.execute("select pg_advisory_xact_lock(%s)", [_LOCK])
    before = in_force(conn)
    if before.version and before.limits == limits:
        return before
    made = Standing(before.version + 1, limits, by, now, why)
    conn.execute(
        "insert into limit_version (version, set_by, set_at, document, why)"
        " values (%s, %s, %s, %s, %s)",
        (made.version, by, now, Jsonb(plain(limits)), why),
    )
    return made


def _standing(row: tuple[object, ...]) -> Standing:
    version, document, set_by, set_at, why = row
    assert isinstance(version, int)
    assert isinstance(set_at, datetime)
    limits = parse(document, f"limit_version {version}")
    return Standing(version, limits, str(set_by), set_at, str(why))
