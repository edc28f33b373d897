"""How a good answer is spoilt, by fault: what the house itself says wrongly, and what becomes of it.

``said`` comes before the signature: the house means it. ``spoilt`` comes after: a gateway, a line.
"""

import asyncio
import zlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from datetime import datetime, timedelta
from email.utils import format_datetime
from hashlib import sha256
from typing import Final

from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse

from simulators.clearinghouse.faults import Fault, FaultKind

SLOW_S: Final = 3.0
STALL_S: Final = 30.0
DRIP_S: Final = 0.5
CHUNK: Final = 64 * 1024
HUGE_BYTES: Final = 4 * 1024 * 1024
VAST_BYTES: Final = 200 * 1024 * 1024
RETRY_AFTER: Final = "1"
DATE_AHEAD_S: Final = 2
YEAR_S: Final = 31_536_000
LOGIN_PAGE: Final = "<!DOCTYPE html><title>Welcome</title><p>Please sign in to this network.</p>"

Answer = Mapping[str, str]


def _changed(**changes: Callable[[str], str]) -> Callable[[Answer], JSONResponse]:
    def change(answer: Answer) -> JSONResponse:
        return JSONResponse({**answer, **{name: to(answer[name]) for name, to in changes.items()}})

    return change


def _already(answer: Answer) -> JSONResponse:
    """As if this id had come before with another amount."""
    amount = _one_more(answer["amount_minor"])
    digest = sha256(f"{answer['posting_id']} {amount}".encode()).hexdigest()
    return JSONResponse({**answer, "amount_minor": amount, "digest": digest}, status_code=208)


def _conflict(_: Answer) -> JSONResponse:
    body = {"error": "conflict", "field": "amount_minor", "expected": "the body that came first"}
    return JSONResponse(body, status_code=409)


def _one_more(amount: str) -> str:
    return str(int(amount) + 1)


def _other_digest(digest: str) -> str:
    return sha256(digest.encode()).hexdigest()


_SAID: Final[Mapping[FaultKind, Callable[[Answer], Response]]] = {
    FaultKind.WRONG_ECHO: _changed(amount_minor=_one_more),
    FaultKind.WRONG_ID: _changed(posting_id=lambda posting_id: f"{posting_id}-other"),
    FaultKind.WRONG_CURRENCY: _changed(currency=lambda code: "EUR" if code == "USD" else "USD"),
    FaultKind.WRONG_DIGEST: _changed(digest=_other_digest),
    FaultKind.WRONG_STATUS: _changed(status=lambda _: "refused"),
    FaultKind.NO_ECHO: lambda _: JSONResponse({}),
    FaultKind.OTHER_ALREADY: _already,
    FaultKind.CONFLICT: _conflict,
    FaultKind.CONFLICT_AFTER: _conflict,
    FaultKind.UNAUTHORIZED: lambda _: JSONResponse({"error": "unauthorized"}, status_code=401),
    FaultKind.FORBIDDEN: lambda _: JSONResponse({"error": "forbidden"}, status_code=403),
}

WITHOUT_ECHO: Final = frozenset(
    {
        FaultKind.NO_ECHO,
        FaultKind.CONFLICT,
        FaultKind.CONFLICT_AFTER,
        FaultKind.UNAUTHORIZED,
        FaultKind.FORBIDDEN,
    }
)
"""Faults that can be said of a posting that nobody knows."""


def said(fault: Fault | None, answer: Answer, status: int) -> Response:
    """What the house says of a posting: the truth, or what the fault makes of it.

    Args:
        fault: None for the truth.
        answer: the true echo.
        status: of the true answer.
    """
    change = None if fault is None else _SAID.get(fault.kind)
    return JSONResponse(answer, status_code=status) if change is None else change(answer)


def _error(_: Response, fault: Fault, __: datetime) -> Response:
    headers = {} if fault.retry_after is None else {"Retry-After": fault.retry_after}
    return JSONResponse({"error": "internal"}, status_code=fault.number or 500, headers=headers)


def _too_many(*retry_after: str) -> Callable[[Response, Fault, datetime], Response]:
    def refuse(_: Response, fault: Fault, __: datetime) -> Response:
        response = JSONResponse({"error": "too many requests"}, status_code=429)
        for value in retry_after if fault.retry_after is None else (fault.retry_after,):
            response.headers.append("Retry-After", value)
        return response

    return refuse


