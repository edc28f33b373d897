"""Revisions: what a run adds to the books, and what it would have added and does not."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Final
from uuid import UUID, uuid5

import polars as pl

from settlement.booking.errors import CurrencyChangedError, MissingTermsError, TwoSettlementsError
from settlement.booking.movements import Entry, Movement, journal, move
from settlement.booking.shares import Account, Allocation, Share, allocate, allocations, divide
from settlement.programs import Correction

NAMESPACE: Final = UUID("5b0b3f7e-4d0a-5c3e-9a57-1d6f5f0f2c11")
"""Fixed for ever: every settlement id depends on it."""

Key = tuple[str, str, str]
"""(program, event_id, vehicle_id)."""


@dataclass(frozen=True, slots=True)
class Booked:
    """What the books hold of one vehicle × event.

    Attributes:
        settlement_id: the latest revision.
        supersedes: the one before it, if any.
        revision: counts from 1.
        currency: of all revisions.
        program_version: of the latest revision.
        amounts: the sum of everything moved so far, by role and account; an account from which all
            was taken back stays, with 0.
    """

    settlement_id: str
    supersedes: str | None
    revision: int
    currency: str
    program_version: int
    amounts: Mapping[Account, int]

    @property
    def booked_minor(self) -> int:
        """The sum of everything booked so far."""
        return sum(self.amounts.values())


@dataclass(frozen=True, slots=True)
class Policy:
    """How a program's corrections are booked.

    Attributes:
        correction: see ``settlement.programs.Correction``.
        materiality_micros: a difference below it is reported and not booked.
        micros_per_minor: what one minor unit of its currency holds.
    """

    correction: Correction
    materiality_micros: int
    micros_per_minor: int


@dataclass(frozen=True, slots=True)
class Revision:
    """A settlement that the books do not hold yet, and what it books.

    Attributes:
        adjustment_minor: the sum of its movements.
        settlement: ``schemas.SETTLEMENT`` without its id.
        lines: ``schemas.LINE``, in the order of time and term.
        allocations: whose its amount is; of a held one, and of nothing, none.
        movements: what changes hands.
        entries: the same, as double entry.
    """

    settlement_id: str
    supersedes: str | None
    revision: int
    adjustment_minor: int
    settlement: Mapping[str, object]
    lines: Sequence[Mapping[str, object]]
    allocations: tuple[Allocation, ...]
    movements: tuple[Movement, ...]
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """What would have been booked and is not. ``why``: "final", the event is closed, or
    "materiality", the difference is below the program's threshold.
    """

    program: str
    event_id: str
    vehicle_id: str
    currency: str
    booked_minor: int
    computed_minor: int
    why: str


@dataclass(frozen=True, slots=True)
class Revised:
    """What a run adds to the books, and what it reports instead; both in the order of the key."""

    revisions: list[Revision]
    differences: list[Difference]


@dataclass(frozen=True, slots=True)
class _Terms:
    shares: Mapping[str, Sequence[Share]]
    policies: Mapping[str, Policy]
    closed: frozenset[tuple[str, str]]


def settlement_id(
    settlement: Mapping[str, object],
    lines: Iterable[Mapping[str, object]],
    shares: Iterable[Allocation],
    supersedes: str | None,
) -> str:
    """The id of a settlement with this content after this predecessor (UUIDv5, RFC 9562 §5.5)."""
    content = {
        "settlement": settlement,
        "lines": list(lines),
        "allocations": [asdict(one) for one in shares],
        "supersedes": supersedes,
    }
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), default=_text)
    return str(uuid5(NAMESPACE, canonical))


def _text(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} in a settlement; expected integers, text and times")


def revisions(
    settlements: pl.DataFrame,
    lines: pl.DataFrame,
    books: Mapping[Key, Booked],
    shares: Mapping[str, Sequence[Share]],
    policies: Mapping[str, Policy],
    closed: frozenset[tuple[str, str]] = frozenset(),
) -> Revised:
    """What a run adds to the books.

    Args:
        settlements: ``schemas.SETTLEMENT`` without its id, one row per vehicle × event.
        lines: ``schemas.LINE``.
        books: what is booked for the events of the run, whether or not they are in ``settlements``;
            what has vanished is revised to nothing.
        shares: by contract; of a contract that is not among them the accounts stay those to which
            the settlement is booked, in the same proportion.
        policies: by program.
        closed: (program, event_id) after their final run: their differences are reported only.

    Raises:
        TwoSettlementsError: two rows for one vehicle × event.
        MissingTermsError: an amount without a contract's shares or a program's policy.
        ShareError: shares that do not divide a whole.
        CurrencyChangedError: a program changed the currency of what it had booked.
    """
    lines_of: dict[Key, list[dict[str, object]]] = {}
    ordered = lines.sort("program", "event_id", "vehicle_id", "started_at", "term")
    for row in ordered.iter_rows(named=True):
        lines_of.setdefault(_key(row), []).append(row)
    wanted: dict[Key, dict[str, object]] = {}
    for row in settlements.iter_rows(named=True):
        if wanted.setdefault(_key(row), row) is not row:
            raise TwoSettlementsError(_key(row))
    for key in books.keys() - wanted.keys():
        wanted[key] = _nothing(key, books[key])
    terms = _Terms(shares, policies, closed)
    revised = Revised([], [])
    for key in sorted(wanted):
        found = _revise(key, wanted[key], lines_of.get(key, []), books.get(key), terms)
        if isinstance(found, Revision):
            revised.revisions.append(found)
        elif found is not None:
            revised.differences.append(found)
    return revised


def _key(row: Mapping[str, object]) -> Key:
    return str(row["program"]), str(row["event_id"]), str(row["vehicle_id"])


def _nothing(key: Key, booked: Booked) -> dict[str, object]:
    """The content of a settlement whose energy is gone: corrected, moved or in conflict."""
    program, event_id, vehicle_id = key
    return {
        "program": program,
        "program_version": booked.program_version,
        "event_id": event_id,
        "vehicle_id": vehicle_id,
        "contract_id": "",
        "currency": booked.currency,
        "energy_milliwh": 0,
        "lines_micros": 0,
        "amount_minor": 0,
        "rounding_difference_micros": 0,
        "state": "booked",
        "reason": "",
    }


def _revise(
    key: Key,
    settlement: Mapping[str, object],
    lines: Sequence[Mapping[str, object]],
    booked: Booked | None,
    terms: _Terms,
) -> Revision | Difference | None:
    currency = str(settlement["currency"])
    # What was only ever held has moved no money in any currency.
    if booked is not None and booked.amounts and booked.currency != currency:
        raise CurrencyChangedError(key, booked.currency, currency)
    policy = terms.policies.get(key[0])
    if policy is None:
        raise MissingTermsError("policy", key[0], key)
    before = dict(booked.amounts) if booked else {}
    held = settlement["state"] != "booked"
    given = {} if held else _divided(key, settlement, before, terms.shares)
    whose = allocations(given)
    supersedes = booked.settlement_id if booked else None
    if booked and booked.settlement_id == settlement_id(
        settlement, lines, whose, booked.supersedes
    ):
        return None
    # A held settlement books nothing and takes nothing back: what was booked stands until it is decided.
    moved = () if held else move(before, given, policy.correction)
    if key[:2] in terms.closed:
        why = "final"
    elif moved and _is_immaterial(settlement, before, terms.shares, policy):
        why = "materiality"
    else:
        why = ""
    if why:
        computed = sum(given.values())
        return Difference(*key, currency, sum(before.values()), computed, why) if moved else None
    return Revision(
        settlement_id=settlement_id(settlement, lines, whose, supersedes),
        supersedes=supersedes,
        revision=booked.revision + 1 if booked else 1,
        adjustment_minor=sum(movement.amount_minor for movement in moved),
        settlement=settlement,
        lines=lines,
        allocations=whose,
        movements=moved,
        entries=journal(moved, key[0], currency),
    )


def _divided(
    key: Key,
    settlement: Mapping[str, object],
    before: Mapping[Account, int],
    shares: Mapping[str, Sequence[Share]],
    amount: int | None = None,
) -> dict[Account, int]:
    """Whose an amount is: the settlement's, unless another is asked about."""
    if amount is None:
        own = settlement["amount_minor"]
        assert isinstance(own, int)
        amount = own
    if amount == 0:
        return {}
    contract = str(settlement["contract_id"])
    if contract in shares:
        given = allocate(amount, shares[contract])
        return {(one.role, one.account): one.amount_minor for one in given}
    standing = {account: abs(part) for account, part in before.items() if part}
    if not standing or len({part > 0 for part in before.values() if part}) > 1:
        raise MissingTermsError("shares", contract, key)
    return divide(amount, standing)


def _is_immaterial(
    settlement: Mapping[str, object],
    before: Mapping[Account, int],
    shares: Mapping[str, Sequence[Share]],
    policy: Policy,
) -> bool:
    """Whether a correction is too small to book.

    What was never booked is never too small; nor is money that went to the wrong account, whatever
    its amount: only where today's contract would divide what is booked as it stands does the
    difference of the sums decide.
    """
    if not before:
        return False
    total = sum(before.values())
    amount = settlement["amount_minor"]
    assert isinstance(amount, int)
    if abs(amount - total) * policy.micros_per_minor >= policy.materiality_micros:
        return False
    if str(settlement["contract_id"]) == "":  # gone, and so is whose it would be
        return True
    standing = {account: part for account, part in before.items() if part}
    would_be = _divided(_key(settlement), settlement, before, shares, total)
    return standing == {account: part for account, part in would_be.items() if part}
