"""Calls that share a connection: one that goes wrong must not harm the next."""

import asyncio
import socket

import httpx
import pytest

from settlement.posting import Outcome
from tasks.posting.call import Call, send
from tasks.posting.clearinghouse import Clearinghouse, open_client
from tests.postings import posting
from tests.tasks.posting.scripted import (
    Request,
    Script,
    ScriptedServer,
    answers,
    echo_kept_alive,
)

BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n"
INTERRUPTED_UP_TO = 60
"""Turns of the loop after which a call is cut off: past them it is over."""


def calls_by_one_line(script: Script, count: int) -> tuple[list[Call], int]:
    """What so many calls in a row came to, and how many connections they took."""

    async def all_of_them(url: str) -> list[Call]:
        house = Clearinghouse(url, "secret")
        async with open_client(house, connections=1) as client:
            return [await send(client, house, posting()) for _ in range(count)]

    with ScriptedServer(script) as server:
        return asyncio.run(all_of_them(server.url)), len(server.requests)


def test_a_line_is_used_again_once_its_answer_was_read():
    calls, connections = calls_by_one_line(echo_kept_alive, 3)
    assert [one.outcome for one in calls] == [Outcome.ACKNOWLEDGED] * 3
    assert connections == 1


def test_f15_an_answer_that_was_there_before_the_request_decides_nothing():
    # given a partner that says yes, and in the same breath that something was a bad request
    def twice(request: Request, connection: socket.socket) -> None:
        echo_kept_alive(request, connection, then=BAD_REQUEST)

    # when
    (first, second, third), connections = calls_by_one_line(twice, 3)

    # then the second posting is not rejected by what was not said of it, and the third has a new line
    assert first.outcome is Outcome.ACKNOWLEDGED
    assert second.outcome is Outcome.LOST
    assert "before the request" in second.detail
    assert third.outcome is Outcome.ACKNOWLEDGED
    assert connections == 2


@pytest.mark.parametrize("first", range(0, INTERRUPTED_UP_TO, 20))
def test_a_call_that_is_cut_off_anywhere_leaves_a_line_for_the_next(first):
    # given a partner, and calls that are cut off after each number of turns of the loop
    async def cut_off_then_call(url: str) -> list[Call]:
        house = Clearinghouse(url, "secret")
        came = []
        for turns in range(first, first + 20):
            async with open_client(house, connections=1) as client:
                cut_off = asyncio.ensure_future(send(client, house, posting()))
                for _ in range(turns):
                    await asyncio.sleep(0)
                cut_off.cancel()
                await asyncio.wait([cut_off])
                # when
                came.append(await send(client, house, posting()))
        return came

    with ScriptedServer(answers(200)) as server:
        calls = asyncio.run(cut_off_then_call(server.url))

    # then
    assert [one.outcome for one in calls] == [Outcome.ACKNOWLEDGED] * 20


def test_a_surprise_in_judging_an_answer_is_an_outcome_of_this_posting():
    # given something that nobody has thought of
    class Surprised:
        def wrong(self, request: httpx.Request, response: httpx.Response, body: bytes) -> str:
            raise RecursionError("deeper than anybody thought")

    async def once(url: str) -> Call:
        house = Clearinghouse(url, "secret", verifier=Surprised())
        async with open_client(house, connections=1) as client:
            return await send(client, house, posting())

    # when
    with ScriptedServer(answers(200)) as server:
        came = asyncio.run(once(server.url))

    # then the partner may hold it, and the others go on
    assert came.outcome is Outcome.LOST
    assert "RecursionError" in came.detail
