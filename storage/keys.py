"""Device keys: which there are, and how one comes in, is replaced, ends or is revoked.

Every change runs in the caller's transaction, one after the other (``storage.key_changes``), and
writes its audited record there. A public key belongs to one EVSE and one meter for ever.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from psycopg.rows import class_row

from settlement.signatures import DeviceKey, Keyring
from storage import key_changes
from storage.engine import Connection
from storage.key_admission import Admission, admit, facts_of
from storage.key_changes import Entry, KeyRefusedError, Refusal, person, said

OVERLAP_MAX: Final = timedelta(days=90)
"""How long the old key of a rotation may stand beside the new one."""
PAGE_MAX: Final = 1000

_COLUMNS: Final = (
    "key_id, evse_id, public_key, valid_from, valid_to, revoked_at, algorithm, meter_id, client_id"
)


@dataclass(frozen=True, slots=True)
class Registered:
    """An enrolled key, and when it was enrolled."""

    key: DeviceKey
    enrolled_at: datetime

    def state(self, now: datetime) -> str:
        """What it is at a time: valid, not yet valid, expired or revoked."""
        if self.key.revoked_at is not None and self.key.revoked_at <= now:
            return "revoked"
        if self.key.valid_to is not None and self.key.valid_to <= now:
            return "expired"
        return "not yet valid" if now < self.key.valid_from else "valid"


def load_keys(conn: Connection) -> Keyring:
    """All enrolled keys, revoked and expired ones too: they have reasons of their own.

    Until the transaction ends no key is changed: see ``key_changes.reading``.
    """
    key_changes.reading(conn)
    with conn.cursor(row_factory=class_row(DeviceKey)) as cursor:
        return Keyring(cursor.execute(f"select {_COLUMNS} from device_key").fetchall())


def enrol_keys(
    conn: Connection, keys: Iterable[DeviceKey], *, now: datetime, by: str = "setup"
) -> int:
    """Enrol device keys; a key that is enrolled already stays as it is.

    Returns:
        How many are new.

    Raises:
        KeyRefusedError: one cannot be enrolled. None is enrolled then.
    """
    at = key_changes.changing(conn, lambda: now)
    outcomes = admit(conn, [Admission(key, "enrolled") for key in keys], by=person(by), at=at)
    for outcome in outcomes:
        if isinstance(outcome, KeyRefusedError):
            raise outcome
    return sum(bool(outcome) for outcome in outcomes)


def find(conn: Connection, key_id: str) -> Registered:
    """The key of an id. Raises KeyRefusedError: UNKNOWN."""
    known = key_id.isprintable()  # what cannot be shown cannot be looked for, either
    found = _fetch(conn, "where key_id = %(key_id)s", {"key_id": key_id}) if known else []
    if not found:
        raise KeyRefusedError(
            Refusal.UNKNOWN,
            f"key {key_id[:80]}",
            "not enrolled",
            "a key id that `v2g keys list` shows",
        )
    return found[0]


def listed(
    conn: Connection,
    *,
    evse_id: str = "",
    meter_id: str = "",
    after: str = "",
    limit: int = PAGE_MAX,
) -> list[Registered]:
    """Keys by their id, of one EVSE, of one meter, or all; at most ``PAGE_MAX``, after a key id."""
    return _fetch(
        conn,
        """
        where (%(evse_id)s = '' or evse_id = %(evse_id)s)
          and (%(meter_id)s = '' or meter_id = %(meter_id)s) and key_id > %(after)s
        order by key_id limit %(limit)s
        """,
        {
            "evse_id": evse_id,
            "meter_id": meter_id,
            "after": after,
            "limit": max(1, min(limit, PAGE_MAX)),
        },
    )


def _fetch(conn: Connection, where: str, values: dict[str, Any]) -> list[Registered]:
    rows = conn.execute(
        f"select {_COLUMNS}, enrolled_at from device_key {where}".encode(), values
    ).fetchall()
    return [Registered(DeviceKey(*key), enrolled_at) for *key, enrolled_at in rows]


@dataclass(frozen=True, slots=True)
class Import:
    """A key that an operator brings. ``stated``: facts that must be the same where it stands already."""

    key: DeviceKey
    stated: frozenset[str] = frozenset({"client_id", "valid_from", "valid_to"})


def import_keys(
    conn: Connection,
    imports: Sequence[Import],
    *,
    by: str,
    source: str,
    clock: Callable[[], datetime],
) -> list[bool | KeyRefusedError]:
    """Enrol what an operator brings, such as the keys of meters; a bad one never stops the good ones.

    Returns:
        For each key whether it is new (False: it stood already, with the same facts), or why not.
    """
    by = person(by)
    at = key_changes.changing(conn, clock)
    return admit(
        conn,
        [Admission(one.key, "imported", reason=source, stated=one.stated) for one in imports],
        by=by,
        at=at,
    )


def rotate(
    conn: Connection,
    key_id: str,
    new: DeviceKey,
    *,
    overlap: timedelta,
    by: str,
    clock: Callable[[], datetime],
) -> bool:
    """Give an EVSE a new key in place of one that it has; both stand while they overlap.

    Args:
        conn: as ``v2g_registry``; the caller commits.
        key_id: the key that is replaced.
        new: key id, public key, algorithm and validity of the new one. A ``valid_from`` before now
            becomes now; EVSE, meter and client become those of the old key.
        overlap: how long the old key stands beside the new one, from when that counts.
        by: who does it.
        clock: gives now, in UTC.

    Returns:
        Whether it was done now; False: it had been done before.

    Raises:
        KeyRefusedError: the old key is no more, or the new one cannot be enrolled.
    """
    by = person(by)
    at = key_changes.changing(conn, clock)
    old = find(conn, key_id).key
    new = replace(
        new,
        evse_id=old.evse_id,
        meter_id=old.meter_id,
        client_id=old.client_id,
        valid_from=max(new.valid_from, at),
    )
    return replace_key(conn, old, Admission(new, "enrolled"), overlap=overlap, by=by, at=at)


def replace_key(
    conn: Connection,
    old: DeviceKey,
    admission: Admission,
    *,
    overlap: timedelta,
    by: str,
    at: datetime,
) -> bool:
    """``rotate`` for whoever has called ``key_changes.changing`` already."""
    new = admission.key
    where = f"key {old.key_id}"
    if not timedelta(0) <= overlap <= OVERLAP_MAX:
        raise KeyRefusedError(
            Refusal.INVALID, "overlap", str(overlap), f"0 to {OVERLAP_MAX.days} days"
        )
    end = max(new.valid_from, at) + overlap
    if old.key_id != new.key_id and not Registered(old, at).state(at).endswith("valid"):
        raise KeyRefusedError(
            Refusal.STATE, where, f"is {Registered(old, at).state(at)}",
            "a key that stands; invite the EVSE anew, or import its key",
        )  # fmt: skip
    if end <= old.valid_from:
        raise KeyRefusedError(
            Refusal.STATE, where, f"begins at {old.valid_from.isoformat()}", "a key that has begun"
        )
    outcome = admit(
        conn,
        [replace(admission, reason=f"replaces {old.key_id}", replaces=old.key_id)],
        by=by,
        at=at,
    )[0]
    if isinstance(outcome, KeyRefusedError):
        raise outcome
    if outcome and (old.valid_to is None or end < old.valid_to):
        _change(
            conn,
            old,
            replace(old, valid_to=end),
            "rotated",
            f"replaced by {new.key_id}",
            by=by,
            at=at,
        )
    return outcome


def shorten(
    conn: Connection,
    key_id: str,
    *,
    to: datetime,
    by: str,
    reason: str,
    clock: Callable[[], datetime],
) -> bool:
    """Let a key end at a time: packets signed at or after it are refused. Never longer, never past.

    Returns:
        Whether it was done now; False: it ends at that time already.

    Raises:
        KeyRefusedError: it ends earlier already, or the time is over.
    """
    by, reason = person(by), said(reason)
    at = key_changes.changing(conn, clock)
    old = find(conn, key_id).key
    if to == old.valid_to:
        return False
    ends = min((end for end in (old.valid_to, old.revoked_at) if end is not None), default=None)
    if to < max(at, old.valid_from) or (ends is not None and to > ends):
        until = "" if ends is None else f" to {ends.isoformat()}"
        raise KeyRefusedError(
            Refusal.INVALID, "to", to.isoformat(),
            f"a time from {max(at, old.valid_from).isoformat()}{until}: a key's time is never made"
            " longer, and what was signed while it stood stays signed",
        )  # fmt: skip
    _change(conn, old, replace(old, valid_to=to), "shortened", reason, by=by, at=at)
    return True


def revoke(
    conn: Connection,
    key_id: str,
    *,
    by: str,
    reason: str,
    clock: Callable[[], datetime],
    revoked_at: datetime | None = None,
) -> bool:
    """Refuse, for ever, what is received from a time on, whatever time it claims to be signed at.

    What was received before stands: it may have been paid. A revocation is never taken back; one that
    lies ahead may come earlier.

    Args:
        conn: as ``v2g_registry``; the caller commits.
        key_id: the key.
        by: who does it.
        reason: why.
        clock: gives now, in UTC.
        revoked_at: from when; now where None.

    Returns:
        Whether it was done now; False: it was revoked for that time, or an earlier one, already.

    Raises:
        KeyRefusedError: no such key, or the time is over.
    """
    by, reason = person(by), said(reason)
    at = key_changes.changing(conn, clock)
    old = find(conn, key_id).key
    since = at if revoked_at is None else revoked_at
    if old.revoked_at is not None and old.revoked_at <= since:
        return False
    if since < at:
        raise KeyRefusedError(
            Refusal.INVALID, "at", since.isoformat(),
            f"{at.isoformat()} or later: what has been received since then is judged, and may be paid",
        )  # fmt: skip
    _change(conn, old, replace(old, revoked_at=since), "revoked", reason, by=by, at=at)
    return True


def _change(
    conn: Connection,
    old: DeviceKey,
    new: DeviceKey,
    change: str,
    reason: str,
    *,
    by: str,
    at: datetime,
) -> None:
    conn.execute(
        "update device_key set valid_to = %(valid_to)s, revoked_at = %(revoked_at)s"
        " where key_id = %(key_id)s",
        asdict(new),
    )
    entry = Entry(
        change,
        new.evse_id,
        facts_of(new),
        before=facts_of(old),
        key_id=new.key_id,
        reason=reason,
    )
    key_changes.record(conn, [entry], by=by, at=at)
