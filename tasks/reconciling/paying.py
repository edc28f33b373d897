"""Files of payouts: the bank's way of paying what is otherwise posted to the clearinghouse's API."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from hashlib import sha256
from uuid import uuid4

from iso20022 import Debtor, Initiation, Transfer, exponent_of, write_initiation
from storage import payout_files
from storage.payout_files import LeftOut, Payable, PayoutFile
from tasks.reconciling.comparing import Clock
from tasks.reconciling.payees import Payee, Payees


@dataclass(frozen=True, slots=True)
class Written:
    """What writing a file came to.

    Attributes:
        file: as it is stored; None where nothing was to be paid.
        content: its bytes.
        left_out: what is due and is not in it, and why.
    """

    file: PayoutFile | None
    content: bytes
    left_out: list[LeftOut]


def write_file(
    dsn: str,
    *,
    partner: str,
    payees: Payees,
    debtor: Debtor,
    currencies: Iterable[str],
    execute_on: date,
    by: str,
    clock: Clock,
    most: int,
) -> Written:
    """Write a file of what is due to payees whose bank data is known, and take it from the poster.

    Only what was screened and never sent; each posting stands in one file at most. File and states are
    stored in one transaction: where it fails, nothing was taken.

    Args:
        dsn: the database.
        partner: whose postings.
        payees: where accounts are.
        debtor: whose account is paid from.
        currencies: that the debtor's account pays.
        execute_on: when the bank is to pay.
        by: who writes it.
        clock: the time of now.
        most: payments in it at most.

    Raises:
        Iso20022Error: the debtor or a currency is none that a bank takes; nothing was taken.
        DatabaseUnavailableError: nothing is known to be stored.
    """
    supported = sorted(set(currencies))
    for currency in supported:
        exponent_of(currency)
    chosen = {"accounts": payees.by_account.keys(), "currencies": supported}
    now = clock()
    file_id = str(uuid4())
    with payout_files.paying(dsn) as conn:
        due = payout_files.payable(conn, partner=partner, most=most, **chosen)
        if not due:
            return Written(None, b"", payout_files.left_out(conn, partner=partner, **chosen))
        content = write_initiation(
            Initiation(
                message_id=file_id.replace("-", ""),
                created_at=now,
                execute_on=execute_on,
                debtor=debtor,
                transfers=[_transfer(one, payees.by_account[one.account]) for one in due],
            )
        )
        file = PayoutFile(
            file_id, partner, sha256(content).digest(), len(due), _totals(due), by, now
        )
        payout_files.store(conn, file, content, [one.posting_id for one in due])
        return Written(file, content, payout_files.left_out(conn, partner=partner, **chosen))


def _transfer(one: Payable, payee: Payee) -> Transfer:
    return Transfer(
        posting_id=one.posting_id,
        body_digest=one.body_digest,
        currency=one.currency,
        amount_minor=one.amount_minor,
        creditor=payee.name,
        iban=payee.iban,
        bic=payee.bic,
        text=f"V2G payout {one.posting_id}",
    )


def _totals(due: Iterable[Payable]) -> dict[str, int]:
    sums: dict[str, int] = {}
    for one in due:
        sums[one.currency] = sums.get(one.currency, 0) + one.amount_minor
    return dict(sorted(sums.items()))
