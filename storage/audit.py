"""Whether the ledger is as it was sealed: every booking hashed again, and the first change named."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from settlement import merkle, seals
from settlement.seals import BrokenSealError, Seal
from storage import dispute_books, ledger
from storage.engine import Connection
from storage.ledger import Booking, Leaf, Progress

_FIRST: Final = -(2**63)
"""Below every booking number: nothing may hide under the first one."""


class What(StrEnum):
    """What was done to the ledger."""

    EDITED = "edited"
    """A booking's row, lines or journal lines are not those that were sealed."""
    DELETED = "deleted"
    INSERTED = "inserted"
    REORDERED = "reordered"
    """A booking stands under another number than the one it was sealed under."""
    SEAL_BROKEN = "seal broken"
    """A seal, or the hashes under it, is not what it was."""
    UNBALANCED = "unbalanced"
    """A journal entry does not sum to zero."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The first change found: of which seal, under which booking number, of which settlement."""

    what: What
    detail: str
    seal: int | None = None
    booking_no: int | None = None
    settlement_id: str | None = None


@dataclass(frozen=True, slots=True)
class Audit:
    """What was verified.

    Attributes:
        bookings: sealed ones that were hashed again.
        seals: that cover them.
        unsealed: booked since the last seal; nothing vouches for them yet.
        finding: the first change; None where everything is as it was sealed.
    """

    bookings: int
    seals: int
    unsealed: int
    finding: Finding | None


class Kept(Protocol):
    """Seals kept elsewhere, against which those of the database are held."""

    @property
    def seals(self) -> Mapping[int, Seal]:
        """By number; some may be missing."""

    def leaves(self, number: int) -> Sequence[Leaf] | None:
        """The hashes kept with a seal; None where none were."""


class _Nothing:
    @property
    def seals(self) -> Mapping[int, Seal]:
        return {}

    def leaves(self, _number: int) -> None:
        return None


NOTHING: Final = _Nothing()
"""For who has kept no seals elsewhere: then a superuser who rewrites all of them is not found."""


def verify(conn: Connection, kept: Kept = NOTHING, *, progress: Progress = lambda _: None) -> Audit:
    """Hash every sealed booking again and compare, in the order of booking.

    Args:
        conn: in one transaction, best REPEATABLE READ.
        kept: seals from elsewhere, trusted where they and the database disagree.
        progress: see ``ledger.Progress``.
    """
    stored = {one.number: one for one in ledger.load_seals(conn)}
    trusted = stored | dict(kept.seals)
    unsealed = ledger.unsealed(conn)
    checked = 0
    after = _FIRST
    for number in sorted(trusted):
        sealed = trusted[number]
        finding = _bookings(conn, sealed, _leaves(conn, kept, sealed), after, progress)
        if finding is None and stored.get(number) != sealed:
            finding = Finding(
                What.SEAL_BROKEN, "the database has another seal than the one kept, or none", number
            )
        if finding is not None:
            return Audit(checked, len(trusted), unsealed, finding)
        checked += sealed.leaves
        after = sealed.last
    return Audit(checked, len(trusted), unsealed, _chain(trusted) or _loose(conn))


def _leaves(conn: Connection, kept: Kept, sealed: Seal) -> Sequence[Leaf]:
    leaves = kept.leaves(sealed.number)
    return ledger.load_leaves(conn, sealed) if leaves is None else leaves


def _bookings(
    conn: Connection, sealed: Seal, leaves: Sequence[Leaf], after: int, progress: Progress
) -> Finding | None:
    root = merkle.Tree.of(one.leaf for one in leaves).root
    if (len(leaves), root) != (sealed.leaves, sealed.root):
        return Finding(What.SEAL_BROKEN, "the hashes under it do not give its root", sealed.number)
    expected = iter(leaves)
    wanted = next(expected, None)
    for booking in ledger.bookings(conn, after=after, until=sealed.last):
        progress(1)
        if wanted is None or booking.leaf != wanted:
            return _difference(conn, sealed, wanted, booking)
        wanted = next(expected, None)
    return None if wanted is None else _gone(conn, sealed, wanted)


