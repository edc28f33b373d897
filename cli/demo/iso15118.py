"""A real ISO 15118-20 session, from the negotiation of a discharge to its paid line.

    python -m cli.demo.iso15118 [--service DC_BPT|AC_BPT]

The charger and the car of the package `iso15118` speak TLS 1.3 over a link of their own; the bridge
beside the charger hands meter samples to the agent, which signs and publishes them; what lands is
judged, settled and posted. All of it runs here, with data under .demo/. Exit 0 when every watt-hour
that the meter counted is paid, 1 when not, 2 when the session cannot be run here, saying why.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import SystemRandom
from types import FrameType
from typing import Any, Final

from cli.demo.folder import DemoFolderError
from cli.demo.one_charger import (
    EVSE,
    METER_AT_WH,
    RATE_PPM,
    VEHICLE,
    Street,
    announce,
    enrol_charger,
    socket_of,
)
from cli.demo.steps import Step, Steps
from cli.output import console, errors, table
from embedded.processes import Supervised, wait_until
from embedded.timescale import DEFAULT_CACHE
from settlement import decimals
from settlement.periods import Period
from simulators.evening import Evening
from statements.pack import Subject
from storage import reports
from storage.engine import Connection, Role, connect
from tasks import words
from tasks.judge import judge_packets
from tasks.posting.run import post_pending
from tasks.quality import check_quality
from tasks.screening import screen
from tasks.settle import SettleSummary, settle_period
from tasks.statement import collect

ROOT: Final = Path(__file__).resolve().parents[2]
FOLDER: Final = Path(".demo")
BRIDGE: Final = ROOT / "iso15118_bridge"
PYTHON: Final = ROOT / ".cache" / "iso15118-venv" / "bin" / "python"

EVENT_LASTS: Final = timedelta(minutes=15)
INSTALL_DEADLINE_S: Final = 600.0
SESSION_DEADLINE_S: Final = 660.0
AGENT_DEADLINE_S: Final = 30.0
LAND_DEADLINE_S: Final = 180.0
NOT_HERE: Final = 2
MILLIWH_PER_WH: Final = 1000
MICROS: Final = 1_000_000


class NotHereError(RuntimeError):
    """The session cannot be run on this machine; the message says what is missing."""


@dataclass
class Told:
    """What the charger has told of the session."""

    secured: str = ""
    service: str = ""
    session_id: str = ""
    first_wh: str = ""
    last_wh: str = ""
    samples: int = 0
    refused: list[str] = field(default_factory=list)

    @property
    def milliwh(self) -> int:
        """What the meter counted towards the grid."""
        if not self.samples:
            return 0
        return decimals.decimal_text(self.last_wh, 3) - decimals.decimal_text(self.first_wh, 3)

    def take(self, line: str) -> None:
        """One line of the charger; what is no event of it is passed over."""
        try:
            event = json.loads(line)
        except ValueError:
            return
        match event.get("event") if isinstance(event, dict) else None:
            case "connected":
                self.secured = event["secured"]
            case "agreed":
                self.service, self.session_id = event["service"], event["session_id"]
            case "sample":
                self.first_wh = self.first_wh or event["export_wh"]
                self.last_wh = event["export_wh"]
                self.samples += 1
            case "refused" | "agent_refused":
                self.refused.append(line.strip())


def main() -> int:
    """See above."""
    parser = argparse.ArgumentParser(
        prog="python -m cli.demo.iso15118",
        description="A real ISO 15118-20 session, from the negotiation of a discharge to its paid line.",
        epilog="Exit 0 when all is paid; 1 when not; 2 when it cannot be run here (Java, the package).",
    )
    parser.add_argument("--service", default="DC_BPT", choices=("DC_BPT", "AC_BPT"))
    parser.add_argument("--loops", type=int, default=30, help="charge loops, a second or two each")
    chosen = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    steps = Steps(console)
    console.print(
        f"A car gives energy back over ISO 15118-20 ({chosen.service}), and is paid for it.\n"
        f"Everything runs on this machine; data is under {FOLDER}/.\n"
    )
    try:
        _prepare(steps)
        now = datetime.now(UTC)
        # Not driven: the world asks for an evening because the fleet's demonstration has one.
        evening = Evening(seed=1, day=(now - timedelta(days=2)).date(), received_by=now, evses=10)
        with Street(FOLDER.resolve(), DEFAULT_CACHE, steps, evening) as street:
            return 0 if _tell(street, steps, chosen) else 1
    except NotHereError as error:
        errors.print(f"{error}", style="red", markup=False)
        return NOT_HERE
    except KeyboardInterrupt:
        errors.print("interrupted; everything that was started has been stopped")
        return 130
    except Exception as error:  # noqa: BLE001 - a person reads this, and the exit status
        errors.print(f"the demonstration failed: {error}", style="red", markup=False)
        if not isinstance(error, DemoFolderError):
            errors.print(f"the logs are in {FOLDER}/logs", markup=False)
        return 1


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _prepare(steps: Steps) -> None:
    with steps.step("look for Java, and make the bridge's own environment") as step:
        if shutil.which("java") is None:
            raise NotHereError(
                "a Java runtime is missing, which the EXI codec of ISO 15118 needs; install one"
                " (Debian, Ubuntu: apt install default-jre-headless)"
            )
        made = subprocess.run(  # noqa: S603 - our own script
            [BRIDGE / "install.sh"],
            capture_output=True, text=True, timeout=INSTALL_DEADLINE_S, check=False,
        )  # fmt: skip
        if made.returncode:
            raise NotHereError(f"the package iso15118 cannot be had:\n{made.stderr.strip()}")
        step.outcome = "iso15118 0.31.2, apart from ours"


def _tell(street: Street, steps: Steps, chosen: argparse.Namespace) -> bool:
    began = datetime.now(UTC) - timedelta(seconds=1)
    with steps.step("make the charger's key, enrol it, and the car's contract") as step:
        config, key_id = enrol_charger(street, began)
        step.outcome = f"key {key_id[:16]}…, {RATE_PPM / 1_000_000:.0%} of the price"
    with steps.step("the grid announces an event"):
        announce(street, began, began + EVENT_LASTS, created_at=began)
    agent = street.start("evse_agent", ("-m", "evse_agent", "run", "--config", str(config)))
    socket = socket_of(street)
    agent.wait_ready(socket.exists, deadline_s=AGENT_DEADLINE_S)
    with steps.step(f"the session: {chosen.service}, car against charger") as step:
        told = _session(street, chosen, step)
        step.outcome = f"{told.secured}, session {told.session_id}, {told.samples} samples"
    with steps.step("the agent has a receipt for every packet") as step:
        step.outcome = f"{_landed(street, config)} packets landed"
    over = datetime.now(UTC)
    with steps.step("the grid ends the event; judge, check quality, settle") as step:
        announce(street, began, over, created_at=over)
        summary = _settle(street, Period(began, over))
        step.outcome = summary.state
    with steps.step("post to the clearinghouse") as step:
        screen(street.dsn, clock=_now)
        posted = post_pending(
            street.dsn,
            street.clearing.partner(street.dsn),
            clock=_now, random=SystemRandom(), until_empty=True,
        )  # fmt: skip
        step.outcome = f"{posted.open} open"
    return _show(street, told, summary)


def _session(street: Street, chosen: argparse.Namespace, step: Step) -> Told:
    """Run charger and car, and follow what the charger tells.

    Raises:
        NotHereError: this machine cannot give them a link.
        RuntimeError: the session broke off, or something was refused.
    """
    logs = street.folder / "logs"
    process = Supervised(
        "iso15118",
        (
            PYTHON, "-m", "iso15118_bridge.session", "--agent", socket_of(street),
            "--service", chosen.service, "--loops", str(chosen.loops), "--evse-id", EVSE,
            "--export-wh", str(METER_AT_WH), "--logs", logs, "--record", logs / "messages.jsonl",
        ),
        log=logs / "iso15118.log",
        environment={"PATH": os.environ.get("PATH", os.defpath)},
        folder=ROOT,
    )  # fmt: skip
    told = Told()
    with process, _following(process.log) as lines:

        def over() -> bool:
            running = process.running
            for line in lines():
                told.take(line)
            step.update(min(told.samples, chosen.loops), chosen.loops)
            return not running

        wait_until(over, deadline_s=SESSION_DEADLINE_S, what="the session to end")
    if process.exit_status == NOT_HERE:
        raise NotHereError(process.log_tail())
    if process.exit_status or told.refused or not told.samples:
        raise RuntimeError(
            f"the session ended with {process.exit_status}: {process.log_tail()}\n"
            + "\n".join(told.refused)
        )
    return told


@contextmanager
def _following(log: Path) -> Iterator[Callable[[], list[str]]]:
    """Gives the whole lines that a log has gained since the last call."""
    rest = ""
    with log.open(encoding="utf-8") as file:

        def lines() -> list[str]:
            nonlocal rest
            *whole, rest = (rest + file.read()).split("\n")
            return whole

        yield lines


def _landed(street: Street, config: Path) -> int:
    """Wait until the agent keeps nothing any more; how many packets have landed."""

    def receipted() -> bool:
        said = subprocess.run(  # noqa: S603 - our own agent
            [sys.executable, "-m", "evse_agent", "status", "--config", config, "--json"],
            capture_output=True, text=True, timeout=AGENT_DEADLINE_S, check=True,
        )  # fmt: skip
        status: dict[str, Any] = json.loads(said.stdout)
        return bool(status["waiting"] == 0)

    wait_until(receipted, deadline_s=LAND_DEADLINE_S, what="the agent's receipts")
    with connect(street.dsn, Role.READ) as conn:
        return reports.landed(conn).new


def _settle(street: Street, period: Period) -> SettleSummary:
    judge_packets(street.dsn, clock=_now, threads=2)
    quality = check_quality(street.dsn, period, now=_now())
    return settle_period(street.dsn, period, clock=_now, hold=quality.hold, oracle_share_ppm=10**6)


def _show(street: Street, told: Told, summary: SettleSummary) -> bool:
    with connect(street.dsn, Role.READ) as conn:
        quarantined, states = reports.quarantined(conn), reports.postings_by_state(conn)
        paid = _paid(conn)
    rows = [
        ("session", f"{told.session_id}, {told.service}, {told.secured}"),
        ("car, charger", f"{VEHICLE}, {EVSE}"),
        ("the meter counted", f"{told.milliwh / MILLIWH_PER_WH:.3f} Wh"),
        *(("paid line", line) for line in _lines(street)),
        ("amount", words.money(summary.amount_minor, summary.minor_units, summary.currency)),
        ("postings", ", ".join(f"{count} {state}" for state, count in states.items()) or "none"),
    ]
    console.print(table("What became of the discharge", ("what", "found"), rows))
    for one in summary.unpaid:
        console.print(f"not paid: {one.reason} {words.kwh(one.energy_milliwh)}", markup=False)
    for reason, count in quarantined.items():
        console.print(f"put aside: {count} {reason}", markup=False)
    holds = paid == told.milliwh > 0 and states.keys() == {"acknowledged"} and not quarantined
    console.print("[bold green]All of it is paid.[/]" if holds else "[bold red]Not all is paid.[/]")
    return holds


def _lines(street: Street) -> list[str]:
    """Each booked line as its product."""
    pack = collect(street.dsn, Subject(VEHICLE), now=_now(), with_evidence=False)
    return [
        f"{line['energy_milliwh'] / MILLIWH_PER_WH:.3f} Wh"
        f" × {line['price_micros_per_kwh'] / MICROS:.2f} USD/kWh"
        f" × {line['incentive_rate_ppm'] / MICROS:.2f} × {line['tier_multiplier_ppm'] / MICROS:.2f}"
        f" = {line['amount_micros'] / MICROS:.6f} USD"
        for line in pack.lines.iter_rows(named=True)
    ]


def _paid(conn: Connection) -> int:
    return sum(reports.paid_by_event(conn).values())


def _now() -> datetime:
    return datetime.now(UTC)


if __name__ == "__main__":
    sys.exit(main())
