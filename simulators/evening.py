"""An evening of the fleet: every delivery in order, the roster to enrol, and the truth.

    python -m simulators.evening --seed 7 --date 2026-07-01 --out evening/

writes ``roster.csv`` (keys and contracts to enrol), ``feed.json`` (for ``simulators.utility``) and
``truth.json`` (what must come of it). ``simulators.fleet`` with the same seed, date and size sends
the packets that belong to them, byte for byte.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from pathlib import Path
from random import Random
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

from simulators import grid
from simulators.driving import Step, drive
from simulators.grid import GridEvent, Price
from simulators.heat import Temperature, temperatures
from simulators.keys import derive_key
from simulators.labels import Delivery, Label, Phase
from simulators.mischief import FAULTS, Honest, give_out
from simulators.plans import EVSES_MAX, EVSES_MIN, Battery, Plan, make_plans
from simulators.roster import RosterRow, roster_of, write_roster
from simulators.signing import Signer, sign_all
from simulators.terms import Terms, terms_of
from simulators.truth import Truth, reckon

SIGNING_THREADS: Final = 4
STEPS_S: Final = (5, 10, 15, 20, 30, 60)
"""Lengths of an interval, seconds: they divide a minute, so intervals meet the windows' edges."""


class UnusableEveningError(ValueError):
    """An argument out of its bounds: which, what was found, what was expected."""


