"""HTTP, bounded in time and in bytes; for feeds that speak JSON."""

import contextlib
import ssl
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import httpx

from grid.deadlines import Deadline, bounded_socket
from grid.errors import FeedRefusedError, FeedUnavailableError, FeedUnreadableError

__all__ = ["BODY_MAX_BYTES", "client", "get", "post_form"]

BODY_MAX_BYTES: Final = 4 * 1024 * 1024
READ_TIMEOUT_S: Final = 10.0
CONNECT_TIMEOUT_S: Final = 5.0

_TRY_AGAIN: Final = frozenset({408, 425, 429})
_SERVER_ERROR: Final = 500


def client(*, headers: Mapping[str, str], seconds: float, ca: Path | None = None) -> httpx.Client:
    """A client with bounded waits that follows no redirect and takes no proxy from the environment.

    Args:
        headers: of every request, such as Authorization.
        ca: PEM, whom the server's certificate must come from; None: the machine's own list.
        seconds: for everything; over TLS it holds for every byte, so that no server that drips its
            headers keeps a thread for longer. What speaks without TLS is this machine.

    Raises:
        FeedRefusedError: the file of ``ca`` cannot be used.
    """
    try:
        context = ssl.create_default_context(cafile=None if ca is None else str(ca))
    except (OSError, ValueError) as error:
        raise FeedRefusedError(f"ca {ca}", f"{error}", "expected certificates in PEM") from error
    context.sslsocket_class = bounded_socket(Deadline(seconds, time.monotonic))
    return httpx.Client(
        # The body is counted as it comes: a compressed one could unfold to any size.
        headers={"Accept-Encoding": "identity", **headers},
        timeout=httpx.Timeout(
            min(seconds, READ_TIMEOUT_S), connect=min(seconds, CONNECT_TIMEOUT_S)
        ),
        verify=context,
        trust_env=False,
    )


def get(
    client: httpx.Client,
    url: str,
    *,
    deadline: float,
    repair: str,
    clock: Callable[[], float] = time.monotonic,
    bytes_max: int = BODY_MAX_BYTES,
) -> bytes:
    """The whole body of a 200.

    Args:
        client: as ``client`` makes it.
        url: what to ask for.
        deadline: by ``clock``; a server that sends a byte now and then resets every shorter wait.
        repair: what to look at where the server answers, but not to us.
        clock: seconds.
        bytes_max: a longer body is refused.

    Raises:
        FeedUnavailableError: no whole answer in time, 5xx, 408, 425 or 429.
        FeedRefusedError: another status than 200.
        FeedUnreadableError: a body that is compressed or too long.
    """
    request = client.build_request("GET", url)
    return _answer(client, request, deadline, repair, clock, bytes_max)


def post_form(
    client: httpx.Client,
    url: str,
    form: Mapping[str, str],
    *,
    deadline: float,
    repair: str,
    clock: Callable[[], float] = time.monotonic,
) -> bytes:
    """The whole body of the 200 that a form is answered with. Args and errors as of ``get``."""
    request = client.build_request("POST", url, data=dict(form))
    return _answer(client, request, deadline, repair, clock, BODY_MAX_BYTES)


def _answer(
    client: httpx.Client,
    request: httpx.Request,
    deadline: float,
    repair: str,
    clock: Callable[[], float],
    bytes_max: int,
) -> bytes:
    where = f"{request.method} {request.url.copy_with(query=None, userinfo=b'')}"
    body = bytearray()
    try:
        response = client.send(request, stream=True)
        with contextlib.closing(response):
            status = response.status_code
            if status >= _SERVER_ERROR or status in _TRY_AGAIN:
                raise FeedUnavailableError(where, f"HTTP {status}")
            if status != httpx.codes.OK:
                raise FeedRefusedError(where, f"HTTP {status}; expected 200", repair)
            encoding = response.headers.get("Content-Encoding", "identity")
            if encoding != "identity":
                raise FeedUnreadableError(
                    where, f"Content-Encoding {encoding[:40]!r}", "identity, as asked"
                )
            for chunk in response.iter_raw():
                body += chunk
                if len(body) > bytes_max:
                    raise FeedUnreadableError(where, "a longer body", f"at most {bytes_max} bytes")
                if clock() > deadline:
                    raise FeedUnavailableError(where, "no whole body before the deadline")
    except httpx.LocalProtocolError:
        # Its words may repeat a header that cannot be sent, and with it a token.
        raise FeedRefusedError(where, "a request that cannot be sent", repair) from None
    except httpx.TransportError as error:
        raise FeedUnavailableError(where, f"{type(error).__name__}: {error}") from error
    return bytes(body)
