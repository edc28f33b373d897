"""What a session brings: samples and ends for the agent, notes for the log."""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

MILLIWH_PER_WH: Final = 1000


class Reason(StrEnum):
    """Why a session gives no samples. The first three are ordinary; the others end the session."""

    NOT_BIDIRECTIONAL = "the session's service does not let energy flow back"
    METER_NOT_REQUESTED = "the car did not ask for the meter; samples come from the charger's own"
    NO_METER = "no meter reading came with the charge loop"
    REGISTER_LOST = "the discharged register is not in the message as it travels"
    REGISTER_DIFFERS = "the register in the message is not the meter's"
    REGISTER_FELL = "a register went backwards"
    METER_CLOCK = "the meter's clock is not the charger's"
    NOT_TLS = "the connection is not TLS 1.3"
    MIXED_SESSIONS = "a message of another session came in between"


GIVES_UP: Final = frozenset(Reason) - {
    Reason.NOT_BIDIRECTIONAL,
    Reason.METER_NOT_REQUESTED,
    Reason.NO_METER,
}


@dataclass(frozen=True)
class Registers:
    """What a meter shows, in milliwatt-hours; power in watts, positive towards the grid."""

    at: datetime
    export_milliwh: int
    import_milliwh: int
    power_w: int | None = None


@dataclass(frozen=True)
class Sample:
    """One line for the agent. ``soc_percent`` is what the car displays, if it does."""

    vehicle_id: str
    session_id: str
    registers: Registers
    soc_percent: int | None = None

    def line(self) -> dict[str, Any]:
        """As the agent's socket takes it; numbers that money depends on as text."""
        registers = self.registers
        made: dict[str, Any] = {
            "at": registers.at.astimezone(UTC).isoformat(timespec="milliseconds"),
            "vehicle_id": self.vehicle_id,
            "session_id": self.session_id,
            "export_wh": wh(registers.export_milliwh),
            "import_wh": wh(registers.import_milliwh),
            "power_w": str(registers.power_w or 0),
        }
        if self.soc_percent is not None:
            made["soc_pct"] = str(self.soc_percent)
        return made


@dataclass(frozen=True)
class Ended:
    """What was open has ended: the session, or a stretch of it with one power."""

    session_id: str

    def line(self) -> dict[str, Any]:
        """As the agent's socket takes it."""
        return {"end": True, "session_id": self.session_id}


@dataclass(frozen=True)
class Note:
    """Something the log must say, once per session."""

    reason: Reason
    detail: str
    session_id: str

    @property
    def gives_up(self) -> bool:
        """Whether the session gives no samples from here on."""
        return self.reason in GIVES_UP


Event = Sample | Ended | Note


def wh(milliwh: int) -> str:
    """Milliwatt-hours as watt-hours, exact.

    >>> wh(3468005)
    '3468.005'
    """
    return f"{milliwh // MILLIWH_PER_WH}.{milliwh % MILLIWH_PER_WH:03d}"
