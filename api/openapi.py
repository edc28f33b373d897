"""The table of operations as an OpenAPI 3.1 document: served at /openapi.json, kept in docs/.

``python -m api.openapi`` prints it.
"""

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from http import HTTPStatus
from typing import Any, Final

from api.fields import Field
from api.operation import JSON, Operation, Who
from api.problems import PROBLEM_JSON
from api.requests import QUERY_MAX_CHARS
from api.shapes import TEXT, object_of
from api.table import OPERATIONS

VERSION: Final = "1"
_ALWAYS: Final[Mapping[int, str]] = {
    400: "no HTTP, or no JSON where there must be",
    500: "an error of ours",
    503: "no turn, no database, or a file of ours that cannot be used: come again",
}
_TOKEN: Final[Mapping[int, str]] = {
    401: "no token, one that is unknown, or one that is over",
    403: "a token without the scope, or the same person where two are needed",
}
_FIELDS: Final[Mapping[int, str]] = {422: "a field that cannot be used, or one that nobody knows"}
_BODY: Final[Mapping[int, str]] = {
    408: "the body took too long",
    413: "the body is too long",
    415: "another media type, or compressed",
}
_ABOUT: Final = """\
Keys of chargers and meters, the fleet, and where notices go. docs/api.md explains it.

Every route but /healthz wants a token (`v2g keys token`), or, of devices, an invitation and a proof that
stand in the body. Beyond this machine it is served over TLS only, and may want a client's certificate.
Refusals are problem documents (RFC 9457). Unknown paths are 404, unknown methods 405 with Allow.
"""
_INVITATION: Final = """\
Authenticated in the body: by an invitation (256 random bits that an operator gave out), or by a signature
over a nonce for one, made with the very key that is to be enrolled. OpenAPI has no word for that."""


def document() -> dict[str, Any]:
    """The document, ready for JSON."""
    paths: dict[str, dict[str, Any]] = {}
    for one in OPERATIONS:
        paths.setdefault(one.path, {})[one.method.lower()] = _operation(one)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "V2G settlement",
            "version": VERSION,
            "description": _ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "http://127.0.0.1:8080", "description": "this machine, by default"}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "`v2g keys token NAME --scope SCOPE`; what a route wants is its"
                    " requirement's list",
                }
            },
            "schemas": {"Problem": _problem()},
        },
    }


def as_text() -> str:
    """The document as it is kept and served."""
    return json.dumps(document(), indent=2, ensure_ascii=False) + "\n"


def _operation(one: Operation) -> dict[str, Any]:
    told: dict[str, Any] = {
        "operationId": one.name,
        "summary": one.summary,
        "description": f"{one.summary}\n\nThe same request again: {one.repeats}",
        "security": [{"token": [one.scope] if one.scope else []}] if one.who is Who.TOKEN else [],
        "parameters": [*_parameters("path", one.place), *_parameters("query", one.query)],
        "responses": dict(sorted(_responses(one))),
    }
    if one.who is Who.INVITED:
        told["x-authentication"] = _INVITATION
    if one.body is not None:
        needed = any(field.required for field in one.body)
        told["requestBody"] = {
            "required": needed,
            "content": {JSON: {"schema": _body(one.body)}},
        }
    if one.raw is not None:
        told["requestBody"] = {
            "required": True,
            "description": f"{one.raw.meaning} At most {one.raw.bytes_max} bytes.",
            "content": {one.raw.media: {"schema": TEXT}},
        }
    return told


def _parameters(place: str, fields: Iterable[Field]) -> Iterator[dict[str, Any]]:
    for one in fields:
        schema = dict(one.schema())
        if isinstance(schema["type"], list):
            schema["type"] = "string"  # a path and a query have no null
        if schema["type"] == "string" and "maxLength" in schema:
            schema["maxLength"] = QUERY_MAX_CHARS
        if place == "path":
            schema["minLength"] = 1
        yield {
            "name": one.name,
            "in": place,
            "required": place == "path" or one.required,
            "description": one.description,
            "schema": schema,
        }


def _body(fields: Iterable[Field]) -> dict[str, Any]:
    known = {one.name: {**one.schema(), "description": one.description} for one in fields}
    shape = object_of(known)
    return shape | {"required": [one.name for one in fields if one.required]}


def _responses(one: Operation) -> Iterator[tuple[str, dict[str, Any]]]:
    for status, answer in one.answers.items():
        yield (
            str(status),
            {"description": answer.meaning, "content": {JSON: {"schema": dict(answer.schema)}}},
        )
    for status, meaning in refusals(one).items():
        told: dict[str, Any] = {
            "description": f"{HTTPStatus(status).phrase}: {meaning}",
            "content": {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        header = {401: "WWW-Authenticate", 403: "WWW-Authenticate", 503: "Retry-After"}.get(status)
        if header:
            told["headers"] = {header: {"schema": TEXT, "required": False}}
        yield str(status), told


def refusals(one: Operation) -> dict[int, str]:
    """Every status of a problem document that an operation may answer with, and why."""
    found = dict(_ALWAYS)
    if one.who is Who.TOKEN:
        found |= _TOKEN
    if one.who is not Who.ANYBODY:
        found |= _FIELDS
    if one.body is not None or one.raw is not None:
        found |= _BODY
    if one.place:
        found |= {404: "nothing by that name"}
    return found | dict(one.refusals)


def _problem() -> dict[str, Any]:
    texts = ("title", "detail", "error", "where", "found", "expected", "do")
    shape = object_of(
        {
            "type": {"type": "string", "format": "uri-reference"},
            "status": {"type": "integer", "minimum": 400, "maximum": 599},
            **dict.fromkeys(texts, TEXT),
            "instance": {"type": "string", "format": "uri-reference"},
        }
    )
    return {"description": "RFC 9457, with members of this house.", **shape}


if __name__ == "__main__":
    sys.stdout.write(as_text())
