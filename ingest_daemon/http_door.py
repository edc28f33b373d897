"""What every request must pass before its content is looked at: token, type, size, time.

Refused(Exception)    the answer, ready to be sent; never leaves ingest_daemon.http and .watching
"""

import asyncio
import contextlib
import hmac
import json
import re
from collections.abc import Mapping
from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from ingest_daemon.http_answers import problem

READ_TIMEOUT_S: Final = 10.0
"""A body that takes longer than this to arrive is not waited for."""
RETRY_AFTER_S: Final = 2
PASSING_BYTES_MAX: Final = 1024 * 1024

_BEARER: Final = re.compile(r"bearer +(\S+)", re.IGNORECASE)


class Refused(Exception):  # noqa: N818 - an answer, not an error of the program
    """A request that is answered without landing anything."""

    def __init__(
        self, status: int, body: Mapping[str, Any], headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(status)
        self.status = status
        self.body = body
        self.headers = dict(headers or {})

    def response(self) -> Response:
        """The answer itself."""
        return in_json(self.status, self.body, self.headers)


def in_json(status: int, body: object, headers: Mapping[str, str] | None = None) -> Response:
    """An answer that no cache keeps."""
    content = json.dumps(body, separators=(",", ":")).encode()
    always = {"Content-Type": "application/json", "Cache-Control": "no-store"}
    return Response(content, status_code=status, headers={**always, **(headers or {})})


def no_such_route(request: Request, error: Exception, *, expected: str) -> Response:
    """The answer to a path or a method that is none of ours; ``expected`` names those that are."""
    body = problem(
        "NO_SUCH_ROUTE",
        where="request line",
        found=f"{request.method} {request.url.path[:80]}",
        expected=expected,
        do="use one of these",
    )
    if not isinstance(error, HTTPException):
        return in_json(500, body)
    return in_json(error.status_code, body, error.headers)


def come_again(found: str) -> Refused:
    """503 with the time to wait (RFC 9110 §10.2.3). Whatever was sent may be sent again unchanged."""
    return Refused(
        503,
        problem(
            "UNAVAILABLE",
            where="this service",
            found=found,
            expected="a database that answers, and room in memory",
            do=f"keep the packets and send the same request again after {RETRY_AFTER_S} s:"
            " what has landed meanwhile is answered with 208",
        ),
        {"Retry-After": str(RETRY_AFTER_S)},
    )


def has_token(request: Request, token: str) -> bool:
    """Whether the request carries the bearer token (RFC 6750 §2.1). Takes equally long either way."""
    given = _BEARER.fullmatch(request.headers.get("authorization", ""))
    return hmac.compare_digest((given.group(1) if given else "").encode(), token.encode())


def require_token(request: Request, token: str, *, file: str) -> None:
    """Raises Refused: 401. ``file`` is the variable that names the token's file."""
    if not has_token(request, token):
        found = "another token" if "authorization" in request.headers else "none"
        raise Refused(
            401,
            problem(
                "UNAUTHENTICATED",
                where="header Authorization",
                found=found,
                expected="Bearer TOKEN",
                do=f"send the token that stands in the file {file} names",
            ),
            {"WWW-Authenticate": 'Bearer realm="v2g-ingest"'},
        )


def require_type(request: Request, *expected: str) -> None:
    """Raises Refused: 415 unless the content has one of these media types, unencoded."""
    found = request.headers.get("content-type", "")
    encoding = request.headers.get("content-encoding", "identity")
    if found.partition(";")[0].strip().lower() in expected and encoding.lower() == "identity":
        return
    where = "header Content-Type" if encoding.lower() == "identity" else "header Content-Encoding"
    raise Refused(
        415,
        problem(
            "UNSUPPORTED_MEDIA_TYPE",
            where=where,
            found=repr((found if where.endswith("Type") else encoding)[:80]) or "none",
            expected=f"{' or '.join(expected)}, not compressed",
            do=f"send it with Content-Type: {expected[0]}",
        ),
        {"Accept": ", ".join(expected)},
    )


async def _let_pass(request: Request, declared: int) -> None:
    """Take a body that is not much too large off the line: who is still sending when the connection
    closes gets a reset, and never sees the answer that says why.
    """
    if declared > PASSING_BYTES_MAX:
        return
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(READ_TIMEOUT_S):
            async for _ in request.stream():
                pass


async def read_body(request: Request, *, bytes_max: int) -> bytes:
    """The body, at most ``bytes_max`` bytes; a longer one is refused before it has all been read.

    Raises:
        Refused: 413, 400 for a length that is none, 408 after ``READ_TIMEOUT_S``.
        starlette.requests.ClientDisconnect: the client went away.
    """
    declared = request.headers.get("content-length", "0")
    if not (declared.isascii() and declared.isdigit()):
        raise Refused(
            400,
            problem(
                "BAD_REQUEST",
                where="header Content-Length",
                found=repr(declared[:20]),
                expected="a number",
                do="send the length in bytes",
            ),
        )
    if int(declared[:20]) > bytes_max:
        await _let_pass(request, int(declared[:20]))
        raise too_large("body", f"{declared[:20]} bytes", f"at most {bytes_max} bytes")
    body = bytearray()
    try:
        async with asyncio.timeout(READ_TIMEOUT_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > bytes_max:
                    raise too_large(
                        "body", f"more than {bytes_max} bytes", f"at most {bytes_max} bytes"
                    )
    except TimeoutError as error:
        found = f"{len(body)} bytes after {READ_TIMEOUT_S:.0f} s"
        raise Refused(
            408,
            problem(
                "TOO_SLOW",
                where="body",
                found=found,
                expected=f"all of it within {READ_TIMEOUT_S:.0f} s",
                do="send it again, in smaller parts",
            ),
            {"Connection": "close"},
        ) from error
    return bytes(body)


def too_large(where: str, found: str, expected: str) -> Refused:
    """413 (RFC 9110 §15.5.14). The rest of the body is not read, so the connection is closed."""
    return Refused(
        413,
        problem(
            "TOO_LARGE",
            where=where,
            found=found,
            expected=expected,
            do="send less at once: nothing of it was stored",
        ),
        {"Connection": "close"},
    )
