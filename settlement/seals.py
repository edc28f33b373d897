"""Seals: what was booked by a certain time, in one digest, chained to the seal before.

Each booked settlement is one leaf: its row, its lines and its journal lines as canonical JSON (names
sorted, no spaces, integers as text, times as RFC 3339 §5.6 in UTC with microseconds, bytes in
hexadecimal). A seal covers the bookings from one number to another in their order; its root is that
of the Merkle tree over them (``settlement.merkle``), and its digest is SHA-256 over a canonical
header that holds root, count and the digest before. Whoever has kept one digest elsewhere finds every
edit, deletion, insertion and reordering of what it stands for, and of all that came before.

Errors:
    SealError
    ├── UnsealableError   a value that has no canonical form
    └── BrokenSealError   something that is not as it was sealed
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final

from settlement import merkle

GENESIS: Final = bytes(32)
"""What the first seal names as the digest before it."""

FORM: Final = "v2g-settlement seal 1"
"""Stands in every header, so that no other document can be passed off as one."""


class SealError(ValueError):
    """Root of this module's errors."""


class UnsealableError(SealError):
    """A value at ``where`` that has no canonical form."""

    def __init__(self, where: str, found: str, expected: str) -> None:
        super().__init__(f"seal: {where} is {found}; expected {expected}")
        self.where = where
        self.found = found
        self.expected = expected


class BrokenSealError(SealError):
    """``what`` of seal ``number`` is not as it was sealed."""

    def __init__(self, number: int, what: str, found: str, expected: str) -> None:
        super().__init__(f"seal {number}: {what} is {found}; expected {expected}")
        self.number = number
        self.what = what
        self.found = found
        self.expected = expected


@dataclass(frozen=True, slots=True)
class Seal:
    """One link of the chain.

    Attributes:
        number: counts from 1.
        first: number of the first booking that it covers.
        last: number of the last one, included; ``first - 1`` where nothing was booked.
        leaves: how many bookings it covers; numbers may have been skipped.
        root: of the Merkle tree over them, in the order of their numbers.
        previous: digest of the seal before; ``GENESIS`` for the first.
        sealed_at: when.
        seal_digest: SHA-256 of all of the above.
    """

    number: int
    first: int
    last: int
    leaves: int
    root: bytes
    previous: bytes
    sealed_at: datetime
    seal_digest: bytes


def leaf(
    settlement: Mapping[str, object],
    lines: Iterable[Mapping[str, object]],
    entries: Iterable[Mapping[str, object]],
) -> bytes:
    """One booked settlement as the bytes of its leaf.

    Args:
        settlement: its row.
        lines: its lines; in any order, for a table has none.
        entries: its journal lines; the same.

    Raises:
        UnsealableError: a number that is no integer, a time without its zone, or an unknown type.
    """
    return _json(
        {
            "settlement": _canonical(settlement, "settlement"),
            "lines": sorted((_canonical(row, "line") for row in lines), key=_json),
            "entries": sorted((_canonical(row, "entry") for row in entries), key=_json),
        }
    )


def seal(
    previous: Seal | None, first: int, last: int, leaves: Iterable[bytes], sealed_at: datetime
) -> Seal:
    """The next seal.

    Args:
        previous: the seal before; None for the first.
        first: number of the first booking: the one after those of the seal before.
        last: number of the last booking; ``first - 1`` where nothing was booked.
        leaves: ``leaf`` of each booking, in the order of their numbers.
        sealed_at: when.

    Raises:
        BrokenSealError: it would not continue the chain.
        UnsealableError: a time without its zone.
    """
    tree = merkle.Tree.of(map(merkle.leaf_hash, leaves))
    number = previous.number + 1 if previous else 1
    before = previous.seal_digest if previous else GENESIS
    count = len(tree.levels[0])
    digest = _digest(number, first, last, count, tree.root, before, sealed_at)
    new = Seal(number, first, last, count, tree.root, before, sealed_at, digest)
    _require_continues(previous, new)
    return new


