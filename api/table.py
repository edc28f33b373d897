"""Every operation there is, in one table: what is served, and what is published."""

from typing import Final

from api import devices, key_operations, vehicles, webhook
from api.operation import Answer, Operation, Who
from api.shapes import object_of

HEALTH: Final = Operation(
    name="health",
    method="GET",
    path="/healthz",
    who=Who.ANYBODY,
    summary="That the process answers; whether the database does, every other route says.",
    repeats="Changes nothing.",
    answers={200: Answer("It does.", object_of({"state": {"const": "alive"}}))},
)
PUBLISHED: Final = Operation(
    name="openapi",
    method="GET",
    path="/openapi.json",
    who=Who.TOKEN,
    summary="This document, for any valid token.",
    repeats="Changes nothing.",
    answers={200: Answer("OpenAPI 3.1.", {"type": "object"})},
)

OPERATIONS: Final = (
    HEALTH,
    PUBLISHED,
    *devices.OPERATIONS,
    *key_operations.OPERATIONS,
    *vehicles.OPERATIONS,
    *webhook.OPERATIONS,
)
