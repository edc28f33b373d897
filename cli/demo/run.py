"""The story of the demonstration, step by step, and the exit status that tells the truth."""

import signal
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from types import FrameType
from typing import Final

from cli.demo import payout
from cli.demo.checks import (
    Check,
    Paid,
    check,
    check_ledger,
    check_opinion,
    check_replay,
    check_statement,
    check_troubles,
)
from cli.demo.enrol import enrol, measure
from cli.demo.flow_names import (
    APPROVED,
    GO_ON,
    LIMIT,
    POST,
    POST_AGAIN,
    POST_APPROVED,
    READY,
    SETTLE,
    SYNC,
    SYNC_AGAIN,
    TRUE_UP,
)
from cli.demo.folder import DemoFolderError
from cli.demo.keep import keep_up, write_packets_to_try
from cli.demo.statement import tell
from cli.demo.steps import Steps
from cli.demo.tables import show_checks
from cli.demo.throttle import begin, check_throttled, guard, throttled
from cli.demo.troubles import reckon, show_troubles
from cli.demo.world import World
from cli.output import console, errors
from cli.summaries import show_settled
from embedded.processes import Supervised, wait_until
from embedded.timescale import DEFAULT_CACHE
from settlement.periods import Period
from simulators.evening import Evening
from simulators.fleet import publish
from simulators.labels import Delivery
from simulators.mqtt_connection import BrokerAddress
from simulators.plans import Battery
from simulators.truth import Truth
from storage import reports
from storage.engine import Role, connect
from tasks.settle import summary_of

