"""Messages in, samples out: what a session says, read the same way live and from a recording.

A sample says: this vehicle, in this session, at this time, had moved the meter to these registers.
It is given only when the session agreed on a service under which energy may flow back (ServiceID 5
or 6), the vehicle and the session are known, and the export register was stated. What is missing is
named once per session, from the closed list `samples.Reason`; a session that has lied is given up.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from iso15118_bridge.samples import (
    MILLIWH_PER_WH,
    Ended,
    Event,
    Note,
    Reason,
    Registers,
    Sample,
)
from iso15118_bridge.wire import (
    BIDIRECTIONAL,
    CHARGED,
    DISCHARGED,
    METER_INFO,
    SERVICES,
    Message,
    is_count,
    number,
    split,
)

NO_SESSION: Final = "0000000000000000"
LARGEST_WH: Final = 10**12
"""Of a register: a thousand terawatt-hours are no charger's."""
METER_CLOCK_TOLERANCE_S: Final = 10
"""The meter states whole seconds, and messages take their time; more is another clock."""


@dataclass
class Agreed:
    """What the two sides have said so far. One session's."""

    vehicle_id: str = ""
    session_id: str = ""
    evse_id: str = ""
    service: int | None = None
    channel: str = ""
    soc_percent: int | None = None
    ev_discharge_w: Decimal | None = None
    given_up: bool = False
    ended: bool = False

    @property
    def bidirectional(self) -> bool:
        """Whether the agreed service lets energy flow back."""
        return self.service in BIDIRECTIONAL


