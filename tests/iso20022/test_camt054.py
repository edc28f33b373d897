"""A bank's notification, read: every payment, in every version, and no entry stops another."""

from datetime import UTC, datetime

import pytest

from iso20022 import Iso20022Error, Side, Standing, read_notification
from tests.iso20022.samples import IBAN, entry, notification, payment

VERSIONS = ("02", "04", "08")


@pytest.mark.parametrize("version", VERSIONS)
def test_a_booked_debit_is_read_with_its_ids_amount_and_account(version: str) -> None:
    # given a notification of one payment, in each version's shape
    body = notification([entry([payment("e1", version=version)], version=version)], version=version)

    # when it is read
    found = read_notification(body, where="july.xml")

    # then everything stands in the record
    assert (found.version, found.message_id) == (version, "N-1")
    assert found.period == (datetime(2026, 7, 2, tzinfo=UTC), datetime(2026, 7, 3, tzinfo=UTC))
    (one,) = found.entries
    assert (one.amount_minor, one.currency, one.side, one.standing) == (
        377, "EUR", Side.DEBIT, Standing.BOOKED,
    )  # fmt: skip
    assert (one.end_to_end_id, one.instruction_id, one.message_id) == ("e1", "I-1", "M-1")
    assert (one.creditor_account, one.reference) == (IBAN, "R-1")
    assert one.booked_at == datetime(2026, 7, 2, tzinfo=UTC)
    assert one.return_reason is None
    assert not one.is_reversal


@pytest.mark.parametrize("version", VERSIONS)
def test_an_entry_of_several_payments_gives_a_record_for_each(version: str) -> None:
    payments = [
        payment("e1", "1.00", version=version, reference="P-1"),
        payment("e2", "2.77", version=version),
    ]
    body = notification([entry(payments, version=version)], version=version)

    found = read_notification(body, where="july.xml").entries

    assert [(one.end_to_end_id, one.amount_minor, one.reference) for one in found] == [
        ("e1", 100, "P-1"),
        ("e2", 277, "R-1"),
    ]


def test_a_returned_payment_has_its_reason_and_a_reversal_says_so() -> None:
    body = notification(
        [
            entry([payment("e1", side="CRDT", returned="AC04")], side="CRDT"),
            entry([payment("e2", side="CRDT")], side="CRDT", reversal=True),
        ]
    )

    returned, reversed_ = read_notification(body, where="july.xml").entries

    assert (returned.side, returned.return_reason) == (Side.CREDIT, "AC04")
    assert reversed_.is_reversal


def test_what_is_pending_is_told_from_what_is_booked() -> None:
    (one,) = read_notification(
        notification([entry([payment("e1")], status="PDNG")]), where="july.xml"
    ).entries

    assert one.standing is Standing.PENDING


def test_a_sum_that_names_no_payment_says_how_many_it_holds() -> None:
    batch = "<Btch><MsgId>M-7</MsgId><NbOfTxs>12</NbOfTxs></Btch>"

    (one,) = read_notification(notification([entry([], batch=batch)]), where="july.xml").entries

    assert (one.payments, one.message_id, one.end_to_end_id) == (12, "M-7", "")


