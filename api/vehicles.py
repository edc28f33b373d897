"""The route for dashboards, with a token of scope ``vehicles:read``.

    GET /v1/vehicles/{vehicle_id}/state        what its newest verified packet said of its battery

From a cache: no fact, and never what is paid.
"""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api.errors import SettingsError
from api.problems import Problem, as_json, come_again
from api.requests import query_fields
from api.service import Service
from api.tokens import VEHICLES
from storage.engine import Role
from storage.errors import CacheUnavailableError, StorageError
from tasks.vehicle_state import VehicleState, plain, vehicle_states


def routes(service: Service) -> list[Route]:
    """The route of dashboards. Raises SettingsError: the cache that is configured cannot be used."""
    try:
        vehicles = _Vehicles(service)
    except (StorageError, ValueError) as error:
        raise SettingsError(str(error)) from error
    # A vehicle's id may hold a slash.
    path = "/v1/vehicles/{vehicle_id:path}/state"
    return [Route(path, service.only(VEHICLES, vehicles.state), methods=["GET"])]


class _Vehicles:
    def __init__(self, service: Service) -> None:
        self._service = service
        self._states = vehicle_states(service.dsn, reader=Role.REGISTRY)

    async def state(self, request: Request, _name: str) -> Response:
        query_fields(request).nothing_else()
        vehicle_id = request.path_params["vehicle_id"]
        now = self._service.clock()

        def ask() -> VehicleState | None:
            known = vehicle_id.isprintable()  # what cannot be shown cannot be looked for, either
            return self._states.get(vehicle_id, now=now) if known else None

        try:
            state = await self._service.in_turn(ask)
        except CacheUnavailableError as error:
            raise come_again("the cache of states does not answer") from error
        if state is None:
            raise Problem(
                404,
                "UNKNOWN",
                where="vehicle_id",
                found=f"no state of {vehicle_id[:80]!r}",
                expected="a vehicle whose last verified packet is not too old",
                do="look at `v2g vehicles state` for those that are known",
            )
        return as_json(200, plain(state, now=now))
