"""What is sent: the body of a posting, its digest and its id.

Errors:
    PostingError
    ├── UncomposableError           a fact that no posting can carry
    └── states.IllegalMoveError     a state that may not follow another
"""

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final
from uuid import UUID, uuid5

from settlement.booking import Kind
from settlement.schemas import SETTLEMENT

NAMESPACE: Final = UUID("f4473c9e-8605-432a-ad49-fef23410f371")
"""Namespace of posting ids (RFC 9562 §5.5). Changing it would pay everything a second time."""

_CURRENCY: Final = re.compile(r"[A-Z]{3}")


class PostingError(ValueError):
    """Root of this package's errors."""


class UncomposableError(PostingError):
    """A fact that no posting can carry: ``where``, what was ``found``, what was ``expected``."""

    def __init__(self, where: str, found: str, expected: str) -> None:
        super().__init__(f"posting: {where} is {found}; expected {expected}")
        self.where = where
        self.found = found
        self.expected = expected


@dataclass(frozen=True, slots=True)
class Facts:
    """What a booked settlement has to tell the clearinghouse about one account.

    Attributes:
        kind: a ``settlement.booking.Kind``: payout, adjustment, reversal or rebooking.
        account: whose money it is, at the partner.
        currency: ISO 4217.
        amount_minor: what the settlement moves there, in minor units, as ``booking.payments`` sums it
            up; negative where it takes back.
        period_started_at: start of the half-open period; any zone, sent as UTC.
        period_ended_at: its end, not included.
        supersedes: settlement id of the revision that this one adjusts.
    """

    settlement_id: str
    program: str
    event_id: str
    vehicle_id: str
    kind: str
    account: str
    currency: str
    amount_minor: int
    period_started_at: datetime
    period_ended_at: datetime
    supersedes: str | None = None


@dataclass(frozen=True, slots=True)
class Posting:
    """What one settlement sends to one partner for one account.

    Attributes:
        posting_id: UUID; also the idempotency key.
        kind: a ``settlement.booking.Kind``.
        account: whose money it is, at the partner.
        amount_minor: minor units of ``currency``; negative where it takes back.
        body: the request body, byte for byte, for every attempt.
        body_digest: SHA-256 of ``body``, 32 bytes.
    """

    posting_id: str
    settlement_id: str
    partner: str
    kind: str
    account: str
    currency: str
    amount_minor: int
    body: bytes
    body_digest: bytes


def posting_id(settlement_id: str, partner: str, kind: str, account: str) -> str:
    """The id under which a settlement's movement goes to a partner, for ever (UUIDv5, RFC 9562 §5.5).

    >>> posting_id("s-1", "clearinghouse", "payout", "owner-1")
    'e54703b2-8173-52ef-91ce-77d7e9687bb1'
    """
    # A JSON array, because plain joining would give ("a-b", "c") the id of ("a", "b-c").
    return str(uuid5(NAMESPACE, json.dumps([partner, settlement_id, kind, account])))


def compose(facts: Facts, *, partner: str) -> Posting:
    """The posting of a booked settlement to one account. The same facts always give the same bytes.

    The body is JSON in UTF-8 with sorted names, integers as text and times as RFC 3339 §5.6.

    Raises:
        UncomposableError: an empty or unprintable text, an unknown kind, a currency that is no
            ISO 4217 code, an amount out of range, a time without its zone, a period that is empty.
    """
    _require_permitted(facts, partner)
    identity = posting_id(facts.settlement_id, partner, facts.kind, facts.account)
    content = {
        "posting_id": identity,
        "settlement_id": facts.settlement_id,
        "program": facts.program,
        "event_id": facts.event_id,
        "vehicle_id": facts.vehicle_id,
        "kind": facts.kind,
        "account": facts.account,
        "currency": facts.currency,
        "amount_minor": str(facts.amount_minor),
        "period_started_at": _rfc3339(facts.period_started_at),
        "period_ended_at": _rfc3339(facts.period_ended_at),
        "supersedes": facts.supersedes,
    }
    body = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    return Posting(
        posting_id=identity,
        settlement_id=facts.settlement_id,
        partner=partner,
        kind=facts.kind,
        account=facts.account,
        currency=facts.currency,
        amount_minor=facts.amount_minor,
        body=body,
        body_digest=sha256(body).digest(),
    )


def _require_permitted(facts: Facts, partner: str) -> None:
    texts = ("settlement_id", "program", "event_id", "vehicle_id", "account", "currency")
    given = {name: str(getattr(facts, name)) for name in texts} | {"partner": partner}
    if facts.supersedes is not None:
        given["supersedes"] = facts.supersedes
    for where, value in given.items():
        if not value:
            raise UncomposableError(where, "empty", "text")
        if not value.isprintable():  # control characters, and lone surrogates: no UTF-8 for those
            raise UncomposableError(where, ascii(value), "printable text")
    if facts.kind not in list(Kind):
        raise UncomposableError("kind", repr(facts.kind), f"one of {', '.join(Kind)}")
    if not _CURRENCY.fullmatch(facts.currency):
        raise UncomposableError("currency", repr(facts.currency), "three capitals (ISO 4217)")
    bound = SETTLEMENT.column("amount_minor").high or 0
    if abs(facts.amount_minor) > bound:
        raise UncomposableError("amount_minor", str(facts.amount_minor), f"at most ±{bound}")
    _require_period(facts)


def _require_period(facts: Facts) -> None:
    for where in ("period_started_at", "period_ended_at"):
        at: datetime = getattr(facts, where)
        if at.tzinfo is None:
            raise UncomposableError(where, at.isoformat(), "a time with its zone")
    if facts.period_started_at >= facts.period_ended_at:
        raise UncomposableError("the period", "empty", "an end after its start")


def _rfc3339(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