def _difference(conn: Connection, sealed: Seal, wanted: Leaf | None, found: Booking) -> Finding:
    if wanted is not None and wanted.booking_no < found.booking_no:
        return _gone(conn, sealed, wanted)
    if wanted is not None and wanted.settlement_id == found.settlement_id:
        detail = "its row, lines or journal lines are not those that were sealed"
        if wanted.booking_no != found.booking_no:
            return _moved(sealed, found.settlement_id, wanted.booking_no, found.booking_no)
        return Finding(What.EDITED, detail, sealed.number, found.booking_no, found.settlement_id)
    if wanted is not None and wanted.booking_no == found.booking_no:
        return _gone(conn, sealed, wanted)
    at = _sealed_at(conn, found.settlement_id)
    if at is not None:
        return _moved(sealed, found.settlement_id, at, found.booking_no)
    return Finding(
        What.INSERTED,
        "nothing was sealed under this number",
        sealed.number,
        found.booking_no,
        found.settlement_id,
    )


def _gone(conn: Connection, sealed: Seal, wanted: Leaf) -> Finding:
    row = conn.execute(
        "select booking_no from settlement where settlement_id = %s", [wanted.settlement_id]
    ).fetchone()
    if row is not None:
        return _moved(sealed, wanted.settlement_id, wanted.booking_no, row[0])
    return Finding(
        What.DELETED,
        "it was sealed and is not there",
        sealed.number,
        wanted.booking_no,
        wanted.settlement_id,
    )


def _moved(sealed: Seal, settlement_id: str, before: int, now: int) -> Finding:
    detail = f"sealed under number {before}, now stands under {now}"
    return Finding(What.REORDERED, detail, sealed.number, before, settlement_id)


def _sealed_at(conn: Connection, settlement_id: str) -> int | None:
    row = conn.execute(
        "select booking_no from sealed_leaf where settlement_id = %s", [settlement_id]
    ).fetchone()
    return row[0] if row else None


def _chain(trusted: Mapping[int, Seal]) -> Finding | None:
    try:
        seals.verify_chain([trusted[number] for number in sorted(trusted)])
    except BrokenSealError as error:
        return Finding(What.SEAL_BROKEN, str(error), error.number)
    return None


_LOOSE: Final = (
    (
        What.DELETED,
        "lines stand without their settlement",
        """
        select l.settlement_id from line l
        where not exists (select from settlement s where s.settlement_id = l.settlement_id)
        order by 1 limit 1
        """,
    ),
    (
        What.INSERTED,
        "a journal entry stands without a settlement",
        """
        select e.settlement_id from journal_entry e
        where not exists (select from settlement s where s.settlement_id = e.settlement_id)
          and not starts_with(e.settlement_id, 'dispute:')
        order by 1 limit 1
        """,
    ),
    (
        What.INSERTED,
        "journal lines stand without an entry",
        """
        select l.entry_id from journal_line l
        where not exists (select from journal_entry e where e.entry_id = l.entry_id)
        order by 1 limit 1
        """,
    ),
    (
        What.UNBALANCED,
        "a journal entry does not sum to zero",
        """
        select entry_id from journal_line group by entry_id, currency
        having sum(amount_minor) <> 0 order by 1 limit 1
        """,
    ),
)


def _loose(conn: Connection) -> Finding | None:
    """What hangs on no booking, and so on no seal."""
    for what, detail, query in _LOOSE:
        row = conn.execute(query).fetchone()
        if row is not None:
            return Finding(what, detail, settlement_id=row[0])
    wrong = dispute_books.wrong_entry(conn)
    if wrong is not None:
        return Finding(What.EDITED, wrong[1], settlement_id=wrong[0])
    return None
