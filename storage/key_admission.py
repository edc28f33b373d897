"""What a key must be to come into the registry, however it comes.

usable         on the curve that its record allows, named by its own thumbprint
its own        the public key is no other EVSE's and no other meter's, proven or enrolled, ever
the only one   an EVSE has one key to sign packets and one per meter, but while one is replaced
at one place   a meter is at one EVSE
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final

from settlement import units
from settlement.packets.keys import der_of, key_id_of
from settlement.signatures import DeviceKey, UnusableKeyError
from storage import key_changes
from storage.engine import Connection
from storage.key_changes import Entry, KeyRefusedError, Refusal, printable

CLIENT_ID_FORBIDDEN: Final = "/+#"
"""A client's identity is a level of its topics."""


@dataclass(frozen=True, slots=True)
class Admission:
    """A key that asks to come in.

    Attributes:
        change: what this is called in the history.
        replaces: the key of the same EVSE and purpose that it may stand beside.
        enrolment_id: the enrolment that brings it.
        stated: what must be as it was, of a key that is enrolled already.
    """

    key: DeviceKey
    change: str
    reason: str = ""
    replaces: str = ""
    enrolment_id: str | None = None
    stated: frozenset[str] = frozenset({"client_id"})


def facts_of(key: DeviceKey) -> dict[str, object]:
    """What the history says of a key."""
    return asdict(key)


def admit(
    conn: Connection,
    admissions: Sequence[Admission],
    *,
    by: str,
    at: datetime,
) -> list[bool | KeyRefusedError]:
    """Enrol keys, after ``key_changes.changing``.

    Args:
        conn: as ``v2g_registry``; the caller commits.
        admissions: the keys.
        by: who does it.
        at: when, as ``changing`` said.

    Returns:
        For each key whether it is new (False: it stood already, and stays as it is), or why it was
        not enrolled; those that were not have left no trace.
    """
    unusable = [_why_unusable(one.key) for one in admissions]
    usable = [one.key for one, why in zip(admissions, unusable, strict=True) if why is None]
    standing = _Standing(conn, usable, at)
    outcomes: list[bool | KeyRefusedError] = []
    new: list[Admission] = []
    for one, why in zip(admissions, unusable, strict=True):
        try:
            outcome = why or standing.admit(one)
        except KeyRefusedError as error:
            outcome = error
        outcomes.append(outcome)
        if outcome is True:
            new.append(one)
    claim(conn, [one.key for one in new], at=at)
    with conn.cursor() as cursor:
        cursor.executemany(
            """
            insert into device_key
                (key_id, evse_id, algorithm, public_key, valid_from, valid_to, revoked_at, enrolled_at,
                 meter_id, client_id)
            values
                (%(key_id)s, %(evse_id)s, %(algorithm)s, %(public_key)s, %(valid_from)s, %(valid_to)s,
                 %(revoked_at)s, %(at)s, %(meter_id)s, %(client_id)s)
            """,
            [asdict(one.key) | {"at": at} for one in new],
        )
    entries = [
        Entry(
            one.change,
            one.key.evse_id,
            facts_of(one.key),
            key_id=one.key.key_id,
            enrolment_id=one.enrolment_id,
            reason=one.reason,
        )
        for one in new
    ]
    key_changes.record(conn, entries, by=by, at=at)
    return outcomes


def claim(conn: Connection, keys: Sequence[DeviceKey], *, at: datetime) -> None:
    """Write down whose these public keys are; what is written down already stays."""
    with conn.cursor() as cursor:
        cursor.executemany(
            """
            insert into key_claim (public_key, key_id, evse_id, meter_id, claimed_at)
            values (%(public_key)s, %(key_id)s, %(evse_id)s, %(meter_id)s, %(at)s)
            on conflict (public_key) do nothing
            """,
            [asdict(key) | {"at": at} for key in keys],
        )


