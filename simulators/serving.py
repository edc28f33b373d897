"""What the simulated servers share: a socket on loopback, a thread, a bearer token, a cut line."""

import asyncio
import contextlib
import hmac
import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from weakref import WeakValueDictionary

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn import Config, Server
from uvicorn.protocols.http.h11_impl import H11Protocol

LOOPBACK: Final = "127.0.0.1"
BODY_MAX_BYTES: Final = 1024 * 1024
CONNECTIONS_MAX: Final = 200
START_DEADLINE_S: Final = 10.0
STOP_DEADLINE_S: Final = 10.0


class ServerNotStartedError(RuntimeError):
    """The simulated server did not come up within ``START_DEADLINE_S``."""


class BodyTooLargeError(ValueError):
    """The request's body is longer than ``BODY_MAX_BYTES``."""


class BearerGate:
    """Lets a request through only with the token (RFC 6750 §2.1); ``/healthz`` is open."""

    def __init__(self, app: ASGIApp, *, token: str) -> None:
        self._app = app
        self._expected = f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] != "/healthz":
            given = dict(scope["headers"]).get(b"authorization", b"")
            if not hmac.compare_digest(given, self._expected):
                refusal = JSONResponse(
                    {"error": "unauthorized", "expected": "Authorization: Bearer <token>"},
                    status_code=401,
                    headers={"WWW-Authenticate": "Bearer"},
                )
                await refusal(scope, receive, send)
                return
        await self._app(scope, receive, send)


async def healthz(_: Request) -> Response:
    """The server is up."""
    return JSONResponse({"status": "up"})


async def body_of(request: Request) -> bytes:
    """The request's body. Raises BodyTooLargeError."""
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > BODY_MAX_BYTES:
            raise BodyTooLargeError(f"more than {BODY_MAX_BYTES} bytes")
    return body


class Lines:
    """The open connections by client address, so that one can be cut without an answer."""

    def __init__(self) -> None:
        self._open: WeakValueDictionary[tuple[str, int], H11Protocol] = WeakValueDictionary()

    def protocol(self) -> type[H11Protocol]:
        """The protocol class that enters each connection here."""
        lines = self._open

        class Protocol(H11Protocol):
            def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
                super().connection_made(transport)
                if self.client:
                    lines[self.client] = self
                tls = transport.get_extra_info("ssl_object")
                if tls is not None:
                    self.app_state = {**self.app_state, "peer": tls.getpeercert(binary_form=True)}

        return Protocol

    async def write(self, request: Request, pieces: Iterable[bytes]) -> None:
        """Write bytes onto the request's connection past the server, as long as it is open.

        Nothing of an answer may follow but ``cut``: the server knows nothing of what was written.
        """
        client = request.scope["client"]
        line = self._open.get((client[0], client[1]))
        if line is None:
            return
        for piece in pieces:
            if line.transport.is_closing():
                return
            line.transport.write(piece)
            await line.flow.drain()

    async def cut(self, request: Request, *, reset: bool = False, flush: bool = False) -> None:
        """Close the request's connection now, without a byte more; back once it is closed.

        Args:
            request: whose.
            reset: with a TCP reset instead of an orderly end.
            flush: once what was sent so far has gone out.
        """
        client = request.scope["client"]
        line = self._open.get((client[0], client[1]))
        if line is None:
            return
        if reset:
            linger = struct.pack("ii", 1, 0)
            line.transport.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, linger
            )
        if flush:
            line.transport.close()
        else:
            line.transport.abort()
        while (await request.receive())["type"] != "http.disconnect":
            pass


class LoopbackServer:
    """An ASGI application on a loopback port: in a thread (as a context manager), or in this one.

    Args:
        app: the application.
        port: 0 takes a free one.
        lines: where its connections are entered, if any is to be cut.
        tls: speak TLS so; the client's certificate, DER, is the request's state "peer".
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        port: int = 0,
        lines: Lines | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._scheme = "http" if tls is None else "https"
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Inherited by each connection: asyncio sets it only where the socket names its protocol, and
        # without it a body waits 40 ms for the client's delayed acknowledgement of the headers.
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.bind((LOOPBACK, port))
        # From here on a client may come: it waits for the first accept instead of being refused.
        self._socket.listen(CONNECTIONS_MAX)
        self._server = Server(
            Config(
                app,
                http=(lines or Lines()).protocol(),
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                limit_concurrency=CONNECTIONS_MAX,
                timeout_graceful_shutdown=1,
                ssl_context_factory=None if tls is None else (lambda _config, _default: tls),
            )
        )
        self._thread = threading.Thread(target=self._run, name="simulated-server", daemon=True)

    @property
    def url(self) -> str:
        """Base address, such as http://127.0.0.1:41234."""
        return f"{self._scheme}://{LOOPBACK}:{self._socket.getsockname()[1]}"

    def start(self) -> None:
        """Serve from a thread; back once it accepts connections. Raises ServerNotStartedError."""
        self._thread.start()
        deadline = time.monotonic() + START_DEADLINE_S
        while not self._server.started:
            self._thread.join(timeout=0.01)
            if not self._thread.is_alive() or time.monotonic() > deadline:
                raise ServerNotStartedError(f"{self.url} did not come up in {START_DEADLINE_S} s")

    def stop(self) -> None:
        """Stop serving; open requests are cut off after a second."""
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join(timeout=STOP_DEADLINE_S)
        self._socket.close()

    def run_here(self) -> None:
        """Serve from this thread until SIGINT or SIGTERM."""
        # uvicorn hands the signal on once it has stopped; Ctrl-C is how this ends, no accident.
        with contextlib.suppress(KeyboardInterrupt):
            self._run()

    def _run(self) -> None:
        self._server.run(sockets=[self._socket])

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


class Simulator:
    """A world behind a ``LoopbackServer``, as a context manager; ``_server`` is for who inherits to make."""

    _server: LoopbackServer

    @property
    def url(self) -> str:
        """Base address."""
        return self._server.url

    def run_here(self) -> None:
        """Serve from this thread until SIGINT or SIGTERM."""
        self._server.run_here()

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.stop()


def read_token(path: Path) -> str:
    """The bearer token in a file. Raises ValueError where it is empty or more than one line."""
    token = path.read_text(encoding="ascii").strip()
    if not token or not token.isprintable() or " " in token:
        raise ValueError(f"{path}: expected one line with a token of printable characters")
    return token
