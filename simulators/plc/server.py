"""The PLC on a socket: Modbus TCP (MODBUS Messaging on TCP/IP 1.0b), functions 3, 4, 6 and 16.

Runs in a thread of its own, as a context manager. Whatever it is told (temperatures, faults, a
restart) takes effect with the next request; each can be told from any thread.
"""

import asyncio
import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from simulators.plc.faults import Fault, Kind, Script
from simulators.plc.frames import Exchange, exception, spoilt
from simulators.plc.memory import Memory, Temperature

LOOPBACK: Final = "127.0.0.1"
START_DEADLINE_S: Final = 10.0
ILLEGAL_FUNCTION, ILLEGAL_ADDRESS, ILLEGAL_VALUE, GATEWAY_NO_ANSWER = 1, 2, 3, 11
READ_HOLDING, READ_INPUT, WRITE_ONE, WRITE_MANY = 3, 4, 6, 16
READ_MAX, WRITE_MAX = 125, 123
ASKED_BYTES: Final = 5
"""Function, address and count, or value; of a longer write its size and values follow."""
HISTORY_MAX: Final = 100_000


@dataclass(frozen=True)
class Write:
    """Registers that a client has written."""

    unit: int
    address: int
    values: tuple[int, ...]


@dataclass(eq=False)
class _Line:
    """A connection: the answer before, and one that is still owed."""

    writer: asyncio.StreamWriter
    before: tuple[int, bytes] = (0, b"")
    owed: bytes = b""