FOLDER: Final = Path(".demo")
STATEMENT: Final = "statement.html"
EVIDENCE: Final = "evidence.json"
SEALS: Final = "seals.ndjson"
AGO: Final = timedelta(days=3)
"""How long ago the evening was: so long that the first run of each program's calendar is due."""

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
    evening = Evening(seed=seed, day=(now - AGO).date(), received_by=now, evses=evses)
    steps = Steps(console)
    console.print(
        f"An evening of {evses} chargers, {evening.day}: grid stress events, of which one is called off"
        " and one superseded, and a price that is revised; settled for real.\n"
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
    console.print(f"\nopen: {FOLDER / STATEMENT}")
    console.print(
        f"try: .venv/bin/v2g statement verify {FOLDER / EVIDENCE} --against {FOLDER / SEALS}",
        soft_wrap=True,
    )
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
    period = _period(evening)
    with steps.step("enrol keys, sites, contracts and programs") as step:
        step.outcome = enrol(world.dsn, evening)
    with steps.step("read the batteries' temperatures") as step:
        step.outcome = measure(world.dsn, evening)
    began = datetime.now(UTC)
    checks, approved = _conduct(world, steps, evening, period)
    write_packets_to_try(world, evening)
    with steps.step("seal the ledger, and verify it") as step:
        sealed = check_ledger(world.dsn, world.folder / SEALS)
        step.outcome = f"seals kept in {FOLDER / SEALS}"
    with steps.step("compare with what the clearinghouse says it paid") as step:
        paid = Paid.of(world.clearing.ledger())
        reconciled = payout.reconcile(world.dsn, world.clearing.statement(), since=began)
        step.outcome = f"{reconciled.matched} postings match its statement"
    with connect(world.dsn, Role.READ) as conn:
        summary = summary_of(reports.last_run(conn))
        checks = [
            *check(conn, evening, paid),
            *sealed,
            *checks,
            *payout.check(approved, reconciled, paid.amounts),
            check_opinion(summary),
        ]
    with steps.step("reckon what each trouble cost"):
        troubles = reckon(world.dsn, evening, period, datetime.now(UTC))
        checks.append(check_troubles(troubles))
    with steps.step("tell the first run again, as it was known then"):
        checks.append(check_replay(world.dsn, summary.run_id))
    with steps.step("state to an owner what was settled, with the evidence") as step:
        vehicle = _warmest(evening)
        told = tell(
            world.dsn,
            vehicle,
            shown=world.folder / STATEMENT,
            evidence=world.folder / EVIDENCE,
            seals=world.folder / SEALS,
        )
        step.outcome = vehicle
        checks.append(check_statement(told))
    show_settled(summary)
    show_troubles(troubles)
    payout.show(reconciled)
    show_checks(checks)
    return checks


def _conduct(
    world: World, steps: Steps, evening: Evening, period: Period
) -> tuple[list[Check], payout.Approved]:
    """Land the evening, and run the flows over it; meanwhile a battery is too hot; then the flows again
    for what comes days later.
    """
    checks = []
    with _flows(world, period) as flows:
        with steps.step("publish over MQTT, land in the database") as step:
            _publish(world, evening.in_time, evening.truth_in_time, step.update)
            step.outcome = f"{len(evening.in_time)} packets sent and acknowledged, and landed"
        with steps.step("wait for Prefect") as step:
            world.prefect.wait_ready()
            step.outcome = f"UI at {world.prefect.ui_url}"
        (world.folder / FLOW_MARKS / READY).touch()
        with steps.step(f"fetch events and prices (flow {SYNC})") as step:
            hot = begin(world)
            step.outcome = _wait_for(world, flows, SYNC)
        with steps.step(f"judge, check quality, settle (flow {SETTLE})") as step:
            step.outcome = _wait_for(world, flows, SETTLE)
        if hot:
            guard(world)
        with steps.step("set limits: what is large waits for a second person") as step:
            step.outcome = _wait_for(world, flows, LIMIT)
        with steps.step(f"post to the clearinghouse (flow {POST})") as step:
            step.outcome = _wait_for(world, flows, POST)
        with steps.step("hold back a charger whose battery is too hot, now") as step:
            step.outcome = "left out: the broker of this machine does not speak MQTT 5"
            if hot:
                held = throttled(world)
                step.outcome = str(held)
                checks.append(check_throttled(held))
        with steps.step("land what a charger had kept back for days") as step:
            _publish(world, evening.stragglers, evening.truth, step.update)
            step.outcome = f"{len(evening.stragglers)} packets"
        with steps.step("let the utility revise a price") as step:
            step.outcome = world.utility.revise_price()
        (world.folder / FLOW_MARKS / GO_ON).touch()
        with steps.step(f"fetch what the utility has changed (flow {SYNC})") as step:
            step.outcome = _wait_for(world, flows, SYNC_AGAIN)
        with steps.step(f"settle again what the calendars have due (flow {TRUE_UP})") as step:
            step.outcome = _wait_for(world, flows, TRUE_UP)
        with steps.step(f"post the adjustments (flow {POST})") as step:
            step.outcome = _wait_for(world, flows, POST_AGAIN)
        with steps.step("approve the large payouts") as step:
            approved = payout.approve(world.dsn)
            step.outcome = str(approved)
        (world.folder / FLOW_MARKS / APPROVED).touch()
        with steps.step(f"post what was approved (flow {POST})") as step:
            step.outcome = _wait_for(world, flows, POST_APPROVED)
    return checks, approved


def _warmest(evening: Evening) -> str:
    """A vehicle whose battery reaches its limit: its statement has most to explain."""
    return next(plan.vehicle_id for plan in evening.plans if plan.battery is Battery.HOT)


def _publish(
    world: World, deliveries: Sequence[Delivery], truth: Truth, update: Callable[[int, int], None]
) -> None:
    """Publish, and wait until all that has been sent so far has landed."""
    user, password = world.broker.credentials("fleet")
    address = BrokerAddress(
        host=world.broker.host, port=world.broker.port, username=user, password=password, tls=None,
        mqtt5=world.broker.supports_mqtt5,
    )  # fmt: skip
    total = len(deliveries)
    publish(deliveries, address, progress=lambda done, _: update(done // 2, total))
    expected = truth.readings + sum(truth.refused.values()) + truth.already_landed
    with connect(world.dsn, Role.READ) as conn:
        conn.autocommit = True

        def landed() -> bool:
            counts = reports.landed(conn)
            missing = max(0, expected - counts.new - counts.aside - counts.duplicates)
            update(total - min(missing, total) // 2, total)
            return not missing

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