@pytest.mark.parametrize(
    ("bad", "found"),
    [
        (entry([payment("e", "3.777")], "3.777"), "3.777"),
        (entry([payment("e", "1e2")], "1e2"), "1e2"),
        (entry([payment("e", "1_0")], "1_0"), "1_0"),
        (entry([payment("e", "NaN")], "NaN"), "NaN"),
        (entry([payment("e", "-1")], "-1"), "-1"),
        (entry([payment("e", currency="XXQ")], currency="XXQ"), "XXQ"),
        (entry([payment("e", "1.00"), payment("f", "1.00")]), "sum to 200"),
        (entry([payment("e")], side="BOTH"), "BOTH"),
        (entry([payment("e")], status="LATER"), "LATER"),
        (entry([payment("e")], booked="<Dt>2026-13-41</Dt>"), "2026-13-41"),
        ("<Ntry/>", "no Amt"),
    ],
)
def test_an_entry_that_cannot_be_read_is_reported_and_stops_no_other(bad: str, found: str) -> None:
    # given a good entry, a bad one on the line after it, and another good one
    body = notification([entry([payment("e1")]), bad, entry([payment("e2")])])

    # when the notification is read
    read = read_notification(body, where="july.xml")

    # then both good ones are there, and the bad one says what was found on which line
    assert [one.end_to_end_id for one in read.entries] == ["e1", "e2"]
    (refused,) = read.refused
    assert refused.line == 4
    assert found in refused.found
    assert refused.expected


@pytest.mark.parametrize(
    "body",
    [
        b"<Document/>",
        b'<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"/>',
        b'<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.054.001.99"/>',
        b'<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.054.001.08"/>',
        notification([]).replace(b"<MsgId>N-1</MsgId>", b""),
        notification([]).replace(b"2026-07-03T01:00:00Z", b"soon"),
    ],
)
def test_another_document_is_refused_with_what_was_expected(body: bytes) -> None:
    with pytest.raises(Iso20022Error, match="expected"):
        read_notification(body, where="july.xml")


@pytest.mark.parametrize(
    ("side", "total", "expected"),
    [("DBIT", "4.02", Side.DEBIT), ("CRDT", "3.52", Side.DEBIT), ("DBIT", "3.52", Side.CREDIT)],
)
def test_what_an_entry_was_charged_beyond_its_payments_is_told(
    side: str, total: str, expected: Side
) -> None:
    charged = (
        entry([payment("e1", side=side)], total, side=side)
        .replace("<NtryDtls>", '<Chrgs><Rcrd><Amt Ccy="EUR">0.25</Amt></Rcrd></Chrgs><NtryDtls>')
    )  # fmt: skip

    paid, charge = read_notification(notification([charged]), where="july.xml").entries

    assert (paid.end_to_end_id, paid.amount_minor, paid.is_charge) == ("e1", 377, False)
    assert (charge.end_to_end_id, charge.amount_minor, charge.side, charge.is_charge) == (
        "", 25, expected, True,
    )  # fmt: skip


def test_the_zone_of_a_date_is_not_its_time_of_day() -> None:
    body = notification([entry([payment("e1")], booked="<Dt>2026-07-02+02:00</Dt>")])

    (one,) = read_notification(body, where="july.xml").entries

    assert one.booked_at == datetime(2026, 7, 1, 22, tzinfo=UTC)


def test_elements_of_another_namespace_say_nothing() -> None:
    foreign = '<x:Amt xmlns:x="urn:other" Ccy="EUR">9.99</x:Amt>'
    payments = f'<x:TxDtls xmlns:x="urn:other">{foreign}</x:TxDtls>{payment("e1")}'
    body = notification([entry([payments]).replace("<NtryRef>", f"{foreign}<NtryRef>", 1)])

    (one,) = read_notification(body, where="july.xml").entries

    assert (one.end_to_end_id, one.amount_minor) == ("e1", 377)


def test_a_number_of_payments_that_is_none_stops_no_other_entry() -> None:
    bad = entry([], batch="<Btch><NbOfTxs>many</NbOfTxs></Btch>")

    found = read_notification(notification([bad, entry([payment("e1")])]), where="july.xml")

    assert [one.end_to_end_id for one in found.entries] == ["e1"]
    assert [one.where for one in found.refused] == ["NbOfTxs"]


def test_a_period_beyond_all_times_is_no_period() -> None:
    body = notification([entry([payment("e1")])]).replace(
        b"<FrDtTm>2026-07-02T00:00:00Z", b"<FrDtTm>0001-01-01T00:00:00+14:00"
    )

    assert read_notification(body, where="july.xml").period is None