def verify_seal(sealed: Seal, leaves: Iterable[bytes]) -> None:
    """Raise BrokenSealError unless these leaves, in this order, are what was sealed."""
    tree = merkle.Tree.of(map(merkle.leaf_hash, leaves))
    count = len(tree.levels[0])
    if count != sealed.leaves:
        raise BrokenSealError(
            sealed.number, "the count of bookings", f"{count}", f"{sealed.leaves}"
        )
    _require_same(sealed.number, "the root", tree.root, sealed.root)


def verify_one(one: Seal) -> None:
    """Raise BrokenSealError unless a seal's digest is that of what it says."""
    digest = _digest(
        one.number, one.first, one.last, one.leaves, one.root, one.previous, one.sealed_at
    )
    _require_same(one.number, "its digest", one.seal_digest, digest)


def verify_chain(seals: Sequence[Seal], kept: Mapping[int, bytes] | None = None) -> None:
    """Raise BrokenSealError unless each seal continues the one before and is as it was sealed.

    A chain that was made anew from its first link stands in itself; only a digest kept elsewhere
    tells it from the one that was.

    Args:
        seals: from the first on.
        kept: digests by number that were kept elsewhere; each of them must stand in the chain.
    """
    previous: Seal | None = None
    for one in seals:
        _require_continues(previous, one)
        verify_one(one)
        previous = one
    digests = {one.number: one.seal_digest for one in seals}
    for number, digest in sorted((kept or {}).items()):
        _require_same(number, "its digest", digests.get(number, b""), digest)


def _require_continues(previous: Seal | None, one: Seal) -> None:
    number = previous.number + 1 if previous else 1
    if one.number != number:
        raise BrokenSealError(one.number, "its number", f"{one.number}", f"{number}")
    before = previous.seal_digest if previous else GENESIS
    _require_same(number, "the digest before it", one.previous, before)
    if previous and one.first != previous.last + 1:
        raise BrokenSealError(number, "its first booking", f"{one.first}", f"{previous.last + 1}")
    if one.last < one.first - 1:
        raise BrokenSealError(number, "its last booking", f"{one.last}", f"{one.first - 1} or more")
    covered = one.last - one.first + 1
    if one.leaves > covered:
        raise BrokenSealError(
            number, "the count of bookings", f"{one.leaves}", f"at most {covered}"
        )


def _require_same(number: int, what: str, found: bytes, expected: bytes) -> None:
    if found != expected:
        raise BrokenSealError(number, what, found.hex() or "not there", expected.hex())


def _digest(
    number: int,
    first: int,
    last: int,
    leaves: int,
    root: bytes,
    previous: bytes,
    sealed_at: datetime,
) -> bytes:
    header = {
        "form": FORM,
        "number": number,
        "first": first,
        "last": last,
        "leaves": leaves,
        "root": root,
        "previous": previous,
        "sealed_at": sealed_at,
    }
    return sha256(_json(_canonical(header, "header"))).digest()


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _canonical(value: object, where: str) -> object:
    """The value as JSON has it, without a number in it: readers differ in how they read those."""
    match value:
        case None | bool():
            return value
        case str():
            if any("\ud800" <= character <= "\udfff" for character in value):
                raise UnsealableError(where, ascii(value), "text without lone surrogates")
            return value
        case int():
            return str(value)
        case bytes():
            return value.hex()
        case datetime():
            if value.tzinfo is None:
                raise UnsealableError(where, value.isoformat(), "a time with its zone")
            return f"{value.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}Z"
        case Mapping():
            return {str(name): _canonical(one, f"{where}.{name}") for name, one in value.items()}
        case list() | tuple():
            return [_canonical(one, f"{where}[{at}]") for at, one in enumerate(value)]
    raise UnsealableError(
        where, f"a {type(value).__name__}", "text, an integer, a time, bytes, a list or a mapping"
    )
