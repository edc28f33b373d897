"""Where notices go: ``/config/webhook``, as requirement 14 has it, for administrators.

A new destination takes effect only after a signed test call to it succeeded (``tasks.notices``). Its
token is in no answer, no log line, and in the database only sealed.
"""

import logging
from collections.abc import Mapping
from typing import Final

from starlette.responses import Response

from api.fields import Text
from api.operation import Answer, Asked, Handler, Operation, Who
from api.problems import as_json
from api.service import Service
from api.shapes import TEXT, list_of, object_of, properties_of
from api.tokens import WEBHOOK_READ, WEBHOOK_WRITE
from ingest_daemon.log import say
from storage import destinations
from storage.destinations import Destination
from storage.engine import Connection
from storage.key_changes import plain
from tasks.notices import configure

logger = logging.getLogger(__name__)

HISTORY: Final = 100
_SHOWN: Final = ("number", "url", "addresses", "outcome", "detail", "changed_by", "changed_at")
_DESTINATION: Final = {
    **properties_of(Destination, only=("number", "url", "detail", "changed_by", "changed_at")),
    "destination_id": {"type": "string", "format": "uuid"},
    "addresses": list_of(TEXT),
    "outcome": {"type": "string", "enum": [one.value for one in destinations.Outcome]},
}

OPERATIONS: Final = (
    Operation(
        name="webhook",
        method="GET",
        path="/config/webhook",
        who=Who.TOKEN,
        scope=WEBHOOK_READ,
        summary="Where notices go, and who sent them where before, the latest first.",
        repeats="Changes nothing.",
        answers={
            200: Answer(
                "The destination in force, or null; the history. Never a token.",
                object_of(
                    {
                        "destination": {"anyOf": [object_of(_DESTINATION), {"type": "null"}]},
                        "history": list_of(object_of(_DESTINATION)),
                    }
                ),
            )
        },
    ),
    Operation(
        name="configure_webhook",
        method="POST",
        path="/config/webhook",
        who=Who.TOKEN,
        scope=WEBHOOK_WRITE,
        summary="Send notices elsewhere from now on, if a signed test call to it succeeds.",
        repeats="Calls and configures anew: another destination_id and another signing secret; the"
        " one before is void. Where the answer was lost, send the same again.",
        body=(
            Text(
                "url", "https://HOST[:PORT][/PATH] of an allowed host.", required=True, private=True
            ),
            Text("auth_token", "Bearer token for it; sealed.", required=True, private=True),
        ),
        answers={
            201: Answer(
                "In force. `secret` verifies the signatures of notices and is shown only now.",
                object_of({**_DESTINATION, "secret": TEXT}),
            )
        },
    ),
)


def handlers(service: Service) -> Mapping[str, Handler]:
    """What answers administrators, by the operations' names."""

    async def webhook(_asked: Asked) -> Response:
        def step(conn: Connection) -> tuple[Destination | None, list[Destination]]:
            return destinations.current(conn), destinations.history(conn, limit=HISTORY)

        current, history = await service.decide(step)
        return as_json(
            200,
            {
                "destination": _shown(current) if current else None,
                "history": [_shown(one) for one in history],
            },
        )

    async def configure_webhook(asked: Asked) -> Response:
        url, token = asked.given["url"], asked.given["auth_token"]

        def task() -> configure.Configured:
            given = configure.means(service.dsn, service.notices, clock=service.clock)
            return configure.configure(given, url, token, by=asked.by)

        made = await service.in_turn(task)
        say(
            logger, logging.WARNING, "webhook_changed",
            url=made.destination.url, addresses=",".join(made.destination.addresses), by=asked.by,
        )  # fmt: skip
        return as_json(201, {**_shown(made.destination), "secret": made.secret})

    return {"webhook": webhook, "configure_webhook": configure_webhook}


def _shown(one: Destination) -> dict[str, object]:
    facts = {name: getattr(one, name) for name in _SHOWN}
    return {"destination_id": str(one.destination_id), **plain(facts)}