@dataclass(frozen=True)
class Evening:
    """One evening of a seeded fleet, 16:30 to 20:00 UTC, with the windows of ``simulators.grid``.

    The same arguments give the same deliveries, byte for byte, and the same truth.

    Attributes:
        seed: of everything random, keys included.
        day: the date.
        received_by: by this time every packet has been received; FUTURE packets are signed for an
            hour later. Must lie after the evening.
        evses: chargers, 10 to 5,000; each has one vehicle.
        step_s: length of a packet's interval, one of ``STEPS_S``.
        keys: private keys by EVSE, where derived ones will not do.

    Raises:
        UnusableEveningError: an argument out of these bounds.
        NoRoomError: from ``deliveries`` and ``truth``: too small an evening for every fault.
    """

    seed: int
    day: date
    received_by: datetime
    evses: int = 50
    step_s: int = 15
    keys: Mapping[str, EllipticCurvePrivateKey] | None = None

    def __post_init__(self) -> None:
        if not EVSES_MIN <= self.evses <= EVSES_MAX:
            raise UnusableEveningError(f"evses: {self.evses}; expected {EVSES_MIN} to {EVSES_MAX}")
        if self.step_s not in STEPS_S:
            raise UnusableEveningError(f"step_s: {self.step_s}; expected one of {STEPS_S}")
        if self.received_by.tzinfo is None or self.received_by < grid.at(self.day, grid.CLOSES):
            found = self.received_by.isoformat()
            raise UnusableEveningError(
                f"received_by: {found}; expected a time with its offset, after the evening"
            )

    @cached_property
    def events(self) -> list[GridEvent]:
        """The grid stress events, of both programs."""
        return grid.events(self.day)

    @cached_property
    def _planned(self) -> dict[str, list[GridEvent]]:
        """By program the events that its drivers have planned for; others lie within these."""
        return {program: grid.planned_for(program, self.day) for program in grid.EVENT_NAMES}

    @cached_property
    def temperatures(self) -> list[Temperature]:
        """What is measured of the batteries, by vehicle and time."""
        return temperatures(self.seed, self.day, self.plans)

    @cached_property
    def first_prices(self) -> list[Price]:
        """The prices, complete, as they are published first."""
        return grid.prices(self.seed, self.day)

    @cached_property
    def prices(self) -> list[Price]:
        """The prices that count in the end: days later one of them has been revised."""
        return grid.revised(self.first_prices)

    @cached_property
    def feed(self) -> dict[str, list[dict[str, str]]]:
        """Events and prices as ``simulators.utility`` serves them first."""
        return grid.feed(self.events, self.first_prices)

    @cached_property
    def plans(self) -> list[Plan]:
        """What each EVSE does."""
        return make_plans(
            self.seed, self.day, evses=self.evses, step=timedelta(seconds=self.step_s)
        )

    @cached_property
    def signers(self) -> dict[str, Signer]:
        """Each EVSE's key."""
        given = self.keys or {}
        return {
            plan.evse_id: Signer(given.get(plan.evse_id) or derive_key(self.seed, plan.evse_id))
            for plan in self.plans
        }

    @cached_property
    def _former(self) -> dict[str, Signer]:
        """Keys that expired before the evening, of the EVSEs whose EXPIRED_KEY packets are sent."""
        plain = [plan for plan in self.plans if plan.contracted and plan.program == grid.PROGRAM]
        return {
            plan.evse_id: Signer(derive_key(self.seed, f"{plan.evse_id} former"))
            for plan in plain[: max(2, self.evses // 10)]
        }

    def roster(self) -> list[RosterRow]:
        """Keys and contracts to enrol.

        One row per EVSE, then one per expired key, which brings no contract. The vehicle without a
        contract has its key here too, with an empty account.
        """
        return roster_of(
            self.plans,
            signers=self.signers,
            former=self._former,
            day_starts_at=grid.at(self.day, time.min),
        )

    @cached_property
    def steps(self) -> list[Step]:
        """Everything the meters saw."""
        step = timedelta(seconds=self.step_s)
        return [
            one
            for plan in self.plans
            for one in drive(
                plan,
                self._planned[plan.program],
                step,
                Random(f"drive {self.seed} {self.day} {plan.evse_id}"),
            )
        ]

    @cached_property
    def deliveries(self) -> list[Delivery]:
        """Everything that is sent, in order: live, then what was buffered, then replays, and days later
        what a straggler had kept back.
        """
        work = [(self.signers[step.content.evse_id], step.content) for step in self.steps]
        packets = sign_all(work, threads=SIGNING_THREADS)
        faults = self._faults()
        numbers: Counter[Label] = Counter()
        out: list[Delivery] = []
        for i, (step, packet) in enumerate(zip(self.steps, packets, strict=True)):
            label = faults.get(i)
            number = numbers[label] if label else 0
            honest = self._honest(step, packet, number)
            made = FAULTS[label](honest) if label else [honest.good]
            out.extend(self._placed(one, step) for one in made)
            if label:
                numbers[label] += 1
        return sorted(out, key=lambda one: (one.phase, one.sent_at))

    @cached_property
    def in_time(self) -> list[Delivery]:
        """The deliveries of the evening itself."""
        return [one for one in self.deliveries if one.phase is not Phase.DAYS_LATER]

    @cached_property
    def stragglers(self) -> list[Delivery]:
        """The deliveries that come days later."""
        return [one for one in self.deliveries if one.phase is Phase.DAYS_LATER]

    @cached_property
    def truth(self) -> Truth:
        """What must come of it in the end."""
        return reckon(self.steps, self.deliveries, self._settled_by(self.events, self.prices))

    @cached_property
    def truth_in_time(self) -> Truth:
        """What must come of it while the stragglers' packets and the revised price are still to come."""
        return reckon(self.steps, self.in_time, self._settled_by(self.events, self.first_prices))

    @cached_property
    def truth_without_superseding(self) -> Truth:
        """What would have come of it in the end, had no event superseded another."""
        planned = [one for events in self._planned.values() for one in events]
        return reckon(self.steps, self.deliveries, self._settled_by(planned, self.prices))

    def _settled_by(self, events: Sequence[GridEvent], prices: Sequence[Price]) -> Terms:
        return terms_of(self.plans, events, prices, self.temperatures)

    @cached_property
    def _index(self) -> dict[str, int]:
        return {plan.evse_id: i for i, plan in enumerate(self.plans)}

    @cached_property
    def _stranger(self) -> Signer:
        return Signer(derive_key(self.seed, "stranger"))

    def _honest(self, step: Step, packet: bytes, number: int) -> Honest:
        evse_id = step.content.evse_id
        neighbour = self.plans[(self._index[evse_id] + 1) % self.evses].evse_id
        return Honest(
            content=step.content,
            packet=packet,
            signer=self.signers[evse_id],
            former=self._former.get(evse_id, self._stranger),
            neighbour=self.signers[neighbour],
            stranger=self._stranger,
            neighbour_evse_id=neighbour,
            received_by=self.received_by,
            number=number,
        )

    def _plan_of(self, step: Step) -> Plan:
        return self.plans[self._index[step.content.evse_id]]

    def _placed(self, one: Delivery, step: Step) -> Delivery:
        """The delivery: buffered if its EVSE was cut off, and with its full label if it is good."""
        phase = one.phase
        if phase is Phase.LIVE and self._cut_off(step):
            phase = Phase.DAYS_LATER if self._plan_of(step).straggles else Phase.BUFFERED
        label = one.label
        if label is Label.GOOD:
            label = self._good_label(step, phase)
        return replace(one, label=label, phase=phase)

    def _cut_off(self, step: Step) -> bool:
        outage = self._plan_of(step).outage
        return outage is not None and outage[0] <= step.content.ended_at < outage[1]

    def _good_label(self, step: Step, phase: Phase) -> Label:
        content = step.content
        if step.lies:
            return Label.LYING_METER
        if phase is not Phase.LIVE:
            return Label.LATE if phase is Phase.BUFFERED else Label.STRAGGLING
        exports = content.export_end_milliwh > content.export_start_milliwh
        inside = any(
            e.started_at < content.ended_at and content.started_at < e.ended_at for e in self.events
        )
        return Label.OUT_OF_WINDOW if exports and not inside else Label.GOOD

    def _faults(self) -> dict[int, Label]:
        """Which step gets which fault."""
        payable = [i for i, step in enumerate(self.steps) if self._plainly_payable(step)]
        former = frozenset(i for i in payable if self.steps[i].content.evse_id in self._former)
        rng = Random(f"faults {self.seed} {self.day}")
        return give_out(payable, former=former, of=len(self.steps), rng=rng)

    def _plainly_payable(self, step: Step) -> bool:
        """Whether its energy would be paid, whatever becomes of the vehicle's other energy."""
        plan, content = self._plan_of(step), step.content
        intricate = plan.charges or plan.battery in (Battery.HOT, Battery.UNMEASURED)
        return (
            plan.contracted
            and not step.lies
            and not (plan.program == grid.THERMAL_PROGRAM and (intricate or plan.interrupts))
            and not (plan.straggles and self._cut_off(step))
            and content.export_end_milliwh > content.export_start_milliwh
            and any(
                event.started_at <= content.started_at and content.ended_at <= event.until
                for event in self._planned[plan.program]
            )
        )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments that say which evening it is."""
    parser.add_argument("--seed", type=int, default=7, help="of everything random (default 7)")
    parser.add_argument("--date", type=date.fromisoformat, required=True, help="such as 2026-07-01")
    parser.add_argument("--evses", type=int, default=50, help="chargers (default 50)")
    parser.add_argument("--step-s", type=int, default=15, help="seconds in a packet (default 15)")
    parser.add_argument(
        "--received-by",
        type=datetime.fromisoformat,
        help="time with offset before which all is received (default: the day after tomorrow)",
    )


def from_arguments(arguments: argparse.Namespace, *, now: datetime) -> Evening:
    """The evening that the arguments say, received within a day of now where they do not say."""
    # Rounded to the day, so that two processes started one after the other see the same evening.
    latest = max(now, grid.at(arguments.date, grid.CLOSES)).date()
    received_by = arguments.received_by or grid.at(latest, time.min) + timedelta(days=2)
    return Evening(
        seed=arguments.seed,
        day=arguments.date,
        received_by=received_by,
        evses=arguments.evses,
        step_s=arguments.step_s,
    )


def write(evening: Evening, folder: Path) -> None:
    """Write ``roster.csv``, ``feed.json`` and ``truth.json`` into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    write_roster(evening.roster(), folder / "roster.csv")
    (folder / "feed.json").write_text(json.dumps(evening.feed, indent=1) + "\n", encoding="utf-8")
    evening.truth.write(folder / "truth.json")


def main(arguments: Sequence[str] | None = None) -> None:
    """Write an evening's roster, feed and truth."""
    parser = argparse.ArgumentParser(prog="python -m simulators.evening", description=main.__doc__)
    add_arguments(parser)
    parser.add_argument("--out", type=Path, required=True, help="folder for the three files")
    parsed = parser.parse_args(arguments)
    try:
        evening = from_arguments(parsed, now=datetime.now(UTC))
        write(evening, parsed.out)
    except ValueError as error:
        parser.error(str(error))
    sys.stdout.write(
        f"{len(evening.deliveries)} deliveries of {evening.evses} chargers; see {parsed.out}\n"
    )


if __name__ == "__main__":
    main()
