"""The clearinghouse's own book: each posting id pays once, whatever is sent again."""

import json
import re
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

FIELDS: Final = (
    "posting_id", "settlement_id", "program", "event_id", "vehicle_id", "kind", "account",
    "currency", "amount_minor", "period_started_at", "period_ended_at", "supersedes",
)  # fmt: skip
NULLABLE: Final = frozenset({"supersedes"})
POSTINGS_MAX: Final = 1_000_000

_AMOUNT: Final = re.compile(r"-?[0-9]{1,15}")
_CURRENCY: Final = re.compile(r"[A-Z]{3}")


class PostingRefusedError(ValueError):
    """A posting that is not taken: the HTTP ``status`` for it, the ``field`` and what was wrong.

    400 for a body that is no posting, 409 for an id that already stands for another body, 507 when
    the book is full.
    """

    def __init__(self, status: int, error: str, field: str, expected: str) -> None:
        super().__init__(f"{error}: {field}; expected {expected}")
        self.status = status
        self.error = error
        self.field = field
        self.expected = expected


@dataclass(frozen=True, slots=True)
class Posting:
    """A posting as it was received: its fields, and the body's bytes."""

    fields: Mapping[str, str]
    body: bytes

    @property
    def posting_id(self) -> str:
        """Its id."""
        return self.fields["posting_id"]

    @property
    def amount_minor(self) -> int:
        """Its amount in minor units of the currency; negative takes back."""
        return int(self.fields["amount_minor"])

    @property
    def answer(self) -> dict[str, str]:
        """What the clearinghouse says of it, now and whenever it is sent again."""
        return {
            "posting_id": self.posting_id,
            "amount_minor": self.fields["amount_minor"],
            "currency": self.fields["currency"],
            "digest": sha256(self.body).hexdigest(),
            "status": "accepted",
        }


def parse_posting(body: bytes, idempotency_key: str) -> Posting:
    """A posting from a request.

    Args:
        body: the request's body.
        idempotency_key: the header: the posting's id as a quoted string
            (draft-ietf-httpapi-idempotency-key-header-07 §2.1).

    Raises:
        PostingRefusedError: with status 400.
    """
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise PostingRefusedError(400, "malformed", "body", "a JSON object") from error
    if not isinstance(fields, dict):
        raise PostingRefusedError(400, "malformed", "body", "a JSON object")
    for name in FIELDS:
        value = fields.get(name)
        if not (isinstance(value, str) and value) and not (name in NULLABLE and value is None):
            raise PostingRefusedError(400, "malformed", name, "text")
    if not _AMOUNT.fullmatch(fields["amount_minor"]):
        raise PostingRefusedError(400, "malformed", "amount_minor", "an integer as text")
    if not _CURRENCY.fullmatch(fields["currency"]):
        raise PostingRefusedError(400, "malformed", "currency", "three letters (ISO 4217)")
    if idempotency_key != f'"{fields["posting_id"]}"':
        raise PostingRefusedError(400, "malformed", "Idempotency-Key", "the quoted posting_id")
    return Posting(fields, body)


@dataclass(frozen=True)
class Ledger:
    """What the clearinghouse did, to compare with what was meant.

    Attributes:
        postings: every posting that took effect, by id.
        effects: how often each took effect. Anything but 1 is an error of this simulator.
        attempts: how often each was sent.
        totals_minor: sum of what took effect, by currency.
        answers: how many answers of each kind were given: an HTTP status, or the name of a fault.
    """

    postings: Mapping[str, Posting]
    effects: Mapping[str, int]
    attempts: Mapping[str, int]
    totals_minor: Mapping[str, int]
    answers: Mapping[str, int]

    @property
    def settlements_paid_twice(self) -> list[str]:
        """Settlements that took effect for one kind and account under more than one posting id: a
        double payout.
        """
        counts = Counter(
            tuple(posting.fields[name] for name in ("settlement_id", "kind", "account"))
            for posting in self.postings.values()
        )
        return sorted({settlement for (settlement, _, _), count in counts.items() if count > 1})

    def as_json(self) -> dict[str, object]:
        """As ``GET /v1/ledger`` shows it; amounts as text."""
        return {
            "totals_minor": {currency: str(total) for currency, total in self.totals_minor.items()},
            "postings": {
                posting_id: {
                    **posting.fields,
                    "effects": self.effects[posting_id],
                    "attempts": self.attempts[posting_id],
                }
                for posting_id, posting in self.postings.items()
            },
            "settlements_paid_twice": self.settlements_paid_twice,
            "answers": dict(self.answers),
        }


class PayoutBook:
    """Postings in memory, for a server that is not killed. Safe to read from another thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._postings: dict[str, Posting] = {}
        self._effects: list[tuple[str, str, int]] = []
        self._attempts: Counter[str] = Counter()
        self._answers: Counter[str] = Counter()

    def attempt(self, posting_id: str) -> int:
        """Count one more call for this id; how many there have been, this one included."""
        with self._lock:
            self._attempts[posting_id] += 1
            return self._attempts[posting_id]

    def answered(self, kind: str) -> None:
        """Count an answer."""
        with self._lock:
            self._answers[kind] += 1

    def take(self, posting: Posting) -> tuple[int, Posting]:
        """Let a posting take effect, once.

        Returns:
            201 and the posting; 208 and the first posting where the same body came before.

        Raises:
            PostingRefusedError: 409 where the id stands for another body, 507 when full.
        """
        with self._lock:
            first = self._postings.get(posting.posting_id)
            if first is not None and first.body != posting.body:
                differing = (name for name in FIELDS if first.fields[name] != posting.fields[name])
                raise PostingRefusedError(
                    409, "conflict", next(differing, "body"), "the body that came first"
                )
            if first is not None:
                return 208, first
            if len(self._postings) >= POSTINGS_MAX:
                raise PostingRefusedError(507, "full", "book", f"at most {POSTINGS_MAX} postings")
            self._postings[posting.posting_id] = posting
            self._effects.append(
                (posting.posting_id, posting.fields["currency"], posting.amount_minor)
            )
            return 201, posting

    def find(self, posting_id: str) -> Posting | None:
        """The posting of that id, if it took effect."""
        with self._lock:
            return self._postings.get(posting_id)

    def ledger(self) -> Ledger:
        """Everything so far."""
        with self._lock:
            totals: Counter[str] = Counter()
            for _, currency, amount in self._effects:
                totals[currency] += amount
            return Ledger(
                postings=dict(self._postings),
                effects=Counter(posting_id for posting_id, _, _ in self._effects),
                attempts=Counter(self._attempts),
                totals_minor=dict(totals),
                answers=dict(sorted(self._answers.items())),
            )