class SessionReader:
    """Reads the messages of one charger, session after session."""

    def __init__(self) -> None:
        self.agreed = Agreed()
        self._noted: set[Reason] = set()
        self._last: Registers | None = None
        self._asked = False

    def read(  # noqa: C901 - one case per message reads best
        self, message: Message, *, at: datetime, meter: Registers | None = None
    ) -> list[Event]:
        """What one message, of either side, brings.

        Args:
            message: as JSON, with the schema's names.
            at: when the charger handled it.
            meter: what the charger's own meter showed for this message; None when only the message
                can tell, as in a recording.
        """
        name, body = split(message)
        if name == "supportedAppProtocolReq":
            events = self.end()
            self._begin()
            return events
        if self.agreed.ended and not name.startswith("SessionSetup"):
            return []
        if (stranger := self._stranger(name, body)) is not None:
            return [*stranger]
        match name:
            case "SessionSetupReq":
                self.agreed.vehicle_id = _text(body.get("EVCCID"))
            case "SessionSetupRes":
                self.agreed.session_id = _text(_header(body).get("SessionID"))
                self.agreed.evse_id = _text(body.get("EVSEID"))
            case "ServiceSelectionReq":
                return self._selected(body)
            case "DC_ChargeParameterDiscoveryReq" | "AC_ChargeParameterDiscoveryReq":
                self._limits(body, "CPDReqEnergyTransferMode")
            case "PowerDeliveryReq":
                self.agreed.channel = _text(body.get("BPT_ChannelSelection"))
            case "PowerDeliveryRes":
                return self._own(meter)
            case "DC_ChargeLoopReq" | "AC_ChargeLoopReq":
                return self._asks(body)
            case "DC_ChargeLoopRes" | "AC_ChargeLoopRes":
                return self._shows(body, at, meter)
            case "SessionStopRes":
                return self.end()
        return []

    def give_up(self, reason: Reason, detail: str) -> list[Event]:
        """Give no samples of this session any more."""
        self.agreed.given_up = True
        return self._note(reason, detail)

    def step(self, before: Registers, power_w: int) -> list[Event]:
        """The power has changed: what was open ends here, with the power until now, and the same
        registers begin what follows, with the power from now on.
        """
        if not self._may_give():
            return []
        events: list[Event] = []
        if self._last is not None:
            events = [*self._own(before), Ended(self.agreed.session_id)]
        after = replace(before, power_w=power_w)
        self._last = after
        return [*events, self._sample(after)]

    def end(self) -> list[Event]:
        """End the session, if one runs; also called when the connection is gone."""
        if self.agreed.ended or not self.agreed.session_id:
            return []
        self.agreed.ended = True
        return [Ended(self.agreed.session_id)] if self._last is not None else []

    def _begin(self) -> None:
        self.agreed = Agreed()
        self._noted, self._last, self._asked = set(), None, False

    def _stranger(self, name: str, body: Mapping[str, Any]) -> list[Event] | None:
        """A message that bears another session's id; None when it is ours."""
        own, said = self.agreed.session_id, _header(body).get("SessionID")
        if not own or said is None or said == own or name.startswith("SessionSetup"):
            return None
        return self.give_up(Reason.MIXED_SESSIONS, f"{name} bears {said}, expected {own}")

    def _selected(self, body: Mapping[str, Any]) -> list[Event]:
        chosen = body.get("SelectedEnergyTransferService")
        service = chosen.get("ServiceID") if isinstance(chosen, dict) else None
        self.agreed.service = service if is_count(service, least=0, most=65535) else None
        if self.agreed.bidirectional:
            return []
        found = SERVICES.get(self.agreed.service or 0, "unknown")
        return self._note(
            Reason.NOT_BIDIRECTIONAL,
            f"ServiceID {service} ({found}), expected 5 (AC_BPT) or 6 (DC_BPT)",
        )

    def _limits(self, body: Mapping[str, Any], kind: str) -> None:
        for name, mode in body.items():
            if name.startswith("BPT_") and name.endswith(kind) and isinstance(mode, dict):
                stated = number(mode.get("EVMaximumDischargePower"))
                if stated is not None:
                    held = self.agreed.ev_discharge_w
                    # A later word may lower what the car allows, never raise it.
                    self.agreed.ev_discharge_w = stated if held is None else min(held, stated)

    def _asks(self, body: Mapping[str, Any]) -> list[Event]:
        shown = body.get("DisplayParameters")
        soc = shown.get("PresentSOC") if isinstance(shown, dict) else None
        self.agreed.soc_percent = soc if is_count(soc, least=0, most=100) else None
        self._limits(body, "CLReqControlMode")
        self._asked = body.get("MeterInfoRequested") is True
        return []

    def _shows(self, body: Mapping[str, Any], at: datetime, meter: Registers | None) -> list[Event]:
        """A charge loop's answer: the registers, from the message and from the meter itself."""
        if not self.agreed.bidirectional:
            return []
        info = body.get(METER_INFO)
        if not isinstance(info, dict):
            if meter is None:
                return self._note(
                    Reason.NO_METER, "no MeterInfo, and no meter of the charger's own"
                )
            noted = [] if self._asked else self._note(Reason.METER_NOT_REQUESTED, "no MeterInfo")
            return [*noted, *self._own(meter)]
        stated = info.get(DISCHARGED)
        if not is_count(stated, least=0, most=LARGEST_WH):
            return self.give_up(
                Reason.REGISTER_LOST, f"found {sorted(info)}, expected {DISCHARGED}"
            )
        charged = info.get(CHARGED)
        if not is_count(charged, least=0, most=LARGEST_WH):
            return self.give_up(Reason.REGISTER_LOST, f"found {sorted(info)}, expected {CHARGED}")
        if meter is not None:
            shown = (meter.export_milliwh // MILLIWH_PER_WH, meter.import_milliwh // MILLIWH_PER_WH)
            if shown != (stated, charged):
                return self.give_up(
                    Reason.REGISTER_DIFFERS,
                    f"found {stated} and {charged} Wh, the meter shows {shown[0]} and {shown[1]} Wh",
                )
            return self._own(meter)
        clock = info.get("MeterTimestamp")
        if isinstance(clock, int) and abs(clock - at.timestamp()) > METER_CLOCK_TOLERANCE_S:
            return self.give_up(Reason.METER_CLOCK, f"found {clock}, expected {at.timestamp():.0f}")
        return self._own(
            Registers(at, stated * MILLIWH_PER_WH, charged * MILLIWH_PER_WH, _power(body))
        )

    def _own(self, registers: Registers | None) -> list[Event]:
        """A sample of these registers, if the session may give one."""
        if registers is None or not self._may_give():
            return []
        last = self._last
        if last is not None:
            if registers.at <= last.at:
                return []  # the same moment told twice is one sample
            fell = (
                registers.export_milliwh < last.export_milliwh
                or registers.import_milliwh < last.import_milliwh
            )
            if fell:
                return self.give_up(Reason.REGISTER_FELL, f"found {registers}, after {last}")
        if registers.power_w is None:
            registers = replace(registers, power_w=_mean_power(last, registers))
        self._last = registers
        return [self._sample(registers)]

    def _may_give(self) -> bool:
        agreed = self.agreed
        known = bool(agreed.vehicle_id) and agreed.session_id not in {"", NO_SESSION}
        return known and agreed.bidirectional and not agreed.given_up and not agreed.ended

    def _sample(self, registers: Registers) -> Sample:
        agreed = self.agreed
        return Sample(agreed.vehicle_id, agreed.session_id, registers, agreed.soc_percent)

    def _note(self, reason: Reason, detail: str) -> list[Event]:
        if reason in self._noted:
            return []
        self._noted.add(reason)
        return [Note(reason, detail, self.agreed.session_id)]


def _power(body: Mapping[str, Any]) -> int | None:
    """Power towards the grid, in watts. The wire counts from the grid: what flows back is negative."""
    volts, amperes = number(body.get("EVSEPresentVoltage")), number(body.get("EVSEPresentCurrent"))
    if volts is not None and amperes is not None:
        return _whole(-volts * amperes)
    for name, mode in body.items():
        if name.endswith("AC_CLResControlMode") and isinstance(mode, dict):
            phases = [
                number(mode.get(f"EVSEPresentActivePower{phase}")) for phase in ("", "_L2", "_L3")
            ]
            if phases[0] is not None:
                return _whole(-sum((one for one in phases if one is not None), Decimal(0)))
    return None


def _mean_power(last: Registers | None, now: Registers) -> int:
    """What the registers say of the power since the sample before; 0 for the first."""
    if last is None:
        return 0
    moved = now.export_milliwh - last.export_milliwh - now.import_milliwh + last.import_milliwh
    milliseconds = (now.at - last.at) // timedelta(milliseconds=1)
    return _whole(Decimal(moved * 3600) / max(1, milliseconds))


def _whole(power: Decimal) -> int:
    return int(power.to_integral_value())


def _header(body: Mapping[str, Any]) -> Mapping[str, Any]:
    header = body.get("Header")
    return header if isinstance(header, dict) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
