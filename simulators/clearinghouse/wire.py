"""What is written past the HTTP server, because no server would: half answers, garbage, floods."""

from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from simulators.clearinghouse.faults import Fault, FaultKind
from simulators.serving import Lines

INFORMATIONAL: Final = 100_000
HEADER_LINES: Final = 1_000_000
AT_ONCE: Final = 500
"""Lines of a flood that are written together."""


def _start(response: Response) -> bytes:
    status = response.status_code
    fields = b"".join(name + b": " + value + b"\r\n" for name, value in response.raw_headers)
    return f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n".encode() + fields


def _short(response: Response, _: Fault) -> Iterator[bytes]:
    body = bytes(response.body)
    yield _start(response) + b"\r\n" + body[: len(body) // 2]


def _chunks(response: Response, _: Fault) -> Iterator[bytes]:
    del response.headers["content-length"]
    body = bytes(response.body)
    yield _start(response) + b"transfer-encoding: chunked\r\n\r\n"
    yield f"{len(body):x}\r\n".encode() + body + b"\r\n-1\r\nzzzz\r\n" + body + b"\r\n0\r\n\r\n"


def _informational(_: Response, fault: Fault) -> Iterator[bytes]:
    return _flood(b"HTTP/1.1 103 Early Hints\r\n\r\n", fault.number or INFORMATIONAL)


def _endless_headers(response: Response, fault: Fault) -> Iterator[bytes]:
    yield _start(response)
    yield from _flood(b"x-more: and more of it\r\n", fault.number or HEADER_LINES)


def _flood(line: bytes, times: int) -> Iterator[bytes]:
    for written in range(0, times, AT_ONCE):
        yield line * min(AT_ONCE, times - written)


_WRITTEN: Final[Mapping[FaultKind, Callable[[Response, Fault], Iterator[bytes]]]] = {
    FaultKind.SHORT: _short,
    FaultKind.CHUNKS: _chunks,
    FaultKind.INFORMATIONAL: _informational,
    FaultKind.ENDLESS_HEADERS: _endless_headers,
}
_CUT: Final = frozenset(
    {FaultKind.LOST_ACK, FaultKind.STALL, FaultKind.RESET, FaultKind.RESET_AFTER}
)
_RESET: Final = frozenset({FaultKind.RESET, FaultKind.RESET_AFTER})


async def end_badly(lines: Lines, request: Request, response: Response, fault: Fault) -> bool:
    """Write what the fault wants and close the line; whether it wanted any of that.

    Args:
        lines: where the connection is entered.
        request: whose connection.
        response: the answer as it would have been.
        fault: which.
    """
    written = _WRITTEN.get(fault.kind)
    if written is not None:
        await lines.write(request, written(response, fault))
        await lines.cut(request, flush=True)
        return True
    if fault.kind in _CUT:
        await lines.cut(request, reset=fault.kind in _RESET)
        return True
    return False
