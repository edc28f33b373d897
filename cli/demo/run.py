"""The story of the demonstration, step by step, and the exit status that tells the truth."""

import json
import signal
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from types import FrameType
from typing import Any, Final

import httpx

from cli.demo.checks import Check, Paid, check
from cli.demo.flow_names import POST, SETTLE, SYNC
from cli.demo.folder import DemoFolderError
from cli.demo.keep import keep_up, write_packets_to_try
from cli.demo.steps import Steps
from cli.demo.tables import show_checks
from cli.demo.world import World
from cli.output import console, errors
from cli.summaries import show_settled
from embedded.processes import Supervised, wait_until
from embedded.timescale import DEFAULT_CACHE
from settlement import decimals
from settlement.periods import Period
from settlement.signatures import DeviceKey
from simulators.evening import Evening
from simulators.fleet import publish
from simulators.mqtt_connection import BrokerAddress
from storage import reports
from storage.engine import Role, connect
from storage.registry import Contract, enrol_keys, put_contracts, put_program
from tasks.settle import summary_of

FOLDER: Final = Path(".demo")
PROGRAMS: Final = Path(__file__).resolve().parents[2] / "programs"
PROGRAM: Final = "example-energy"

LAND_DEADLINE_S: Final = 180.0
FLOW_DEADLINE_S: Final = 300.0
FLOW_MARKS: Final = "flows"


class FlowFailedError(RuntimeError):
    """A flow did not end well; its log says why."""


def run(*, keep: bool, evses: int, seed: int) -> int:
    """Run the demonstration.

    Returns:
        0 when every check holds, 1 when one does not or a part failed, 130 when it was interrupted.
    """
    # Also where a shell has started us in the background, with SIGINT ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    now = datetime.now(UTC)
    evening = Evening(seed=seed, day=(now - timedelta(days=1)).date(), received_by=now, evses=evses)
    steps = Steps(console)
    console.print(
        f"An evening of {evses} chargers, {evening.day}, two grid stress events, settled for real.\n"
        f"Everything runs on this machine, on loopback; data is under {FOLDER}/.\n"
    )
    try:
        with World(FOLDER.resolve(), DEFAULT_CACHE, steps, evening) as world:
            held = _verdict(_tell(world, steps, evening), keep=keep)
            if keep:
                keep_up(world, steps)
    except KeyboardInterrupt:
        errors.print("interrupted; everything that was started has been stopped")
        return 130
    except Exception as error:  # noqa: BLE001 - a person reads this, and the exit status
        errors.print(f"the demonstration failed: {error}", style="red", markup=False)
        if not isinstance(error, DemoFolderError):
            errors.print(f"the logs are in {FOLDER}/logs", markup=False)
        return 1
    return 0 if held else 1


def _verdict(checks: list[Check], *, keep: bool) -> bool:
    held = all(one.holds for one in checks)
    said = "[bold green]Every check holds.[/]" if held else "[bold red]Some checks do not hold.[/]"
    console.print(f"\n{said}")
    if held and not keep:
        console.print(
            "[bold]make demo KEEP=1[/] leaves Prefect's UI, the HTTP intake and the daemon up, to"
            " look around.",
            soft_wrap=True,
        )
    return held


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _tell(world: World, steps: Steps, evening: Evening) -> list[Check]:
    deliveries = evening.deliveries
    with steps.step("enrol keys, contracts and the program") as step:
        step.outcome = _enrol(world, evening)
    with steps.step("publish over MQTT, land in the database") as step:
        _publish(world, evening, step.update)
        step.outcome = f"{len(deliveries)} packets sent and acknowledged, and landed"
    with steps.step("wait for Prefect") as step:
        world.prefect.wait_ready()
        step.outcome = f"UI at {world.prefect.ui_url}"
    with _flows(world, _period(evening)) as flows:
        with steps.step(f"fetch events and prices (flow {SYNC})") as step:
            step.outcome = _wait_for(world, flows, SYNC)
        with steps.step(f"judge, check quality, settle (flow {SETTLE})") as step:
            step.outcome = _wait_for(world, flows, SETTLE)
        with steps.step(f"post to the clearinghouse (flow {POST})") as step:
            step.outcome = _wait_for(world, flows, POST)
    write_packets_to_try(world, evening)
    paid = Paid.of(_ledger(world))
    with connect(world.dsn, Role.READ) as conn:
        checks = check(conn, evening.truth, len(deliveries), paid)
        show_settled(summary_of(reports.last_run(conn)))
    show_checks(checks)
    return checks


