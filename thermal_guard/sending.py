"""Commands out and answers in, by broker and by register; and what of it is still to be recorded."""

import logging
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final

from ingest_daemon.log import say
from storage import throttling
from storage.engine import Connection
from storage.throttling import Outcome
from thermal_guard import mqtt
from thermal_guard.delivery import MODBUS, MQTT, Book, Delivery, content_of
from thermal_guard.metrics import Metrics
from thermal_guard.registers import Registers

logger = logging.getLogger(__name__)

UNRECORDED_MAX: Final = 50_000
"""Attempts and answers that wait for the database; then nothing is sent until it is back."""
CLIENT_MAX_CHARS: Final = 1000
"""Far above any name, and below what a topic may have."""
AT_ONCE: Final = 500
"""Commands that are sent in one step."""
_LEVELS: Final = {"refused": logging.ERROR, "failed": logging.WARNING}


class Sending:
    """Everything that is said to chargers, and heard of them. Every call from one thread.

    Args:
        book: what is under way.
        link: the connection to the broker.
        registers: chargers that are written to.
        verify_every_s: between two looks whether registers still say so.
    """

    def __init__(
        self,
        book: Book,
        link: mqtt.Link,
        registers: Registers,
        *,
        verify_every_s: float,
        metrics: Metrics,
        monotonic: Callable[[], float],
    ) -> None:
        self._book = book
        self._link = link
        self._registers = registers
        self._verify_every_s = verify_every_s
        self._metrics = metrics
        self._monotonic = monotonic
        self._verify_at_s = 0.0
        self._unrecorded: deque[Outcome] = deque()
        self._clients: Mapping[str, str] = {}

    def route(self, clients: Mapping[str, str]) -> None:
        """Who speaks for which EVSE, from now on."""
        self._clients = clients
        for command in list(self._book.commands):
            self._book.route(command.evse_id, self.ways(command.evse_id))

    def ways(self, evse_id: str) -> list[str]:
        """By which ways an EVSE is told: its registers, and its agent, where it has one or nothing else."""
        ways = [MODBUS + device for device in self._registers.devices.get(evse_id, ())]
        if not ways or evse_id in self._clients:
            ways.append(MQTT + self._clients.get(evse_id, evse_id))
        return ways

    def listen(self) -> None:
        """Take what was heard since the last time."""
        for one in self._link.heard():
            if isinstance(one, mqtt.NotTaken):
                self._answer(MQTT + one.client, one.command_id, "failed", one.why)
            elif one.fields.get("version") == 1:
                self._hear(one)
        for written in self._registers.known():
            way = MODBUS + written.device_id
            if written.state == "drifted":
                self._book.drifted(way)
                say(logger, logging.WARNING, "limit_gone", device=written.device_id,
                    why=written.detail, consequence="written again")  # fmt: skip
            elif written.state != "looked":
                self._answer(way, written.command_id, written.state, written.detail)

    def send(self, record: Callable[[], object]) -> None:
        """Send what is due. ``record`` stores, before anything is sent, what can be stored now."""
        for outcome in self._book.late():
            self._remember(outcome)
        room = max(0, UNRECORDED_MAX - len(self._unrecorded))
        due = [
            one
            for one in self._book.due(mqtt_up=self._link.connected, most=min(AT_ONCE, room))
            if one.way.startswith(MQTT) or self._registers.free(one.way.removeprefix(MODBUS))
        ]
        for one in due:
            self._remember(self._book.sent(one))
        if self._unrecorded:
            record()
        for one in due:
            self._send(one)
        self._verify()
        self._metrics.unacknowledged.set(self._book.unacknowledged)
        self._metrics.unrecorded.set(len(self._unrecorded))

    def record(self, conn: Connection) -> None:
        """Store what happened, in its order."""
        if self._unrecorded:
            waiting = list(self._unrecorded)
            throttling.tell(conn, waiting)
            conn.commit()
            for _ in waiting:
                self._unrecorded.popleft()

    def _hear(self, one: mqtt.Heard) -> None:
        """Presence, or an answer (docs/agent.md)."""
        state, command_id = one.fields.get("state"), one.fields.get("command_id")
        if state in {"obeyed", "refused"} and isinstance(command_id, str):
            detail = str(one.fields.get("detail", ""))
            self._answer(MQTT + one.client, command_id, str(state), detail)
        elif state in {"online", "offline"}:
            limit = one.fields.get("limit_w")
            self._book.present(one.client, online=state == "online", limit=limit)

    def _answer(self, way: str, command_id: str, state: str, detail: str) -> None:
        outcome = self._book.answered(way, command_id, state, detail)
        if outcome is None:
            say(logger, logging.DEBUG, "answer_to_nothing", way=way, command_id=command_id[:80])
            return
        self._remember(outcome)

    def _remember(self, outcome: Outcome) -> None:
        if len(self._unrecorded) < 2 * UNRECORDED_MAX:
            self._unrecorded.append(outcome)
        else:  # of chargers that answer unasked while the database is away; what is sent has room
            say(logger, logging.ERROR, "not_recorded", way=outcome.way,
                consequence="this answer stands in the log only")  # fmt: skip
        self._metrics.outcomes.labels(state=outcome.state).inc()
        level = _LEVELS.get(outcome.state, logging.INFO)
        do = {"do": "look at the charger: it does not follow"} if outcome.state == "refused" else {}
        say(logger, level, outcome.state, way=outcome.way, command_id=outcome.command_id,
            detail=outcome.detail, **do)  # fmt: skip

    def _send(self, one: Delivery) -> None:
        command = one.command
        if one.way.startswith(MODBUS):
            device = one.way.removeprefix(MODBUS)
            self._registers.write(device, str(command.command_id), command.limit_w)
            return
        client = one.way.removeprefix(MQTT)
        if not client.isprintable() or set(client) & set("+#/") or len(client) > CLIENT_MAX_CHARS:
            self._remember(self._book.failed(one, f"no topic can be made of client {client!r}"))
        elif not self._link.command(client, content_of(command, self._book.limit_of(one))):
            self._remember(self._book.failed(one, "the broker went away"))

    def _verify(self) -> None:
        """Look whether registers still say what was written."""
        if self._monotonic() < self._verify_at_s:
            return
        self._verify_at_s = self._monotonic() + self._verify_every_s
        for one in self._book.obeyed(MODBUS):
            device = one.way.removeprefix(MODBUS)
            if self._registers.free(device):
                self._registers.verify(device, str(one.command.command_id), one.command.limit_w)
