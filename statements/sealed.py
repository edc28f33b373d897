"""Whether the bookings of a pack are those that were sealed, and the seals those that were kept."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from settlement import merkle
from settlement import seals as of_seals
from settlement.booking.revisions import settlement_id
from settlement.schemas import LINE, SETTLEMENT
from settlement.seals import Seal
from statements.money import allocated
from statements.pack import Booking, Pack

_ID: Final = "settlement_id"


def identities(pack: Pack) -> Iterator[str]:
    """Settlements whose id is not that of their content."""
    seen: set[tuple[str, str, str]] = set()
    for one in pack.bookings:
        if one.key in seen:
            yield f"settlement {one.settlement_id}: a second one of the same vehicle and event"
        seen.add(one.key)
        row: dict[str, Any] = one.row.select(SETTLEMENT.schema.names()).row(0, named=True)
        row.pop(_ID)
        lines = one.line_rows.select(LINE.schema.names()).to_dicts()
        derived = settlement_id(row, lines, allocated(one), one.supersedes)
        if derived != one.settlement_id:
            yield f"settlement {one.settlement_id}: its content gives the id {derived}"
        yield from _strangers(one)


def _strangers(one: Booking) -> Iterator[str]:
    for what, rows in (("line", one.lines), ("journal line", one.entries)):
        for row in rows:
            if row.get(_ID) != one.settlement_id:
                yield f"settlement {one.settlement_id}: a {what} of {row.get(_ID)}"


def proofs(pack: Pack) -> Iterator[str]:
    """Bookings that do not stand where their proof says."""
    by_number = {one.number: one for one in pack.seals}
    for one in pack.bookings:
        proof = one.proof
        if proof is None:
            continue
        where = f"settlement {one.settlement_id}"
        seal = by_number.get(proof.number)
        if seal is None:
            yield f"{where}: its seal {proof.number} is not in the pack"
            continue
        number = int(str(one.settlement.get("booking_no")))
        if not seal.first <= number <= seal.last:
            yield (
                f"{where}: booking {number}; seal {seal.number} covers {seal.first} to {seal.last}"
            )
        leaf = of_seals.leaf(one.settlement, one.lines, one.entries)
        if not merkle.verify_inclusion(leaf, proof.index, seal.leaves, proof.path, seal.root):
            yield (
                f"{where}: leaf {merkle.leaf_hash(leaf).hex()} at {proof.index} is not under the root"
                f" {seal.root.hex()} of seal {seal.number}"
            )


def seals(pack: Pack, against: Mapping[int, Seal] | None, roots: frozenset[bytes]) -> Iterator[str]:
    """Seals of a pack that are not what they say, or not those that were kept elsewhere.

    Raises:
        BrokenSealError: a seal whose digest is not its own, or kept seals that are no chain.
    """
    by_number = {one.number: one for one in pack.seals}
    if len(by_number) < len(pack.seals):
        yield "a seal stands twice"
    for one in pack.seals:
        of_seals.verify_one(one)
        before = by_number.get(one.number - 1)
        if before is not None and one.previous != before.seal_digest:
            yield f"seal {one.number}: it does not follow seal {before.number}"
        if roots and one.root not in roots:
            yield f"seal {one.number}: root {one.root.hex()}; not among the roots given"
    if against is not None:
        of_seals.verify_chain([against[number] for number in sorted(against)])
        yield from _against(pack, against)


def _against(pack: Pack, kept: Mapping[int, Seal]) -> Iterator[str]:
    for one in pack.seals:
        other = kept.get(one.number)
        if other is None:
            yield f"seal {one.number}: not among the seals that were kept"
        elif other != one:
            yield (
                f"seal {one.number}: digest {one.seal_digest.hex()}; kept {other.seal_digest.hex()}"
            )