def require_unclaimed(conn: Connection, key: DeviceKey) -> None:
    """Raises KeyRefusedError: TAKEN, where the public key is another EVSE's or meter's."""
    _require_own(key, _claims(conn, [key]))


def _claims(conn: Connection, keys: Iterable[DeviceKey]) -> dict[bytes, tuple[str, str]]:
    rows = conn.execute(
        "select public_key, evse_id, meter_id from key_claim where public_key = any(%s)",
        [[key.public_key for key in keys]],
    )
    return {bytes(public_key): (evse, meter) for public_key, evse, meter in rows}


def _require_own(key: DeviceKey, claims: dict[bytes, tuple[str, str]]) -> None:
    evse, meter = claims.get(key.public_key, (key.evse_id, key.meter_id))
    if (evse, meter) != (key.evse_id, key.meter_id):
        whose = f"EVSE {evse}" + (f", meter {meter}" if meter else "")
        raise KeyRefusedError(
            Refusal.TAKEN, f"key {key.key_id}", f"its public key belongs to {whose}",
            "a key that no other device ever had",
        )  # fmt: skip


def require_names(evse_id: str, meter_id: str, client_id: str) -> None:
    """Raises KeyRefusedError: INVALID, for a name that no packet or topic can carry."""
    for where, value in (("evse_id", evse_id), ("meter_id", meter_id), ("client_id", client_id)):
        if value or where == "evse_id":
            shown = printable(where, value, "a name", units.ID_MAX_CHARS)
            if shown != value:
                raise KeyRefusedError(Refusal.INVALID, where, repr(value), "no space around it")
    brought_by = client_id or evse_id
    if set(brought_by) & set(CLIENT_ID_FORBIDDEN):
        where = "client_id" if client_id else "evse_id"
        expected = f"none of {CLIENT_ID_FORBIDDEN}: it is a level of an MQTT topic"
        raise KeyRefusedError(Refusal.INVALID, where, repr(brought_by), expected)


def _why_unusable(key: DeviceKey) -> KeyRefusedError | None:
    try:
        _require_usable(key)
    except KeyRefusedError as error:
        return error
    return None


def _require_usable(key: DeviceKey) -> None:
    require_names(key.evse_id, key.meter_id, key.client_id)
    where = f"key {key.key_id[:80]}"
    try:
        public = key.verifier
    except UnusableKeyError as error:
        found, _, expected = str(error).removeprefix(f"key {key.key_id}: ").partition("; expected ")
        raise KeyRefusedError(
            Refusal.INVALID, where, found, expected or "an EC public key"
        ) from error
    if key.key_id != key_id_of(public) or key.public_key != der_of(public):
        expected = f"{key_id_of(public)}, and the public key as DER with its point uncompressed"
        raise KeyRefusedError(Refusal.INVALID, where, "not named by its thumbprint", expected)
    for name, at in (("valid_from", key.valid_from), ("valid_to", key.valid_to)):
        if at is not None and at.tzinfo is None:
            raise KeyRefusedError(Refusal.INVALID, name, str(at), "a time with its zone")
    if key.valid_to is not None and key.valid_to <= key.valid_from:
        found = key.valid_to.isoformat()
        expected = f"a time after valid_from, {key.valid_from.isoformat()}"
        raise KeyRefusedError(Refusal.INVALID, "valid_to", found, expected)


