"""The way to the agent, over a real Unix socket."""

import asyncio
import contextlib
import json
import socket
import threading
from typing import Any

import pytest

from iso15118_bridge.agent_link import MOST_WAITING, AgentLink

DEADLINE_S = 20


class Agent:
    """The other end, scripted line by line."""

    def __init__(self, path):
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen()
        self.listener.settimeout(DEADLINE_S)

    def accept(self):
        self.connection, _ = self.listener.accept()
        self.connection.settimeout(DEADLINE_S)
        self.file = self.connection.makefile("rb")

    def hear(self):
        return json.loads(self.file.readline())

    def say(self, **fields):
        self.connection.sendall(json.dumps(fields).encode() + b"\n")

    def hang_up(self):
        self.file.close()
        self.connection.close()


def running(path, script, steps):
    """Run the link against a script in a thread; what was told and limited."""
    told, limits, failed = list[Any](), list[Any](), list[Exception]()
    agent = Agent(path)

    def play():
        try:
            script(agent)
        except Exception as error:  # noqa: BLE001 - raised again where the test sees it
            failed.append(error)

    async def charger():
        link = AgentLink(path, limit=limits.append, tell=lambda *one: told.append(one))
        handing = asyncio.create_task(link.run())
        try:
            await steps(link, limits)
        finally:
            handing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await handing

    thread = threading.Thread(target=play)
    thread.start()
    try:
        asyncio.run(asyncio.wait_for(charger(), DEADLINE_S))
    finally:
        thread.join(DEADLINE_S)
    if failed:
        raise failed[0]
    return told, limits


def test_lines_go_out_in_order_and_are_done_when_answered(tmp_path):
    heard = []

    def script(agent):
        agent.accept()
        for _ in range(3):
            heard.append(agent.hear()["n"])
            agent.say(accepted=True)

    async def steps(link, _):
        for n in range(3):
            link.send({"n": n})
        assert await link.drained(deadline_s=DEADLINE_S)

    running(tmp_path / "s", script, steps)
    assert heard == [0, 1, 2]


def test_what_was_not_answered_is_sent_again_after_a_broken_connection(tmp_path):
    heard = []

    def script(agent):
        agent.accept()
        heard.append(agent.hear()["n"])
        agent.say(accepted=True)
        heard.append(agent.hear()["n"])
        agent.hang_up()
        agent.accept()
        for _ in range(2):
            heard.append(agent.hear()["n"])
            agent.say(accepted=True)

    async def steps(link, _):
        link.send({"n": 0})
        assert await link.drained(deadline_s=DEADLINE_S)
        link.send({"n": 1})
        link.send({"n": 2})
        assert await link.drained(deadline_s=DEADLINE_S)

    running(tmp_path / "s", script, steps)
    assert heard == [0, 1, 1, 2]


def test_a_limit_comes_in_between_and_is_no_answer(tmp_path):
    def script(agent):
        agent.accept()
        agent.hear()
        agent.say(limit_w=0, command_id="c-1")
        agent.say(accepted=True)  # after the limit, so once this is in, the limit is

    async def steps(link, limits):
        link.send({"n": 1})
        assert await link.drained(deadline_s=DEADLINE_S)

    _, limits = running(tmp_path / "s", script, steps)
    assert limits == [{"limit_w": 0, "command_id": "c-1"}]


def test_a_refusal_is_told_with_the_line_and_the_rest_goes_on(tmp_path):
    def script(agent):
        agent.accept()
        agent.hear()
        agent.say(accepted=False, where="at", found="x", expected="y")
        agent.hear()
        agent.say(accepted=True)

    async def steps(link, _):
        link.send({"n": 1})
        link.send({"n": 2})
        assert await link.drained(deadline_s=DEADLINE_S)

    told, _ = running(tmp_path / "s", script, steps)
    (refused,) = [facts for what, facts in told if what == "agent_refused"]
    assert (refused["where"], refused["line"]) == ("at", '{"n": 1}')


@pytest.mark.parametrize("junk", [b"no JSON\n", b"[]\n", b"x" * 20_000 + b"\n"])
def test_junk_from_the_other_end_breaks_the_connection_and_not_the_charger(tmp_path, junk):
    def script(agent):
        agent.accept()
        agent.hear()
        agent.connection.sendall(junk)
        agent.accept()
        agent.hear()
        agent.say(accepted=True)

    async def steps(link, _):
        link.send({"n": 1})
        assert await link.drained(deadline_s=DEADLINE_S)

    told, _ = running(tmp_path / "s", script, steps)
    assert "agent_lost" in [what for what, _ in told]


def test_while_the_agent_is_away_the_oldest_lines_are_given_up_and_told(tmp_path):
    async def away():
        told = []
        link = AgentLink(tmp_path / "s", limit=lambda _: None, tell=lambda *one: told.append(one))
        for n in range(MOST_WAITING + 2):
            link.send({"n": n})
        return told, await link.drained(deadline_s=0.01)

    told, drained = asyncio.run(away())
    assert [what for what, _ in told] == ["agent_away"] * 2
    assert not drained
