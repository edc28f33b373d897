"""Each fault as a plain client sees it, and whether the posting took effect."""

import gzip
import json
import time
import zlib
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx
import pytest

from embedded.processes import wait_until
from simulators.clearinghouse import FaultKind
from simulators.clearinghouse.faults import MEANINGS, Fault, UnusableFaultError
from tests.simulators.clearinghouse.caller import posting

ECHO = ("posting_id", "amount_minor", "currency", "digest", "status")


@pytest.fixture
def meeting(caller, request):
    """Sends one posting that meets this fault; gives the answer, and how often it took effect."""

    def meet(fault, **options):
        fields = posting(request.node.name)
        caller.house.script.posting(fields["posting_id"].replace("[", "[[]"), fault)
        return caller.post(fields, **options)

    return meet


@pytest.fixture
def paid(caller, request):
    return lambda: caller.effects(f"posting-{request.node.name}")


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        ("error", 500),
        ("error:number=502", 502),
        ("error:number=503", 503),
        ("error:number=504", 504),
        ("request_timeout", 408),
        ("too_early", 425),
        ("unauthorized", 401),
        ("forbidden", 403),
        ("conflict", 409),
        ("accepted", 202),
        ("html", 200),
        ("redirect:number=308", 308),
    ],
)
def test_an_answer_without_effect(meeting, paid, fault, status):
    assert (meeting(fault).status_code, paid()) == (status, 0)


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        ("error_after", 500),
        ("error_after:number=504", 504),
        ("conflict_after", 409),
        ("no_content", 204),
        ("error:paid=yes", 500),
    ],
)
def test_an_answer_that_hides_the_effect(meeting, paid, fault, status):
    assert (meeting(fault).status_code, paid()) == (status, 1)


def test_a_conflict_names_a_field_as_a_true_one_does(meeting):
    assert meeting("conflict").json()["field"] == "amount_minor"


@pytest.mark.parametrize(
    ("fault", "field"),
    [
        ("wrong_echo", "amount_minor"),
        ("wrong_id", "posting_id"),
        ("wrong_currency", "currency"),
        ("wrong_digest", "digest"),
        ("wrong_status", "status"),
    ],
)
def test_an_echo_that_differs_differs_in_one_field(meeting, caller, paid, fault, field):
    # given an answer that is wrong in one field
    wrong = meeting(fault)

    # when the posting is sent again and answered well
    right = caller.client.send(wrong.request).json()

    # then that field alone was another, and nothing had been paid
    assert wrong.status_code == 200
    assert [name for name in ECHO if wrong.json()[name] != right[name]] == [field]
    assert paid() == 1


def test_an_echo_may_be_missing(meeting, paid):
    assert (meeting("no_echo").json(), paid()) == ({}, 0)


def test_an_already_reported_may_be_of_other_content(meeting, paid):
    answer = meeting("other_already")
    assert (answer.status_code, answer.json()["amount_minor"], paid()) == (208, "378", 0)


@pytest.mark.parametrize(
    ("fault", "values"),
    [
        ("too_many", ["1"]),
        ("too_many:retry_after=120", ["120"]),
        ("too_many_huge", ["31536000"]),
        ("too_many_negative", ["-5"]),
        ("too_many_garbage", ["soon"]),
        ("too_many_twice", ["1", "3600"]),
    ],
)
def test_too_many_requests_say_when_to_come_back(meeting, paid, fault, values):
    answer = meeting(fault)
    assert (answer.status_code, answer.headers.get_list("retry-after"), paid()) == (429, values, 0)


def test_too_many_requests_may_name_a_date(meeting):
    at = parsedate_to_datetime(meeting("too_many_date:number=60").headers["retry-after"])
    assert 50 < (at - datetime.now(UTC)).total_seconds() <= 61


def test_an_error_may_say_when_to_come_back(meeting):
    answer = meeting("error:number=503:retry_after=7")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "7")


@pytest.mark.parametrize(
    ("fault", "effects"),
    [("reset", 0), ("reset_after", 1), ("lost_ack", 1), ("stall:seconds=0", 0)],
)
def test_a_line_that_ends_without_an_answer(meeting, paid, fault, effects):
    with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        meeting(fault)
    assert paid() == effects


def test_a_reset_is_a_reset_and_no_orderly_end(meeting):
    with pytest.raises(httpx.ReadError, match="reset"):
        meeting("reset")


def test_a_lost_answer_is_found_when_the_posting_comes_again(meeting, caller, paid, request):
    with pytest.raises(httpx.RemoteProtocolError):
        meeting("lost_ack")
    assert caller.post(posting(request.node.name)).status_code == 208
    assert paid() == 1


def test_a_slow_answer_comes_after_the_effect_and_holds_nobody_up(meeting, caller, paid):
    with pytest.raises(httpx.ReadTimeout):
        meeting("slow:seconds=1.5", timeout=0.3)
    began = time.monotonic()
    assert paid() == 1
    assert caller.client.get("/v1/ledger").status_code == 200
    assert time.monotonic() - began < 1.0


def test_an_effect_may_come_after_the_client_has_gone(meeting, paid):
    # given a clearinghouse that pays late
    with pytest.raises(httpx.ReadTimeout):
        meeting("slow_before:seconds=0.6", timeout=0.2)

    # when nobody waits any more
    assert paid() == 0

    # then it pays all the same
    wait_until(lambda: paid() == 1, deadline_s=5, what="the late effect")


def test_a_web_page_is_no_answer(meeting):
    answer = meeting("html")
    assert answer.headers["content-type"].startswith("text/html")
    assert "sign in" in answer.text


