"""The route for dashboards, with a token of scope ``vehicles:read``: what is known of a vehicle now.

From a cache: no fact, and never what is paid.
"""

from collections.abc import Mapping
from typing import Final

from starlette.responses import Response

from api.errors import SettingsError
from api.fields import Text
from api.operation import Answer, Asked, Handler, Operation, Who
from api.problems import Problem, as_json, come_again
from api.service import Service
from api.shapes import NUMBER, TEXT, TIME, object_of
from api.tokens import VEHICLES
from storage.engine import Role
from storage.errors import CacheUnavailableError, StorageError
from tasks.vehicle_state import VehicleState, plain, vehicle_states

_MAYBE: Final = {"type": ["integer", "null"]}

OPERATIONS: Final = (
    Operation(
        name="vehicle_state",
        method="GET",
        # A vehicle's id may hold a slash.
        path="/v1/vehicles/{vehicle_id}/state",
        open_path=frozenset({"vehicle_id"}),
        who=Who.TOKEN,
        scope=VEHICLES,
        summary="What the newest verified packet of a vehicle said of its battery.",
        repeats="Changes nothing.",
        place=(Text("vehicle_id", "The vehicle; a slash in it is sent as %2F.", required=True),),
        answers={
            200: Answer(
                "Its state, with its age.",
                object_of(
                    {
                        "vehicle_id": TEXT,
                        "evse_id": TEXT,
                        "measured_at": TIME,
                        "age_seconds": NUMBER,
                        "soc_ppm": _MAYBE,
                        "power_w": _MAYBE,
                    }
                ),
            )
        },
        refusals={404: "nothing is known of it, or not since long"},
    ),
)


def handlers(service: Service) -> Mapping[str, Handler]:
    """What answers dashboards. Raises SettingsError: the cache that is configured cannot be used."""
    try:
        states = vehicle_states(service.dsn, reader=Role.REGISTRY)
    except (StorageError, ValueError) as error:
        raise SettingsError(str(error)) from error

    async def vehicle_state(asked: Asked) -> Response:
        vehicle_id = asked.request.path_params["vehicle_id"]
        now = service.clock()

        def ask() -> VehicleState | None:
            known = vehicle_id.isprintable()  # what cannot be shown cannot be looked for, either
            return states.get(vehicle_id, now=now) if known else None

        try:
            state = await service.in_turn(ask)
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

    return {"vehicle_state": vehicle_state}
