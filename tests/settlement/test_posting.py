"""What is sent, what an answer means, and which state may follow which."""

import json
from datetime import UTC, timedelta, timezone
from email.utils import format_datetime
from hashlib import sha256
from itertools import product
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from settlement.posting import (
    ALLOWED,
    DETAIL_MAX_CHARS,
    DISPUTES_MAX,
    DISPUTING,
    OPEN,
    RETRY_AFTER_MAX,
    Backoff,
    IllegalMoveError,
    Outcome,
    State,
    UncomposableError,
    compose,
    excerpt,
    judge_answer,
    judge_unsigned,
    next_attempt_at,
    posting_id,
    require_move,
    retry_after,
    state_after,
)
from tests.postings import NOON, echo, facts, posting

FINAL = {State.ACKNOWLEDGED, State.REJECTED}
ATTEMPTED = set(State) - {State.PENDING, State.SENT}
HTML = b"<!doctype html><title>Sign in</title>"

printable = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=30)


# --- what is sent --------------------------------------------------------------------------------


def test_a_body_is_sorted_compact_json_with_integers_as_text_and_times_in_utc():
    # given a revision that takes money back
    given_facts = facts(7, amount_minor=-377, account="Zürich/7", supersedes="settlement-6")

    # when it is composed
    composed = compose(given_facts, partner="clearinghouse")

    # then these are its bytes, for ever
    assert composed.body.decode() == (
        '{"account":"Zürich/7","amount_minor":"-377","currency":"USD","event_id":"evening",'
        '"kind":"payout","period_ended_at":"2026-07-01T13:00:00Z","period_started_at":"2026-07-01T12:00:00Z",'
        '"posting_id":"fd4e8146-563a-5fde-9a1c-3c91011e16ac","program":"example-energy",'
        '"settlement_id":"settlement-7","supersedes":"settlement-6","vehicle_id":"vehicle-7"}'
    )
    assert composed.body_digest == sha256(composed.body).digest()


def test_the_same_instants_in_another_zone_give_the_same_bytes():
    # given the same period as a clock in Kathmandu shows it
    kathmandu = timezone(timedelta(hours=5, minutes=45))
    shown_there: dict[str, Any] = {
        "period_started_at": NOON.astimezone(kathmandu),
        "period_ended_at": (NOON + timedelta(hours=1)).astimezone(kathmandu),
    }

    # when both are composed, then nothing differs
    assert posting(1, **shown_there) == posting(1)


@settings(deadline=None)
@given(account=printable, vehicle=printable, amount=st.integers(-(10**15), 10**15))
def test_a_body_reads_back_as_the_facts(account, vehicle, amount):
    # given, when
    composed = posting(1, account=account, vehicle_id=vehicle, amount_minor=amount)

    # then
    read = json.loads(composed.body)
    assert (read["account"], read["vehicle_id"], int(read["amount_minor"])) == (
        account,
        vehicle,
        amount,
    )
    assert (
        read["posting_id"]
        == composed.posting_id
        == posting_id("settlement-1", "clearinghouse", "payout", account)
    )
    assert composed == posting(1, account=account, vehicle_id=vehicle, amount_minor=amount)


@settings(deadline=None)
@given(st.lists(st.tuples(*[printable] * 4), min_size=2, max_size=2, unique=True))
def test_an_id_belongs_to_one_settlement_partner_kind_and_account(given_texts):
    # given two that differ in any of the four, however their texts would join
    one, other = given_texts

    # when, then
    assert posting_id(*one) != posting_id(*other)


@pytest.mark.parametrize(
    "changes",
    [{"kind": "reversal"}, {"account": "site-host"}, {"settlement_id": "settlement-2"}],
    ids=str,
)
def test_what_goes_to_another_account_or_for_another_cause_has_another_id(changes):
    assert posting(1, **changes).posting_id != posting(1).posting_id


