"""The clearinghouse's own book: each posting id pays once, whatever is sent again."""

import json
import re
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any, Final

FIELDS: Final = (
    "posting_id", "settlement_id", "program", "event_id", "vehicle_id", "kind", "account",
    "currency", "amount_minor", "period_started_at", "period_ended_at", "supersedes",
)  # fmt: skip
NULLABLE: Final = frozenset({"supersedes"})
POSTINGS_MAX: Final = 1_000_000
BODIES_MAX_BYTES: Final = 512 * 1024 * 1024
HEARD_MAX: Final = 10_000
"""Postings that were not taken and are remembered all the same, for lies about them."""

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
    """A posting as it was received.

    Attributes:
        posting_id: its id.
        account: who is paid.
        currency: ISO 4217.
        amount: minor units as they were written; negative takes back.
        body: the request's bytes.
    """

    posting_id: str
    account: str
    currency: str
    amount: str
    body: bytes

    @property
    def amount_minor(self) -> int:
        """Its amount in minor units of the currency."""
        return int(self.amount)

    @property
    def fields(self) -> Mapping[str, str]:
        """All that it says. Read from the body each time: a book of a million is kept small."""
        fields: dict[str, str] = json.loads(self.body)
        return fields

    @property
    def answer(self) -> dict[str, str]:
        """What the clearinghouse says of it, now and whenever it is sent again."""
        return {
            "posting_id": self.posting_id,
            "amount_minor": self.amount,
            "currency": self.currency,
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
        fields: Any = json.loads(body)
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
    return Posting(
        fields["posting_id"], fields["account"], fields["currency"], fields["amount_minor"], body
    )


@dataclass(frozen=True, slots=True)
class Payment:
    """One effect: money that moved.

    Attributes:
        number: 1, 2, … in order of payment.
        posting: what it was moved for.
        paid_at: when, UTC.
    """

    number: int
    posting: Posting
    paid_at: datetime


@dataclass(frozen=True)
class Ledger:
    """What the clearinghouse did, to compare with what was meant.

    Attributes:
        postings: every posting that took effect, by id.
        effects: how often each took effect. Anything but 1 is an error of this simulator.
        attempts: how often each was sent.
        totals_minor: sum of what took effect, by currency.
        answers: how many answers to postings of each kind were given: an HTTP status, or the name
            of a fault.
        queries: how often the status of each was asked for.
    """

    postings: Mapping[str, Posting]
    effects: Mapping[str, int]
    attempts: Mapping[str, int]
    totals_minor: Mapping[str, int]
    answers: Mapping[str, int]
    queries: Mapping[str, int]

    @property
    def settlements_paid_twice(self) -> list[str]:
        """Settlements that took effect for one kind and account under more than one posting id: a
        double payout.
        """
        every = (posting.fields for posting in self.postings.values())
        counts = Counter(
            tuple(fields[name] for name in ("settlement_id", "kind", "account")) for fields in every
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
            "queries": dict(self.queries),
        }


class PayoutBook:
    """Postings in memory, for a server that is not killed. Safe to read from another thread.

    Args:
        now: the time of a payment, UTC.
        postings_max: a posting more is refused.
    """

    def __init__(self, now: Callable[[], datetime], *, postings_max: int = POSTINGS_MAX) -> None:
        self._now = now
        self._postings_max = postings_max
        self._lock = threading.Lock()
        self._postings: dict[str, Posting] = {}
        self._bytes = 0
        self._payments: list[Payment] = []
        self._heard: OrderedDict[str, Posting] = OrderedDict()
        self._attempts: Counter[str] = Counter()
        self._queries: Counter[str] = Counter()
        self._calls = 0
        self._answers: Counter[str] = Counter()

    def attempt(self, posting: Posting) -> int:
        """Count one more call for this id; how many there have been, this one included.

        Raises:
            PostingRefusedError: 507 where there are too many ids to count.
        """
        with self._lock:
            self._calls += 1
            count = self._count(self._attempts, posting.posting_id)
            self._heard[posting.posting_id] = posting
            if len(self._heard) > HEARD_MAX:
                self._heard.popitem(last=False)
            return count

    def query(self, posting_id: str) -> int:
        """Count one more status query for this id, likewise."""
        with self._lock:
            return self._count(self._queries, posting_id)

    def _count(self, counts: Counter[str], posting_id: str) -> int:
        if posting_id not in counts and len(counts) >= self._postings_max:
            raise self._full()
        counts[posting_id] += 1
        return counts[posting_id]

    def _full(self) -> PostingRefusedError:
        return PostingRefusedError(507, "full", "book", f"at most {self._postings_max} postings")

    def answered(self, kind: str) -> None:
        """Count an answer."""
        with self._lock:
            self._answers[kind] += 1

    def calls(self) -> int:
        """How many postings came so far, repeats included; quick."""
        return self._calls

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
                was, now = first.fields, posting.fields
                differing = (name for name in FIELDS if was[name] != now[name])
                raise PostingRefusedError(
                    409, "conflict", next(differing, "body"), "the body that came first"
                )
            if first is not None:
                return 208, first
            if (
                len(self._postings) >= self._postings_max
                or self._bytes + len(posting.body) > BODIES_MAX_BYTES
            ):
                raise self._full()
            self._postings[posting.posting_id] = posting
            self._bytes += len(posting.body)
            self._payments.append(Payment(len(self._payments) + 1, posting, self._now()))
            return 201, posting

    def find(self, posting_id: str) -> Posting | None:
        """The posting of that id, if it took effect."""
        with self._lock:
            return self._postings.get(posting_id)

    def heard(self, posting_id: str) -> Posting | None:
        """The last posting that came under that id, whether it took effect or not."""
        with self._lock:
            return self._heard.get(posting_id)

    def payments(self) -> Sequence[Payment]:
        """Every effect so far, in order."""
        with self._lock:
            return tuple(self._payments)

    def ledger(self) -> Ledger:
        """Everything so far."""
        with self._lock:
            totals: Counter[str] = Counter()
            for payment in self._payments:
                totals[payment.posting.currency] += payment.posting.amount_minor
            return Ledger(
                postings=dict(self._postings),
                effects=Counter(payment.posting.posting_id for payment in self._payments),
                attempts=Counter(self._attempts),
                totals_minor=dict(totals),
                answers=dict(sorted(self._answers.items())),
                queries=Counter(self._queries),
            )
