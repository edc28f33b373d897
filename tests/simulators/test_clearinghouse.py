"""The clearinghouse over a real socket: pays once, and misbehaves exactly as asked."""

import json
import subprocess
import sys
import time
from hashlib import sha256

import httpx
import pytest

from simulators.clearinghouse import WELL_AFTER, WELL_BEHAVED, ClearingHouse, Misbehaviour

TOKEN = "token-of-the-test"


def always(fault):
    """Every call gets this fault."""
    return Misbehaviour(**({"slow": 0, "error": 0, "lost_ack": 0, "too_many": 0} | {fault: 1.0}))


def posting(number=1, **changes):
    return {
        "posting_id": f"posting-{number}",
        "settlement_id": f"settlement-{number}",
        "program": "example-energy",
        "event_id": "GRID-1",
        "vehicle_id": "VEHICLE-1",
        "kind": "payout",
        "account": "owner-1",
        "currency": "USD",
        "amount_minor": "377",
        "period_started_at": "2026-07-01T17:00:00Z",
        "period_ended_at": "2026-07-01T18:00:00Z",
        "supersedes": None,
    } | changes


class Caller:
    """Posts to one clearinghouse."""

    def __init__(self, house, client):
        self.house, self.client = house, client

    def post(self, fields, key=None, **options):
        key = key if key is not None else f'"{fields["posting_id"]}"'
        return self.client.post(
            f"{self.house.url}/v1/postings",
            content=json.dumps(fields),
            headers={"Idempotency-Key": key},
            **options,
        )


@pytest.fixture
def calling():
    """Gives a caller of a clearinghouse that misbehaves as said."""
    opened = []

    def start(misbehaviour=WELL_BEHAVED, **options):
        house = ClearingHouse(token=TOKEN, misbehaviour=misbehaviour, **options)
        house.__enter__()
        client = httpx.Client(headers={"Authorization": f"Bearer {TOKEN}"}, timeout=5)
        opened.append((house, client))
        return Caller(house, client)

    yield start
    for house, client in opened:
        client.close()
        house.__exit__(None, None, None)


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


def test_an_error_has_no_effect(calling):
    caller = calling(always("error"))
    assert caller.post(posting()).status_code == 500
    assert caller.house.truth().postings == {}


def test_a_lost_acknowledgement_took_effect_and_the_repeat_finds_it(calling):
    # given a clearinghouse that cuts the line after the effect
    caller = calling(always("lost_ack"))

    # when a posting is sent
    with pytest.raises(httpx.RemoteProtocolError):
        caller.post(posting())

    # then it took effect, and the repeat to a healthy one is answered 208
    assert dict(caller.house.truth().effects) == {"posting-1": 1}
    caller.house.healthy()
    assert caller.post(posting()).status_code == 208
    assert dict(caller.house.truth().effects) == {"posting-1": 1}


def test_a_slow_answer_comes_after_the_effect_and_holds_nobody_up(calling):
    # given a clearinghouse that answers after 3 s
    caller = calling(always("slow"))

    # when a client gives up after half a second
    with pytest.raises(httpx.ReadTimeout):
        caller.post(posting(), timeout=0.5)

    # then the posting took effect, and others are answered meanwhile
    assert dict(caller.house.truth().effects) == {"posting-1": 1}
    began = time.monotonic()
    assert caller.client.get(f"{caller.house.url}/v1/ledger").status_code == 200
    assert time.monotonic() - began < 2.0


def test_too_many_says_when_to_come_back(calling):
    answer = calling(always("too_many")).post(posting())
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")


def test_a_wrong_echo_names_another_amount_and_has_no_effect(calling):
    caller = calling(always("wrong_echo"))
    answer = caller.post(posting())
    assert (answer.status_code, answer.json()["amount_minor"]) == (200, "378")
    assert caller.house.truth().postings == {}


def test_a_web_page_is_no_answer_and_has_no_effect(calling):
    caller = calling(always("html"))
    answer = caller.post(posting())
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    assert caller.house.truth().postings == {}


