"""The clearinghouse over a real socket: pays once, whatever comes."""

import json
from datetime import UTC, datetime
from hashlib import sha256

import httpx
import pytest

from simulators.clearinghouse.book import PayoutBook, PostingRefusedError, parse_posting
from tests.simulators.clearinghouse.caller import posting


def test_a_posting_is_taken_once_and_answered_the_same_when_it_comes_again(calling):
    # given a well-behaved clearinghouse
    caller = calling()

    # when one posting comes three times
    answers = [caller.post(posting()) for _ in range(3)]

    # then it took effect once, and every answer echoes it
    assert [a.status_code for a in answers] == [201, 208, 208]
    assert (
        answers[0].json()
        == answers[1].json()
        == {
            "posting_id": "posting-1",
            "amount_minor": "377",
            "currency": "USD",
            "digest": sha256(json.dumps(posting()).encode()).hexdigest(),
            "status": "accepted",
        }
    )
    truth = caller.house.truth()
    assert dict(truth.effects) == {"posting-1": 1}
    assert dict(truth.attempts) == {"posting-1": 3}
    assert truth.totals_minor == {"USD": 377}


def test_the_same_id_with_another_body_is_a_conflict_that_names_the_field(calling):
    caller = calling()
    caller.post(posting())
    answer = caller.post(posting(amount_minor="378"))
    assert answer.status_code == 409
    assert answer.json()["error"] == "conflict"
    assert answer.json()["field"] == "amount_minor"
    assert caller.house.truth().totals_minor == {"USD": 377}


def test_totals_are_kept_by_currency_and_adjustments_take_back(calling):
    caller = calling()
    caller.post(posting(1))
    caller.post(posting(2, amount_minor="-77", supersedes="posting-1"))
    caller.post(posting(3, currency="EUR"))
    assert caller.house.truth().totals_minor == {"USD": 300, "EUR": 377}


def test_a_settlement_paid_under_two_ids_is_a_double_payout_and_shown(calling):
    caller = calling()
    caller.post(posting(1))
    caller.post(posting(2, settlement_id="settlement-1"))
    assert caller.house.truth().settlements_paid_twice == ["settlement-1"]


def test_what_it_took_can_be_asked_for_by_id(calling):
    caller = calling()
    first = caller.post(posting()).json()
    found = caller.client.get(f"{caller.house.url}/v1/postings/posting-1")
    missing = caller.client.get(f"{caller.house.url}/v1/postings/posting-2")
    assert (found.status_code, found.json()) == (200, first)
    assert missing.status_code == 404


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"amount_minor": 377}, "amount_minor"),
        ({"amount_minor": "3.77"}, "amount_minor"),
        ({"amount_minor": "9" * 16}, "amount_minor"),
        ({"currency": "usd"}, "currency"),
        ({"account": ""}, "account"),
        ({"vehicle_id": None}, "vehicle_id"),
    ],
)
def test_a_malformed_posting_is_refused_by_field(calling, changes, field):
    caller = calling()
    answer = caller.post(posting(**changes))
    assert answer.status_code == 400
    assert answer.json()["field"] == field
    assert caller.house.truth().postings == {}


@pytest.mark.parametrize("key", ["", "posting-1", '"posting-2"'])
def test_the_idempotency_key_must_be_the_quoted_posting_id(calling, key):
    answer = calling().post(posting(), key=key)
    assert answer.status_code == 400
    assert answer.json()["field"] == "Idempotency-Key"


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b"[" * 100_000])
def test_what_is_no_json_object_is_refused(calling, body):
    caller = calling()
    answer = caller.client.post(f"{caller.house.url}/v1/postings", content=body)
    assert answer.status_code == 400


def test_a_body_beyond_the_limit_is_refused(calling):
    caller = calling()
    answer = caller.client.post(f"{caller.house.url}/v1/postings", content=b" " * 1_048_577)
    assert answer.status_code == 413


def test_without_the_token_nothing_is_taken_and_nothing_shown(calling):
    caller = calling()
    for path in ("/v1/ledger", "/v1/postings/posting-1"):
        assert httpx.get(caller.house.url + path).status_code == 401
    assert httpx.post(f"{caller.house.url}/v1/postings", json=posting()).status_code == 401


def test_the_book_has_an_end_and_says_so():
    # given a book of two postings
    book = PayoutBook(lambda: datetime(2026, 7, 1, tzinfo=UTC), postings_max=2)
    three = [
        parse_posting(json.dumps(posting(number)).encode(), f'"posting-{number}"')
        for number in range(3)
    ]
    for one in three[:2]:
        book.attempt(one)
        book.take(one)

    # when a third comes
    with pytest.raises(PostingRefusedError) as counting:
        book.attempt(three[2])
    with pytest.raises(PostingRefusedError) as taking:
        book.take(three[2])

    # then it is refused, and what is there is still answered
    assert (counting.value.status, taking.value.status) == (507, 507)
    assert book.take(three[1])[0] == 208
