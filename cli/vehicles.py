"""`v2g vehicles …`: the last known state of vehicles."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from cli.options import Database, Json
from cli.output import console, fail, show_json, table

app = typer.Typer(
    help="Vehicles: the last known state of charge and power, for people who watch.",
    no_args_is_help=True,
)


@app.callback()
def vehicles() -> None:
    """Vehicles: the last known state of charge and power, for people who watch."""


@app.command()
def state(
    database: Database,
    vehicle: Annotated[
        str, typer.Argument(help="One vehicle; without it, all, newest first.")
    ] = "",
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many vehicles.")] = 100,
    json: Json = False,
) -> None:
    """Show what each vehicle last said of its battery: a cache, no fact, and never what is paid.

    Read from Redis where V2G_REDIS_URL names one, else from the database. What is older than
    V2G_VEHICLE_STATE_MINUTES is not shown. Exit 0, 1 when the vehicle has no state or the cache does
    not answer, 2 on settings that cannot be used.

    Example: v2g vehicles state WBY1Z4C5 --json
    """
    from storage.engine import StorageError
    from storage.errors import InsecureSecretError
    from tasks.vehicle_state import VehicleState, plain, vehicle_states

    now = datetime.now(UTC)
    try:
        states = vehicle_states(database)
        if vehicle:
            one = states.get(vehicle, now=now)
            found: list[VehicleState] = [] if one is None else [one]
        else:
            found = states.newest(limit=limit, now=now)
    except (ValueError, InsecureSecretError) as error:
        raise fail(f"{error}", status=2) from error
    except StorageError as error:
        raise fail(f"{error}", status=1) from error
    if vehicle and not found:
        raise fail(
            f"vehicle {vehicle}: nothing known in {states.place}; expected a verified packet of it"
            " within V2G_VEHICLE_STATE_MINUTES, look at `v2g quarantine list` for refused ones",
            status=1,
        )
    if json:
        shown = [plain(one, now=now) for one in found]
        show_json(shown[0] if vehicle else {"place": states.place, "vehicles": shown})
        return
    console.print(
        table(
            f"Last known states, from {states.place}: no fact, and never what is paid",
            ("vehicle", "EVSE", "measured at", "charge %", "power W"),
            [
                (
                    one.vehicle_id,
                    one.evse_id,
                    one.measured_at.isoformat(timespec="seconds").replace("+00:00", "Z"),
                    "not stated" if one.soc_ppm is None else f"{one.soc_ppm / 10_000:.1f}",
                    "not stated" if one.power_w is None else f"{one.power_w:+d}",
                )
                for one in found
            ],
            numbers=2,
        )
    )