def test_a_truncated_answer_is_no_json_but_took_effect(calling):
    caller = calling(always("truncated"))
    with pytest.raises(json.JSONDecodeError):
        caller.post(posting()).json()
    assert dict(caller.house.truth().effects) == {"posting-1": 1}


def test_a_huge_answer_is_longer_than_anyone_should_read(calling):
    answer = calling(always("huge")).post(posting())
    assert len(answer.content) > 4_000_000
    assert answer.json()["posting_id"] == "posting-1"


def test_a_dripping_answer_keeps_every_single_read_alive(calling):
    # given an answer of one byte every half second
    caller = calling(always("drip"))
    fields = posting()
    began = time.monotonic()

    # when the client's timeout is one second per read
    with caller.client.stream(
        "POST", f"{caller.house.url}/v1/postings", content=json.dumps(fields),
        headers={"Idempotency-Key": '"posting-1"'}, timeout=1.0,
    ) as answer:  # fmt: skip
        pieces = answer.iter_raw()
        first = [next(pieces) for _ in range(3)]

    # then it is not reached, however long the whole takes
    assert b"".join(first) == b'{"p'
    assert time.monotonic() - began > 1.2


def test_whatever_it_does_a_posting_repeated_often_enough_is_answered_well(calling):
    caller = calling(always("error"))
    statuses = [caller.post(posting()).status_code for _ in range(WELL_AFTER + 1)]
    assert statuses == [500] * WELL_AFTER + [201]


def test_the_seed_decides_the_faults_and_not_the_order_of_calls():
    misbehaviour = Misbehaviour(slow=0.2, error=0.2, lost_ack=0.2, too_many=0.2)
    calls = [(f"posting-{i}", attempt) for i in range(50) for attempt in (1, 2)]
    forwards = {call: misbehaviour.draw(7, *call) for call in calls}
    backwards = {call: misbehaviour.draw(7, *call) for call in reversed(calls)}
    assert forwards == backwards
    assert set(forwards.values()) == {None, "slow", "error", "lost_ack", "too_many"}
    assert forwards != {call: misbehaviour.draw(8, *call) for call in calls}


def test_faults_occur_about_as_often_as_asked():
    misbehaviour = Misbehaviour(slow=0.05, error=0.1, lost_ack=0.05, too_many=0.02)
    drawn = [misbehaviour.draw(7, f"posting-{i}", 1) for i in range(5_000)]
    assert 0.08 < drawn.count("error") / 5_000 < 0.12
    assert 0.75 < drawn.count(None) / 5_000 < 0.81


@pytest.mark.parametrize("shares", [{"error": -0.1}, {"error": 0.9, "html": 0.2}])
def test_probabilities_that_cannot_be_are_refused(shares):
    with pytest.raises(ValueError, match="sum to at most 1"):
        Misbehaviour(**shares)


def test_it_runs_as_a_process_of_its_own_with_its_ledger_and_its_switch(tmp_path):
    # given a process that always fails
    (tmp_path / "token").write_text(TOKEN)
    options = [
        "--token-file",
        str(tmp_path / "token"),
        "--slow",
        "0",
        "--error",
        "1",
        "--lost-ack",
        "0",
        "--too-many",
        "0",
    ]
    with subprocess.Popen(
        [sys.executable, "-m", "simulators.clearinghouse", *options],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {TOKEN}"}) as client:
                key = {"Idempotency-Key": '"posting-1"'}

                # when it is switched to behave
                failed = client.post("/v1/postings", json=posting(), headers=key)
                unknown = client.put("/v1/misbehaviour", json={"rude": 1})
                switched = client.put("/v1/misbehaviour", json={})
                taken = client.post("/v1/postings", json=posting(), headers=key)
                ledger = client.get("/v1/ledger").json()

            # then it takes the posting, and its ledger shows it
            assert [a.status_code for a in (failed, unknown, switched, taken)] == [
                500,
                400,
                200,
                201,
            ]
            assert ledger["totals_minor"] == {"USD": "377"}
            assert ledger["postings"]["posting-1"] == posting() | {"effects": 1, "attempts": 2}
            assert ledger["answers"] == {"201": 1, "error": 1}
            assert ledger["settlements_paid_twice"] == []
        finally:
            process.terminate()
            process.wait(timeout=10)
