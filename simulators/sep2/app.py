"""The server's HTTP: who asks (by certificate), what is answered, and how it goes wrong."""

import asyncio
import contextlib
import threading
from collections import deque
from dataclasses import dataclass, replace
from typing import Final

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from simulators.sep2 import replies
from simulators.sep2.certificates import lfdi_of
from simulators.sep2.desk import Desk, UnusableQueryError, Window
from simulators.sep2.device_pages import device_page
from simulators.sep2.faults import Fault, FaultKind, Faults
from simulators.sep2.markup import MEDIA_TYPE, Markup, render
from simulators.sep2.price_pages import price_page
from simulators.sep2.program_pages import program_page
from simulators.sep2.response_pages import response_page
from simulators.sep2.spoiling import spoilt
from simulators.sep2.world import World
from simulators.serving import BodyTooLargeError, Lines, body_of

STALL_S: Final = 3_600.0
LIE: Final = 5
TRAIL_MAX: Final = 100_000


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, as it was answered; status 0: with a fault that is no answer."""

    method: str
    path: str
    query: str
    client: str
    status: int


class Sep2App:
    """The ASGI application. It keeps the last ``TRAIL_MAX`` requests."""

    def __init__(self, world: World, faults_in_force: Faults, lines: Lines) -> None:
        self._world = world
        self._faults = faults_in_force
        self._lines = lines
        self._trail: deque[Asked] = deque(maxlen=TRAIL_MAX)
        self._trail_lock = threading.Lock()

    @property
    def trail(self) -> list[Asked]:
        """The requests so far, oldest first."""
        with self._trail_lock:
            return list(self._trail)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or misbehave."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        peer = scope.get("state", {}).get("peer", b"")
        client = lfdi_of(peer) if peer else ""
        fault = self._faults.take(request.method, request.url.path)
        if fault is not None and fault.kind is FaultKind.CLOCK_JUMP:
            self._world.clock.jump(fault.seconds if fault.seconds is not None else 60.0)
        if fault is not None and fault.kind in {FaultKind.STALL, FaultKind.RESET}:
            self._keep(request, client, 0)
            if fault.kind is FaultKind.STALL:
                await _silence(request, STALL_S if fault.seconds is None else fault.seconds)
            await self._lines.cut(request, reset=fault.kind is FaultKind.RESET)
            return
        response = await self._respond(request, client, fault)
        response = spoilt(response, fault)
        self._keep(request, client, response.status_code)
        if fault is not None and fault.kind is FaultKind.SHORT:
            await _half(response, send)
            await self._lines.cut(request, flush=True)
            return
        # A client that has had enough of a dripping answer hangs up; that is no error of ours.
        with contextlib.suppress(OSError):
            await response(scope, receive, send)

    def _keep(self, request: Request, client: str, status: int) -> None:
        url = request.url
        asked = Asked(request.method, url.path, url.query, client, status)
        with self._trail_lock:
            self._trail.append(asked)

    async def _respond(self, request: Request, client: str, fault: Fault | None) -> Response:
        try:
            body = await body_of(request)
            window = Window.of(request.query_params)
            with self._world.lock:
                desk = Desk(self._world, client, self._world.clock.now(), window)
                return _answered(request, _lying(desk, fault), body)
        except UnusableQueryError as error:
            return PlainTextResponse(str(error), status_code=400)
        except BodyTooLargeError as error:
            return PlainTextResponse(str(error), status_code=413)
        except replies.RefusedError as error:
            return PlainTextResponse(str(error), status_code=error.status)


def document(desk: Desk, parts: list[str]) -> bytes | None:
    """The document at a path, as that client sees it; None: there is none."""
    for page in (device_page, program_page, price_page, response_page):
        found = page(desk, parts)
        if found is not None:
            return render(found) if isinstance(found, Markup) else found
    return None


def _answered(request: Request, desk: Desk, body: bytes) -> Response:
    path = request.url.path
    parts = path.strip("/").split("/")
    match request.method:
        case "GET" | "HEAD":
            found = document(desk, parts)
            if found is None:
                return PlainTextResponse(f"{path}: not found for {desk.client}", status_code=404)
            return Response(found, media_type=MEDIA_TYPE)
        case "POST":
            made = replies.post(desk, parts, body)
        case "PUT":
            made = replies.put(desk, parts, body)
        case _:
            return PlainTextResponse("expected GET, HEAD, PUT or POST", status_code=405)
    headers = {"Location": made.location} if made.location else None
    return Response(status_code=made.status, headers=headers)


def _lying(desk: Desk, fault: Fault | None) -> Desk:
    if fault is None:
        return desk
    off = LIE if fault.number is None else fault.number
    match fault.kind:
        case FaultKind.ALL_LIES:
            return replace(desk, all_off=off)
        case FaultKind.RESULTS_LIES:
            return replace(desk, results_off=off)
        case FaultKind.PAGES_REPEAT:
            return replace(desk, repeats=True)
        case FaultKind.PAGES_ENDLESS:
            return replace(desk, endless=True)
    return desk


async def _silence(request: Request, seconds: float) -> None:
    """So long, or until the client hangs up."""

    async def hung_up() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(hung_up(), timeout=seconds)


async def _half(response: Response, send: Send) -> None:
    body = bytes(response.body)
    await send(
        {
            "type": "http.response.start",
            "status": response.status_code,
            "headers": response.raw_headers,
        }
    )
    await send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
