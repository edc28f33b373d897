"""The statement of what was paid, and its lies."""

import csv
import io
from datetime import UTC, datetime, timedelta

import pytest

from simulators.clearinghouse.statement import LIES, LieKind, UnusableLieError
from tests.simulators.clearinghouse.caller import posting

COLUMNS = ["posting_id", "account", "currency", "amount_minor", "paid_at", "reference", "status"]
BEGAN = datetime(2026, 7, 1, 18, tzinfo=UTC)


class Clock:
    """Goes ahead by an hour whenever it is asked."""

    def __init__(self):
        self.now = BEGAN

    def __call__(self):
        self.now += timedelta(hours=1)
        return self.now


@pytest.fixture
def paying(calling):
    """A clearinghouse that has paid three postings, one an hour from 19:00 on."""
    caller = calling(now=Clock())
    caller.post(posting(1))
    caller.post(posting(2, amount_minor="-77", account='owner "2", Ltd.'))
    caller.post(posting(3, currency="EUR"))
    return caller


def lines(text):
    return list(csv.reader(io.StringIO(text.decode(), newline="")))


def test_it_lists_what_was_paid_in_order(paying):
    answer = paying.client.get("/v1/statement")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.content.splitlines(keepends=True)[0] == (",".join(COLUMNS) + "\r\n").encode()
    assert lines(answer.content) == [
        COLUMNS,
        ["posting-1", "owner-1", "USD", "377", "2026-07-01T19:00:00Z", "CH-0000000001", "paid"],
        ["posting-2", 'owner "2", Ltd.', "USD", "-77", "2026-07-01T20:00:00Z", "CH-0000000002", "paid"],
        ["posting-3", "owner-1", "EUR", "377", "2026-07-01T21:00:00Z", "CH-0000000003", "paid"],
    ]  # fmt: skip
    assert paying.house.statement() == answer.content


def test_what_is_sent_again_or_not_paid_is_not_in_it(calling):
    caller = calling()
    caller.house.script.posting("posting-2", "error", "html")
    for number in (1, 1, 2, 2):
        caller.post(posting(number))
    assert [line[0] for line in lines(caller.house.statement())[1:]] == ["posting-1"]


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ({"from": "2026-07-01T20:00:00Z"}, ["posting-2", "posting-3"]),
        ({"to": "2026-07-01T20:00:00Z"}, ["posting-1"]),
        ({"from": "2026-07-01T22:00:00+02:00", "to": "2026-07-01T20:00:01Z"}, ["posting-2"]),
        ({"from": "2027-01-01T00:00:00Z"}, []),
    ],
)
def test_a_span_includes_its_beginning_and_not_its_end(paying, query, ids):
    answer = paying.client.get("/v1/statement", params=query)
    assert [line[0] for line in lines(answer.content)[1:]] == ids


@pytest.mark.parametrize("value", ["yesterday", "2026-07-01T20:00:00", ""])
def test_a_span_that_cannot_be_read_is_refused(caller, value):
    answer = caller.client.get("/v1/statement", params={"from": value})
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert "from=" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("lie", "told"),
    [
        ("missing:line=2", ["377 USD", "377 EUR"]),
        ("missing:posting=posting-3", ["377 USD", "-77 USD"]),
        ("doubled:line=2", ["377 USD", "-77 USD", "-77 USD", "377 EUR"]),
        ("other_amount", ["378 USD", "-77 USD", "377 EUR"]),
        ("other_amount:line=3:by=-100", ["377 USD", "-77 USD", "277 EUR"]),
        ("other_currency:line=3", ["377 USD", "-77 USD", "377 USD"]),
        ("unknown_posting:line=3", ["377 USD", "-77 USD", "377 EUR", "1234 EUR"]),
        ("fee:by=-50", ["377 USD", "-50 USD", "-77 USD", "377 EUR"]),
        ("missing:line=9", ["377 USD", "-77 USD", "377 EUR"]),
    ],
)
def test_a_lie_is_told_as_asked_and_only_there(paying, lie, told):
    truth = paying.house.truth()
    paying.house.lies.add(lie)
    assert [f"{line[3]} {line[2]}" for line in lines(paying.house.statement())[1:]] == told
    assert paying.house.truth() == truth


def test_another_account_is_one_that_nobody_has(paying):
    paying.house.lies.add("other_account:line=3")
    assert [line[1] for line in lines(paying.house.statement())[1:]] == [
        "owner-1", 'owner "2", Ltd.', "owner-1-other",
    ]  # fmt: skip


def test_lines_more_say_what_they_are_and_a_doubled_one_keeps_its_reference(paying):
    # given a fee, a posting that nobody sent, and a line told twice
    paying.house.lies.add("fee", "unknown_posting:line=2", "doubled:line=3")

    # when the statement is read
    told = lines(paying.house.statement())[1:]

    # then each shows
    assert [line[5] for line in told] == [
        "CH-0000000001", "CH-FEE-000001", "CH-0000000002", "CH-9000000002", "CH-0000000003", "CH-0000000003",
    ]  # fmt: skip
    assert told[1] == ["", "", "USD", "-25", "2026-07-01T19:00:00Z", "CH-FEE-000001", "fee"]
    assert told[3][0].startswith("ffffffff-")


def test_it_tells_the_truth_again(paying):
    paying.house.lies.add("missing", "fee:line=2")
    paying.house.lies.clear()
    assert len(lines(paying.house.statement())) == 4


def test_every_lie_has_its_meaning():
    assert list(LIES) == list(LieKind)


@pytest.mark.parametrize("text", ["rude", "missing:line=x", "missing:line=0", "fee:size=1", ""])
def test_a_lie_that_cannot_be_is_refused(caller, text):
    with pytest.raises(UnusableLieError):
        caller.house.lies.add(text)