def _too_many_date(response: Response, fault: Fault, now: datetime) -> Response:
    ahead = timedelta(seconds=fault.number or DATE_AHEAD_S)
    return _too_many(format_datetime(now + ahead, usegmt=True))(response, fault, now)


def _plain(status: int, body: bytes = b"") -> Callable[[Response, Fault, datetime], Response]:
    return lambda _, __, ___: Response(body, status_code=status)


def _like(response: Response, body: bytes | AsyncIterator[bytes]) -> Response:
    """Another body under the same status and headers, less the length."""
    headers = {name: value for name, value in response.headers.items() if name != "content-length"}
    if isinstance(body, bytes):
        return Response(body, response.status_code, headers=headers)
    return StreamingResponse(body, response.status_code, headers=headers)


def _truncated(response: Response, _: Fault, __: datetime) -> Response:
    body = bytes(response.body)
    return _like(response, body[: len(body) // 2])


def _huge(response: Response, fault: Fault, _: datetime) -> Response:
    return _like(response, b"".join(_padded(bytes(response.body), fault.number or HUGE_BYTES)))


def _vast(response: Response, fault: Fault, _: datetime) -> Response:
    return _like(response, _streamed(_padded(bytes(response.body), fault.number or VAST_BYTES)))


def _swelling(response: Response, fault: Fault, _: datetime) -> Response:
    packed = _packed(_padded(bytes(response.body), fault.number or VAST_BYTES))
    swelling = _like(response, _streamed(packed))
    swelling.headers["content-encoding"] = "gzip"
    return swelling


def _drip(response: Response, fault: Fault, _: datetime) -> Response:
    pause_s = DRIP_S if fault.seconds is None else fault.seconds
    return _like(response, _dripping(bytes(response.body), pause_s))


def _padded(body: bytes, size: int) -> Iterator[bytes]:
    """A JSON object with a note of so many bytes at its end: still the right fields."""
    empty = body == b"{}"
    yield body[:-1] + (b'"note":"' if empty else b',"note":"')
    left = size
    while left > 0:
        yield b" " * min(CHUNK, left)
        left -= CHUNK
    yield b'"}'


def _packed(pieces: Iterator[bytes]) -> Iterator[bytes]:
    packer = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
    for piece in pieces:
        if packed := packer.compress(piece):
            yield packed
    yield packer.flush()


async def _streamed(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece
        await asyncio.sleep(0)


async def _dripping(body: bytes, pause_s: float) -> AsyncIterator[bytes]:
    for index in range(len(body)):
        await asyncio.sleep(pause_s)
        yield body[index : index + 1]


_SPOILT: Final[Mapping[FaultKind, Callable[[Response, Fault, datetime], Response]]] = {
    FaultKind.ERROR: _error,
    FaultKind.ERROR_AFTER: _error,
    FaultKind.TOO_MANY: _too_many(RETRY_AFTER),
    FaultKind.TOO_MANY_DATE: _too_many_date,
    FaultKind.TOO_MANY_HUGE: _too_many(str(YEAR_S)),
    FaultKind.TOO_MANY_NEGATIVE: _too_many("-5"),
    FaultKind.TOO_MANY_GARBAGE: _too_many("soon"),
    FaultKind.TOO_MANY_TWICE: _too_many("1", "3600"),
    FaultKind.REQUEST_TIMEOUT: _plain(408),
    FaultKind.TOO_EARLY: _plain(425),
    FaultKind.ACCEPTED: _plain(202),
    FaultKind.NO_CONTENT: _plain(204),
    FaultKind.HTML: lambda _, __, ___: HTMLResponse(LOGIN_PAGE),
    FaultKind.TRUNCATED: _truncated,
    FaultKind.DRIP: _drip,
    FaultKind.HUGE: _huge,
    FaultKind.VAST: _vast,
    FaultKind.SWELLING: _swelling,
}


def spoilt(fault: Fault | None, response: Response, now: datetime) -> Response:
    """The answer as the fault leaves it on its way; most faults leave it as it is."""
    change = None if fault is None else _SPOILT.get(fault.kind)
    return response if fault is None or change is None else change(response, fault, now)
