"""The HTTP intake: single packets and batches of them, answered when they are committed.

    POST /v1/packets         one packet            200 208 400 409
        application/jose, of OCMF application/ocmf or text/plain, of OCPP application/json
    POST /v1/packets/batch   application/x-ndjson  one packet per line    200, and a status per item
    GET  /healthz /readyz /metrics      ingest_daemon.watching; ready: a packet that comes now is stored

Every refusal is JSON that says what is wrong, where, what was expected and what to do (401, 408,
413, 415, 503). Sending the same request again is always right: landing is idempotent.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from ingest_daemon import http_door as door
from ingest_daemon import watching
from ingest_daemon.buffer import Answered, Buffer, Held, Room
from ingest_daemon.health import Health
from ingest_daemon.http_answers import BAD, Answer, answer, problem
from ingest_daemon.http_door import in_json
from ingest_daemon.metrics import Metrics
from ingest_daemon.settings import BATCH_BODY_MAX_BYTES, BATCH_PACKETS_MAX, PACKET_CEILING_BYTES
from ingest_daemon.watching import Watching
from storage.arrivals import Arrival

logger = logging.getLogger(__name__)

SINGLE: Final = ("application/jose", "application/ocmf", "text/plain", "application/json")
"""A JWS (RFC 7515 §9.2.1), an OCMF record, which has no registered type, and OCPP's object with one.
They say what senders believe it is; the bytes themselves say which it is."""
BATCH: Final = "application/x-ndjson"
BATCHES_AT_ONCE: Final = 4
"""Uploads whose bodies may be in memory at the same time: 4 × 4 MiB."""

_Handler = Callable[[Request], Awaitable[Response]]


class Upload:
    """The packets of one request on their way; ``done`` is set when all are committed."""

    asks_conflicts = True

    def __init__(self, packets: Sequence[bytes]) -> None:
        self.packets = packets
        self.answers: list[Answer | None] = [None] * len(packets)
        self.done = asyncio.Event()
        self._left = len(packets)
        self._loop = asyncio.get_running_loop()

    def landed(self, batch: Sequence[Held]) -> None:
        """Not enough for an answer, which also says whether there is a conflict."""

    def answer(self, answers: Sequence[Answered]) -> None:
        """Called by the landing thread, for each packet once."""
        for held, outcome, conflict in answers:
            if conflict is not None:
                packet = self.packets[held.token]
                self.answers[held.token] = answer(packet, outcome, conflict=conflict)
        self._left -= len(answers)
        if self._left == 0:
            with contextlib.suppress(RuntimeError):  # the server has stopped: nobody waits any more
                self._loop.call_soon_threadsafe(self.done.set)


class Intake:
    """The routes, and what they share."""

    def __init__(
        self,
        buffer: Buffer,
        room: Room,
        *,
        token: str,
        metrics_token: str | None,
        health: Health,
        metrics: Metrics,
        now: Callable[[], datetime],
        answer_within_s: float,
    ) -> None:
        self._buffer = buffer
        self._room = room
        self._token = token
        self._metrics = metrics
        self._watching = Watching(health, metrics, token=metrics_token, refused=self._refused)
        self._now = now
        self._answer_within_s = answer_within_s
        self._batches = asyncio.Semaphore(BATCHES_AT_ONCE)

    def app(self) -> Starlette:
        """The application, ready to be served."""
        return Starlette(
            routes=[
                Route("/v1/packets", self._guarded(self._single), methods=["POST"]),
                Route("/v1/packets/batch", self._guarded(self._batch), methods=["POST"]),
                *self._watching.routes(),
            ],
            exception_handlers={HTTPException: self._no_route, Exception: self._broken},
        )

    def _refused(self, status: int) -> None:
        self._metrics.refused.labels(status=str(status)).inc()

    def _guarded(self, handler: _Handler) -> _Handler:
        async def guarded(request: Request) -> Response:
            try:
                door.require_token(request, self._token, file="V2G_INTAKE_TOKEN_FILE")
                return await handler(request)
            except door.Refused as refused:
                self._refused(refused.status)
                return refused.response()
            except ClientDisconnect:
                return Response(status_code=499)  # nobody reads it; the number is nginx's

        return guarded

    async def _single(self, request: Request) -> Response:
        door.require_type(request, *SINGLE)
        body = await door.read_body(request, bytes_max=PACKET_CEILING_BYTES)
        # A line end after the packet belongs to the file it was sent from.
        [(status, content)] = await self._land([body.removesuffix(b"\n").removesuffix(b"\r")])
        return in_json(status, content)

    async def _batch(self, request: Request) -> Response:
        door.require_type(request, BATCH)
        if self._batches.locked():
            raise door.come_again(f"{BATCHES_AT_ONCE} batches are being read")
        async with self._batches:
            body = await door.read_body(request, bytes_max=BATCH_BODY_MAX_BYTES)
            lines = body.removesuffix(b"\n").split(b"\n") if body else []
            del body
            if len(lines) > BATCH_PACKETS_MAX:
                raise door.too_large(
                    "body", f"{len(lines)} lines", f"at most {BATCH_PACKETS_MAX} packets"
                )
            answers: list[Answer | None] = [None] * len(lines)
            good: dict[int, bytes] = {}
            for index, line in enumerate(lines):
                packet = line.removesuffix(b"\r")
                if 0 < len(packet) <= PACKET_CEILING_BYTES:
                    good[index] = packet
                else:
                    answers[index] = _no_packet(packet)
            for index, one in zip(good, await self._land(list(good.values())), strict=True):
                answers[index] = one
        items = [
            {"index": index, "status": one[0], **one[1]}
            for index, one in enumerate(answers)
            if one is not None
        ]
        return in_json(200, {"items": items})

    async def _land(self, packets: Sequence[bytes]) -> list[Answer]:
        """Hand over and wait for the commit. Raises Refused: 503."""
        if not packets:
            return []
        upload = Upload(packets)
        received_at = self._now()
        held = [
            Held(Arrival(packet, received_at, "http"), upload, token, self._room)
            for token, packet in enumerate(packets)
        ]
        if not self._buffer.offer(held, self._room):
            raise door.come_again("no room: packets wait for the database")
        try:
            async with asyncio.timeout(self._answer_within_s):
                await upload.done.wait()
        except TimeoutError as error:
            raise door.come_again(f"not committed within {self._answer_within_s:g} s") from error
        answers = [one for one in upload.answers if one is not None]
        if len(answers) != len(packets):
            raise door.come_again(
                "committed, but the database went away before it could be compared"
            )
        return answers

    async def _no_route(self, request: Request, error: Exception) -> Response:
        expected = f"POST /v1/packets, POST /v1/packets/batch, {watching.ROUTES}"
        refusal = door.no_such_route(request, error, expected=expected)
        self._refused(refusal.status_code)
        return refusal

    async def _broken(self, _request: Request, _error: Exception) -> Response:
        # The server logs the traceback; the client learns only what to do.
        return in_json(
            500,
            problem(
                "INTERNAL",
                where="this service",
                found="an error of ours",
                expected="an answer",
                do="send the same request again",
            ),
        )


def _no_packet(line: bytes) -> Answer:
    found = f"{len(line)} bytes" if line else "an empty line"
    body = problem(
        "unreadable",
        where="packet",
        found=found,
        expected=f"1 to {PACKET_CEILING_BYTES} bytes per line",
        do="correct it; it was not stored",
    )
    return BAD, {"state": "refused", **body}
