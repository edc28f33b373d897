"""A file of payouts, written: what the bank reads is what was ordered, to the last minor unit."""

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from hashlib import sha256
from typing import Any
from uuid import NAMESPACE_DNS, uuid5

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyiso20022.pain.pain_001_001_09 import (  # type: ignore[import-untyped]
    pain_001_001_09 as pain,
)
from xsdata.formats.dataclass.parsers import XmlParser
from xsdata.formats.dataclass.parsers.config import ParserConfig

from iso20022 import (
    Debtor,
    Initiation,
    Iso20022Error,
    Transfer,
    decimal_of,
    end_to_end_id,
    minor_of,
    posting_id_of,
    write_initiation,
)
from tests.iso20022.samples import IBAN, OTHER_IBAN

ID = "0123456789abcdef0123456789abcdef"


def transfer(number: int, **changes: Any) -> Transfer:
    made = Transfer(
        posting_id=str(uuid5(NAMESPACE_DNS, f"{number}")),
        body_digest=sha256(b"%d" % number).digest(),
        currency="EUR",
        amount_minor=100 + number,
        creditor="Alice Example",
        iban=IBAN,
        bic="",
        text="V2G payout",
    )
    return replace(made, **changes)


def order(*transfers: Transfer, **changes: Any) -> Initiation:
    made = Initiation(
        message_id=ID,
        created_at=datetime(2026, 7, 1, 12, 0, 0, 123, tzinfo=UTC),
        execute_on=date(2026, 7, 2),
        debtor=Debtor("Example Energy", OTHER_IBAN, "WESTGB22"),
        transfers=transfers,
    )
    return replace(made, **changes)


def read(content: bytes) -> Any:
    """By the library's models, which refuse whatever the standard does not have."""
    config = ParserConfig(fail_on_unknown_properties=True, fail_on_converter_warnings=True)
    return XmlParser(config=config).from_bytes(content, pain.Document).cstmr_cdt_trf_initn


def test_each_payout_stands_in_the_block_of_its_currency_under_its_own_id() -> None:
    # given payouts in two currencies
    one, two, three = transfer(1), transfer(2, currency="JPY"), transfer(3, bic="COBADEFFXXX")

    # when the file is written and read again
    found = read(write_initiation(order(one, two, three)))

    # then header and blocks count and sum, and each payout is as ordered
    assert (found.grp_hdr.msg_id, found.grp_hdr.nb_of_txs) == (ID, "3")
    assert found.grp_hdr.ctrl_sum == Decimal("1.01") + 102 + Decimal("1.03")
    assert [(b.nb_of_txs, b.ctrl_sum, str(b.reqd_exctn_dt.dt)) for b in found.pmt_inf] == [
        ("2", Decimal("2.04"), "2026-07-02"),
        ("1", Decimal(102), "2026-07-02"),
    ]
    assert len({block.pmt_inf_id for block in found.pmt_inf}) == 2
    paid = {each.pmt_id.end_to_end_id: each for b in found.pmt_inf for each in b.cdt_trf_tx_inf}
    assert paid.keys() == {end_to_end_id(t.posting_id) for t in (one, two, three)}
    first = paid[end_to_end_id(one.posting_id)]
    assert (first.amt.instd_amt.value, first.amt.instd_amt.ccy) == (Decimal("1.01"), "EUR")
    assert (first.cdtr.nm, first.cdtr_acct.id.iban) == ("Alice Example", IBAN)
    assert first.pmt_id.instr_id == one.body_digest.hex()[:32]
    assert first.cdtr_agt is None
    assert paid[end_to_end_id(three.posting_id)].cdtr_agt.fin_instn_id.bicfi == "COBADEFFXXX"


def test_no_id_is_longer_than_a_bank_takes_and_each_leads_back_to_its_posting() -> None:
    found = read(write_initiation(order(transfer(1), message_id="x" * 35)))

    ids = [found.grp_hdr.msg_id]
    ids += [found.pmt_inf[0].pmt_inf_id]
    payment = found.pmt_inf[0].cdt_trf_tx_inf[0].pmt_id
    ids += [payment.instr_id, payment.end_to_end_id]
    assert max(map(len, ids)) <= 35
    assert posting_id_of(payment.end_to_end_id) == transfer(1).posting_id


def test_the_same_order_gives_the_same_bytes_in_whatever_order_its_payouts_come() -> None:
    some = [transfer(n) for n in range(5)]

    assert write_initiation(order(*some)) == write_initiation(order(*reversed(some)))


@pytest.mark.parametrize(
    "wrong",
    [
        order(),
        order(transfer(1), transfer(1)),
        order(transfer(1, amount_minor=0)),
        order(transfer(1, amount_minor=-5)),
        order(transfer(1, amount_minor=10**15 + 1)),
        order(transfer(1, iban="DE88370400440532013000")),
        order(transfer(1, iban="")),
        order(transfer(1, bic="short")),
        order(transfer(1, creditor="Müller")),
        order(transfer(1, creditor="<b>")),
        order(transfer(1, creditor="")),
        order(transfer(1, currency="XXQ")),
        order(transfer(1), debtor=Debtor("Example", "nothing")),
        order(transfer(1), message_id="x" * 36),
        order(transfer(1), message_id=""),
        order(transfer(1), created_at=datetime(2026, 7, 1)),  # noqa: DTZ001 - that is the fault
    ],
    ids=range(16),
)
def test_what_no_bank_takes_is_refused_before_anything_is_written(wrong: Initiation) -> None:
    with pytest.raises(Iso20022Error, match="expected"):
        write_initiation(wrong)


@given(st.integers(-(10**15), 10**15), st.sampled_from(["EUR", "JPY", "KWD", "USD"]))
def test_money_goes_out_as_decimals_and_comes_back_unchanged(minor: int, currency: str) -> None:
    text = decimal_of(minor, currency)

    assert minor_of(text, currency) == minor
    assert minor_of(f"{text}{'' if '.' in text else '.'}00", currency) == minor


@pytest.mark.parametrize("text", ["", "1,5", "1.2.3", "1e3", "0x1", "٣", "1.001", "9" * 19])
def test_money_that_is_not_exact_is_refused(text: str) -> None:
    with pytest.raises(Iso20022Error):
        minor_of(text, "EUR")
