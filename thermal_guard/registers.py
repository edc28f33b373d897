"""Limits written into registers of chargers that are commanded over Modbus TCP, and read back.

What is read back is the acknowledgement: a PLC answers a write before anything obeys it. A register is
read again now and then, because a PLC that restarts forgets. Each attempt has a connection and a
thread of its own, within a deadline: one charger that hangs holds up no other.
"""

import contextlib
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

from pymodbus.client import ModbusTcpClient
from pymodbus.exceptions import ModbusException

from ingest_daemon.modbus.configuration import Device, Fleet, LimitRegister, width

AT_ONCE: Final = 8
"""Chargers that are written to at once."""
_WORD_BITS: Final = 16
_WORD_MASK: Final = 0xFFFF
WAITING_MAX: Final = 10_000
"""Attempts that wait for a thread; more are not begun, and come again."""


@dataclass(frozen=True, slots=True)
class Register:
    """Where a device of the poller's file takes a limit; ``limit`` is not None."""

    device: Device
    limit: LimitRegister

    def values(self, limit_w: int | None) -> tuple[int, ...]:
        """What is written for a limit, register by register: rounded down to the register's step."""
        stated, words = self.limit, width(self.limit.type)
        raw = stated.unlimited if limit_w is None else int(limit_w / stated.scale_w)
        whole = raw % (1 << _WORD_BITS * words)  # two's complement, where it is negative
        high_first = tuple(
            whole >> _WORD_BITS * place & _WORD_MASK for place in reversed(range(words))
        )
        return high_first if stated.words == "big" else high_first[::-1]


def registers_of(fleet: Fleet) -> list[Register]:
    """The devices that take a limit."""
    return [Register(one, one.limit) for one in fleet.devices if one.limit is not None]


@dataclass(frozen=True, slots=True)
class Written:
    """What became of an attempt, or of a look: obeyed, refused, failed or drifted."""

    device_id: str
    command_id: str
    state: str
    detail: str


class _RefusedError(Exception):
    """The device answered with an exception."""


class Registers:
    """Writes and reads registers in threads of its own.

    Args:
        registers: at most one per device.
        wake: called when something is known, in the thread that found it.
    """

    def __init__(self, registers: Sequence[Register], *, wake: Callable[[], None]) -> None:
        self._by_device: Mapping[str, Register] = {one.device.name: one for one in registers}
        self.devices: Mapping[str, Sequence[str]] = {
            evse: [one.device.name for one in some]
            for evse, some in groupby(
                sorted(registers, key=lambda one: one.device.evse_id),
                key=lambda one: one.device.evse_id,
            )
        }
        """The devices that take a limit, by EVSE."""
        self._wake = wake
        self._known: deque[Written] = deque()
        self._busy: set[str] = set()
        self._pool = (
            ThreadPoolExecutor(AT_ONCE, thread_name_prefix="register") if registers else None
        )

    def free(self, device_id: str) -> bool:
        """Whether a device can be spoken to now: it exists, and nothing else is under way with it."""
        return (
            device_id in self._by_device
            and device_id not in self._busy
            and len(self._busy) < WAITING_MAX
        )

    def write(self, device_id: str, command_id: str, limit_w: int | None) -> None:
        """Begin to write a limit and read it back. The device must be ``free``."""
        register = self._by_device[device_id]
        wanted = register.values(limit_w)
        self._begin(register, command_id, lambda client: _write(client, register, wanted))

    def verify(self, device_id: str, command_id: str, limit_w: int | None) -> None:
        """Begin to look whether a limit still stands. The device must be ``free``."""
        register = self._by_device[device_id]
        wanted = register.values(limit_w)

        def look(client: ModbusTcpClient) -> tuple[str, str]:
            found = _read(client, register)
            return ("obeyed", "") if found == wanted else ("drifted", f"found {list(found)}")

        self._begin(register, command_id, look, looking=True)

    def known(self) -> list[Written]:
        """What became known since the last call."""
        found = []
        while self._known:
            one = self._known.popleft()
            self._busy.discard(one.device_id)
            found.append(one)
        return found

    def stop(self) -> None:
        """Begin nothing more; what is under way is left behind."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)

    def _begin(
        self,
        register: Register,
        command_id: str,
        attempt: Callable[[ModbusTcpClient], tuple[str, str]],
        *,
        looking: bool = False,
    ) -> None:
        assert self._pool is not None
        self._busy.add(register.device.name)

        def run() -> None:
            state, detail = self._speak(register, attempt)
            # A look that failed says nothing about the register; a write that failed does.
            state = "looked" if looking and state != "drifted" else state
            self._known.append(Written(register.device.name, command_id, state, detail))
            self._wake()

        self._pool.submit(run)

    @staticmethod
    def _speak(
        register: Register, attempt: Callable[[ModbusTcpClient], tuple[str, str]]
    ) -> tuple[str, str]:
        device = register.device
        client = ModbusTcpClient(
            device.host, port=device.port, timeout=device.deadline_s, retries=0
        )
        try:
            if not client.connect():  # type: ignore[no-untyped-call]
                return "failed", f"no connection to {device.host}:{device.port}"
            return attempt(client)
        except _RefusedError as error:
            return "refused", str(error)
        except (ModbusException, OSError) as error:
            return "failed", str(error)
        except Exception as error:  # noqa: BLE001 - whatever a device makes of the library: tried again
            return "failed", f"{type(error).__name__}: {error}"
        finally:
            with contextlib.suppress(Exception):
                client.close()  # type: ignore[no-untyped-call]


def _write(client: ModbusTcpClient, register: Register, wanted: tuple[int, ...]) -> tuple[str, str]:
    answer = client.write_registers(
        register.limit.address, list(wanted), device_id=register.device.device_id
    )
    _check(answer, f"writing {list(wanted)} to register {register.limit.address}")
    found = _read(client, register)
    if found != wanted:
        return "failed", (
            f"register {register.limit.address} says {list(found)} after {list(wanted)} was written"
        )
    return "obeyed", f"register {register.limit.address} says {list(found)}"


def _read(client: ModbusTcpClient, register: Register) -> tuple[int, ...]:
    count = width(register.limit.type)
    answer = client.read_holding_registers(
        register.limit.address, count=count, device_id=register.device.device_id
    )
    _check(answer, f"reading register {register.limit.address}")
    return tuple(answer.registers)


def _check(answer: Any, doing: str) -> None:
    if answer.isError():
        code = getattr(answer, "exception_code", None)
        raise _RefusedError(f"{doing}: Modbus exception {code}")
