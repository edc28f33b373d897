"""``python -m api``: see ``--help``."""

import argparse
import logging
import os
import signal
import socket
import ssl
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import uvicorn

from api import settings, tls
from api.app import application
from api.errors import ApiError, SettingsError
from api.protocol import Spoken
from api.requests import READ_TIMEOUT_S
from api.service import Service
from api.settings import Settings
from api.tokens import TokenFile
from ingest_daemon import log
from ingest_daemon.log import say
from tasks.notices.settings import NoticeSettings

logger = logging.getLogger(__name__)

CONNECTIONS_MAX: Final = 128
HEADERS_MAX_BYTES: Final = 16 * 1024
KEEP_ALIVE_S: Final = 15
BACKLOG: Final = 128

_ABOUT = """\
The registry of keys over HTTP: devices prove that a key is theirs, operators invite, approve, import,
rotate and revoke; administrators say where notices go. Connects to the database as v2g_registry, for
notices as v2g_operator, which can do nothing else.
"""
_MORE = """\
Settings are environment variables [with their defaults]:

{settings}

Exit status: 0 stopped by SIGTERM or SIGINT · 1 it broke · 2 a setting or the file of tokens is wrong.

Try it:  v2g keys token anna --scope keys:read --file "$V2G_API_TOKEN_FILE"
         curl -H "Authorization: Bearer TOKEN" http://127.0.0.1:8080/v1/keys
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """The process: read the settings, serve, return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m api",
        description=_ABOUT,
        epilog=_MORE.format(settings=settings.describe()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--check", action="store_true", help="check the settings and the files they name, then end"
    )
    chosen = parser.parse_args(arguments)
    try:
        loaded = settings.load()
        log.configure(loaded.log_level, journal="JOURNAL_STREAM" in os.environ)
        tokens = TokenFile(loaded.token_file)
        notices, context = settings.load_notices(), tls.context(loaded)
        if chosen.check:
            print("api: the settings can be used")
            return 0
        logging.captureWarnings(capture=True)
        return serve(loaded, tokens, notices, context, listen(loaded))
    except ApiError as error:
        print(f"api cannot start:\n{error}\nsee: python -m api --help", file=sys.stderr)
        return error.exit_status


def listen(loaded: Settings) -> socket.socket:
    """The listening socket. Raises SettingsError: the address cannot be had."""
    family = socket.AF_INET6 if ":" in loaded.http_host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((loaded.http_host, loaded.http_port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise SettingsError(
            f"V2G_API_HTTP_HOST and V2G_API_HTTP_PORT: found {loaded.http_host}:{loaded.http_port}"
            f" ({error.strerror}); expected an address of this machine and a port that is free"
        ) from error
    return listener


def serve(
    loaded: Settings,
    tokens: TokenFile,
    notices: NoticeSettings,
    context: ssl.SSLContext | None,
    listener: socket.socket,
) -> int:
    """Answer until a signal comes. The process's exit status."""
    service = Service(
        loaded.database_url,
        tokens,
        lambda: datetime.now(UTC),
        at_once=loaded.database_connections,
        answer_within_s=loaded.answer_within_s,
        notices=notices,
    )
    server = uvicorn.Server(
        uvicorn.Config(
            application(service),
            loop="asyncio",
            http=Spoken,
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
            timeout_graceful_shutdown=int(loaded.answer_within_s + READ_TIMEOUT_S) + 1,
            h11_max_incomplete_event_size=HEADERS_MAX_BYTES,
            ssl_context_factory=None if context is None else lambda *_: context,
        )
    )
    host, port = listener.getsockname()[:2]
    scheme = "http" if context is None else "https"
    mutual = context is not None and context.verify_mode is ssl.CERT_REQUIRED
    say(
        logger, logging.INFO, "started",
        pid=os.getpid(), http=f"{scheme}://{host}:{port}", mutual_tls=mutual,
    )  # fmt: skip
    for number in (signal.SIGTERM, signal.SIGINT):
        # uvicorn takes them while it serves, and raises them again when it has ended in good order.
        signal.signal(number, lambda *_: None)
    server.run(sockets=[listener])
    say(logger, logging.INFO, "stopped")
    return 0 if server.started else 1


if __name__ == "__main__":
    sys.exit(main())
