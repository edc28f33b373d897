"""What is under way to chargers: each command in force, by each way, until it is obeyed; no I/O.

A delivery is due, or waits for an answer, or rests because its command was obeyed or its charger is
away. It becomes due again when no answer came in time, when the charger refused, and when a charger
comes back, or says of itself that it holds another limit than it was commanded. Sent again it is the
same command, under the same id.
"""

import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from math import inf
from typing import Any, Final
from uuid import UUID

from ingest_daemon.backoff import Backoff
from storage.throttling import Command, Outcome, Standing

MQTT: Final = "mqtt:"
MODBUS: Final = "modbus:"
DETAIL_MAX_CHARS: Final = 500


class Phase(Enum):
    """Where a delivery is."""

    DUE = "due"
    ASKED = "asked"
    OBEYED = "obeyed"
    AWAY = "away"
    """Sent while the charger was away: the broker keeps it, and the charger's return is waited for."""


@dataclass(slots=True)
class Delivery:
    """One command on one way. ``at_s``: when it is due, or until when an answer is waited for."""

    command: Command
    way: str
    backoff: Backoff
    phase: Phase = Phase.DUE
    at_s: float = 0.0
    reminders: int = 0
    """How often it was sent again although obeyed, since the charger came online."""


@dataclass(slots=True)
class _Presence:
    online: bool
    limit: object


