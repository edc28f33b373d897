"""What whoever watches a process asks it: whether it lives, whether it is ready, what it measures.

    GET /healthz    200 while the process answers                                     open
    GET /readyz     200, or 503 while a part is down; which one and why               open; with the token
    GET /metrics    every figure, for Prometheus                                      with the token

Of the daemon, the Modbus poller and the thermal guard alike. Their figures tell how many chargers there
are, when they are busy and what is broken, and every user of a machine reaches its loopback: so they are
for who has the token of V2G_METRICS_TOKEN_FILE, which is good for nothing else.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ingest_daemon import http_door as door
from ingest_daemon.environment import secret
from ingest_daemon.figures import CONTENT_TYPE, Figures
from ingest_daemon.health import Health
from ingest_daemon.http_answers import problem

VARIABLE: Final = "V2G_METRICS_TOKEN_FILE"
ROUTES: Final = "GET /healthz, GET /readyz, GET /metrics"


def token_in(file: Path | None) -> str | None:
    """The token for the figures; None where no file is set. Raises SettingsError."""
    return None if file is None else secret(VARIABLE, file)


class Watching:
    """The three routes.

    Args:
        health: what the parts of the process say of themselves.
        figures: what it measures.
        token: for the figures, and for why it is not ready; None: they are not served.
        refused: told of the status of each refusal.
    """

    def __init__(
        self,
        health: Health,
        figures: Figures,
        *,
        token: str | None,
        refused: Callable[[int], None] = lambda _status: None,
    ) -> None:
        self._health = health
        self._figures = figures
        self._token = token
        self._refused = refused

    def routes(self) -> list[Route]:
        """For an application that has others beside them."""
        return [
            Route("/metrics", self._metrics, methods=["GET"]),
            Route("/healthz", self._healthz, methods=["GET"]),
            Route("/readyz", self._readyz, methods=["GET"]),
        ]

    def app(self) -> Starlette:
        """An application that has no others."""

        async def no_route(request: Request, error: Exception) -> Response:
            return door.no_such_route(request, error, expected=ROUTES)

        return Starlette(routes=self.routes(), exception_handlers={HTTPException: no_route})

    async def _metrics(self, request: Request) -> Response:
        if self._token is None:
            self._refused(404)
            refusal = problem(
                "NO_SUCH_ROUTE",
                where="request line",
                found="GET /metrics",
                expected=f"{VARIABLE}, which is not set: without a token no figures are served",
                do="write a token into a file of mode 0600, name it by that variable, restart this",
            )
            return door.in_json(404, refusal)
        try:
            door.require_token(request, self._token, file=VARIABLE)
        except door.Refused as error:
            self._refused(error.status)
            return error.response()
        return Response(self._figures.text(), headers={"Content-Type": CONTENT_TYPE})

    async def _healthz(self, _request: Request) -> Response:
        return door.in_json(200, {"state": "alive"})

    async def _readyz(self, request: Request) -> Response:
        checks = self._health.checks()
        ready = all(check.up for check in checks.values())
        told: dict[str, object] = {"state": "ready" if ready else "not_ready"}
        if self._token is not None and door.has_token(request, self._token):
            told["checks"] = {
                part: {"up": check.up, "detail": check.detail} for part, check in checks.items()
            }
        return door.in_json(200 if ready else 503, told)