def _enrol(world: World, evening: Evening) -> str:
    """What an operator does before the first packet counts: keys, contracts, the tariff."""
    import yaml

    roster = evening.roster()
    now = datetime.now(UTC)
    with connect(world.dsn, Role.SETTLE) as conn:
        keys = enrol_keys(
            conn,
            [
                DeviceKey(row.key_id, row.evse_id, row.public_key, row.valid_from, row.valid_to)
                for row in roster
            ],
            now=now,
        )
        contracts = put_contracts(
            conn,
            [
                Contract(
                    contract_id=f"contract-{row.vehicle_id}",
                    vehicle_id=row.vehicle_id,
                    program=PROGRAM,
                    incentive_rate_ppm=decimals.decimal_text(row.incentive_rate, 6),
                    account=row.account,
                    valid_from=row.valid_from,
                    valid_to=row.valid_to,
                )
                for row in roster
                if row.has_contract
            ],
        )
        file = PROGRAMS / f"{PROGRAM}.yaml"
        put_program(
            conn,
            yaml.safe_load(file.read_text()),
            valid_from=now - timedelta(days=30),
            source=file.name,
        )
    return f"{keys} keys, {contracts} contracts, 1 program"


def _publish(world: World, evening: Evening, update: Any) -> None:
    user, password = world.broker.credentials("fleet")
    address = BrokerAddress(
        host=world.broker.host, port=world.broker.port, username=user, password=password, tls=None,
        mqtt5=world.broker.supports_mqtt5,
    )  # fmt: skip
    truth = evening.truth
    total = len(evening.deliveries)
    publish(evening.deliveries, address, progress=lambda done, _: update(done // 2, total))
    expected = truth.readings + sum(truth.refused.values()) + truth.already_landed
    with connect(world.dsn, Role.READ) as conn:
        conn.autocommit = True

        def landed() -> bool:
            counts = reports.landed(conn)
            arrived = counts.new + counts.aside + counts.duplicates
            update((total + min(arrived, total)) // 2, total)
            return arrived >= expected

        wait_until(landed, deadline_s=LAND_DEADLINE_S, what="every packet to land")


def _period(evening: Evening) -> Period:
    midnight = datetime.combine(evening.day, time.min, UTC)
    return Period(midnight + timedelta(hours=16), midnight + timedelta(hours=21))


def _flows(world: World, period: Period) -> Supervised:
    """All flows in one process of its own, against Prefect's server, where the runs are to be seen."""
    marks = world.folder / FLOW_MARKS
    marks.mkdir()
    ends = (period.started_at.isoformat(), period.ended_at.isoformat())
    arguments = ("-m", "cli.demo.flows", str(marks), *ends)
    return world.child("flows", arguments, world.prefect.environment)


def _wait_for(world: World, flows: Supervised, name: str) -> str:
    mark = world.folder / FLOW_MARKS / name
    wait_until(
        lambda: mark.exists() or not flows.running, deadline_s=FLOW_DEADLINE_S, what=f"flow {name}"
    )
    said = mark.read_text() if mark.exists() else "ended early"
    if not mark.exists() or said.startswith("failed"):
        raise FlowFailedError(f"flow {name} {said}\n{flows.log_tail()}")
    return said


def _ledger(world: World) -> dict[str, Any]:
    token = world.tokens.clearinghouse.read_text().strip()
    answer = httpx.get(
        f"{world.clearinghouse_url}/v1/ledger",
        headers={"Authorization": f"Bearer {token}"},
        timeout=10.0,
        trust_env=False,
    )
    answer.raise_for_status()
    found: dict[str, Any] = json.loads(answer.content)
    return found
