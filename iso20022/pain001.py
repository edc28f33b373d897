"""Writing pain.001, the initiation of credit transfers: a file of payouts for a bank.

Version .001.09: the European schemes' rulebooks have been on it since November 2023, the banks of
ISO 20022's cross-border traffic speak the same generation, and it names agents by ``BICFI`` as the
camt.054 that comes back does; .001.03 is on its way out. The same order always gives the same bytes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Final

from pyiso20022.pain.pain_001_001_09 import pain_001_001_09 as pain  # type: ignore[import-untyped]
from xsdata.formats.dataclass.context import XmlContext
from xsdata.formats.dataclass.serializers import XmlSerializer
from xsdata.formats.dataclass.serializers.config import SerializerConfig
from xsdata.models.datatype import XmlDate, XmlDateTime

from iso20022.currencies import AMOUNT_MAX_MINOR, decimal_of
from iso20022.errors import Iso20022Error
from iso20022.identifiers import end_to_end_id, wrong_in_bic, wrong_in_iban, wrong_in_name

__all__ = ["TRANSFERS_MAX", "Debtor", "Initiation", "Transfer", "write_initiation"]

TRANSFERS_MAX: Final = 10_000
"""Of one file; banks take no more."""

ID_MAX_CHARS: Final = 35
_NAMESPACE: Final = "urn:iso:std:iso:20022:tech:xsd:pain.001.001.09"
_NO_BIC: Final = "NOTPROVIDED"
"""What the schemes have stand where an IBAN says which bank it is."""


@dataclass(frozen=True, slots=True)
class Debtor:
    """Whose account is paid from. ``bic`` may be empty."""

    name: str
    iban: str
    bic: str = ""


@dataclass(frozen=True, slots=True)
class Transfer:
    """One payout.

    Attributes:
        posting_id: UUID; goes to the bank and comes back as the end-to-end id.
        body_digest: of the posting's body; its beginning is the instruction id.
        creditor: name as the bank knows it.
        bic: may be empty.
        text: what the payee reads.
    """

    posting_id: str
    body_digest: bytes
    currency: str
    amount_minor: int
    creditor: str
    iban: str
    bic: str
    text: str


@dataclass(frozen=True, slots=True)
class Initiation:
    """A file: its id, unique at the bank for ever, when it was made, when to pay, by whom, to whom."""

    message_id: str
    created_at: datetime
    execute_on: date
    debtor: Debtor
    transfers: Sequence[Transfer]


def write_initiation(order: Initiation) -> bytes:
    """The file, with one payment block per currency.

    Raises:
        Iso20022Error: no transfer or too many, one that stands twice, an amount that is not positive, a
            name, IBAN or BIC that no bank takes, an unknown currency.
    """
    _require_possible(order)
    currencies = sorted({one.currency for one in order.transfers})
    document = pain.Document(
        cstmr_cdt_trf_initn=pain.CustomerCreditTransferInitiationV09(
            grp_hdr=pain.GroupHeader85(
                msg_id=order.message_id,
                cre_dt_tm=XmlDateTime.from_datetime(order.created_at.replace(microsecond=0)),
                nb_of_txs=str(len(order.transfers)),
                ctrl_sum=_sum(order.transfers),
                initg_pty=pain.PartyIdentification135(nm=order.debtor.name),
            ),
            pmt_inf=[
                _block(order, number, currency)
                for number, currency in enumerate(currencies, start=1)
            ],
        )
    )
    config = SerializerConfig(indent="  ", xml_declaration=True, encoding="UTF-8")
    written = XmlSerializer(context=XmlContext(), config=config).render(
        document, ns_map={None: _NAMESPACE}
    )
    return written.encode()


def _block(order: Initiation, number: int, currency: str) -> pain.PaymentInstruction30:
    own = sorted(
        (one for one in order.transfers if one.currency == currency), key=lambda one: one.posting_id
    )
    return pain.PaymentInstruction30(
        pmt_inf_id=f"{order.message_id[: ID_MAX_CHARS - 3]}-{number:02}",
        pmt_mtd=pain.PaymentMethod3Code.TRF,
        nb_of_txs=str(len(own)),
        ctrl_sum=_sum(own),
        reqd_exctn_dt=pain.DateAndDateTime2Choice(dt=XmlDate.from_date(order.execute_on)),
        dbtr=pain.PartyIdentification135(nm=order.debtor.name),
        dbtr_acct=_account(order.debtor.iban),
        dbtr_agt=_agent(order.debtor.bic),
        chrg_br=pain.ChargeBearerType1Code.SLEV,
        cdt_trf_tx_inf=[_transfer(one) for one in own],
    )


def _transfer(one: Transfer) -> pain.CreditTransferTransaction34:
    return pain.CreditTransferTransaction34(
        pmt_id=pain.PaymentIdentification6(
            instr_id=one.body_digest.hex()[:32], end_to_end_id=end_to_end_id(one.posting_id)
        ),
        amt=pain.AmountType4Choice(
            instd_amt=pain.ActiveOrHistoricCurrencyAndAmount(
                value=Decimal(decimal_of(one.amount_minor, one.currency)), ccy=one.currency
            )
        ),
        cdtr_agt=_agent(one.bic) if one.bic else None,
        cdtr=pain.PartyIdentification135(nm=one.creditor),
        cdtr_acct=_account(one.iban),
        rmt_inf=pain.RemittanceInformation16(ustrd=[one.text]),
    )


def _account(iban: str) -> pain.CashAccount38:
    return pain.CashAccount38(id=pain.AccountIdentification4Choice(iban=iban))


def _agent(bic: str) -> pain.BranchAndFinancialInstitutionIdentification6:
    institution = (
        pain.FinancialInstitutionIdentification18(bicfi=bic)
        if bic
        else pain.FinancialInstitutionIdentification18(
            othr=pain.GenericFinancialIdentification1(id=_NO_BIC)
        )
    )
    return pain.BranchAndFinancialInstitutionIdentification6(fin_instn_id=institution)


def _sum(transfers: Sequence[Transfer]) -> Decimal:
    """Amounts added whatever their currency, as the standard has it: a check, and no money."""
    return sum(
        (Decimal(decimal_of(one.amount_minor, one.currency)) for one in transfers), start=Decimal()
    )


def _require_possible(order: Initiation) -> None:
    if not 1 <= len(order.transfers) <= TRANSFERS_MAX:
        raise Iso20022Error("file", f"{len(order.transfers)} transfers", f"1 to {TRANSFERS_MAX}")
    if len({one.posting_id for one in order.transfers}) < len(order.transfers):
        raise Iso20022Error("file", "a posting twice", "each once")
    if not 1 <= len(order.message_id) <= ID_MAX_CHARS or order.created_at.tzinfo is None:
        raise Iso20022Error(
            "file", f"id {order.message_id!r}", "1 to 35 characters, and a zoned time"
        )
    parties = [("debtor", order.debtor.name, order.debtor.iban, order.debtor.bic)]
    parties += [(one.posting_id, one.creditor, one.iban, one.bic) for one in order.transfers]
    for where, name, iban, bic in parties:
        wrong = wrong_in_name(name) or wrong_in_iban(iban) or (bic and wrong_in_bic(bic))
        if wrong:
            raise Iso20022Error(where, wrong, "what a bank takes")
    for one in order.transfers:
        if not 0 < one.amount_minor <= AMOUNT_MAX_MINOR:
            raise Iso20022Error(one.posting_id, f"{one.amount_minor} minor units", "more than 0")
