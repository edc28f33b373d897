"""A battery that is too hot, live: measured over Modbus, limited over MQTT, acknowledged by an agent.

All of it is real but the PLC: agent, poller and guard are processes of their own, started one after the
other while something else is waited for. A guard looks once a minute for batteries that are new to it, so
it is started last.
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from cli.demo import charger
from cli.demo.checks import Check
from cli.demo.world import World
from embedded.processes import wait_until
from evse_agent.key import generate
from simulators.plc.memory import Memory, Model
from simulators.plc.server import Plc
from storage import throttling
from storage.engine import Role, connect
from storage.throttling import Standing

EVSE: Final = "US*V2G*EHOT01"
NAME: Final = "hot-charger"
CELSIUS: Final = 61.5
"""Beyond the limit of 55 °C that stands where no program says another."""

POLLED_EVERY_S: Final = 1.0
DEADLINE_S: Final = 120.0


@dataclass(frozen=True, slots=True)
class Throttled:
    """What became of the charger.

    Attributes:
        standing: the command in force, and what was answered.
        took: from the command to the answer.
    """

    standing: Standing
    took: timedelta

    def __str__(self) -> str:
        command = self.standing.command
        return (
            f"{command.evse_id}: {CELSIUS} °C, {command.reason}: {command.limit_w} W commanded,"
            f" obeyed {self.took // timedelta(milliseconds=1)} ms later"
        )


def begin(world: World) -> bool:
    """Start PLC, agent and poller, and do not wait for them.

    Returns:
        False where it cannot be shown: the broker of this machine does not speak MQTT 5.
    """
    if not world.broker.supports_mqtt5:
        return False
    generate(charger.key_of(world, NAME))
    config = charger.configure(world, EVSE, name=NAME)
    charger.enrol_key(world, EVSE, name=NAME, now=datetime.now(UTC))
    plc = world.beside(
        Plc(Memory([Model(803, {"ModTmpMax": CELSIUS, "ModTmpMin": CELSIUS}, counts={"NStr": 1})]))
    )
    device = {
        "name": "battery-bank",
        "host": plc.host,
        "port": plc.port,
        "evse_id": EVSE,
        "every_s": POLLED_EVERY_S,
        "deadline_s": POLLED_EVERY_S,
        "sunspec": {"sensors": ["803.ModTmpMax"]},
    }
    # JSON is YAML.
    modbus = {
        "V2G_MODBUS_FILE": str(world.private("modbus.yaml", json.dumps({"devices": [device]}))),
        "V2G_MODBUS_HTTP_PORT": "0",
    }
    world.start("evse_agent", ("-m", "evse_agent", "run", "--config", str(config)))
    world.start("modbus", ("-m", "ingest_daemon.modbus"), modbus)
    return True


def guard(world: World) -> None:
    """Start the guard, and do not wait for it."""
    user, password = world.broker.credentials("daemon")
    broker = {
        "V2G_MQTT_HOST": world.broker.host,
        "V2G_MQTT_PORT": str(world.broker.port),
        "V2G_THERMAL_USERNAME": user,
        "V2G_THERMAL_PASSWORD_FILE": str(world.private("thermal.password", f"{password}\n")),
    }
    world.start("thermal_guard", ("-m", "thermal_guard"), broker)


def throttled(world: World) -> Throttled:
    """Wait until the charger has acknowledged what it was commanded."""
    with connect(world.dsn, Role.READ) as conn:
        conn.autocommit = True

        def acknowledged() -> bool:
            standing = throttling.standing(conn, evses=[EVSE]).get(EVSE)
            return bool(standing and standing.acknowledged) or bool(world.ended())

        wait_until(acknowledged, deadline_s=DEADLINE_S, what=f"{EVSE} to be held at 0 W")
        if ended := world.ended():
            raise RuntimeError(f"ended by itself: {', '.join(ended)}; see its log")
        standing = throttling.standing(conn, evses=[EVSE])[EVSE]
    answered = max(one.recorded_at for one in standing.said.values())
    return Throttled(standing, answered - standing.command.recorded_at)


def check_throttled(found: Throttled) -> Check:
    """Whether the charger was commanded 0 W because of its battery's heat, and has obeyed."""
    command = found.standing.command
    return Check(
        "a battery that is too hot is held at 0 W, and its charger has acknowledged it",
        (command.limit_w, command.reason) == (0, "THERMAL_LIMIT_REACHED")
        and found.standing.acknowledged,
        str(found),
    )
