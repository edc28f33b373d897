"""A bank's notification (camt.054) as lines of a statement: what it paid of our files, and what came back."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from iso20022 import Entry, Iso20022Error, Side, Standing, posting_id_of, read_notification
from settlement.periods import EmptyPeriodError, Period
from settlement.reconciling import MOVING, Status
from storage.partner_statements import Line, Refusal
from tasks.reconciling.rows import Read, UnreadableStatementError, wrong_in_text

_DETAIL_MAX_CHARS: Final = 300


def read_camt(name: str, data: bytes, accounts: Mapping[str, str]) -> Read:
    """Every payment of a notification, and every entry that cannot be read.

    Args:
        name: of the file, for messages.
        data: its content.
        accounts: our name of an account by its IBAN; an IBAN that is not there stays as it is.

    Raises:
        UnreadableStatementError: no camt.054 at all.
    """
    try:
        found = read_notification(data, where=name)
    except Iso20022Error as error:
        place = name if error.line is None else f"{name} line {error.line}"
        raise UnreadableStatementError(place, error.found, error.expected) from error
    lines: list[Line] = []
    refusals = [Refusal(*one) for one in found.refused]
    # Several payments of one entry begin on one line of the file: each is numbered by its place.
    for number, entry in enumerate(found.entries, start=1):
        line = _line(number, entry, found.created_at, accounts)
        texts = (line.reference, line.posting_id, line.account)
        wrong = next(filter(None, map(wrong_in_text, texts)), "")
        if wrong:
            refusals.append(Refusal(entry.line, "Ntry", wrong, "printable text"))
        else:
            lines.append(line)
    # One refusal per entry, for its line is its number.
    unique = {refusal.number: refusal for refusal in refusals}
    return Read(
        f"camt.054.001.{found.version}",
        "file",
        found.message_id,
        _period(found.period),
        tuple(lines),
        tuple(unique[number] for number in sorted(unique)),
    )


def _period(found: tuple[datetime, datetime] | None) -> Period | None:
    try:
        return None if found is None else Period(*found)
    except EmptyPeriodError:
        return None


def _line(number: int, entry: Entry, told_at: datetime, accounts: Mapping[str, str]) -> Line:
    status = _status(entry)
    said = [f"entry on line {entry.line}", entry.return_reason or "", entry.detail]
    if entry.payments > 1:
        said.insert(1, f"{entry.payments} payments in one sum; ask the bank to name each")
    amount = entry.amount_minor if entry.side is Side.DEBIT else -entry.amount_minor
    if entry.is_charge:
        amount = -amount  # it went to the bank, and to no account
    detail = "; ".join(filter(None, said))
    return Line(
        number,
        status,
        entry.reference,
        posting_id_of(entry.end_to_end_id),
        accounts.get(entry.creditor_account, entry.creditor_account),
        entry.currency,
        # Pending and refused are about the payment itself, whichever way they were written down.
        amount if status in MOVING else entry.amount_minor,
        entry.booked_at or told_at,
        "".join(c if c.isprintable() else "?" for c in detail)[:_DETAIL_MAX_CHARS],
    )


def _status(entry: Entry) -> Status:
    """A debit is a payment, and a credit one that came back."""
    if entry.standing is not Standing.BOOKED:
        return Status.PENDING
    if entry.is_charge:
        return Status.FEE
    came_back = entry.side is Side.CREDIT
    return Status.RETURNED if came_back else Status.PAID
