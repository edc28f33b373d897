"""The way to the agent: a Unix socket, one JSON object per line, one answer per line.

Lines wait until the agent has answered them, and are sent again after a broken connection; the agent
refuses what it has already. Should it stay away, the oldest line is given up: registers run on, so
the next sample's interval still covers the energy.
"""

import asyncio
import contextlib
import json
import socket
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

MOST_WAITING: Final = 4096
LONGEST_LINE: Final = 16 * 1024
FIRST_PAUSE_S: Final = 0.2
LONGEST_PAUSE_S: Final = 5.0
ANSWER_DEADLINE_S: Final = 30.0

Tell = Callable[[str, Mapping[str, Any]], None]


class AgentLink:
    """Hands lines to the agent, and the agent's limits to the charger.

    Args:
        path: the agent's socket.
        limit: called with each line that states limit_w.
        tell: called with the name of what happened and its facts.
    """

    def __init__(
        self, path: Path, *, limit: Callable[[Mapping[str, Any]], None], tell: Tell
    ) -> None:
        self._path = path
        self._limit = limit
        self._tell = tell
        self._waiting: deque[bytes] = deque()
        self._sent = 0
        self._wake = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()

    def send(self, line: Mapping[str, Any]) -> None:
        """Put a line in the queue; never blocks."""
        if len(self._waiting) == MOST_WAITING:
            self._waiting.popleft()
            self._sent = max(0, self._sent - 1)
            self._tell("agent_away", {"given_up": "the oldest line", "waiting": MOST_WAITING})
        self._waiting.append(json.dumps(line).encode() + b"\n")
        self._empty.clear()
        self._wake.set()

    async def drained(self, *, deadline_s: float) -> bool:
        """Whether the agent has answered everything, at the latest after ``deadline_s``."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(deadline_s):
                await self._empty.wait()
        return self._empty.is_set()

    async def run(self) -> None:
        """Connect, hand over, reconnect; until cancelled."""
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                reader, writer = await asyncio.open_unix_connection(self._path, limit=LONGEST_LINE)
            except OSError as error:
                self._tell("agent_away", {"socket": str(self._path), "error": str(error)})
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
                continue
            pause_s = FIRST_PAUSE_S
            self._sent = 0
            self._tell("agent_there", {"socket": str(self._path)})
            try:
                await self._serve(reader, writer)
            except (OSError, ValueError, TypeError) as error:  # a line too long is a ValueError
                self._tell("agent_lost", {"error": str(error)})
            finally:
                writer.close()
            await asyncio.sleep(pause_s)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writing = asyncio.create_task(self._write(writer))
        try:
            while line := await reader.readline():
                self._take(line)
                if writing.done():
                    writing.result()
        finally:
            writing.cancel()
            with contextlib.suppress(asyncio.CancelledError, OSError):
                await writing

    async def _write(self, writer: asyncio.StreamWriter) -> None:
        while True:
            while self._sent < len(self._waiting):
                writer.write(self._waiting[self._sent])
                self._sent += 1
                await writer.drain()
            self._wake.clear()
            await self._wake.wait()

    def _take(self, line: bytes) -> None:
        said = json.loads(line)
        if not isinstance(said, dict):
            raise TypeError(f"found {said!r}, expected an object")
        if "accepted" not in said:
            if "limit_w" in said:
                self._limit(said)
            return
        if self._waiting:
            answered = self._waiting.popleft()
            self._sent = max(0, self._sent - 1)
            if said["accepted"] is not True:
                self._tell("agent_refused", {**said, "line": answered.decode().strip()})
        if not self._waiting:
            self._empty.set()


def hand_over(path: Path, lines: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Send lines one by one and wait for each answer; those that were refused.

    Raises:
        OSError: no agent listens there, it went away, or it did not answer in time.
    """
    refused: list[dict[str, Any]] = []
    with socket.socket(socket.AF_UNIX) as agent:
        agent.settimeout(ANSWER_DEADLINE_S)
        agent.connect(str(path))
        answers = agent.makefile("r", encoding="utf-8")
        for line in lines:
            agent.sendall(json.dumps(line).encode() + b"\n")
            answer: dict[str, Any] = {"limit_w": 0}
            while "accepted" not in answer:
                said = answers.readline(LONGEST_LINE)
                if not said:
                    raise ConnectionError("the agent closed the connection")
                answer = json.loads(said)
            if answer["accepted"] is not True:
                refused.append(answer)
    return refused