class _Standing:
    """The part of the registry that newcomers could collide with; grows as they are admitted."""

    def __init__(self, conn: Connection, keys: Sequence[DeviceKey], at: datetime) -> None:
        self._at = at
        self._claims = _claims(conn, keys)
        wanted: dict[str, Any] = {
            "ids": [key.key_id for key in keys],
            "evses": [key.evse_id for key in keys],
            "meters": [key.meter_id for key in keys if key.meter_id],
            "public": [key.public_key for key in keys],
        }
        rows = conn.execute(
            """
            select key_id, evse_id, public_key, valid_from, valid_to, revoked_at, algorithm, meter_id,
                   client_id
            from device_key
            where key_id = any(%(ids)s) or evse_id = any(%(evses)s) or meter_id = any(%(meters)s)
            order by key_id
            """,
            wanted,
        )
        self._by_id: dict[str, DeviceKey] = {}
        self._by_evse: dict[str, list[DeviceKey]] = {}
        self._by_meter: dict[str, list[DeviceKey]] = {}
        for row in rows:
            self._add(DeviceKey(*row))
        self._pending: dict[str, str] = dict(
            conn.execute(
                "select key_id, enrolment_id from key_enrolment"
                " where state = 'pending' and public_key = any(%(public)s)",
                wanted,
            ).fetchall()
        )

    def _add(self, key: DeviceKey) -> None:
        self._by_id[key.key_id] = key
        self._by_evse.setdefault(key.evse_id, []).append(key)
        self._by_meter.setdefault(key.meter_id, []).append(key)

    def admit(self, one: Admission) -> bool:
        """Whether it is new. Raises KeyRefusedError."""
        key = one.key
        _require_own(key, self._claims)
        known = self._by_id.get(key.key_id)
        if known is not None:
            _require_same(known, one)
            return False
        waiting = self._pending.get(key.key_id)
        if waiting is not None and waiting != one.enrolment_id:
            raise KeyRefusedError(
                Refusal.STATE, f"key {key.key_id}", f"waits in enrolment {waiting}",
                "that enrolment approved or rejected",
            )  # fmt: skip
        for other in self._by_evse.get(key.evse_id, ()):
            if other.meter_id == key.meter_id and other.key_id != one.replaces:
                self._require_apart(key, other, f"EVSE {key.evse_id} has key {other.key_id}")
        for other in self._by_meter.get(key.meter_id, ()) if key.meter_id else ():
            if other.evse_id != key.evse_id:
                _require_elsewhere(key, other)
        self._claims[key.public_key] = (key.evse_id, key.meter_id)
        self._add(key)
        return True

    def _require_apart(self, key: DeviceKey, other: DeviceKey, found: str) -> None:
        """Raises KeyRefusedError: TAKEN, unless one of them has ended before the other begins."""
        ended = (other.revoked_at is not None and other.revoked_at <= self._at) or (
            other.valid_to is not None and other.valid_to <= max(self._at, key.valid_from)
        )
        if not ended and (key.valid_to is None or other.valid_from < key.valid_to):
            raise KeyRefusedError(
                Refusal.TAKEN, f"key {key.key_id}", found,
                "one key at a time; replace it with `v2g keys rotate`, or revoke it first",
            )  # fmt: skip


def _require_elsewhere(key: DeviceKey, other: DeviceKey) -> None:
    """Raises KeyRefusedError: TAKEN, where a meter would have been at two EVSEs at any time.

    Also at a time that is over: a meter's record names no EVSE, so an old one would be paid anew.
    """
    ends = [end for end in (other.valid_to, other.revoked_at) if end is not None]
    if (not ends or key.valid_from < min(ends)) and (
        key.valid_to is None or other.valid_from < key.valid_to
    ):
        until = min(ends).isoformat() if ends else "now on"
        raise KeyRefusedError(
            Refusal.TAKEN, f"key {key.key_id}", f"meter {key.meter_id} is at EVSE {other.evse_id}",
            f"a key of it that ends first: that one, {other.key_id}, stands until {until}",
        )  # fmt: skip


def _require_same(known: DeviceKey, one: Admission) -> None:
    for name in ("algorithm", *sorted(one.stated)):
        stands, asked = getattr(known, name), getattr(one.key, name)
        if stands != asked:
            raise KeyRefusedError(
                Refusal.TAKEN, f"key {known.key_id}",
                f"enrolled with {name} {stands or 'empty'}, not {asked or 'empty'}",
                "the same facts; a key that stands is changed by rotate, shorten and revoke only",
            )  # fmt: skip
