"""uvicorn in a thread of the daemon, with every limit set and nothing trusted."""

import contextlib
import socket
import threading
from collections.abc import Callable
from typing import Final

import uvicorn
from starlette.applications import Starlette

from ingest_daemon.errors import SettingsError, WrongSetting
from ingest_daemon.impatient import Impatient
from ingest_daemon.settings import Settings

CONNECTIONS_MAX: Final = 128
HEADERS_MAX_BYTES: Final = 16 * 1024
KEEP_ALIVE_S: Final = 15
BACKLOG: Final = 128


def listen(settings: Settings) -> socket.socket:
    """The listening socket; made before anything is started, so that a taken port is told at once.

    Raises:
        SettingsError: the address cannot be had.
    """
    family = socket.AF_INET6 if ":" in settings.http_host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((settings.http_host, settings.http_port))
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        address = f"{settings.http_host}:{settings.http_port} ({error.strerror})"
        expected = "an address of this machine and a port that no other program uses"
        raise SettingsError(
            WrongSetting("V2G_HTTP_HOST and V2G_HTTP_PORT", address, expected)
        ) from error
    return sock


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
        self._server = uvicorn.Server(
            uvicorn.Config(
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
                limit_concurrency=CONNECTIONS_MAX,
                backlog=BACKLOG,
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=int(answer_within_s) + 1,
                h11_max_incomplete_event_size=HEADERS_MAX_BYTES,
            )
        )
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