def test_no_amount_changes_the_id():
    assert posting(1, amount_minor=5, currency="EUR").posting_id == posting(1).posting_id


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        *[({name: ""}, name) for name in ("settlement_id", "program", "event_id", "vehicle_id", "account")],
        ({"kind": ""}, "kind"),
        ({"kind": "refund"}, "kind"),
        ({"supersedes": ""}, "supersedes"),
        ({"account": "a\nb"}, "account"),
        ({"vehicle_id": "\ud800"}, "vehicle_id"),
        ({"event_id": "nul\0"}, "event_id"),
        ({"currency": "usd"}, "currency"),
        ({"currency": "US"}, "currency"),
        ({"currency": "ÄBC"}, "currency"),
        ({"amount_minor": 10**15 + 1}, "amount_minor"),
        ({"amount_minor": -(10**15) - 1}, "amount_minor"),
        ({"period_started_at": NOON.replace(tzinfo=None)}, "period_started_at"),
        ({"period_ended_at": NOON.replace(tzinfo=None)}, "period_ended_at"),
        ({"period_ended_at": NOON}, "the period"),
    ],
    ids=str,
)  # fmt: skip
def test_a_fact_that_no_posting_can_carry_is_refused_by_name(changes, where):
    # given
    bad = facts(1, **changes)

    # when
    with pytest.raises(UncomposableError) as refused:
        compose(bad, partner="clearinghouse")

    # then
    assert refused.value.where == where
    assert refused.value.expected in str(refused.value)


def test_a_partner_needs_a_name():
    with pytest.raises(UncomposableError, match="partner is empty"):
        compose(facts(), partner="")


# --- what an answer means --------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 201, 208])
def test_the_right_echo_is_an_acknowledgement(status):
    sent = posting()
    assert judge_answer(sent, status, {}, echo(sent)) == (
        Outcome.ACKNOWLEDGED,
        f"{status}: the echo is ours",
    )


@pytest.mark.parametrize("status", [200, 201, 208])
@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"posting_id": posting(2).posting_id}, "posting_id is"),
        ({"posting_id": None}, "posting_id is 'missing'"),
        ({"amount_minor": "102"}, "amount_minor is '102', ours is '101'"),
        ({"amount_minor": "101.0"}, "amount_minor is"),
        ({"amount_minor": " 101"}, "amount_minor is"),
        ({"amount_minor": 101}, "amount_minor is '101', ours is '101'"),
        ({"amount_minor": 101.0}, "amount_minor is"),
        ({"amount_minor": "-101"}, "amount_minor is"),
        ({"amount_minor": None}, "amount_minor is 'missing'"),
        ({"currency": "EUR"}, "currency is 'EUR', ours is 'USD'"),
        ({"currency": None}, "currency is 'missing'"),
        ({"digest": "0" * 64}, "digest is"),
        ({"digest": None}, "digest is 'missing'"),
        ({"digest": ["x"]}, "digest is"),
        ({"status": "rejected"}, "status is 'rejected'"),
        ({"status": None}, "status is 'missing'"),
    ],
    ids=str,
)
def test_a_wrong_echo_is_no_acknowledgement_whatever_the_status(status, changes, told):
    # given
    sent = posting()

    # when
    outcome, detail = judge_answer(
        sent, status, {"content-type": "application/json"}, echo(sent, **changes)
    )

    # then
    assert outcome is Outcome.ECHO_DIFFERS
    assert told in detail


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (HTML, "not JSON"),
        (b"", "not JSON"),
        (echo(posting())[:40], "not JSON"),
        (b"\xff\xfe{}", "not JSON"),
        (b"[" * 60_000, "not JSON"),
        (b"[]", "not a JSON object"),
        (b"null", "not a JSON object"),
        (echo(posting())[:-1] + b',"amount_minor":"999"}', "a name stands twice"),
        (None, "longer than an echo can be"),
    ],
    ids=["html", "empty", "truncated", "not utf-8", "nested", "array", "null", "twice", "too long"],
)
def test_an_answer_that_cannot_be_read_is_no_acknowledgement(body, told):
    # given, when
    outcome, detail = judge_answer(posting(), 200, {"content-type": "text/html"}, body)

    # then
    assert outcome is Outcome.ECHO_DIFFERS
    assert told in detail
    assert "text/html" in detail


