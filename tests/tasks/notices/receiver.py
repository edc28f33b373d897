"""A receiver of notices on a real TLS socket, which keeps what it was sent and answers as it is told."""

import ssl
import threading
from collections.abc import Callable
from copy import copy
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

from standardwebhooks.webhooks import Webhook

from tasks.notices.allowed import Allowed, read_allowed
from tasks.notices.configure import Means
from tasks.notices.sealing import Sealer
from tests.storage.authority import authority

HOST = "localhost"
TOKEN = "canary-token-of-the-partner"

Answer = Callable[["Request"], None]


class Request(BaseHTTPRequestHandler):
    """One request; ``answer`` writes the answer."""

    protocol_version = "HTTP/1.1"
    server: "_Server"

    def do_POST(self) -> None:
        self.body = self.rfile.read(int(self.headers["content-length"]))
        with self.server.lock:
            self.server.seen.append(copy(self))  # the next request of the connection is this object
        self.server.answer(self)

    do_GET = do_POST  # noqa: N815 - as http.server wants it

    def say(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Quiet."""

    def verified(self, secret: str) -> Any:
        """What the notice says, when its signature is right. Raises WebhookVerificationError."""
        return Webhook(secret).verify(self.body, dict(self.headers.items()))


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__(("127.0.0.1", 0), Request)
        self.lock = threading.Lock()
        self.seen: list[Request] = []
        self.answer: Answer = taken
        self.socket = context.wrap_socket(self.socket, server_side=True)

    def handle_error(self, *_: Any) -> None:
        """A client that hung up is no error of the test."""


def taken(request: Request) -> None:
    request.say(204)


def status(code: int, **headers: str) -> Answer:
    return lambda request: request.say(code, b"", **headers)


class Receiver:
    """``https://localhost:PORT``; ``seen`` are its requests, ``answer`` is how it answers."""

    def __init__(self, folder: Path, *, certified: str = HOST) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        made = authority(folder, certified)
        pem = folder / "receiver.pem"
        pem.write_bytes(made.certificate + made.key)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        self.folder, self.ca_file = folder, made.ca_file
        self._server = _Server(context)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        return f"https://{HOST}:{self.port}/v2g"

    @property
    def seen(self) -> list[Request]:
        with self._server.lock:
            return list(self._server.seen)

    def answers(self, answer: Answer) -> None:
        self._server.answer = answer

    def files(self) -> dict[str, str]:
        """The variables of a program that may call it, with the files that they name."""
        allow, key = self.folder / "hosts", self.folder / "seal.key"
        allow.write_text(f"# receivers\n{HOST}:{self.port} internal\nhooks.example.com\n")
        allow.chmod(0o644)
        key.write_text("5e" * 32)
        key.chmod(0o600)
        return {
            "V2G_WEBHOOK_ALLOW_FILE": str(allow),
            "V2G_SEAL_KEY_FILE": str(key),
            "V2G_WEBHOOK_CA_FILE": str(self.ca_file),
        }

    def allowed(self) -> Allowed:
        return read_allowed(Path(self.files()["V2G_WEBHOOK_ALLOW_FILE"]))

    def means(self, dsn: str, **changes: Any) -> Means:
        given: dict[str, Any] = {
            "dsn": dsn,
            "allowed": self.allowed(),
            "sealer": Sealer(bytes.fromhex("5e" * 32)),
            "ca_file": self.ca_file,
            "clock": lambda: datetime.now(UTC),
            "resolver": lambda _host, _port: ["127.0.0.1"],
        }
        return Means(**(given | changes))
