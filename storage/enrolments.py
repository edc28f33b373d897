"""Enrolment of a device's key: invited by one person, proven by the device, approved by another.

    invite      a one-time token for one EVSE, shown once, kept as its SHA-256
    challenge   a nonce for whoever has the token, to be signed once and soon
    prove       the nonce, signed by the very key: the key waits, and nobody else can have it
    approve     by a second person: the key is enrolled, from the time of its proof
    reject      or withdrawn

Each step runs in the caller's transaction and may be repeated: it answers as it did.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from settlement.packets.keys import CURVES, der_of
from settlement.possession import PROVABLE_CURVES, Proof, verify
from settlement.signatures import CURVE_OF, DeviceKey, algorithm_of
from storage import enrolment_records, key_admission, key_changes
from storage.engine import Connection
from storage.enrolment_records import Enrolment, by_invitation, digest, found
from storage.key_admission import Admission
from storage.key_changes import KeyRefusedError, Refusal, person, said
from storage.keys import OVERLAP_MAX, find, replace_key

INVITATION_FOR: Final = timedelta(days=7)
INVITATION_MAX: Final = timedelta(days=30)
NONCE_FOR: Final = timedelta(minutes=10)
INVITATIONS_OPEN_MAX: Final = 5
"""Of one EVSE."""
NONCES_OPEN_MAX: Final = 5
NONCES_MAX: Final = 100
"""Of one invitation: nonces that wait for their signature, and all there ever were."""
TOKEN_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Challenge:
    """A nonce to sign: once, and before it expires. ``curve`` is what the key must lie on."""

    nonce: str
    expires_at: datetime
    evse_id: str
    curve: str


def invite(
    conn: Connection,
    evse_id: str,
    *,
    by: str,
    clock: Callable[[], datetime],
    meter_id: str = "",
    client_id: str = "",
    curve: str = "secp256r1",
    replaces: str = "",
    overlap: timedelta = timedelta(0),
    valid_for: timedelta = INVITATION_FOR,
) -> tuple[Enrolment, str]:
    """Allow one device to enrol one key.

    Args:
        conn: as ``v2g_registry``; the caller commits.
        evse_id: the EVSE that it is for.
        by: who invites; somebody else will have to approve.
        clock: gives now, in UTC.
        meter_id: for a key that signs a meter's records: the meter.
        client_id: the MQTT identity that brings its packets; empty: the EVSE's id.
        curve: what the key must lie on; secp256r1 unless another is allowed here.
        replaces: the key id that it rotates; its EVSE, meter and client are those of that key.
        overlap: how long that one stands beside it.
        valid_for: how long the token can be used.

    Returns:
        The enrolment and its token. The token is kept nowhere.

    Raises:
        KeyRefusedError: a name or a bound is wrong, or the EVSE has its key already.
    """
    by = person(by)
    at = key_changes.changing(conn, clock)
    if replaces:
        old = find(conn, replaces).key
        if old.evse_id != evse_id:
            raise KeyRefusedError(
                Refusal.INVALID, "evse_id", evse_id, f"{old.evse_id}, whose key is replaced"
            )
        meter_id, client_id = old.meter_id, old.client_id
    key_admission.require_names(evse_id, meter_id, client_id)
    if curve not in PROVABLE_CURVES:
        known = "a curve that JOSE cannot sign on" if curve in CURVES else "no curve known here"
        expected = f"one of {', '.join(PROVABLE_CURVES)}; import a key on another"
        raise KeyRefusedError(Refusal.INVALID, "curve", f"{curve[:40]!r}, {known}", expected)
    _require_between("valid_for", valid_for, timedelta(minutes=1), INVITATION_MAX)
    _require_between("overlap", overlap, timedelta(0), OVERLAP_MAX)
    waiting = conn.execute(
        "select from key_enrolment where evse_id = %s and state = 'invited' and expires_at > %s",
        [evse_id, at],
    ).rowcount
    if waiting >= INVITATIONS_OPEN_MAX:
        raise KeyRefusedError(
            Refusal.STATE, f"EVSE {evse_id}", f"{waiting} invitations that nobody has used",
            f"at most {INVITATIONS_OPEN_MAX}: reject what is not needed",
        )  # fmt: skip
    token = secrets.token_urlsafe(TOKEN_BYTES)
    enrolment = Enrolment(
        secrets.token_hex(8), evse_id, meter_id, client_id, algorithm_of(curve), replaces,
        int(overlap.total_seconds()), by, at, at + valid_for, "invited", None, None, None, None, None,
    )  # fmt: skip
    conn.execute(
        """
        insert into key_enrolment
            (enrolment_id, invitation_digest, evse_id, meter_id, client_id, algorithm, replaces,
             overlap_s, invited_by, invited_at, expires_at, state)
        values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, 'invited')
        """,
        [
            enrolment.enrolment_id, digest(token), evse_id, meter_id, client_id, enrolment.algorithm,
            replaces, enrolment.overlap_s, by, at, enrolment.expires_at,
        ],
    )  # fmt: skip
    enrolment_records.record(conn, "invited", enrolment, by=by, at=at)
    return enrolment, token


def challenge(conn: Connection, invitation: str, *, clock: Callable[[], datetime]) -> Challenge:
    """A nonce for whoever holds an invitation; the caller commits.

    Raises:
        KeyRefusedError: no such invitation, it is over, or too many nonces were asked for.
    """
    by_invitation(conn, invitation)  # strangers hold up nobody
    at = key_changes.changing(conn, clock)
    enrolment = by_invitation(conn, invitation)
    _require_open(enrolment, at)
    open_, ever = conn.execute(
        "select count(*) filter (where used_at is null and expires_at > %s), count(*)"
        " from key_challenge where enrolment_id = %s",
        [at, enrolment.enrolment_id],
    ).fetchall()[0]
    if open_ >= NONCES_OPEN_MAX or ever >= NONCES_MAX:
        raise KeyRefusedError(
            Refusal.STATE, "invitation", f"{open_} nonces unsigned, {ever} in all",
            f"at most {NONCES_OPEN_MAX} unsigned within {NONCE_FOR}, and {NONCES_MAX} in all",
        )  # fmt: skip
    nonce = secrets.token_urlsafe(TOKEN_BYTES)
    conn.execute(
        "insert into key_challenge (nonce_digest, enrolment_id, issued_at, expires_at)"
        " values (%s, %s, %s, %s)",
        [digest(nonce), enrolment.enrolment_id, at, at + NONCE_FOR],
    )
    return Challenge(nonce, at + NONCE_FOR, enrolment.evse_id, CURVE_OF[enrolment.algorithm])


def prove(conn: Connection, proof: bytes, *, clock: Callable[[], datetime]) -> Enrolment:
    """Take a proof of possession: the key waits for approval. The caller commits.

    Sent again it is answered with what has become of the enrolment: so a device asks for its state.

    Raises:
        PossessionError: the proof proves nothing.
        KeyRefusedError: invitation or nonce are not ours, used or over; it is another EVSE's or of
            another curve; or the key is taken.
    """
    shown = verify(proof)
    by_invitation(conn, shown.invitation)  # strangers hold up nobody
    at = key_changes.changing(conn, clock)
    enrolment = by_invitation(conn, shown.invitation)
    if enrolment.key_id == shown.key_id:
        return enrolment
    _require_open(enrolment, at)
    if shown.evse_id != enrolment.evse_id:
        raise KeyRefusedError(
            Refusal.INVALID,
            "payload.evse_id",
            shown.evse_id,
            f"{enrolment.evse_id}, who is invited",
        )
    if algorithm_of(shown.curve) != enrolment.algorithm:
        expected = f"{CURVE_OF[enrolment.algorithm]}, which the invitation allows"
        raise KeyRefusedError(Refusal.INVALID, "header.jwk", f"a key on {shown.curve}", expected)
    key = _device_key(enrolment, shown, at)
    key_admission.require_unclaimed(conn, key)
    taken = conn.execute(
        """
        select 'enrolled' from device_key where public_key = %(public_key)s
        union all
        select 'waiting for approval' from key_enrolment
        where state = 'pending' and public_key = %(public_key)s
        """,
        {"public_key": key.public_key},
    ).fetchone()
    if taken is not None:
        raise KeyRefusedError(Refusal.TAKEN, f"key {key.key_id}", f"is {taken[0]}", "a new key")
    used = conn.execute(
        "update key_challenge set used_at = %s where nonce_digest = %s and enrolment_id = %s"
        " and used_at is null and expires_at > %s",
        [at, digest(shown.nonce), enrolment.enrolment_id, at],
    ).rowcount
    if not used:
        raise KeyRefusedError(
            Refusal.UNKNOWN, "payload.nonce", "not ours, used, or too old",
            f"a nonce of this invitation, not older than {NONCE_FOR}: ask for a new one",
        )  # fmt: skip
    key_admission.claim(conn, [key], at=at)
    conn.execute(
        "update key_enrolment set state = 'pending', key_id = %s, public_key = %s, proof = %s,"
        " proven_at = %s where enrolment_id = %s",
        [key.key_id, key.public_key, proof, at, enrolment.enrolment_id],
    )
    proven = found(conn, enrolment.enrolment_id)
    enrolment_records.record(
        conn, "proven", proven, before=enrolment, by=f"EVSE {enrolment.evse_id}", at=at
    )
    return proven


def approve(
    conn: Connection, enrolment_id: str, *, by: str, clock: Callable[[], datetime], key_id: str = ""
) -> Enrolment:
    """Enrol the key that waits, from the time of its proof. The caller commits.

    Args:
        conn: as ``v2g_registry``.
        enrolment_id: the enrolment.
        by: who approves; not who invited.
        clock: gives now, in UTC.
        key_id: the thumbprint that the approver was told by another way; compared where given.

    Raises:
        KeyRefusedError: it does not wait for approval, the same person again, another key, or the
            EVSE has its key already.
    """
    by = person(by)
    at = key_changes.changing(conn, clock)
    enrolment = found(conn, enrolment_id)
    where = f"enrolment {enrolment_id}"
    if enrolment.state == "approved" and enrolment.decided_by == by:
        return enrolment
    if enrolment.state != "pending":
        raise KeyRefusedError(Refusal.STATE, where, f"is {enrolment.state}", "one that is pending")
    if by.casefold() == enrolment.invited_by.casefold():
        raise KeyRefusedError(
            Refusal.SAME_PERSON, "by", f"{by}, who invited", "a second person to approve"
        )
    if key_id and key_id != enrolment.key_id:
        raise KeyRefusedError(
            Refusal.INVALID, "key_id", key_id, f"{enrolment.key_id}, what was proven"
        )
    admission = Admission(_proven_key(enrolment), "enrolled", enrolment_id=enrolment_id)
    if enrolment.replaces:
        overlap = timedelta(seconds=enrolment.overlap_s)
        old = find(conn, enrolment.replaces).key
        replace_key(conn, old, admission, overlap=overlap, by=by, at=at)
    else:
        outcome = key_admission.admit(conn, [admission], by=by, at=at)[0]
        if isinstance(outcome, KeyRefusedError):
            raise outcome
    return _decide(conn, enrolment, "approved", by=by, at=at)


def reject(
    conn: Connection, enrolment_id: str, *, by: str, reason: str, clock: Callable[[], datetime]
) -> Enrolment:
    """Refuse what waits, or withdraw an invitation; its key may be proven again for the same EVSE.

    Raises:
        KeyRefusedError: it is approved already.
    """
    by, reason = person(by), said(reason)
    at = key_changes.changing(conn, clock)
    enrolment = found(conn, enrolment_id)
    if enrolment.state == "rejected":
        return enrolment
    if enrolment.state == "approved":
        raise KeyRefusedError(
            Refusal.STATE,
            f"enrolment {enrolment_id}",
            "is approved",
            "`v2g keys revoke` for its key",
        )
    return _decide(conn, enrolment, "rejected", by=by, at=at, reason=reason)


def _require_open(enrolment: Enrolment, at: datetime) -> None:
    if enrolment.state != "invited":
        expected = "an invitation that no key has used: have the EVSE invited anew"
        used = f"was used by key {enrolment.key_id}"
        found_ = used if enrolment.key_id else f"is {enrolment.state}"
        raise KeyRefusedError(Refusal.STATE, "invitation", found_, expected)
    if enrolment.expires_at <= at:
        raise KeyRefusedError(
            Refusal.STATE, "invitation", f"expired at {enrolment.expires_at.isoformat()}",
            "a new invitation of the EVSE",
        )  # fmt: skip


def _require_between(where: str, value: timedelta, low: timedelta, high: timedelta) -> None:
    if not low <= value <= high:
        raise KeyRefusedError(Refusal.INVALID, where, str(value), f"{low} to {high}")


def _device_key(enrolment: Enrolment, shown: Proof, at: datetime) -> DeviceKey:
    return DeviceKey(
        shown.key_id,
        enrolment.evse_id,
        der_of(shown.key),
        at,
        algorithm=enrolment.algorithm,
        meter_id=enrolment.meter_id,
        client_id=enrolment.client_id,
    )


def _proven_key(enrolment: Enrolment) -> DeviceKey:
    assert enrolment.key_id is not None
    assert enrolment.public_key is not None
    assert enrolment.proven_at is not None
    return DeviceKey(
        enrolment.key_id,
        enrolment.evse_id,
        enrolment.public_key,
        enrolment.proven_at,
        algorithm=enrolment.algorithm,
        meter_id=enrolment.meter_id,
        client_id=enrolment.client_id,
    )


def _decide(
    conn: Connection, before: Enrolment, state: str, *, by: str, at: datetime, reason: str = ""
) -> Enrolment:
    conn.execute(
        "update key_enrolment set state = %s, decided_by = %s, decided_at = %s where enrolment_id = %s",
        [state, by, at, before.enrolment_id],
    )
    after = found(conn, before.enrolment_id)
    enrolment_records.record(conn, state, after, before=before, by=by, at=at, reason=reason)
    return after