def test_a_truncated_answer_is_no_json_but_took_effect(meeting, paid):
    answer = meeting("truncated")
    assert int(answer.headers["content-length"]) == len(answer.content)
    with pytest.raises(json.JSONDecodeError):
        answer.json()
    assert paid() == 1


def test_a_short_answer_promises_more_than_comes(meeting, paid):
    with pytest.raises(httpx.RemoteProtocolError, match="complete message body"):
        meeting("short")
    assert paid() == 1


def test_a_dripping_answer_keeps_every_single_read_alive(caller, paid, request):
    # given an answer of one byte every 0.2 s
    fields = posting(request.node.name)
    caller.house.script.posting(fields["posting_id"], "drip:seconds=0.2")
    began = time.monotonic()

    # when the client's timeout is one second per read
    answer = caller.client.send(caller.request(fields, timeout=1.0), stream=True)
    pieces = answer.iter_raw()
    first = [next(pieces) for _ in range(4)]
    answer.close()

    # then it is not reached, however long the whole takes
    assert b"".join(first) == b'{"po'
    assert time.monotonic() - began > 0.6
    assert paid() == 1


def test_a_huge_answer_has_the_right_fields_in_it(meeting):
    answer = meeting("huge")
    assert len(answer.content) > 4_000_000
    assert answer.json()["amount_minor"] == "377"


def test_a_vast_answer_is_streamed_and_need_not_be_read(caller, paid, request):
    # given an answer of 200 MiB
    fields = posting(request.node.name)
    caller.house.script.posting(fields["posting_id"], "vast")

    # when a client reads a megabyte and goes
    answer = caller.client.send(caller.request(fields), stream=True)
    read = 0
    for piece in answer.iter_raw():
        read += len(piece)
        if read > 1_000_000:
            break
    answer.close()

    # then no length was said, and others are answered
    assert "content-length" not in answer.headers
    assert paid() == 1


def test_a_swelling_answer_is_small_on_the_line_and_large_in_memory(caller, request):
    fields = posting(request.node.name)
    caller.house.script.posting(fields["posting_id"], "swelling:number=3000000")
    answer = caller.client.send(caller.request(fields), stream=True)
    packed = b"".join(answer.iter_raw())
    answer.close()
    assert answer.headers["content-encoding"] == "gzip"
    assert len(packed) < 20_000
    assert len(gzip.decompress(packed)) > 3_000_000
    assert zlib.decompress(packed, wbits=31).startswith(b'{"posting_id"')


def test_chunk_sizes_may_be_garbage(meeting, paid):
    with pytest.raises(httpx.RemoteProtocolError):
        meeting("chunks")
    assert paid() == 1


def test_a_flood_of_informational_answers_never_ends_well(meeting, paid):
    with pytest.raises(httpx.RemoteProtocolError, match="without sending a response"):
        meeting("informational:number=2000")
    assert paid() == 1


def test_headers_without_end_are_cut_off_by_the_client(meeting, paid):
    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        meeting("endless_headers")
    assert paid() == 1


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_leads_to_another_host_that_counts(caller, paid, request, status):
    # given a redirect
    fields = posting(request.node.name)
    caller.house.script.posting(
        fields["posting_id"].replace("[", "[[]"), f"redirect:number={status}"
    )
    before = len(caller.house.elsewhere.arrived)

    # when a careless client follows it
    answer = caller.client.send(caller.request(fields), follow_redirects=True)

    # then the other host has it, and answers as if it had been paid
    (arrived,) = caller.house.elsewhere.arrived[before:]
    assert answer.json() == {"status": "accepted"}
    assert arrived.method == ("POST" if status > 302 else "GET")
    assert (arrived.body != b"") == (status > 302)
    assert not arrived.with_token
    assert paid() == 0


def test_a_status_query_may_forget_and_may_invent(caller, request):
    # given a posting that was paid and one that was not
    name = request.node.name
    caller.post(posting(f"{name}-paid"))
    caller.house.script.posting(f"posting-{name}-lost", "error")
    caller.post(posting(f"{name}-lost"))
    caller.house.script.status("*-paid", "forgets", "ok")
    caller.house.script.status("*-lost", "invents", "ok")

    # when each is asked for twice
    forgotten, known = (caller.ask(f"posting-{name}-paid").status_code for _ in range(2))
    invented, unknown = (caller.ask(f"posting-{name}-lost") for _ in range(2))

    # then it lies first and tells the truth afterwards
    assert (forgotten, known) == (404, 200)
    assert invented.json()["amount_minor"] == "377"
    assert unknown.status_code == 404
    assert caller.effects(f"posting-{name}-lost") == 0


@pytest.mark.parametrize(
    ("fault", "status"), [("error:number=503", 503), ("html", 200), ("forbidden", 403)]
)
def test_other_faults_meet_status_queries_too(caller, fault, status):
    caller.house.script.status(f"asked-{status}", fault)
    assert caller.ask(f"asked-{status}").status_code == status


def test_every_fault_has_its_meaning_and_says_whether_it_pays():
    assert list(MEANINGS) == list(FaultKind)
    assert {kind for kind in FaultKind if Fault(kind).takes_effect} == {
        kind for kind, text in MEANINGS.items() if "pays," in text
    }


@pytest.mark.parametrize(
    "text",
    [
        "rude", "error:number=200", "error:number", "error:size=5", "redirect:number=404",
        "error:number=x", "slow:seconds=-1", "slow:seconds=nan", "error:paid=perhaps", "vast:number=0",
        "too_many:retry_after=ä", "",
    ],
)  # fmt: skip
def test_a_fault_that_cannot_be_is_refused(text):
    with pytest.raises(UnusableFaultError):
        Fault.parse(text)
