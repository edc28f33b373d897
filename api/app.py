"""The application: every route there is, and an answer in JSON for what is none."""

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api import devices, operators, vehicles
from api.problems import Problem, as_json, of
from api.service import Service


def application(service: Service) -> Starlette:
    """The application, ready to be served."""
    return Starlette(
        routes=[
            Route("/healthz", _healthz, methods=["GET"]),
            *devices.routes(service),
            *operators.routes(service),
            *vehicles.routes(service),
        ],
        exception_handlers={HTTPException: _no_route, Exception: _broken},
    )


async def _healthz(_request: Request) -> Response:
    """That the process answers; whether the database does, every other route says."""
    return as_json(200, {"state": "alive"})


async def _no_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return Problem(
        error.status_code,
        "NO_SUCH_ROUTE",
        where="request line",
        found=f"{request.method} {request.url.path[:80]}",
        expected="a route of docs/keys.md",
        do="use one of these",
        headers=error.headers,
    ).response()


async def _broken(_request: Request, error: Exception) -> Response:
    # The server logs the traceback; the client learns only what to do.
    return of(error).response()
