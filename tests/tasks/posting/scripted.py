"""An HTTP server on a real socket that answers byte by byte as a test says."""

import json
import socket
import socketserver
import ssl
import struct
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from types import MappingProxyType, TracebackType
from typing import Self

HEAD_MAX_BYTES = 64 * 1024


@dataclass(frozen=True)
class Request:
    line: str
    headers: dict[str, str]
    body: bytes

    @property
    def fields(self) -> dict[str, str]:
        read: dict[str, str] = json.loads(self.body)
        return read


Script = Callable[[Request, socket.socket], None]
"""Answers a request by writing to its connection, which is closed afterwards."""


class ScriptedServer:
    """Serves while the context is open. Counts requests, and how many are served at once."""

    def __init__(self, script: Script, *, tls: ssl.SSLContext | None = None) -> None:
        self.script = script
        self.requests: list[Request] = []
        self.at_once = 0
        self.most_at_once = 0
        self._lock = threading.Lock()
        outer = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                connection = self.request
                try:
                    if tls is not None:
                        connection = tls.wrap_socket(connection, server_side=True)
                    outer._serve(connection)
                except OSError:
                    pass  # the client hung up, as it may
                finally:
                    connection.close()

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True
            request_queue_size = 64

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), daemon=True
        )
        self._scheme = "http" if tls is None else "https"

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    def _serve(self, connection: socket.socket) -> None:
        request = _read(connection)
        with self._lock:
            self.requests.append(request)
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            self.script(request, connection)
        finally:
            with self._lock:
                self.at_once -= 1


def _read(connection: socket.socket) -> Request:
    received = b""
    while b"\r\n\r\n" not in received:
        piece = connection.recv(HEAD_MAX_BYTES)
        if not piece or len(received) > HEAD_MAX_BYTES:
            raise ConnectionError("no request")
        received += piece
    head, _, body = received.partition(b"\r\n\r\n")
    line, *fields = head.decode("ascii").split("\r\n")
    headers = {
        name.lower(): value for name, _, value in (field.partition(": ") for field in fields)
    }
    while len(body) < int(headers.get("content-length", "0")):
        body += connection.recv(HEAD_MAX_BYTES)
    return Request(line, headers, body)


def right(request: Request) -> bytes:
    """The echo that a clearinghouse owes for a request."""
    return json.dumps(
        {
            "posting_id": request.fields["posting_id"],
            "amount_minor": request.fields["amount_minor"],
            "currency": request.fields["currency"],
            "digest": sha256(request.body).hexdigest(),
            "status": "accepted",
        }
    ).encode()


def response(
    status: int,
    body: bytes = b"",
    *,
    length: int | None = None,
    headers: Mapping[str, str] = MappingProxyType({}),
) -> bytes:
    """A whole response; header names with _ for -. ``length`` may lie about the body."""
    lines = [
        f"HTTP/1.1 {status} Whatever",
        f"content-length: {len(body) if length is None else length}",
        "connection: close",
    ]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def answers(status: int, body: bytes | None = None, **headers: str) -> Script:
    """Answers everything with this status; without a body with the right echo."""

    def script(request: Request, connection: socket.socket) -> None:
        connection.sendall(
            response(status, right(request) if body is None else body, headers=headers)
        )

    return script


def echo_kept_alive(request: Request, connection: socket.socket, *, then: bytes = b"") -> None:
    """Answers with the right echo, and every further request on the same connection too.

    Args:
        request: the first.
        connection: kept until the client hangs up.
        then: sent with each answer, in one piece.
    """
    while True:
        body = right(request)
        head = f"HTTP/1.1 200 OK\r\ncontent-length: {len(body)}\r\n\r\n"
        connection.sendall(head.encode() + body + then)
        request = _read(connection)


def reset(connection: socket.socket) -> None:
    """Close with a RST instead of a FIN (SO_LINGER with no time; socket(7))."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
