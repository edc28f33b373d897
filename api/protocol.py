"""HTTP as the service speaks it: no HTTP, or no room for more, gets a problem document, too."""

import json
from typing import Any

import h11
from starlette.types import Receive, Scope, Send

from api.problems import PROBLEM_JSON, come_again, invalid
from ingest_daemon.impatient import Impatient


class Spoken(Impatient):
    """A connection whose 400 and 503 say what was wrong in the same words as every other refusal."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._most, self.limit_concurrency = self.limit_concurrency, None  # its 503 is bare text
        self._served, self.app = self.app, self._while_there_is_room

    async def _while_there_is_room(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._most is None or len(self.connections) < self._most:
            await self._served(scope, receive, send)
            return
        refusal = come_again(f"{len(self.connections)} connections are open")
        refusal.headers["Connection"] = "close"
        await refusal.response(scope["path"])(scope, receive, send)

    def send_400_response(self, msg: str) -> None:
        """Refuse what h11 cannot read: no HTTP, or a head that is too long. Closes the connection."""
        refusal = invalid(
            "request",
            f"no request that can be read: {msg}",
            "HTTP/1.1 with a head of at most 16 KiB, path and query included",
            status=400,
        )
        body = json.dumps({**refusal.document, "instance": "/"}).encode()
        headers = [
            ("content-type", PROBLEM_JSON),
            ("content-length", str(len(body))),
            ("connection", "close"),
        ]
        for event in (
            h11.Response(status_code=400, headers=headers, reason=b"Bad Request"),
            h11.Data(data=body),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()