@pytest.mark.parametrize(
    ("statuses", "outcome"),
    [
        ([408, 425, 429, 503], Outcome.REFUSED_TEMPORARILY),
        ([500, 501, 502, 504, 507, 599, 100, 101, 600, 999], Outcome.SERVER_FAILED),
        ([202, 203, 204, 206, 207, 226], Outcome.ECHO_DIFFERS),
        ([300, 301, 302, 303, 304, 307, 308], Outcome.NOT_SERVED),
        ([401, 403, 404, 405, 407, 421], Outcome.NOT_SERVED),
        ([409], Outcome.CONFLICT),
        ([400, 402, 406, 410, 411, 413, 415, 418, 422, 451, 499], Outcome.REJECTED),
    ],
    ids=lambda v: str(v) if isinstance(v, Outcome) else "",
)
def test_every_other_status_has_its_outcome_even_with_the_right_echo(statuses, outcome):
    sent = posting()
    assert {judge_answer(sent, status, {}, echo(sent)).outcome for status in statuses} == {outcome}


def test_a_detail_says_where_a_redirect_points_and_what_a_refusal_says():
    # given, when
    redirect = judge_answer(posting(), 307, {"location": "https://elsewhere.example/"}, b"")
    refusal = judge_answer(posting(), 422, {}, '{"field":"account","why":"närvarande"}'.encode())

    # then
    assert redirect.detail == "307, to https://elsewhere.example/: no body was read"
    assert refusal.detail == r'422: {"field":"account","why":"n\xe4rvarande"}'


@settings(deadline=None)
@given(
    status=st.integers(0, 1000),
    headers=st.dictionaries(st.sampled_from(["content-type", "location"]), st.text(max_size=400)),
    body=st.none()
    | st.binary(max_size=500)
    | st.text(max_size=500).map(lambda t: t.encode("utf-8", "replace")),
)
def test_no_foreign_answer_is_an_acknowledgement_or_an_error_or_unfit_to_store(
    status, headers, body
):
    # given, when
    outcome, detail = judge_answer(posting(), status, headers, body)

    # then
    assert outcome is not Outcome.ACKNOWLEDGED
    assert len(detail) <= DETAIL_MAX_CHARS
    assert detail.isascii()
    assert detail.isprintable()


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(["posting_id", "amount_minor", "currency", "digest", "status"]),
                       st.none() | st.text(max_size=70) | st.integers() | st.lists(st.text(max_size=3), max_size=2),
                       min_size=1))  # fmt: skip
def test_one_changed_field_is_enough_to_dispute(changes):
    # given
    sent = posting()
    right = json.loads(echo(sent))
    changes = {name: value for name, value in changes.items() if value != right[name]}

    # when
    outcome, _ = judge_answer(sent, 200, {}, echo(sent, **changes))

    # then
    assert outcome is (Outcome.ECHO_DIFFERS if changes else Outcome.ACKNOWLEDGED)


@settings(deadline=None)
@given(st.text())
def test_an_excerpt_is_printable_ascii_of_bounded_length(text):
    assert excerpt(text).isascii()
    assert excerpt(text).isprintable()
    assert len(excerpt(text * 50)) <= DETAIL_MAX_CHARS


@pytest.mark.parametrize(
    ("status", "body", "outcome"),
    [
        (201, echo(posting()), Outcome.SIGNATURE_WRONG),
        (200, HTML, Outcome.SIGNATURE_WRONG),
        (422, b"{}", Outcome.SIGNATURE_WRONG),
        (409, b"{}", Outcome.SIGNATURE_WRONG),
        (429, b"", Outcome.REFUSED_TEMPORARILY),
        (302, b"", Outcome.NOT_SERVED),
        (502, HTML, Outcome.SERVER_FAILED),
    ],
)
def test_f16_an_answer_with_a_wrong_signature_decides_nothing(status, body, outcome):
    # given what it would mean if it were signed
    judged = judge_answer(posting(), status, {}, body)

    # when
    unsigned = judge_unsigned(judged, "it is by another key")

    # then
    assert unsigned.outcome is outcome
    if outcome is Outcome.SIGNATURE_WRONG:
        assert unsigned.detail.startswith(f"signature: it is by another key; {status}")
    assert len(unsigned.detail) <= DETAIL_MAX_CHARS


