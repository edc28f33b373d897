"""What a route is: one record per operation, from which it is both served and published.

``api.table`` lists all of them; ``api.app`` serves exactly these, and ``api.openapi`` writes down these.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, TypeAlias

from starlette.requests import Request
from starlette.responses import Response

from api import requests
from api.fields import Field, taken

JSON: Final = requests.JSON


class Who(StrEnum):
    """Who may come in."""

    ANYBODY = "anybody"
    """Health only: it tells nothing."""
    INVITED = "invited"
    """Who has an invitation, or the key that it was for: the proof is in the body."""
    TOKEN = "token"  # noqa: S105 - a word for a kind of credential
    """Who has a token, with the operation's scope where it names one."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that is no refusal: what it means, and its body as JSON Schema."""

    meaning: str
    schema: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Raw:
    """A body that is no JSON object: its media type, and how long it may be."""

    media: str
    bytes_max: int
    meaning: str


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path.

    Attributes:
        name: unique; ``operationId`` in OpenAPI.
        method: GET or POST; a GET may be asked as HEAD.
        path: with ``{fields}`` in it.
        who: who may come in.
        scope: what the token must have; empty: any token will do.
        summary: in a line.
        repeats: what the same request does a second time.
        answers: by status.
        refusals: statuses of problem documents that it has beyond those that all have, with their
            reasons.
        body: fields of a JSON object; None where there is no such body.
        raw: a body of another kind.
        query: its fields.
        place: fields of the path.
        open_path: fields of the path that may hold a slash.
    """

    name: str
    method: str
    path: str
    who: Who
    summary: str
    repeats: str
    answers: Mapping[int, Answer]
    scope: str = ""
    refusals: Mapping[int, str] = field(default_factory=dict)
    body: tuple[Field, ...] | None = None
    raw: Raw | None = None
    query: tuple[Field, ...] = ()
    place: tuple[Field, ...] = ()
    open_path: frozenset[str] = frozenset()

    @property
    def route_path(self) -> str:
        """The path as Starlette writes it."""
        path = self.path
        for name in self.open_path:
            path = path.replace(f"{{{name}}}", f"{{{name}:path}}")
        return path


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that was let in, read and found well formed.

    Attributes:
        request: the request itself.
        by: the name of its token; empty where none is needed.
        given: the fields of body and query, by name.
        content: a raw body.
    """

    request: Request
    by: str
    given: Mapping[str, Any]
    content: bytes = b""


Handler: TypeAlias = Callable[[Asked], Awaitable[Response]]


async def read(operation: Operation, request: Request, by: str) -> Asked:
    """What a request brings, as the operation says. Raises Problem: it brings something else."""
    if operation.who is Who.ANYBODY:
        return Asked(request, by, {})  # whatever a monitor adds to its query
    if operation.raw is not None:
        requests.require_type(request, operation.raw.media)
    given = taken(operation.query, requests.query_fields(request))
    if operation.body is not None:
        given |= taken(operation.body, await requests.json_fields(request))
    content = b""
    if operation.raw is not None:
        content = await requests.body(request, bytes_max=operation.raw.bytes_max)
    return Asked(request, by, given, content)
