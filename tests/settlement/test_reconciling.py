"""Our postings against a partner's lines: one finding each, and the money of both sides accounted for."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from settlement.posting import State
from settlement.reconciling import (
    AGREEING,
    DISPUTABLE,
    Finding,
    Kind,
    Ours,
    Status,
    Theirs,
    Way,
    difference_id,
    match,
    totals,
)

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)
DUE = NOON + timedelta(days=10)
A = State.ACKNOWLEDGED


def ours(posting_id: str = "p", **changes: Any) -> Ours:
    return replace(Ours(posting_id, "alice", "EUR", 377, A, True, NOON), **changes)


def line(posting_id: str = "p", **changes: Any) -> Theirs:
    made = Theirs("s1", 1, Status.PAID, "", posting_id, "alice", "EUR", 377, NOON)
    return replace(made, **changes)


def found(posting: Ours | None, *lines: Theirs) -> list[Finding]:
    return list(match([posting] if posting else [], lines, due_before=DUE))


@pytest.mark.parametrize(
    ("posting", "lines", "expected"),
    [
        (ours(), [line()], [(Kind.MATCHED, 0)]),
        (ours(), [line(account="")], [(Kind.MATCHED, 0)]),
        (ours(), [], [(Kind.MISSING_AT_PARTNER, 377)]),
        (ours(since=DUE), [], [(Kind.NOT_YET_DUE, 0)]),
        (None, [line()], [(Kind.UNKNOWN_TO_US, -377)]),
        (None, [line(posting_id="")], [(Kind.UNKNOWN_TO_US, -377)]),
        (None, [line(status=Status.PENDING)], [(Kind.UNKNOWN_TO_US, 0)]),
        (ours(), [line(amount_minor=378)], [(Kind.AMOUNT_DIFFERS, -1)]),
        (ours(), [line(amount_minor=77)], [(Kind.AMOUNT_DIFFERS, 300)]),
        (ours(), [line(currency="USD")], [(Kind.CURRENCY_DIFFERS, 377)]),
        (ours(), [line(account="bob")], [(Kind.ACCOUNT_DIFFERS, 377)]),
        (ours(), [line(), line(number=2)], [(Kind.MATCHED, 0), (Kind.PAID_TWICE, -377)]),
        (
            ours(),
            [line(amount_minor=1), line(number=2)],
            [(Kind.MATCHED, 0), (Kind.PAID_TWICE, -1)],
        ),
        (ours(state=State.REJECTED), [line()], [(Kind.PAID_UNEXPECTED, -377)]),
        (ours(state=State.PENDING, was_sent=False), [line()], [(Kind.PAID_UNEXPECTED, -377)]),
        (ours(state=State.PARKED, was_sent=False), [line()], [(Kind.PAID_UNEXPECTED, -377)]),
        (ours(state=State.QUEUED), [line()], [(Kind.PAID_UNEXPECTED, -377)]),
        (ours(state=State.PARKED), [line()], [(Kind.PROVEN, 0)]),
        (ours(state=State.UNKNOWN), [line()], [(Kind.PROVEN, 0)]),
        (ours(state=State.DISPUTED), [line()], [(Kind.PROVEN, 0)]),
        (ours(state=State.SENT), [line()], [(Kind.PROVEN, 0)]),
        (ours(state=State.UNKNOWN), [line(amount_minor=1)], [(Kind.AMOUNT_DIFFERS, 376)]),
        (ours(state=State.REJECTED), [], [(Kind.AGREED_UNPAID, 0)]),
        (ours(state=State.REJECTED), [line(status=Status.REFUSED)], [(Kind.AGREED_UNPAID, 0)]),
        (ours(state=State.PENDING), [], [(Kind.STILL_OPEN, 0)]),
        (ours(state=State.UNKNOWN), [], [(Kind.STILL_OPEN, 0)]),
        (ours(state=State.UNKNOWN, since=DUE), [], [(Kind.NOT_YET_DUE, 0)]),
        (ours(), [line(status=Status.PENDING, booked_at=DUE)], [(Kind.NOT_YET_DUE, 0)]),
        (ours(), [line(status=Status.PENDING)], [(Kind.MISSING_AT_PARTNER, 377)]),
        (ours(state=State.REJECTED), [line(status=Status.PENDING)], [(Kind.NOT_YET_DUE, 0)]),
        (ours(state=State.SENT, way=Way.FILE), [line(way=Way.FILE)], [(Kind.PROVEN, 0)]),
        (ours(state=State.SENT, way=Way.FILE), [line()], [(Kind.PAID_UNEXPECTED, -377)]),
        (ours(way=Way.FILE), [line()], [(Kind.PAID_UNEXPECTED, -377)]),
        (
            ours(way=Way.FILE),
            [line(), line(number=2, way=Way.FILE)],
            [(Kind.MATCHED, 0), (Kind.PAID_TWICE, -377)],
        ),
        (ours(), [line(status=Status.REFUSED)], [(Kind.REFUSED, 377)]),
        (ours(state=State.SENT), [line(status=Status.REFUSED)], [(Kind.REFUSED, 0)]),
        (
            ours(),
            [line(), line(number=2, status=Status.RETURNED, amount_minor=-377)],
            [(Kind.MATCHED, 0), (Kind.RETURNED, 377)],
        ),
        (ours(), [line(status=Status.RETURNED, amount_minor=-377)], [(Kind.RETURNED, 377)]),
        (None, [line(posting_id="", status=Status.FEE, amount_minor=-25)], [(Kind.FEE, 25)]),
        (ours(amount_minor=-77), [line(amount_minor=-77)], [(Kind.MATCHED, 0)]),
        (ours(amount_minor=-77), [], [(Kind.MISSING_AT_PARTNER, -77)]),
    ],
)
def test_each_difference_has_its_kind_and_its_money(
    posting: Ours | None, lines: list[Theirs], expected: list[tuple[Kind, int]]
) -> None:
    assert [(one.kind, one.at_stake_minor) for one in found(posting, *lines)] == expected


def test_the_same_entry_in_two_statements_is_one_payment() -> None:
    # given a payment that a daily and a monthly statement both list, and one listed twice in one
    daily = line(reference="R-1")
    monthly = line(reference="R-1", statement_id="s2", number=9)
    doubled = line(reference="R-1", number=2)

    # when they are compared, then only the second one of a single statement was paid twice
    assert Counter(one.kind for one in found(ours(), daily, monthly)) == {
        Kind.MATCHED: 1,
        Kind.REPEATED: 1,
    }
    assert Counter(one.kind for one in found(ours(), daily, doubled)) == {
        Kind.MATCHED: 1,
        Kind.PAID_TWICE: 1,
    }


def test_a_second_payment_never_hides_behind_a_repetition() -> None:
    # given an entry that a later statement lists twice, whichever of their ids comes first
    first = line(reference="R-1", statement_id="s2", imported_at=NOON)
    twice = [line(reference="R-1", statement_id="s1", number=n, imported_at=DUE) for n in (1, 2)]

    # when they are compared, then one of the three is a repetition, and one was paid twice
    both = found(ours(), first, *twice)
    assert Counter(one.kind for one in both) == {
        Kind.MATCHED: 1, Kind.REPEATED: 1, Kind.PAID_TWICE: 1,
    }  # fmt: skip
    # and another time, or another way, is another payment, whatever its reference
    for changes in ({"booked_at": DUE}, {"way": Way.FILE}):
        other = line(reference="R-1", statement_id="s3", **changes)
        assert Kind.PAID_TWICE in {one.kind for one in found(ours(), first, other)}


def test_what_is_in_dispute_stays_the_same_difference_when_a_later_statement_repeats_it() -> None:
    # given a payment that we never posted
    stranger = line(reference="R-1", statement_id="s2", imported_at=NOON)
    (before,) = found(None, stranger)

    # when a later statement, whose id sorts before, lists it again
    again = line(reference="R-1", statement_id="s1", imported_at=DUE)
    after = [one for one in found(None, stranger, again) if one.kind is Kind.UNKNOWN_TO_US]

    # then it is still one difference, with the same id
    assert [difference_id("house", one) for one in after] == [difference_id("house", before)]


def test_an_entry_without_a_reference_is_never_taken_for_a_repetition() -> None:
    both = found(ours(), line(), line(statement_id="s2"))

    assert Counter(one.kind for one in both) == {Kind.MATCHED: 1, Kind.PAID_TWICE: 1}


def test_a_difference_has_the_same_id_whenever_it_is_found_and_no_two_have_one() -> None:
    (missing,) = found(ours())
    later = match([ours("q"), ours()], [], due_before=DUE + timedelta(days=1))

    ids = {one.posting_id: difference_id("house", one) for one in later}
    assert ids["p"] == difference_id("house", missing)
    assert ids["q"] != ids["p"]
    assert difference_id("other", missing) != ids["p"]


IDS = st.sampled_from(["p1", "p2", "p3", "p4", ""])
POSTINGS = st.lists(
    st.builds(
        Ours,
        IDS.filter(bool),
        st.sampled_from(["alice", "bob"]),
        st.sampled_from(["EUR", "USD"]),
        st.sampled_from([-77, 100, 377]),
        st.sampled_from(list(State)),
        st.booleans(),
        st.sampled_from([NOON, DUE]),
    ),
    unique_by=lambda one: one.posting_id,
    max_size=4,
)
LINES = st.lists(
    st.builds(
        Theirs,
        st.sampled_from(["s1", "s2"]),
        st.integers(1, 99),
        st.sampled_from(list(Status)),
        st.sampled_from(["", "R-1", "R-2"]),
        IDS,
        st.sampled_from(["alice", "bob", ""]),
        st.sampled_from(["EUR", "USD"]),
        st.sampled_from([-77, 100, 377]),
        st.sampled_from([NOON, NOON + timedelta(hours=1)]),
    ),
    unique_by=lambda one: (one.statement_id, one.number),
    max_size=8,
)


@given(POSTINGS, LINES)
def test_everything_ends_in_one_finding_and_all_money_is_accounted_for(
    postings: list[Ours], lines: list[Theirs]
) -> None:
    findings = match(postings, lines, due_before=DUE)

    # each posting and each line once, and none invented
    assert Counter(one.ours for one in findings if one.ours) == Counter(postings)
    assert Counter(one.theirs for one in findings if one.theirs) == Counter(lines)
    # both sides' money, per currency, is what the findings say
    for currency in ("EUR", "USD"):
        sums = [one for one in totals(findings) if one.currency == currency]
        assert sum(one.ours_minor for one in sums) == sum(
            one.amount_minor for one in postings if one.currency == currency
        )
        assert sum(one.theirs_minor for one in sums) == sum(
            one.moved_minor for one in lines if one.currency == currency
        )
        assert sum(one.at_stake_minor for one in sums) == sum(
            one.at_stake_minor for one in findings if one.currency == currency
        )
    # what agrees is never at stake
    assert all(one.at_stake_minor == 0 for one in findings if one.kind not in DISPUTABLE)
    assert frozenset() == AGREEING & DISPUTABLE


@given(POSTINGS, LINES, st.randoms(use_true_random=False))
def test_the_order_of_either_side_changes_nothing(
    postings: list[Ours], lines: list[Theirs], random: Any
) -> None:
    before = match(postings, lines, due_before=DUE)
    random.shuffle(postings)
    random.shuffle(lines)

    assert match(postings, lines, due_before=DUE) == before


def naive_kinds(posting: Ours, lines: list[Theirs]) -> Counter[str]:
    """A second opinion, written as rules from top to bottom, about one posting without references."""
    counted: Counter[str] = Counter()
    paid = [one for one in lines if one.status == "paid"]
    right = [
        one
        for one in paid
        if one.currency == posting.currency
        and one.amount_minor == posting.amount_minor
        and one.account in ("", posting.account)
    ]
    returned = [one for one in lines if one.status == "returned"]
    refused = [one for one in lines if one.status == "refused"]
    pending = [one for one in lines if one.status == "pending"]
    if paid:
        in_doubt = posting.state in ("sent", "unknown", "disputed", "parked") and posting.was_sent
        if posting.state != "acknowledged" and not in_doubt:
            counted["paid_unexpected"] += 1
        elif right:
            counted["matched" if posting.state == "acknowledged" else "proven"] += 1
        else:
            first = min(paid, key=lambda one: (one.booked_at, one.statement_id, one.number))
            if first.currency != posting.currency:
                counted["currency_differs"] += 1
            elif first.amount_minor != posting.amount_minor:
                counted["amount_differs"] += 1
            else:
                counted["account_differs"] += 1
        counted["paid_twice"] += len(paid) - 1
        counted["returned"] += len(returned)
        counted["refused"] += len(refused)
        counted["not_yet_due"] += len(pending)
    elif returned:
        counted["returned"] += len(returned)
        counted["refused"] += len(refused)
        counted["not_yet_due"] += len(pending)
    elif refused:
        counted["agreed_unpaid" if posting.state == "rejected" else "refused"] += 1
        counted["refused"] += len(refused) - 1
        counted["not_yet_due"] += len(pending)
    elif pending and posting.state == "rejected":
        counted["not_yet_due"] += len(pending)
    elif posting.state == "rejected":
        counted["agreed_unpaid"] += 1
    else:
        # All lines here are older than the tolerance: listed as pending for that long is not listed.
        counted["not_yet_due"] += max(0, len(pending) - 1)
        if posting.since >= DUE:
            counted["not_yet_due"] += 1
        else:
            counted["missing_at_partner" if posting.state == "acknowledged" else "still_open"] += 1
    return +counted


@given(POSTINGS, LINES)
def test_a_naive_second_opinion_finds_the_same(postings: list[Ours], lines: list[Theirs]) -> None:
    lines = [replace(one, reference="") for one in lines]
    expected: Counter[str] = Counter()
    for posting in postings:
        own = [one for one in lines if one.posting_id == posting.posting_id]
        expected += naive_kinds(posting, [one for one in own if one.status != "fee"])
    known = {one.posting_id for one in postings}
    expected["fee"] += sum(one.status == "fee" for one in lines)
    expected["unknown_to_us"] += sum(
        one.status != "fee" and one.posting_id not in known for one in lines
    )

    assert Counter(one.kind.value for one in match(postings, lines, due_before=DUE)) == +expected
