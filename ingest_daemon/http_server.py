"""uvicorn with every limit set and nothing trusted; of the daemon in a thread of its own."""

import contextlib
import socket
import threading
from collections.abc import Callable
from typing import Final

import uvicorn
from starlette.applications import Starlette

from ingest_daemon.errors import SettingsError, WrongSetting
from ingest_daemon.impatient import Impatient

CONNECTIONS_MAX: Final = 128
HEADERS_MAX_BYTES: Final = 16 * 1024
KEEP_ALIVE_S: Final = 15
BACKLOG: Final = 128


def listen(host: str, port: int, *, variables: str) -> socket.socket:
    """The listening socket; made before anything is started, so that a taken port is told at once.

    Args:
        host: an address of this machine.
        port: 0 takes any free one.
        variables: which name the two.

    Raises:
        SettingsError: the address cannot be had.
    """
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        address = f"{host}:{port} ({error.strerror})"
        expected = "an address of this machine and a port that no other program uses"
        raise SettingsError(WrongSetting(variables, address, expected)) from error
    return sock


def configured(
    app: Starlette, *, answer_within_s: float, connections_max: int = CONNECTIONS_MAX
) -> uvicorn.Config:
    """How uvicorn serves an application.

    Args:
        app: what is served.
        answer_within_s: what is under way when it stops is waited for so long, and a second more.
        connections_max: more at the same time are refused with 503.
    """
    return uvicorn.Config(
        app,
        loop="asyncio",
        http=Impatient,
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        # No proxy is believed: who sent a request is decided by its token.
        proxy_headers=False,
        forwarded_allow_ips=[],
        server_header=False,
        limit_concurrency=connections_max,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=int(answer_within_s) + 1,
        h11_max_incomplete_event_size=HEADERS_MAX_BYTES,
    )


class Server:
    """Serves the application until told to stop."""

    def __init__(
        self,
        app: Starlette,
        sock: socket.socket,
        *,
        answer_within_s: float,
        failed: Callable[[BaseException], None],
    ) -> None:
        self._sock = sock
        self._failed = failed
        self._server = uvicorn.Server(configured(app, answer_within_s=answer_within_s))
        self._thread = threading.Thread(target=self._run, name="http", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def finish(self, *, timeout_s: float) -> None:
        """Answer what is under way, and stop."""
        self._server.should_exit = True
        self._thread.join(timeout_s)
        with contextlib.suppress(OSError):
            self._sock.close()

    def _run(self) -> None:
        try:
            self._server.run(sockets=[self._sock])
        except BaseException as error:  # noqa: BLE001 - handed to the main thread, which ends the process
            self._failed(error)
