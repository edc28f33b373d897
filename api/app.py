"""The application: the operations of ``api.table``, each with what answers it, and nothing else."""

from collections.abc import Mapping

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api import devices, openapi, operators, vehicles, webhook
from api.operation import Asked, Handler, Operation
from api.problems import Problem, as_json, of
from api.service import Endpoint, Service
from api.table import HEALTH, OPERATIONS, PUBLISHED


def application(service: Service) -> Starlette:
    """The application, ready to be served.

    Raises:
        SettingsError: a part that is configured cannot be used.
        LookupError: an operation that nothing answers, or the other way round.
    """
    handlers: dict[str, Handler] = {
        HEALTH.name: _health,
        PUBLISHED.name: _published(),
        **devices.handlers(service),
        **operators.handlers(service),
        **vehicles.handlers(service),
        **webhook.handlers(service),
    }
    if unmatched := {one.name for one in OPERATIONS} ^ handlers.keys():
        raise LookupError(f"operations and handlers differ: {', '.join(sorted(unmatched))}")
    application = Starlette(
        routes=_routes(service, handlers),
        exception_handlers={HTTPException: _no_route, Exception: _broken},
    )
    # A path with a slash more is another path: 404, and no redirect that nobody has written down.
    application.router.redirect_slashes = False
    return application


def _routes(service: Service, handlers: Mapping[str, Handler]) -> list[Route]:
    """A route per path, so that 405 names all methods of it; fixed paths before those with fields."""
    by_path: dict[str, list[Operation]] = {}
    for one in sorted(OPERATIONS, key=lambda one: "{" in one.path):
        by_path.setdefault(one.route_path, []).append(one)
    routes = []
    for path, operations in by_path.items():
        endpoints = {one.method: service.endpoint(one, handlers[one.name]) for one in operations}
        routes.append(Route(path, _by_method(endpoints), methods=list(endpoints)))
    return routes


def _by_method(endpoints: Mapping[str, Endpoint]) -> Endpoint:
    async def chosen(request: Request) -> Response:
        method = "GET" if request.method == "HEAD" else request.method
        return await endpoints[method](request)

    return chosen


async def _health(_asked: Asked) -> Response:
    return as_json(200, {"state": "alive"})


def _published() -> Handler:
    document = openapi.document()

    async def published(_asked: Asked) -> Response:
        return as_json(200, document)

    return published


async def _no_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return Problem(
        error.status_code,
        "NO_SUCH_ROUTE",
        where="request line",
        found=f"{request.method} {request.url.path[:80]}",
        expected="a route of /openapi.json",
        do="use one of these; docs/api.md explains them",
        headers=error.headers,
    ).response(request.url.path)


async def _broken(request: Request, error: Exception) -> Response:
    # The server logs the traceback; the client learns only what to do.
    return of(error).response(request.url.path)
