"""What every part of a world shares: its clock, its lock, its devices, the responses it was sent."""

import hashlib
import threading
import uuid
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

from simulators.sep2.certificates import LFDI_DIGITS, sfdi_of
from simulators.sep2.clock import ServerClock
from simulators.sep2.records import Answer, Control, Device, Edition, Interval, Manner, Settings

POLL_RATES: Final = {"dcap": 300, "tm": 900, "edev": 300, "fsa": 300, "derp": 60, "tp": 300}
DESCRIPTION_MAX: Final = 32
PAGE_MAX: Final = 255
PIN_DIGITS: Final = 5


class Registry:
    """The server's clock and habits, its devices, and what they answered. See ``World``."""

    def __init__(
        self,
        *,
        clock: ServerClock | None = None,
        edition: Edition = Edition.E2018,
        manner: Manner = Manner.STANDARD,
        poll_rates_s: Mapping[str, int] | None = None,
        page_max: int = PAGE_MAX,
        registers_itself: bool = True,
        name: str = "",
    ) -> None:
        self.clock = clock or ServerClock()
        self.edition = edition
        self.manner = manner
        self.poll_rates_s = {**POLL_RATES, **(poll_rates_s or {})}
        self.page_max = page_max
        self.registers_itself = registers_itself
        self.lock = threading.RLock()
        self.devices: list[Device] = []
        self.aggregators: set[str] = set()
        self._answers: list[Answer] = []
        self._answered = threading.Condition(self.lock)
        self._name = name or uuid.uuid4().hex
        self._made = 0

    def add_aggregator(self, lfdi: str) -> None:
        """Let the holder of that certificate register devices other than itself."""
        with self.lock:
            self.aggregators.add(lfdi_checked(lfdi))

    def add_device(
        self,
        lfdi: str,
        *,
        manager: str | None = None,
        pin: int = 11111,
        settings: Settings | None = None,
    ) -> Device:
        """Register a device: the server knows it, and shows it to itself and to its manager.

        Args:
            lfdi: 40 hex digits.
            manager: LFDI of the aggregator that may see it too.
            pin: five digits; its check digit is added.
            settings: its DERSettings and DERCapability; None: it has to put them itself.
        """
        with self.lock:
            known = self.device_of(lfdi)
            if known is not None:
                raise ValueError(
                    f"{lfdi_checked(lfdi)}: registered already, as /edev/{known.number}"
                )
            device = Device(
                number=len(self.devices) + 1,
                lfdi=lfdi_checked(lfdi),
                sfdi=sfdi_of(lfdi_checked(lfdi)),
                pin=_with_check_digit(pin),
                since=self.present(),
                manager=None if manager is None else lfdi_checked(manager),
                settings=settings,
            )
            self.devices.append(device)
            return device

    def device_of(self, lfdi: str) -> Device | None:
        """The device with that LFDI."""
        wanted = lfdi.upper()
        with self.lock:
            return next((device for device in self.devices if device.lfdi == wanted), None)

    def seen_by(self, client: str) -> list[Device]:
        """The devices that a client may see: itself, and those that it manages."""
        with self.lock:
            return [one for one in self.devices if client in {one.lfdi, one.manager}]

    def keep(self, answer: Answer) -> None:
        """Keep a Response that was posted."""
        with self._answered:
            self._answers.append(answer)
            self._answered.notify_all()

    @property
    def answers(self) -> list[Answer]:
        """Every Response so far, in the order of arrival."""
        with self.lock:
            return list(self._answers)

    def statuses(self, event: Control | Interval, lfdi: str | None = None) -> list[int | None]:
        """The statuses that were answered for an event, in order; of one device if named."""
        wanted = None if lfdi is None else lfdi.upper()
        return [
            answer.status
            for answer in self.answers
            if answer.subject == event.mrid and wanted in {None, answer.lfdi}
        ]

    def wait(self, condition: Callable[[], bool], *, within_s: float) -> bool:
        """Wait until the condition holds, looked at after each Response; False: it never did."""
        with self._answered:
            return self._answered.wait_for(condition, timeout=within_s)

    # --- for the parts of a world ----------------------------------------------------------------

    def present(self) -> datetime:
        """The server's time, whole seconds."""
        return self.clock.now().replace(microsecond=0)

    def mrid(self, given: str | None, kind: str) -> str:
        """The mRID that was given, or one that nothing else has."""
        if given is not None:
            return given.lower()
        self._made += 1
        return mrid_of(f"{self._name} {kind} {self._made}")


def mrid_of(name: str) -> str:
    """An mRID that stands for a name: 32 hex digits, the same each time."""
    return hashlib.sha256(name.encode()).hexdigest()[:32]


def lfdi_checked(text: str) -> str:
    """An LFDI in capitals. Raises ValueError where it is none."""
    if len(text) != LFDI_DIGITS or set(text.upper()) - set("0123456789ABCDEF"):
        raise ValueError(f"LFDI {text!r}: expected {LFDI_DIGITS} hex digits")
    return text.upper()


def described(text: str) -> str:
    """A description, which is a String32. Raises ValueError for a longer one."""
    if len(text.encode()) > DESCRIPTION_MAX:
        raise ValueError(f"description {text!r}: expected at most {DESCRIPTION_MAX} bytes")
    return text


def _with_check_digit(pin: int) -> int:
    if not 0 <= pin < 10**PIN_DIGITS:
        raise ValueError(f"pin {pin}: expected five digits")
    return pin * 10 + (10 - sum(int(digit) for digit in str(pin)) % 10) % 10
