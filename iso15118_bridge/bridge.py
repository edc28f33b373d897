"""What a charger does with a session: sets the power, reads the meter, tells the agent.

No part of it speaks the protocol; codec.py shows it the messages, controller.py asks it for power
and registers, agent_link.py brings the agent's limits.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from iso15118_bridge.codec import SENT
from iso15118_bridge.meter import SimulatedMeter
from iso15118_bridge.reader import SessionReader
from iso15118_bridge.samples import Note, Reason, Registers
from iso15118_bridge.wire import SERVICES, Message, is_count, split

DISCHARGE: Final = "Discharge"
LARGEST_LIMIT_W: Final = 10_000_000

Tell = Callable[[str, Mapping[str, Any]], None]
"""Called with the name of what happened and its facts; for the log and whoever watches."""


class Bridge:
    """One charger with one connector.

    Args:
        meter: the charger's.
        rated_w: what its power stage can push to the grid.
        send: takes a line for the agent.
        tell: see Tell.
    """

    def __init__(
        self,
        meter: SimulatedMeter,
        *,
        rated_w: int,
        send: Callable[[Mapping[str, Any]], None],
        tell: Tell,
    ) -> None:
        self.meter = meter
        self.reader = SessionReader()
        self.refusals = 0
        self._rated_w = rated_w
        self._send = send
        self._tell = tell
        self._limit_w: int | None = None
        self._asked_w: Decimal | None = Decimal(0)  # nothing flows before the first charge loop
        self._energised = False
        self._secured = ""
        self._shown: Registers | None = None

    @property
    def discharge_limit_w(self) -> int:
        """What the charger offers: its rating, or less where the agent says so."""
        return self._rated_w if self._limit_w is None else min(self._rated_w, self._limit_w)

    def secured(self, proof: str) -> None:
        """A connection was proven to be TLS: how."""
        self._secured = proof

    def message(self, direction: str, message: Message, at: datetime, _namespace: str = "") -> None:
        """A message has travelled. What it brings goes to the agent."""
        name, _ = split(message)
        meter = None
        if direction == SENT and name.endswith(("_ChargeLoopRes", "PowerDeliveryRes")):
            meter = self._shown or self.meter.read()
            self._shown = None
        self._hand_on(self.reader.read(message, at=at, meter=meter))
        if name == "ServiceSelectionReq":
            agreed = self.reader.agreed
            self._tell("agreed", {
                "service": SERVICES.get(agreed.service or 0, str(agreed.service)),
                "vehicle_id": agreed.vehicle_id,
                "session_id": agreed.session_id,
            })  # fmt: skip
        if name == "PowerDeliveryReq":
            self.set_power()

    def show(self) -> Registers:
        """The registers for a MeterInfo; the sample of that message will bear the same."""
        self._shown = self.meter.read()
        return self._shown

    def energise(self, *, on: bool) -> None:
        """The contactor's state: closed after PowerDelivery with Start, open after Stop."""
        self._energised = on
        self.set_power()

    def asked(self, watts: Decimal | None) -> None:
        """What the car asks for, where it is the car that asks (scheduled DC)."""
        self._asked_w = watts
        self.set_power()

    def set_power(self) -> None:
        """Set the power stage to what everybody allows: car, charger, agent.

        A step of power ends an interval: settlement holds the registers against the powers at both
        ends, and across a step they would not agree.
        """
        agreed = self.reader.agreed
        allowed = (
            self._energised
            and agreed.bidirectional
            and agreed.channel == DISCHARGE
            and not agreed.given_up
            and bool(self._secured)
        )
        caps = [Decimal(self.discharge_limit_w), agreed.ev_discharge_w or Decimal(0)]
        if self._asked_w is not None:
            caps.append(self._asked_w)
        power_w = max(0, int(min(caps))) if allowed else 0
        if power_w == self.meter.power_w:
            return
        before = self.meter.power(power_w)
        self._hand_on(self.reader.step(before, power_w))

    def limit(self, line: Mapping[str, Any]) -> None:
        """A line from the agent: {"limit_w": 0, "command_id": ...}; null releases."""
        limit = line.get("limit_w")
        if limit is not None and not is_count(limit, least=0, most=LARGEST_LIMIT_W):
            self._tell("limit_refused", {"found": limit, "expected": "watts, 0 or more, or null"})
            return
        self._limit_w = limit
        self.set_power()
        self._tell("limit", {
            "limit_w": limit, "power_w": self.meter.power_w, "command_id": line.get("command_id"),
        })  # fmt: skip

    def lost(self, problem: str) -> None:
        """The codec has found that the register would not have travelled."""
        self._hand_on(self.reader.give_up(Reason.REGISTER_LOST, problem))

    def refuse(self, reason: Reason, problem: str) -> None:
        """A connection was refused before a session began."""
        self.refusals += 1
        self._tell("refused", {"reason": reason.name, "says": str(reason), "detail": problem})

    def end(self, why: str) -> None:
        """The session has ended, or its connection is gone."""
        self.energise(on=False)
        self._hand_on(self.reader.end())
        self._secured, self._asked_w, self._shown = "", Decimal(0), None
        self._tell("ended", {"why": why})

    def _hand_on(self, events: list[Any]) -> None:
        for event in events:
            if isinstance(event, Note):
                what = "refused" if event.gives_up else "note"
                self.refusals += event.gives_up
                self._tell(what, {
                    "reason": event.reason.name, "says": str(event.reason), "detail": event.detail,
                    "session_id": event.session_id,
                })  # fmt: skip
                if event.gives_up:
                    self.set_power()
            elif not self._secured:
                self._hand_on(self.reader.give_up(Reason.NOT_TLS, "no proof of it was recorded"))
            else:
                line = event.line()
                self._send(line)
                self._tell("sample" if "at" in line else "end", line)
