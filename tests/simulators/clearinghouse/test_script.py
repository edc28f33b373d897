"""Exactly which call meets what: for the calls to come, for single postings, and from a file."""

import json

import pytest

from simulators.clearinghouse import WELL_AFTER, Misbehaviour
from simulators.clearinghouse.faults import UnusableFaultError
from simulators.clearinghouse.script import Script
from simulators.clearinghouse.script_file import UnusableScriptError, read_behaviour
from tests.simulators.clearinghouse.caller import posting


def statuses(caller, name, times):
    return [caller.post(posting(name)).status_code for _ in range(times)]


def test_the_second_call_of_a_posting_fails_and_no_other(caller):
    caller.house.script.posting("posting-second", "ok", "error")
    assert statuses(caller, "first", 3) == [201, 208, 208]
    assert statuses(caller, "second", 4) == [201, 500, 208, 208]


def test_the_calls_to_come_meet_a_list_in_their_order(caller):
    caller.house.script.calls("error", "ok", "error:number=503:times=2")
    assert [caller.post(posting(f"call-{i}")).status_code for i in range(5)] == [
        500, 201, 503, 503, 201,
    ]  # fmt: skip


def test_a_postings_own_list_goes_before_the_list_of_the_calls(caller):
    caller.house.script.calls("too_early")
    caller.house.script.posting("posting-own", "request_timeout")
    assert statuses(caller, "own", 1) == [408]
    assert statuses(caller, "any", 2) == [425, 201]


def test_a_pattern_stands_for_each_posting_from_its_own_beginning(caller):
    caller.house.script.posting("posting-each-?", "error", "ok")
    assert statuses(caller, "each-1", 2) == [500, 201]
    assert statuses(caller, "each-2", 2) == [500, 201]


def test_a_list_counts_from_the_moment_it_is_added(caller):
    statuses(caller, "late", 2)
    caller.house.script.posting("posting-late", "error")
    assert statuses(caller, "late", 2) == [500, 208]


def test_a_fault_may_last_for_ever_until_the_script_is_cleared(calling):
    # given a partner that is down, whatever comes
    caller = calling()
    caller.house.script.calls("error:number=503:times=forever")
    assert set(statuses(caller, 1, WELL_AFTER + 4)) == {503}

    # when it is well again
    caller.house.healthy()

    # then it pays
    assert statuses(caller, 1, 1) == [201]


def test_the_seed_draws_only_where_the_script_does_not_speak(calling):
    caller = calling(Misbehaviour.only({"error": 1.0}))
    caller.house.script.calls("ok")
    assert statuses(caller, 1, 1) == [201]
    assert statuses(caller, 2, 1) == [500]


def test_a_script_comes_by_http_and_replaces_the_one_before(calling):
    # given a clearinghouse that fails always
    caller = calling(Misbehaviour.only({"error": 1.0}))
    script = {"calls": ["too_early"], "postings": {"posting-2": ["forbidden"]}}

    # when a script is put
    refused = caller.client.put("/v1/script", content=b"calls: [rude]")
    assert caller.post(posting(1)).status_code == 500
    put = caller.client.put("/v1/script", content=json.dumps(script))

    # then it is followed, and what was drawn before is over
    assert (refused.status_code, put.status_code) == (400, 200)
    assert "rude" in refused.json()["error"]
    assert statuses(caller, 2, 2) == [403, 425]
    assert statuses(caller, 3, 1) == [201]


def test_a_file_may_say_everything(calling):
    caller = calling()
    caller.house.follow(
        b"""
        calls: [ok, "error:number=503:times=2"]
        postings: {"posting-9": [conflict]}
        status: {"*": ["forgets:times=forever"]}
        statement: ["missing:line=1"]
        shares: {too_early: 1.0}
        status_shares: {html: 0}
        """
    )
    assert statuses(caller, 9, 1) == [409]
    assert statuses(caller, 1, 4) == [201, 503, 503, 425]
    assert caller.ask("posting-1").status_code == 404
    assert caller.house.statement().count(b"\r\n") == 1


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"call: [ok]", "call: Extra inputs"),
        (b"calls: ok", "calls"),
        (b"calls: [5]", "calls.0"),
        (b"calls: ['error:times=0']", "times=0"),
        (b"calls: ['ok:number=5']", "ok knows no option"),
        (b"calls: ['error:times=1:times=2']", "times said 2 times"),
        (b"calls: [forgets]", "status queries only"),
        (b"calls: [unsigned]", "signs nothing"),
        (b"postings: {a: []}", "0 steps"),
        (b"statement: [rude]", "rude"),
        (b"statement: ['missing:line=0']", "a line from 1"),
        (b"shares: {rude: 0.5}", "rude"),
        (b"shares: {error: 2}", "at most 1"),
        (b"shares: {invents: 0.5}", "status queries only"),
        (b"calls: [", "expected"),
        (b"[ok]", "dictionary"),
        (b"[" * 5_000, "recursion"),
        (b" " * 1_048_577, "1048577 bytes"),
    ],
)
def test_a_script_that_cannot_be_followed_is_refused_with_the_place(text, says):
    with pytest.raises(UnusableScriptError, match=says):
        read_behaviour(text, signs=False)


def test_faults_of_signatures_need_a_key():
    Script(signs=True).calls("unsigned")
    with pytest.raises(UnusableFaultError, match="signs nothing"):
        Script(signs=False).calls("unsigned")
