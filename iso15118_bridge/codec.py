"""The wrapper around the EXI codec: sees every message of both sides, and changes no state machine.

On the way out it gives the elements of MeterInfo the schema's names, and then decodes what it has
encoded: the discharged register must stand in the bytes that travel, with the value that was meant.
On the way in it turns the names back, so that the library finds what it looks for. The wrapped codec
is any object with encode, decode and get_version, which is all that the library asks of one.
"""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, Protocol

from iso15118_bridge.wire import (
    DISCHARGED,
    LIBRARY_TO_SCHEMA,
    SCHEMA_TO_LIBRARY,
    Message,
    meter_infos,
    renamed,
)

SENT: Final = "tx"
RECEIVED: Final = "rx"
COMMON: Final = "urn:iso:std:iso:15118:-20:CommonMessages"
APP_PROTOCOL: Final = "urn:iso:15118:2:2010:AppProtocol"
DC: Final = "urn:iso:std:iso:15118:-20:DC"
AC: Final = "urn:iso:std:iso:15118:-20:AC"

_HEADER: Final = {"Header": {"SessionID": "0000000000000000", "TimeStamp": 0}}
_FIRST_MESSAGES: Final = (
    (APP_PROTOCOL, {"supportedAppProtocolRes": {"ResponseCode": "OK_SuccessfulNegotiation"}}),
    (COMMON, {"ServiceDiscoveryReq": _HEADER}),
    (DC, {"DC_CableCheckReq": _HEADER}),
    (AC, {"AC_ChargeLoopReq": {
        **_HEADER,
        "MeterInfoRequested": False,
        "Scheduled_AC_CLReqControlMode": {"EVPresentActivePower": {"Exponent": 0, "Value": 0}},
    }}),
)  # fmt: skip


class Codec(Protocol):
    """What the library asks of a codec."""

    def encode(self, message: str, namespace: str) -> bytes: ...

    def decode(self, stream: bytes, namespace: str) -> str: ...

    def get_version(self) -> str: ...


class RegisterLostError(RuntimeError):
    """The discharged register is not in the bytes that would have travelled."""


class WatchedCodec:
    """A codec that repairs names, verifies the register, and tells what travels.

    Args:
        inner: does the work.
        seen: called with (direction, message with the schema's names, when, namespace). What it
            raises ends the session: the library takes it for a failure to encode or decode.
        lost: called with what is wrong before RegisterLostError is raised.
        wants_meter: whether the car on this side asks for the meter in every charge loop; the
            package's simulated car never does by itself.
    """

    def __init__(
        self,
        inner: Codec,
        *,
        seen: Callable[[str, Message, datetime, str], None] = lambda *_: None,
        lost: Callable[[str], None] = lambda _: None,
        wants_meter: bool = False,
    ) -> None:
        self._inner = inner
        self._seen = seen
        self._lost = lost
        self._wants_meter = wants_meter

    def get_version(self) -> str:
        """The wrapped codec's."""
        return self._inner.get_version()

    def encode(self, message: str, namespace: str) -> bytes:
        """JSON to EXI, repaired and verified.

        Raises:
            RegisterLostError: the discharged register was meant and is not in the bytes.
        """
        text = renamed(message, LIBRARY_TO_SCHEMA)
        sent: Message = json.loads(text)
        if self._wants_meter and _ask_for_meter(sent):
            text = json.dumps(sent)
        stream = bytes(self._inner.encode(text, namespace))
        if any(DISCHARGED in info for info in meter_infos(sent)):
            travels: Message = json.loads(self._inner.decode(stream, namespace))
            self._verify(sent, travels)
            sent = travels
        self._seen(SENT, sent, datetime.now(UTC), namespace)
        return stream

    def decode(self, stream: bytes, namespace: str) -> str:
        """EXI to JSON, with the library's names."""
        text = self._inner.decode(stream, namespace)
        self._seen(RECEIVED, json.loads(text), datetime.now(UTC), namespace)
        return renamed(text, SCHEMA_TO_LIBRARY)

    def warm_up(self) -> float:
        """Encode and decode one message per schema; how long that took, in seconds.

        The first message of each schema costs seconds, more than the protocol allows.
        """
        began = time.monotonic()
        for namespace, message in _FIRST_MESSAGES:
            self._inner.decode(bytes(self._inner.encode(json.dumps(message), namespace)), namespace)
        return time.monotonic() - began

    def _verify(self, sent: Message, travels: Message) -> None:
        for meant, found in zip(meter_infos(sent), [*meter_infos(travels), {}], strict=False):
            if found.get(DISCHARGED) != meant[DISCHARGED]:
                problem = (
                    f"{DISCHARGED}: found {found.get(DISCHARGED, 'nothing')} in the encoded message,"
                    f" expected {meant[DISCHARGED]}"
                )
                self._lost(problem)
                raise RegisterLostError(problem)


def _ask_for_meter(message: Message) -> bool:
    """Make a charge loop's request ask for the meter; whether it is one."""
    for name in ("DC_ChargeLoopReq", "AC_ChargeLoopReq"):
        if name in message:
            message[name]["MeterInfoRequested"] = True
            return True
    return False