class Plc:
    """A PLC.

    Args:
        memory: what it holds; may be replaced by ``restart``.
        script: faults to come; none by default.
        port: 0 takes a free one.
        now: seconds, for temperatures that are functions of the time since the start.

    Attributes:
        script: as given; more faults may be added.
        writes: what was written, in order.
        requests: how many there were.
    """

    def __init__(
        self,
        memory: Memory,
        *,
        script: Script | None = None,
        host: str = LOOPBACK,
        port: int = 0,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.memory = memory
        self.script = script or Script()
        self.host, self.port = host, port
        self.writes: list[Write] = []
        self.requests = 0
        self._now = now
        self._began = now()
        self._history: list[tuple[float, dict[str, float | None]]] = []
        self._lock = threading.Lock()
        self._lines: set[_Line] = set()
        self._loop = asyncio.new_event_loop()
        self._stopping = asyncio.Event()
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name="plc", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._started.wait(START_DEADLINE_S):
            raise RuntimeError(f"the PLC did not start within {START_DEADLINE_S} s")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(START_DEADLINE_S)

    def measure(self, temperatures: Mapping[str, Temperature]) -> None:
        """From now on these sensors measure these temperatures."""
        with self._lock:
            unknown = set(temperatures) - set(self.memory.temperatures)
            if unknown:
                raise KeyError(
                    f"sensors {sorted(unknown)}; expected some of {self.memory.sensors()}"
                )
            self.memory.temperatures.update(temperatures)
            self._note()

    def held_since(self, since_s: float) -> dict[str, set[float | None]]:
        """What every sensor has measured at some moment since a time of the clock ``now``, as far as
        somebody asked or set it.
        """
        with self._lock:
            found: dict[str, set[float | None]] = {}
            for at, celsius in reversed(self._history):
                for sensor, value in celsius.items():
                    found.setdefault(sensor, set()).add(value)
                if at < since_s:
                    break
            return found

    def restart(self, memory: Memory | None = None) -> None:
        """All connections are reset; with other registers, where given."""
        done = threading.Event()

        def reset() -> None:
            with self._lock:
                if memory is not None:
                    self.memory = memory
                self._note()
            for line in list(self._lines):
                _reset(line.writer)
            done.set()

        self._loop.call_soon_threadsafe(reset)
        done.wait(START_DEADLINE_S)

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._lines)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._talk, self.host, self.port, backlog=1024)
        self.port = server.sockets[0].getsockname()[1]
        with self._lock:
            self._note()
        self._started.set()
        await self._stopping.wait()
        server.close()
        for line in list(self._lines):
            _reset(line.writer)

    def _note(self) -> dict[str, float | None]:
        """What every sensor measures now; kept where it is news."""
        celsius = self.memory.celsius(self._now() - self._began)
        if not self._history or self._history[-1][1] != celsius:
            self._history.append((self._now(), celsius))
            del self._history[:-HISTORY_MAX]
        return celsius

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = _Line(writer)
        self._lines.add(line)
        try:
            # Cancelled only when the PLC stops.
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                while True:
                    header = await reader.readexactly(7)
                    transaction, _, length, unit = struct.unpack(">HHHB", header)
                    request = await reader.readexactly(max(0, length - 1))
                    if not await self._answer(line, transaction, unit, request):
                        return
        finally:
            self._lines.discard(line)
            writer.close()

    async def _answer(self, line: _Line, transaction: int, unit: int, request: bytes) -> bool:
        """Whether the connection goes on."""
        with self._lock:
            self.requests += 1
            fault = self.script.take()
            answer = self._obey(unit, request, fault)
        sent = spoilt(fault, Exchange(transaction, unit, answer, line.before))
        line.before = (transaction, answer)
        if fault.kind in {Kind.RESET, Kind.CLOSE}:
            if fault.kind is Kind.RESET:
                _reset(line.writer)
            return False
        if fault.kind is Kind.LATE:
            line.owed += sent
            return True
        sent, line.owed = line.owed + sent, b""
        if fault.kind is Kind.DRIP:
            for byte in sent:
                if line.writer.is_closing():
                    return False
                line.writer.write(bytes([byte]))
                await asyncio.sleep(fault.number / 1000)
        else:
            line.writer.write(sent)
        await line.writer.drain()
        return True

    def _obey(self, unit: int, request: bytes, fault: Fault) -> bytes:
        """The answer, without header; of what the registers hold now."""
        if not request:
            return exception(0, ILLEGAL_FUNCTION)
        function = request[0]
        if unit not in self.memory.units:
            return exception(function, GATEWAY_NO_ANSWER)
        if fault.kind is Kind.EXCEPTION:
            return exception(function, fault.number)
        if function in {READ_HOLDING, READ_INPUT} and len(request) == ASKED_BYTES:
            address, count = struct.unpack(">HH", request[1:])
            return self._read(function, address, count, fault)
        if function == WRITE_ONE and len(request) == ASKED_BYTES:
            address, value = struct.unpack(">HH", request[1:])
            return self._write(unit, function, address, (value,)) or request
        if function == WRITE_MANY and len(request) > ASKED_BYTES:
            address, count, size = struct.unpack_from(">HHB", request, 1)
            values_at = ASKED_BYTES + 1
            if size != 2 * count or len(request) != values_at + size or not 1 <= count <= WRITE_MAX:
                return exception(function, ILLEGAL_VALUE)
            values = struct.unpack_from(f">{count}H", request, values_at)
            return self._write(unit, function, address, values) or request[:ASKED_BYTES]
        return exception(function, ILLEGAL_FUNCTION)

    def _read(self, function: int, address: int, count: int, fault: Fault) -> bytes:
        if not 1 <= count <= READ_MAX:
            return exception(function, ILLEGAL_VALUE)
        words = self.memory.words(
            self._note(), swapped=fault.kind is Kind.SWAPPED, missing=fault.kind is Kind.MISSING
        )
        asked = range(address, address + count)
        if any(one not in words for one in asked):
            return exception(function, ILLEGAL_ADDRESS)
        values = [0 if fault.kind is Kind.ZEROS else words[one] for one in asked]
        if fault.kind is Kind.FEWER:
            values = values[:-1]
        elif fault.kind is Kind.MORE:
            values.append(0x1234)
        return struct.pack(f">BB{len(values)}H", function, 2 * len(values), *values)

    def _write(
        self, unit: int, function: int, address: int, values: tuple[int, ...]
    ) -> bytes | None:
        """An exception, or None where it is done."""
        asked = range(address, address + len(values))
        if any(one not in self.memory.writable for one in asked):
            return exception(function, ILLEGAL_ADDRESS)
        self.memory.writable.update(zip(asked, values, strict=True))
        self.writes.append(Write(unit, address, values))
        return None


def _reset(writer: asyncio.StreamWriter) -> None:
    """RST instead of FIN."""
    sock = writer.get_extra_info("socket")
    if sock is not None:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