# --- Retry-After ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        ("7", 7),
        (" 7 ", 7),
        ("3600", 3600),
        ("3601", 3600),
        ("9" * 5000, 3600),
        (format_datetime(NOON + timedelta(seconds=90), usegmt=True), 90),
        (format_datetime(NOON - timedelta(days=1), usegmt=True), 0),
        (format_datetime(NOON + timedelta(days=1), usegmt=True), 3600),
        ("Wednesday, 01-Jul-26 12:00:30 GMT", 30),
        ("Wed, 01 Jul 2026 12:00:30 -0000", 30),
        ("-5", None),
        ("1.5", None),
        ("²", None),
        ("soon", None),
        ("", None),
        (None, None),
        ("7, 9", None),
        ("Wed, 01 Jul 99999999999 12:00:00 GMT", None),
    ],
)
def test_a_wait_is_read_as_seconds_or_as_a_date_and_never_beyond_an_hour(value, seconds):
    expected = None if seconds is None else timedelta(seconds=seconds)
    assert retry_after(value, NOON) == expected


@settings(deadline=None)
@given(
    st.text()
    | st.integers().map(str)
    | st.datetimes(timezones=st.just(UTC)).map(lambda d: format_datetime(d, usegmt=True))
)
def test_no_text_asks_for_a_negative_or_an_endless_wait(value):
    wait = retry_after(value, NOON)
    assert wait is None or timedelta() <= wait <= RETRY_AFTER_MAX


# --- states ----------------------------------------------------------------------------------------

MAY_FOLLOW = {
    (State.PENDING, State.SENT),
    (State.PENDING, State.PARKED),  # a limit, or a hold on the account
    (State.QUEUED, State.SENT),
    (State.QUEUED, State.PARKED),
    (State.UNKNOWN, State.SENT),
    (State.UNKNOWN, State.ACKNOWLEDGED),  # the partner's statement shows it
    (State.DISPUTED, State.SENT),
    (State.DISPUTED, State.ACKNOWLEDGED),
    (State.SENT, State.SENT),
    (State.SENT, State.QUEUED),
    (State.SENT, State.UNKNOWN),
    (State.SENT, State.DISPUTED),
    (State.SENT, State.ACKNOWLEDGED),
    (State.SENT, State.REJECTED),
    (State.SENT, State.PARKED),
    (State.PARKED, State.PENDING),  # a person lets it go: never sent,
    (State.PARKED, State.UNKNOWN),  # or sent before
    (State.PARKED, State.ACKNOWLEDGED),
    (State.PARKED, State.REJECTED),  # a person gives it up
}


@pytest.mark.parametrize(("before", "after"), list(product(State, State)))
def test_a_state_follows_another_exactly_where_it_may(before, after):
    if (before, after) in MAY_FOLLOW:
        require_move(before, after)
    else:
        with pytest.raises(IllegalMoveError) as refused:
            require_move(before, after)
        assert (refused.value.before, refused.value.after) == (before, after)


def test_every_state_is_open_or_final_or_waits_for_a_person():
    assert OPEN | FINAL | {State.PARKED} == set(State)
    assert not OPEN & FINAL
    assert {state for state in State if not ALLOWED[state]} == FINAL
    assert {state for state in State if State.SENT in ALLOWED[state]} == OPEN