@dataclass(slots=True)
class Book:
    """Every delivery of the commands in force.

    Args:
        answer_within_s, first_s, longest_s: see the settings.
        rng: so that attempts do not come in step.
        now: the clock for what is recorded.
        monotonic: seconds, for what is waited for.
    """

    answer_within_s: float
    first_s: float
    longest_s: float
    rng: random.Random
    now: Callable[[], datetime]
    monotonic: Callable[[], float]
    _deliveries: dict[str, dict[str, Delivery]] = field(default_factory=dict)  # way → EVSE
    _ways: dict[str, set[str]] = field(default_factory=dict)  # EVSE → ways
    _commands: dict[str, Command] = field(default_factory=dict)
    _before: dict[str, UUID] = field(default_factory=dict)
    _presences: dict[str, _Presence] = field(default_factory=dict)

    def command(self, evse_id: str) -> Command | None:
        """The command in force at an EVSE."""
        return self._commands.get(evse_id)

    @property
    def commands(self) -> Iterable[Command]:
        """Every command in force."""
        return self._commands.values()

    @property
    def unacknowledged(self) -> int:
        """Deliveries that are not obeyed."""
        return sum(one.phase is not Phase.OBEYED for one in self._all())

    def take(self, standing: Standing) -> None:
        """What the tables say is in force: newer than what is known, or nothing is changed."""
        known = self._commands.get(standing.command.evse_id)
        if known is not None and known.number >= standing.command.number:
            return
        self.put(standing.command, standing.said)
        for way, said in standing.said.items():
            if said.state == "obeyed":
                self._deliveries[way][standing.command.evse_id].phase = Phase.OBEYED

    def put(self, command: Command, ways: Iterable[str]) -> None:
        """A command is in force from now on, in place of the one before."""
        evse = command.evse_id
        if (before := self._commands.get(evse)) is not None:
            self._before[evse] = before.command_id
        self._commands[evse] = command
        self._drop(evse, self._ways.get(evse, set()))
        self.route(evse, ways)

    def route(self, evse_id: str, ways: Iterable[str]) -> None:
        """By which ways an EVSE is told. A way that is new is due; what goes by no way of these ends."""
        command = self._commands.get(evse_id)
        if command is None:
            return
        wanted, known = set(ways), self._ways.get(evse_id, set())
        self._drop(evse_id, known - wanted)
        for way in wanted - known:
            backoff = Backoff(first_s=self.first_s, longest_s=self.longest_s, rng=self.rng)
            delivery = Delivery(command, way, backoff, at_s=self.monotonic())
            self._deliveries.setdefault(way, {})[evse_id] = delivery
        self._ways[evse_id] = wanted

    def due(self, *, mqtt_up: bool, most: int) -> list[Delivery]:
        """What is to be sent now, at most so many; without a broker nothing that goes over it."""
        moment = self.monotonic()
        found = []
        for one in self._all():
            if one.phase is Phase.DUE and one.at_s <= moment:
                if one.way.startswith(MQTT) and not mqtt_up:
                    continue
                found.append(one)
                if len(found) == most:
                    break
        return found

    def sent(self, delivery: Delivery) -> Outcome:
        """It is sent now. What is to be recorded, before it is."""
        # Whoever writes a register has deadlines of its own, and always says how it ended.
        wait_s = self.answer_within_s if delivery.way.startswith(MQTT) else inf
        delivery.phase, delivery.at_s = Phase.ASKED, self.monotonic() + wait_s
        return self._outcome(delivery, "sent", "")

    def failed(self, delivery: Delivery, why: str) -> Outcome:
        """It could not be sent, or was not taken; tried again after a while."""
        self._again(delivery)
        return self._outcome(delivery, "failed", why)

    def late(self) -> list[Outcome]:
        """Commands whose answer did not come in time."""
        found = []
        for one in self._all():
            if one.phase is not Phase.ASKED or one.at_s > self.monotonic():
                continue
            presence = self._presences.get(one.way.removeprefix(MQTT))
            if one.way.startswith(MQTT) and presence is not None and not presence.online:
                one.phase = Phase.AWAY
                why = "the charger is offline: the broker keeps the command, and its return is awaited"
            else:
                self._again(one)
                why = f"no answer within {self.answer_within_s:g} s"
            found.append(self._outcome(one, "failed", why))
        return found

    def answered(self, way: str, command_id: str, state: str, detail: str) -> Outcome | None:
        """An answer. What is to be recorded of it; None for what answers no command of ours, or says
        what is known.
        """
        for one in self._of(way):
            if str(one.command.command_id) == command_id:
                if state == "obeyed":
                    if one.phase is Phase.OBEYED:
                        return None  # said twice: a broker may deliver it so, and a liar flood the tables
                    one.phase = Phase.OBEYED
                    if not one.reminders:
                        one.backoff.reset()
                else:
                    self._again(one)
                    if state == "refused":  # a charger will not think better of it within a second
                        one.at_s = self.monotonic() + self.longest_s
                return self._outcome(one, state, detail)
            if str(self._before.get(one.command.evse_id, "")) == command_id:
                # It follows the one before, maybe delivered late: the one in force goes again.
                if one.phase is Phase.OBEYED:
                    one.phase, one.at_s = Phase.DUE, self.monotonic()
                before = self._before[one.command.evse_id]
                return Outcome(before, state, way, detail[:DETAIL_MAX_CHARS], self.now())
        return None

    def present(self, client: str, *, online: bool, limit: object) -> None:
        """What a charger's agent says of itself: whether it is there, and the limit that it holds."""
        before = self._presences.get(client)
        came = online and (before is None or not before.online)
        self._presences[client] = _Presence(online, limit)
        if not online:
            return
        for one in self._of(MQTT + client):
            if came:
                one.reminders = 0
                one.backoff.reset()
            if one.phase is Phase.AWAY or (came and one.phase is Phase.DUE):
                one.phase, one.at_s = Phase.DUE, self.monotonic()
            elif one.phase is Phase.OBEYED and limit != self.limit_of(one):
                self._remind(one, limit)

    def drifted(self, way: str) -> None:
        """A register no longer says what was written: write it again."""
        for one in self._of(way):
            if one.phase is Phase.OBEYED:
                one.phase, one.at_s = Phase.DUE, self.monotonic()

    def limit_of(self, delivery: Delivery) -> int | None:
        """What is sent: the strictest limit in force of all EVSE that are told by the same way, because
        a command does not say of which it speaks.
        """
        limits = (one.command.limit_w for one in self._of(delivery.way))
        return min((one for one in limits if one is not None), default=None)

    def obeyed(self, prefix: str) -> list[Delivery]:
        """Deliveries by ways that begin so, whose command was obeyed."""
        return [
            one for one in self._all() if one.phase is Phase.OBEYED and one.way.startswith(prefix)
        ]

    def _remind(self, delivery: Delivery, limit: object) -> None:
        """The charger holds another limit. A laxer one is never let be; a stricter one is named once per
        coming online: a charger that may not discharge at all says 0 W for ever.
        """
        commanded = self.limit_of(delivery)
        stricter = type(limit) is int and (commanded is None or limit < commanded)
        if stricter and delivery.reminders:
            return
        wait_s = delivery.backoff.next_s() if delivery.reminders else 0.0
        delivery.reminders += 1
        delivery.phase, delivery.at_s = Phase.DUE, self.monotonic() + wait_s

    def _all(self) -> Iterator[Delivery]:
        return (one for each in self._deliveries.values() for one in each.values())

    def _of(self, way: str) -> Iterable[Delivery]:
        return self._deliveries.get(way, {}).values()

    def _drop(self, evse_id: str, ways: Iterable[str]) -> None:
        for way in list(ways):
            del self._deliveries[way][evse_id]
            if not self._deliveries[way]:
                del self._deliveries[way]
            self._ways[evse_id].discard(way)

    def _again(self, delivery: Delivery) -> None:
        delivery.phase = Phase.DUE
        delivery.at_s = self.monotonic() + delivery.backoff.next_s()

    def _outcome(self, delivery: Delivery, state: str, detail: str) -> Outcome:
        return Outcome(
            delivery.command.command_id,
            state,
            delivery.way,
            detail[:DETAIL_MAX_CHARS],
            self.now(),
        )


def content_of(command: Command, limit_w: int | None) -> dict[str, Any]:
    """A command as an agent expects it (docs/agent.md), with the limit that is sent."""
    return {
        "version": 1,
        "command_id": str(command.command_id),
        "kind": "limit",
        "limit_w": limit_w,
        "reason": command.reason,
    }
