"""One connection to one device, on pymodbus' asynchronous client, made strict where it is generous.

What it leaves to us: it takes an answer under transaction id 0 for any question, with another function
or another number of registers than was asked; it goes on waiting for an answer whose connection is
gone; and it connects again by itself. Here an answer is the answer to the one question under way, or
it is trouble; after trouble other than a Modbus exception the connection is given up, so that nothing
that comes late can meet a later question.
"""

import random
from typing import Final

from pymodbus.client import AsyncModbusTcpClient
from pymodbus.constants import ExcCodes
from pymodbus.exceptions import ConnectionException, ModbusException
from pymodbus.pdu import ExceptionResponse, ModbusPDU

from settlement.sensors import Quality

READ_HOLDING: Final = 3
_BUFFER_BYTES: Final = 2_048
_FIRST_TRANSACTIONS: Final = 60_000
_BEYOND_DEADLINE: Final = 4
"""pymodbus' own time limit is never the one that ends a wait: the caller's deadline is."""


class TroubleError(Exception):
    """No registers. ``quality``: in one word; ``detail``: what was found, and what was expected;
    ``code``: of a Modbus exception, else 0.
    """

    def __init__(self, quality: Quality, detail: str, *, code: int = 0) -> None:
        super().__init__(detail)
        self.quality = quality
        self.detail = detail
        self.code = code


class Wire:
    """A connection that is made, used by one task, and closed; never made again by itself.

    Args:
        host: and ``port``: of the device.
        deadline_s: the caller's; see ``_BEYOND_DEADLINE``.
        rng: chooses where the transaction ids begin, so that two connections rarely share any.
    """

    def __init__(self, host: str, port: int, *, deadline_s: float, rng: random.Random) -> None:
        self._place = f"{host}:{port}"
        self._first = rng.randrange(1, _FIRST_TRANSACTIONS)
        self._heard = 0
        self._client = AsyncModbusTcpClient(
            host,
            port=port,
            name=self._place,
            reconnect_delay=0,
            timeout=deadline_s * _BEYOND_DEADLINE,
            retries=0,
            trace_packet=self._on_packet,
            trace_connect=self._on_connect,
        )
        # A late answer before the right one must not push it out: pymodbus holds barely one frame.
        self._client.ctx.max_buffer_size = _BUFFER_BYTES

    async def open(self) -> None:
        """Connect. Raises TroubleError."""
        try:
            connected = await self._client.connect()
        except (OSError, ModbusException) as error:
            raise TroubleError(Quality.NO_ANSWER, f"{self._place}: {error}") from error
        if not connected:
            raise TroubleError(Quality.NO_ANSWER, f"{self._place}: no connection")
        self._client.ctx.next_tid = self._first

    async def read(self, device_id: int, function: int, address: int, count: int) -> list[int]:
        """Registers; exactly so many.

        Raises:
            TroubleError: REFUSED leaves the connection usable, anything else does not.
        """
        self._heard = 0
        ask = (
            self._client.read_holding_registers
            if function == READ_HOLDING
            else self._client.read_input_registers
        )
        try:
            answer = await ask(address, count=count, device_id=device_id)
        except (OSError, ModbusException) as error:
            raise self.silence(str(error)) from error
        return self._registers(answer, device_id, function, address, count)

    def silence(self, found: str) -> TroubleError:
        """The trouble of an answer that has not come, by whether anything has."""
        if self._heard:
            detail = f"{self._heard} bytes that are no answer to the question: {found}"
            return TroubleError(Quality.GARBLED, detail)
        return TroubleError(Quality.NO_ANSWER, found)

    def close(self) -> None:
        """Give the connection back; may be called twice."""
        self._client.close()

    def _registers(
        self, answer: ModbusPDU, device_id: int, function: int, address: int, count: int
    ) -> list[int]:
        asked = self._client.ctx.request_transaction_id
        if answer.transaction_id != asked:
            found = f"transaction {answer.transaction_id}; expected {asked}"
            raise TroubleError(Quality.GARBLED, found)
        if answer.dev_id != device_id:
            raise TroubleError(Quality.GARBLED, f"device id {answer.dev_id}; expected {device_id}")
        if isinstance(answer, ExceptionResponse):
            if answer.function_code != function | 0x80:
                found = f"an exception to function {answer.function_code & 0x7F}"
                raise TroubleError(Quality.GARBLED, f"{found}; expected one to {function}")
            where = f"registers {address} to {address + count - 1}, function {function}"
            code = answer.exception_code
            raise TroubleError(Quality.REFUSED, f"{_named(code)} for {where}", code=code)
        if answer.function_code != function:
            found = f"an answer to function {answer.function_code}"
            raise TroubleError(Quality.GARBLED, f"{found}; expected one to {function}")
        if len(answer.registers) != count:
            found = f"{len(answer.registers)} registers; expected {count}"
            raise TroubleError(Quality.GARBLED, found)
        return list(answer.registers)

    def _on_packet(self, sending: bool, data: bytes) -> bytes:  # noqa: FBT001 - as pymodbus calls it
        if not sending:
            self._heard = len(data)
        return data

    def _on_connect(self, connected: bool) -> None:  # noqa: FBT001 - as pymodbus calls it
        if connected:
            return
        # pymodbus would wait for the answer for as long as its time limit.
        waiting = self._client.ctx.response_future
        if not waiting.done():
            waiting.set_exception(ConnectionException(f"{self._place}: connection lost"))
            # Where nobody waits, nobody will ask for it.
            waiting.exception()


def _named(code: int) -> str:
    try:
        words = ExcCodes(code).name.replace("_", " ").lower()
    except ValueError:
        words = "unknown"
    return f"Modbus exception {code} ({words})"
