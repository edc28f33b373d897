"""The clearinghouse's statement: what it paid, as CSV, with lies where wanted.

    posting_id,account,currency,amount_minor,paid_at,reference,status
    0198…,owner-1,USD,377,2026-07-01T18:00:05Z,CH-0000000001,paid

RFC 4180: CRLF, a header line always. In order of payment.
"""

import csv
import io
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final, Self

from simulators.clearinghouse.book import Payment

COLUMNS: Final = (
    "posting_id", "account", "currency", "amount_minor", "paid_at", "reference", "status",
)  # fmt: skip
MEDIA_TYPE: Final = "text/csv; charset=utf-8"
LIES_MAX: Final = 1_000
FEE_MINOR: Final = -25
UNKNOWN_MINOR: Final = 1_234


class LieKind(StrEnum):
    """What a statement says wrongly; ``LIES`` says it in a sentence."""

    MISSING = "missing"
    DOUBLED = "doubled"
    OTHER_AMOUNT = "other_amount"
    OTHER_CURRENCY = "other_currency"
    OTHER_ACCOUNT = "other_account"
    UNKNOWN_POSTING = "unknown_posting"
    FEE = "fee"


LIES: Final = {
    LieKind.MISSING: "the line is left out",
    LieKind.DOUBLED: "the line stands there twice, under one reference",
    LieKind.OTHER_AMOUNT: "amount_minor is BY more, 1 by default",
    LieKind.OTHER_CURRENCY: "EUR instead of USD, and USD instead of all others",
    LieKind.OTHER_ACCOUNT: "another account, which nobody has",
    LieKind.UNKNOWN_POSTING: "a line more, for a posting nobody sent, of BY, 1234 by default",
    LieKind.FEE: "a line more, of BY, -25 by default, with the status fee and no posting",
}
_MORE: Final = frozenset({LieKind.UNKNOWN_POSTING, LieKind.FEE})


class UnusableLieError(ValueError):
    """A lie that is not in the list, or an option that does not fit."""


@dataclass(frozen=True, slots=True)
class Lie:
    """One thing that is wrong in a statement.

    Attributes:
        kind: which.
        line: about which line of the statement, the first is 1; a line more comes after it.
        posting: about which posting instead.
        by: an amount in minor units, see ``LIES``; None is the lie's own.
    """

    kind: LieKind
    line: int = 1
    posting: str | None = None
    by: int | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """From ``NAME[:OPTION=VALUE…]``: ``other_amount:line=3:by=-100``, ``missing:posting=0198…``.

        Raises:
            UnusableLieError: a name or an option that is not known, a value that does not fit.
        """
        name, *rest = text.split(":")
        options = dict((*option.partition("=")[::2],) for option in rest)
        try:
            if set(options) - {"line", "posting", "by"}:
                raise ValueError("expected the options line, posting, by")
            line = int(options.get("line", 1))
            if line < 1:
                raise ValueError("expected a line from 1")
            return cls(
                LieKind(name),
                line=line,
                posting=options.get("posting"),
                by=int(options["by"]) if "by" in options else None,
            )
        except ValueError as error:
            raise UnusableLieError(
                f"lie {text!r}: {error}; expected NAME[:OPTION=VALUE] with one of "
                f"{', '.join(LieKind)}"
            ) from error


class Lies:
    """The lies in force; may be changed from any thread while the server runs."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lies: list[Lie] = []

    def add(self, *texts: str) -> None:
        """Lie so in every statement from now on. Raises UnusableLieError."""
        lies = [Lie.parse(text) for text in texts]
        with self._lock:
            if len(self._lies) + len(lies) > LIES_MAX:
                raise UnusableLieError(f"more than {LIES_MAX} lies")
            self._lies += lies

    def clear(self) -> None:
        """Tell the truth from now on."""
        with self._lock:
            self._lies.clear()

    def __iter__(self) -> Iterator[Lie]:
        with self._lock:
            return iter(tuple(self._lies))


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a statement, in the order of ``COLUMNS``."""

    posting_id: str
    account: str
    currency: str
    amount_minor: int
    paid_at: str
    reference: str
    status: str


def statement(
    payments: Iterable[Payment],
    lies: Iterable[Lie] = (),
    *,
    start: datetime | None = None,
    end: datetime | None = None,
) -> bytes:
    """A statement of what was paid from ``start`` until before ``end``, as CSV."""
    lines = [
        _line(payment)
        for payment in payments
        if (start is None or payment.paid_at >= start) and (end is None or payment.paid_at < end)
    ]
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    for line in _spoilt(lines, tuple(lies)):
        writer.writerow([getattr(line, name) for name in COLUMNS])
    return text.getvalue().encode()


def _line(payment: Payment) -> Line:
    posting = payment.posting
    paid_at = payment.paid_at.astimezone(UTC).replace(microsecond=0)
    return Line(
        posting.posting_id,
        posting.account,
        posting.currency,
        posting.amount_minor,
        paid_at.isoformat().replace("+00:00", "Z"),
        f"CH-{payment.number:010d}",
        "paid",
    )


def _spoilt(lines: Sequence[Line], lies: Sequence[Lie]) -> Iterator[Line]:
    for number, true in enumerate(lines, 1):
        told = [true]
        for place, lie in enumerate(lies, 1):
            about = lie.posting == true.posting_id if lie.posting else lie.line == number
            if about:
                told = _told(told, lie, place)
        yield from told


def _told(lines: list[Line], lie: Lie, place: int) -> list[Line]:
    if not lines or lie.kind is LieKind.MISSING:
        return []
    if lie.kind is LieKind.DOUBLED:
        return [lines[0], *lines]
    if lie.kind in _MORE:
        return [*lines, _line_more(lines[0], lie, place)]
    first = lines[0]
    other = {
        LieKind.OTHER_AMOUNT: replace(
            first, amount_minor=first.amount_minor + (1 if lie.by is None else lie.by)
        ),
        LieKind.OTHER_CURRENCY: replace(
            first, currency="EUR" if first.currency == "USD" else "USD"
        ),
        LieKind.OTHER_ACCOUNT: replace(first, account=f"{first.account}-other"),
    }
    return [other[lie.kind], *lines[1:]]


def _line_more(beside: Line, lie: Lie, place: int) -> Line:
    if lie.kind is LieKind.FEE:
        return replace(
            beside,
            posting_id="",
            account="",
            amount_minor=FEE_MINOR if lie.by is None else lie.by,
            reference=f"CH-FEE-{place:06d}",
            status="fee",
        )
    return replace(
        beside,
        posting_id=f"ffffffff-0000-5000-8000-{place:012d}",
        account="owner-unknown",
        amount_minor=UNKNOWN_MINOR if lie.by is None else lie.by,
        reference=f"CH-9{place:09d}",
    )
