"""Every fault on the list happens, where and as often as it was asked for, and nowhere else."""

import time
from datetime import timedelta

import httpx
import pytest
from lxml import etree  # type: ignore[import-untyped]

from simulators.sep2 import Fault, FaultKind
from simulators.sep2.faults import MEANINGS, UnusableFaultError
from tests.simulators.sep2.site import NOON, Clock, parsed, texts, world

LIST = "/derp/1/derc"


@pytest.fixture(scope="module")
def served(site):
    one = world(Clock())
    one.add_device(site.client.lfdi)
    program = one.add_program("stress")
    for number in range(4):
        one.add_control(
            program,
            start=NOON + timedelta(hours=number),
            duration_s=600,
            modes={"opModTargetW": 7_000},
        )
    with site.serve(one) as server, site.talk(server) as client:
        yield one, server, client


@pytest.fixture(autouse=True)
def well_behaved(served):
    yield
    served[1].faults.clear()


def get(client: httpx.Client, path: str = "/tm", **query) -> httpx.Response:
    return client.get(path, params=query)


def test_each_fault_says_what_it_does() -> None:
    assert set(MEANINGS) == set(FaultKind)


def test_answers_that_are_no_documents(served) -> None:
    _, server, client = served
    good = get(client, "/dcap").content
    for kind, check in {
        "error": lambda answer: answer.status_code == 503,
        "empty": lambda answer: answer.content == b"",
        "html": lambda answer: answer.headers["content-type"].startswith("text/html"),
        "truncated": lambda answer: answer.content == good[: len(good) // 2],
        "media-type": lambda answer: (
            answer.headers["content-type"].startswith("text/plain") and answer.content == good
        ),
        "redirect": lambda answer: answer.status_code == 302,
    }.items():
        server.faults.add(kind, path="/dcap", times=1)
        assert check(get(client, "/dcap")), kind
        assert get(client, "/dcap").content == good, f"{kind} is over"
        assert server.faults.counts[FaultKind(kind)] == 1


def test_documents_that_attack(served) -> None:
    _, server, client = served
    server.faults.add("dtd", times=1)
    assert get(client).content.count(b"<!DOCTYPE") == 1
    server.faults.add("entity", times=1)
    body = get(client).content
    assert b"<!ENTITY a9" in body
    # libxml2 itself sees the attack
    with pytest.raises(etree.XMLSyntaxError, match=r"[Aa]mplification|entity"):
        etree.fromstring(body, etree.XMLParser(resolve_entities=True))
    server.faults.add("deep", times=1, number=5_000)
    with pytest.raises(etree.XMLSyntaxError, match="depth"):
        etree.fromstring(get(client).content)
    server.faults.add("encoding", times=1)
    with pytest.raises(UnicodeDecodeError):
        get(client).content.decode()


def test_a_body_of_a_hundred_megabytes_is_sent_as_far_as_it_is_taken(served) -> None:
    _, server, client = served
    server.faults.add("huge", times=1)
    with client.stream("GET", "/tm") as answer:
        taken = 0
        for piece in answer.iter_bytes():
            taken += len(piece)
            if taken > 5_000_000:
                break
    assert taken > 5_000_000
    server.faults.add("huge", times=1, number=100_000)
    assert len(get(client).content) == 100_000


def test_lies_about_lists(served) -> None:
    _, server, client = served
    server.faults.add("all-lies", path=LIST, times=1)
    root = parsed(get(client, LIST, l=9).content)
    assert (root.get("all"), root.get("results"), len(root)) == ("9", "4", 4)
    server.faults.add("results-lies", path=LIST, times=1, number=-2)
    root = parsed(get(client, LIST, l=9).content)
    assert (root.get("all"), root.get("results"), len(root)) == ("4", "2", 4)


def test_pages_that_repeat_and_pages_without_end(served) -> None:
    _, server, client = served
    first = texts(get(client, LIST, s=0, l=2).content, "s:DERControl/s:mRID")
    server.faults.add("pages-repeat", path=LIST)
    for start in (0, 2, 4, 200):
        body = get(client, LIST, s=start, l=2).content
        assert texts(body, "s:DERControl/s:mRID") == first
        assert int(parsed(body).get("all")) > start + 2
    server.faults.clear()
    server.faults.add("pages-endless", path=LIST)
    for start in (0, 2, 4, 2_000):
        body = get(client, LIST, s=start, l=2).content
        assert len(texts(body, "s:DERControl/s:mRID")) == 2
        assert int(parsed(body).get("all")) > start + 2


def test_a_stalled_answer_ends_with_the_line_cut(served) -> None:
    _, server, client = served
    server.faults.add("stall", times=1, seconds=0.05)
    with pytest.raises(httpx.RemoteProtocolError):
        get(client)
    assert get(client).status_code == 200


def test_a_stalled_answer_outlasts_the_clients_patience(served, site) -> None:
    _, server, _ = served
    server.faults.add("stall", times=1)
    with site.talk(server, timeout_s=0.2) as hasty:
        started = time.monotonic()
        with pytest.raises(httpx.ReadTimeout):
            get(hasty)
        assert time.monotonic() - started < 10
        assert get(hasty).status_code == 200


def test_a_dripping_answer_comes_whole_in_the_end_or_too_late(served, site) -> None:
    _, server, client = served
    server.faults.add("drip", path="/dcap", times=1, seconds=0.0001)
    assert get(client, "/dcap").content == get(client, "/dcap").content
    server.faults.add("drip", path="/dcap", times=1, seconds=5)
    with site.talk(server, timeout_s=0.3) as hasty, pytest.raises(httpx.ReadTimeout):
        get(hasty, "/dcap")


def test_half_an_answer_and_a_cut_line(served) -> None:
    _, server, client = served
    good = len(get(client).content)
    server.faults.add("short", times=1)
    said = rf"received {good // 2} bytes, expected {good}"
    with pytest.raises(httpx.RemoteProtocolError, match=said):
        get(client)
    server.faults.add("reset", times=1)
    with pytest.raises(httpx.TransportError):
        get(client)
    assert get(client).status_code == 200


def test_the_clock_jumps_in_mid_session(served) -> None:
    one, server, client = served

    def told() -> int:
        return int(texts(get(client).content, "s:currentTime")[0])

    noon = int(NOON.timestamp())
    server.faults.add("clock-jump", path="/tm", spare=2, times=1, seconds=90)
    assert [told(), told(), told(), told()] == [noon, noon, noon + 90, noon + 90]
    one.clock.correct()
    assert told() == noon


def test_a_fault_keeps_to_its_path_its_method_and_its_times(served) -> None:
    _, server, client = served
    server.faults.add("error", path="/derp/*", times=2, spare=1, number=500)
    answers = [get(client, LIST).status_code for _ in range(4)]
    assert answers == [200, 500, 500, 200]
    assert get(client).status_code == 200
    server.faults.add("error", method="POST")
    assert get(client).status_code == 200
    assert client.post("/rsps/1/rsp", content=b"").status_code == 503
    assert server.trail[-1].status == 503


def test_a_fault_is_read_from_a_line() -> None:
    assert Fault.parse("stall") == Fault(FaultKind.STALL)
    assert Fault.parse("error:/tm:times=2:number=500:spare=1") == Fault(
        FaultKind.ERROR, "/tm", times=2, number=500, spare=1
    )
    for text in ("stal", "stall:/tm:often=2", "stall:/tm:times=x", "error:/tm:2"):
        with pytest.raises(UnusableFaultError, match=f"fault '{text}'"):
            Fault.parse(text)
