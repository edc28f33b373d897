"""How a good answer is spoilt, by fault."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Final

from starlette.responses import PlainTextResponse, Response, StreamingResponse

from simulators.sep2.faults import Fault, FaultKind, deep, with_doctype, with_entities
from simulators.sep2.markup import MEDIA_TYPE

DRIP_S: Final = 1.0
HUGE_BYTES: Final = 100_000_000
CHUNK: Final = 64 * 1024
DEEP_ELEMENTS: Final = 100_000
LOGIN_PAGE: Final = "<!doctype html><html><body><h1>Sign in</h1></body></html>"
ELSEWHERE: Final = "https://127.0.0.1:9/dcap"
UNAVAILABLE: Final = 503


def spoilt(response: Response, fault: Fault | None) -> Response:
    """The answer as the fault leaves it; some faults leave it as it is."""
    change = None if fault is None else _CHANGES.get(fault.kind)
    if fault is None or change is None:
        return response
    return change(bytes(response.body), fault)


def _sep(body: bytes) -> Response:
    return Response(body, media_type=MEDIA_TYPE)


def _huge(body: bytes, fault: Fault) -> Response:
    return StreamingResponse(_padded(body, fault.number or HUGE_BYTES), media_type=MEDIA_TYPE)


def _drip(body: bytes, fault: Fault) -> Response:
    pause_s = DRIP_S if fault.seconds is None else fault.seconds
    return StreamingResponse(_dripping(body, pause_s), media_type=MEDIA_TYPE)


def _error(_: bytes, fault: Fault) -> Response:
    return PlainTextResponse("out of order", status_code=fault.number or UNAVAILABLE)


async def _padded(document: bytes, size: int) -> AsyncIterator[bytes]:
    """The document, with white space after it up to that many bytes."""
    yield document
    left = size - len(document)
    while left > 0:
        yield b" " * min(CHUNK, left)
        left -= CHUNK


async def _dripping(document: bytes, pause_s: float) -> AsyncIterator[bytes]:
    for index in range(len(document)):
        yield document[index : index + 1]
        await asyncio.sleep(pause_s)


_CHANGES: Final[dict[FaultKind, Callable[[bytes, Fault], Response]]] = {
    FaultKind.ERROR: _error,
    FaultKind.EMPTY: lambda _body, _fault: _sep(b""),
    FaultKind.HTML: lambda _body, _fault: Response(LOGIN_PAGE, media_type="text/html"),
    FaultKind.TRUNCATED: lambda body, _fault: _sep(body[: len(body) // 2]),
    FaultKind.DTD: lambda body, _fault: _sep(with_doctype(body)),
    FaultKind.ENTITY: lambda body, _fault: _sep(with_entities(body)),
    FaultKind.DEEP: lambda _body, fault: _sep(deep(fault.number or DEEP_ELEMENTS)),
    FaultKind.HUGE: _huge,
    FaultKind.ENCODING: lambda body, _fault: _sep(body.replace(b">", b">\xff\xfe", 1)),
    FaultKind.MEDIA_TYPE: lambda body, _fault: Response(body, media_type="text/plain"),
    FaultKind.REDIRECT: lambda _body, _fault: Response(
        status_code=302, headers={"Location": ELSEWHERE}
    ),
    FaultKind.DRIP: _drip,
}
