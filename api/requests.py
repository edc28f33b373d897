"""What a request brings, taken with limits: its body, its fields, its query."""

import asyncio
import json
import re
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from starlette.requests import Request

from api.problems import Problem, invalid
from tasks.key_files import moment

READ_TIMEOUT_S: Final = 10.0
"""A body that takes longer than this to arrive is not waited for."""
PASSING_BYTES_MAX: Final = 8 * 1024 * 1024
JSON_MAX_BYTES: Final = 32 * 1024
TEXT_MAX_CHARS: Final = 16 * 1024
QUERY_MAX_CHARS: Final = 512
"""Of one text of a query: all of them have to fit into the head of a request."""

JSON: Final = "application/json"
_BEARER: Final = re.compile(r"bearer +(\S+)", re.IGNORECASE)


def bearer(request: Request) -> str:
    """The bearer token of a request (RFC 6750 §2.1); empty where there is none."""
    given = _BEARER.fullmatch(request.headers.get("authorization", ""))
    return given.group(1) if given else ""


def require_type(request: Request, expected: str) -> None:
    """Raises Problem: 415, unless the content has this media type, unencoded."""
    found = request.headers.get("content-type", "")
    encoding = request.headers.get("content-encoding", "identity")
    if found.partition(";")[0].strip().lower() == expected and encoding.lower() == "identity":
        return
    raise Problem(
        415,
        "UNSUPPORTED_MEDIA_TYPE",
        where="header Content-Type",
        found=repr(f"{found[:80]} {encoding[:20]}".strip()),
        expected=f"{expected}, not compressed",
        do=f"send it with Content-Type: {expected}",
        headers={"Accept": expected},
    )


async def body(request: Request, *, bytes_max: int) -> bytes:
    """The body; a longer one is refused before it has all been read.

    Raises:
        Problem: 413, 408 after ``READ_TIMEOUT_S``, 400 for a length that is none.
        starlette.requests.ClientDisconnect: the client went away.
    """
    declared = request.headers.get("content-length", "0")
    if not (declared.isascii() and declared.isdigit() and len(declared) < 20):  # noqa: PLR2004 - more than any length
        raise invalid("header Content-Length", repr(declared[:20]), "a number", status=400)
    received = bytearray()
    try:
        async with asyncio.timeout(READ_TIMEOUT_S):
            if int(declared) > bytes_max:
                await _let_pass(request, int(declared))
                raise _too_large(f"{declared} bytes", bytes_max)
            async for chunk in request.stream():
                received += chunk
                if len(received) > bytes_max:
                    raise _too_large(f"more than {bytes_max} bytes", bytes_max)
    except TimeoutError as error:
        raise Problem(
            408,
            "TOO_SLOW",
            where="body",
            found=f"{len(received)} bytes after {READ_TIMEOUT_S:.0f} s",
            expected=f"all of it within {READ_TIMEOUT_S:.0f} s",
            do="send it again",
            headers={"Connection": "close"},
        ) from error
    return bytes(received)


async def _let_pass(request: Request, declared: int) -> None:
    """Take a body that is not much too large off the line: who is still sending when the connection
    closes gets a reset, and never sees the answer that says why.
    """
    if declared <= PASSING_BYTES_MAX:
        async for _ in request.stream():
            pass


def _too_large(found: str, bytes_max: int) -> Problem:
    """413 (RFC 9110 §15.5.14). The rest is not read, so the connection is closed."""
    return Problem(
        413,
        "TOO_LARGE",
        where="body",
        found=found,
        expected=f"at most {bytes_max} bytes",
        do="send less at once: nothing was changed",
        headers={"Connection": "close"},
    )


class Fields:
    """A JSON object, or a query, whose fields are taken one by one; what is left over is refused."""

    def __init__(
        self, where: str, given: Mapping[str, Any], *, longest: int = TEXT_MAX_CHARS
    ) -> None:
        self._where = where
        self._given = dict(given)
        self._longest = longest

    def text(self, name: str, default: str | None = None, *, private: bool = False) -> str:
        """A text; a ``private`` one is not shown in the refusal.

        Raises:
            Problem: missing without a default, no text, or too long.
        """
        value = self._given.pop(name, None)
        if value is None and default is not None:
            return default
        if not isinstance(value, str) or len(value) > self._longest or "\0" in value:
            if private and value is not None:
                raise invalid(f"{self._where}.{name}", "something else", "text")
            raise self._wrong(name, value, "text")
        return value

    def choice(self, name: str, choices: Collection[str], default: str) -> str:
        """One of some words."""
        value = self.text(name, default)
        if value not in choices:
            raise self._wrong(name, value, "one of " + ", ".join(filter(None, choices)))
        return value

    def number(self, name: str, low: int, high: int, default: int) -> int:
        """An integer within bounds; in a query its digits."""
        value = self._given.pop(name, default)
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:  # noqa: PLR2004 - see above
            value = int(value)
        if type(value) is not int or not low <= value <= high:
            raise self._wrong(name, value, f"an integer from {low} to {high}")
        return value

    def seconds(self, name: str, high: timedelta, default: timedelta) -> timedelta:
        """A span of time, as whole seconds."""
        longest = int(high.total_seconds())
        return timedelta(seconds=self.number(name, 0, longest, int(default.total_seconds())))

    def time(self, name: str, *, required: bool = False) -> datetime | None:
        """A time with its zone; None where it is not given, unless it is required."""
        value = self.text(name, "")
        if required and not value:
            raise self._wrong(name, None, "a time with its zone")
        try:
            return moment(value) if value else None
        except ValueError as error:
            raise self._wrong(name, value, str(error)) from error

    def nothing_else(self) -> None:
        """Raises Problem: a field that nobody here knows would have been said in vain."""
        if self._given:
            found = ", ".join(sorted(map(str, self._given)))[:200]
            raise invalid(self._where, f"also {found}", "only what this route knows")

    def _wrong(self, name: str, value: object, expected: str) -> Problem:
        found = "nothing" if value is None else repr(value)[:80]
        return invalid(f"{self._where}.{name}", found, expected)


async def json_fields(request: Request) -> Fields:
    """The fields of a JSON object; no body is an object without fields. Raises Problem."""
    content = await body(request, bytes_max=JSON_MAX_BYTES)
    if not content:
        return Fields("body", {})
    require_type(request, JSON)
    try:
        value = json.loads(content, object_pairs_hook=_names_once)
    except (ValueError, RecursionError) as error:
        expected = "a JSON object in UTF-8, each name once"
        raise invalid("body", "no JSON", expected, status=400) from error
    if not isinstance(value, dict):
        raise invalid("body", f"a JSON {type(value).__name__}", "a JSON object", status=400)
    return Fields("body", value)


def _names_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object; of a name given twice, two readers could take different values (RFC 8259 §4)."""
    names = dict(pairs)
    if len(names) != len(pairs):
        raise ValueError("a name stands twice")
    return names


def query_fields(request: Request) -> Fields:
    """The fields of a query; of a name given twice the last counts."""
    return Fields("query", dict(request.query_params), longest=QUERY_MAX_CHARS)
