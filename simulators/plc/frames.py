"""Modbus TCP frames (MODBUS Messaging on TCP/IP 1.0b §3.1), right and spoilt."""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from simulators.plc.faults import Fault, Kind

FIRST_STALE: Final = 0xFDE8
"""The transaction of a stale answer where none came before."""


@dataclass(frozen=True)
class Exchange:
    """An answer (function and data), whose it is, and the transaction and answer before it."""

    transaction: int
    unit: int
    answer: bytes
    before: tuple[int, bytes]

    def frame(self) -> bytes:
        """The right one."""
        return framed(self.transaction, self.unit, self.answer)

    def stale(self, transaction: int | None = None) -> bytes:
        """The answer before, under its own transaction or another."""
        earlier, answer = self.before
        own = earlier or FIRST_STALE
        return framed(own if transaction is None else transaction, self.unit, answer or self.answer)


def framed(transaction: int, unit: int, answer: bytes, *, protocol: int = 0) -> bytes:
    """Header and answer."""
    return struct.pack(">HHHB", transaction, protocol, len(answer) + 1, unit) + answer


def exception(function: int, code: int) -> bytes:
    """A Modbus exception (application protocol 1.1b3 §7)."""
    return struct.pack(">BB", function | 0x80, code)


_SPOILT: Final[dict[Kind, Callable[[Exchange], bytes]]] = {
    Kind.SHORT_FRAME: lambda one: one.frame()[:-1],
    Kind.SHORT_DATA: lambda one: framed(one.transaction, one.unit, one.answer[:-2]),
    Kind.STALE: lambda one: one.stale(),
    Kind.STALE_THEN_RIGHT: lambda one: one.stale() + one.frame(),
    Kind.NO_TRANSACTION: lambda one: one.stale(0),
    Kind.WRONG_UNIT: lambda one: framed(one.transaction, one.unit % 247 + 1, one.answer),
    Kind.WRONG_FUNCTION: lambda one: framed(
        one.transaction, one.unit, bytes([one.answer[0] ^ 7]) + one.answer[1:]
    ),
    Kind.WRONG_PROTOCOL: lambda one: framed(one.transaction, one.unit, one.answer, protocol=7),
    Kind.NOISE: lambda _: b"\xff\xfe" * 20,
    Kind.STALL: lambda _: b"",
}


def spoilt(fault: Fault, exchange: Exchange) -> bytes:
    """What is sent. Faults of the data, of time and of the connection send the right frame."""
    return _SPOILT.get(fault.kind, Exchange.frame)(exchange)
