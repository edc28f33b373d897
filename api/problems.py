"""Refusals as problem documents (RFC 9457), and how the registry's own errors become some.

Problem(Exception)    the answer, ready to be sent; never leaves api.app

A document has the members of RFC 9457 §3.1 (``type`` about:blank, ``title``, ``status``, ``detail``, and
``instance``, the path that was asked) and those of this house: ``error``, ``where``, ``found``,
``expected``, ``do``.
"""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

from starlette.responses import Response

from settlement.possession import PossessionError
from storage.errors import DatabaseUnavailableError, StorageError
from storage.key_changes import KeyRefusedError, Refusal
from tasks.notices.errors import DestinationRefusedError, NoticeError, TestFailedError

PROBLEM_JSON: Final = "application/problem+json"
PATH_MAX_CHARS: Final = 200
RETRY_AFTER_S: Final = 2
STATUS: Final[Mapping[Refusal, int]] = {
    Refusal.INVALID: 422,
    Refusal.UNKNOWN: 404,
    Refusal.TAKEN: 409,
    Refusal.STATE: 409,
    Refusal.SAME_PERSON: 403,
}
DO: Final[Mapping[Refusal, str]] = {
    Refusal.INVALID: "correct it and send it again: nothing was changed",
    Refusal.UNKNOWN: "ask for what there is, and name one of them",
    Refusal.TAKEN: "look at who has it: GET /v1/keys",
    Refusal.STATE: "look at what has become of it, then decide anew",
    Refusal.SAME_PERSON: "have a second person do it, with a token of their own",
}


class Problem(Exception):  # noqa: N818 - an answer, not an error of the program
    """A request that is refused."""

    def __init__(
        self,
        status: int,
        error: str,
        *,
        where: str,
        found: str,
        expected: str,
        do: str,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status)
        self.status = status
        self.headers = dict(headers or {})
        self.document = {
            "type": "about:blank",
            "title": HTTPStatus(status).phrase,
            "status": status,
            "detail": f"{where}: {found}; expected {expected}",
            "error": error,
            "where": where,
            "found": found,
            "expected": expected,
            "do": do,
        }

    def response(self, path: str) -> Response:
        """The problem document as the answer to a request for that path."""
        return as_json(
            self.status,
            {**self.document, "instance": quote(path[:PATH_MAX_CHARS], errors="replace")},
            {"Content-Type": PROBLEM_JSON, **self.headers},
        )


def as_json(status: int, body: object, headers: Mapping[str, str] | None = None) -> Response:
    """An answer in JSON that nobody stores: it may hold a secret that is shown once."""
    text = json.dumps(body, separators=(",", ":"), ensure_ascii=False)
    # Half a character of somebody's request is shown as JSON writes it: \ud800.
    content = text.encode("utf-8", "backslashreplace")
    always = {"Content-Type": "application/json", "Cache-Control": "no-store"}
    return Response(content, status_code=status, headers={**always, **(headers or {})})


def of(error: Exception) -> Problem:
    """The problem that an error of the registry is; an error of ours where it is none of these."""
    if isinstance(error, KeyRefusedError):
        return Problem(
            STATUS[error.why],
            error.why.upper(),
            where=error.where,
            found=error.found,
            expected=error.expected,
            do=DO[error.why],
        )
    if isinstance(error, PossessionError):
        return Problem(
            422,
            "NOT_PROVEN",
            where=error.where,
            found=error.found,
            expected=error.expected,
            do="sign a new nonce with the very key that is to be enrolled",
        )
    if isinstance(error, DestinationRefusedError):
        return invalid(f"body.{error.where}", error.found, error.expected)
    if isinstance(error, TestFailedError):
        return Problem(
            422,
            "TEST_FAILED",
            where="body.url",
            found=error.found,
            expected="2xx to a signed test call, within the deadline",
            do="look at the receiver, then send it again: the destination before stays in force",
        )
    if isinstance(error, NoticeError):
        # A file of ours is wrong: what is for who runs it, and stands in the log.
        return come_again("the destination of notices cannot be configured here now")
    if isinstance(error, DatabaseUnavailableError):
        return come_again("the database does not answer")
    if isinstance(error, StorageError):
        # What is wrong with the database is for who runs it, and stands in the log.
        return come_again("the database cannot be used")
    return Problem(
        500,
        "INTERNAL",
        where="this service",
        found="an error of ours",
        expected="an answer",
        do="send the same request again; if it stays, tell who runs this service",
    )


def come_again(found: str) -> Problem:
    """503 with the time to wait (RFC 9110 §10.2.3): every request may be repeated."""
    return Problem(
        503,
        "UNAVAILABLE",
        where="this service",
        found=found,
        expected="a database that answers, and a place in the queue",
        do=f"send the same request again after {RETRY_AFTER_S} s",
        headers={"Retry-After": str(RETRY_AFTER_S)},
    )


def invalid(where: str, found: object, expected: str, *, status: int = 422) -> Problem:
    """A field of a request that cannot be used."""
    shown: Any = found if isinstance(found, str) else repr(found)
    return Problem(
        status,
        "INVALID",
        where=where,
        found=shown[:200],
        expected=expected,
        do=DO[Refusal.INVALID],
    )
