"""Another host, to which redirects lead: it counts what arrives, and answers as if all were well."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from simulators.serving import BodyTooLargeError, LoopbackServer, body_of

ARRIVED_MAX: Final = 1_000


@dataclass(frozen=True, slots=True)
class Arrived:
    """A request that should never have come.

    Attributes:
        method: its method.
        path: its path.
        with_token: whether it brought the bearer token, or any other credentials.
        body: what it brought.
    """

    method: str
    path: str
    with_token: bool
    body: bytes


class Elsewhere:
    """A server on another loopback port, started when first asked for its address."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._server: LoopbackServer | None = None
        self._arrived: list[Arrived] = []

    @property
    def arrived(self) -> Sequence[Arrived]:
        """What has come, the first thousand."""
        with self._lock:
            return tuple(self._arrived)

    def url(self) -> str:
        """Its address; waits until it serves."""
        with self._lock:
            if self._server is None:
                self._server = LoopbackServer(self)
                self._server.start()
            return self._server.url

    def stop(self) -> None:
        """Stop serving, if it does."""
        with self._lock:
            server, self._server = self._server, None
        if server is not None:
            server.stop()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            body = await body_of(request)
        except BodyTooLargeError:
            body = b""
        with self._lock:
            if len(self._arrived) < ARRIVED_MAX:
                self._arrived.append(
                    Arrived(
                        request.method, request.url.path, "authorization" in request.headers, body
                    )
                )
        answer: Response = JSONResponse({"status": "accepted"})
        await answer(scope, receive, send)