@pytest.mark.parametrize(
    ("outcome", "state", "in_doubt"),
    [
        (Outcome.ACKNOWLEDGED, State.ACKNOWLEDGED, State.ACKNOWLEDGED),
        (Outcome.REFUSED_TEMPORARILY, State.QUEUED, State.UNKNOWN),
        (Outcome.CONNECTION_FAILED, State.QUEUED, State.UNKNOWN),
        (Outcome.NOT_SENT, State.QUEUED, State.UNKNOWN),
        (Outcome.NOT_SERVED, State.QUEUED, State.UNKNOWN),
        (Outcome.SERVER_FAILED, State.UNKNOWN, State.UNKNOWN),
        (Outcome.NO_ANSWER, State.UNKNOWN, State.UNKNOWN),
        (Outcome.LOST, State.UNKNOWN, State.UNKNOWN),
        (Outcome.ECHO_DIFFERS, State.DISPUTED, State.DISPUTED),
        (Outcome.SIGNATURE_WRONG, State.DISPUTED, State.DISPUTED),
        (Outcome.CONFLICT, State.PARKED, State.PARKED),
        (Outcome.REJECTED, State.REJECTED, State.PARKED),
    ],
)
def test_an_outcome_leads_to_its_state(outcome, state, in_doubt):
    assert state_after(outcome, doubtful=False, disputes=0) is state
    assert state_after(outcome, doubtful=True, disputes=0) is in_doubt


@pytest.mark.parametrize("outcome", sorted(DISPUTING))
def test_a_clearinghouse_that_keeps_disputing_ends_at_a_person(outcome):
    states = [state_after(outcome, doubtful=True, disputes=n) for n in range(1, DISPUTES_MAX + 1)]
    assert states == [State.DISPUTED] * (DISPUTES_MAX - 1) + [State.PARKED]


# --- when to send again -------------------------------------------------------------------------------

retried = st.sampled_from(
    [o for o in Outcome if state_after(o, doubtful=False, disputes=0) in OPEN]
)
seeds = st.integers(0, 2**32)


@settings(deadline=None)
@given(outcome=retried, attempts=st.integers(0, 2**31), seed=seeds)
def test_a_retry_waits_at_most_its_doubled_bound_and_never_above_the_cap(outcome, attempts, seed):
    # given
    backoff = Backoff(first=timedelta(seconds=2), cap=timedelta(minutes=3))

    # when
    at = next_attempt_at(outcome, attempts, NOON, Random(seed), backoff=backoff)

    # then
    doubled = timedelta(seconds=2) * 2 ** min(max(attempts - 1, 0), 10)
    assert at is not None
    assert NOON <= at <= NOON + min(doubled, backoff.cap)
    assert at == next_attempt_at(outcome, attempts, NOON, Random(seed), backoff=backoff)


def test_retries_spread_over_the_whole_of_their_bound():
    # given
    random = Random(1)

    # when a thousand postings failed together for the third time
    waits = sorted(Backoff().wait(3, random) for _ in range(1000))

    # then they come again all over the four seconds
    assert waits[0] < timedelta(seconds=0.1)
    assert waits[-1] > timedelta(seconds=3.9)
    assert timedelta(seconds=1.7) < waits[500] < timedelta(seconds=2.3)


@settings(deadline=None)
@given(
    outcome=retried, asked=st.timedeltas(timedelta(microseconds=1), timedelta(days=3)), seed=seeds
)
def test_a_wait_that_is_asked_for_is_kept_to_within_a_second(outcome, asked, seed):
    at = next_attempt_at(outcome, 1, NOON, Random(seed), asked)
    kept = min(asked, RETRY_AFTER_MAX)
    assert at is not None
    assert NOON + kept <= at < NOON + kept + timedelta(seconds=1)


@pytest.mark.parametrize("asked", [None, timedelta()])
def test_asking_for_no_wait_leaves_the_backoff_in_force(asked):
    assert next_attempt_at(
        Outcome.REFUSED_TEMPORARILY, 5, NOON, Random(3), asked
    ) == NOON + Backoff().wait(5, Random(3))


@pytest.mark.parametrize("outcome", [Outcome.ACKNOWLEDGED, Outcome.CONFLICT, Outcome.REJECTED])
def test_what_sending_again_cannot_help_is_not_sent_again(outcome):
    assert next_attempt_at(outcome, 1, NOON, Random(1), timedelta(seconds=5)) is None


@pytest.mark.parametrize(
    ("first", "cap"),
    [(0, 10), (-1, 10), (10, 9), (1, 3601)],
)
def test_a_backoff_without_sense_is_refused(first, cap):
    with pytest.raises(ValueError, match="expected 0 < first <= cap"):
        Backoff(first=timedelta(seconds=first), cap=timedelta(seconds=cap))
