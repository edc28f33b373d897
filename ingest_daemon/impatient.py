"""uvicorn's HTTP, with an end to waiting for a request: uvicorn itself waits for its first byte for ever.

Connections are counted, so whoever opens enough of them and says nothing would keep everybody else out.
"""

import asyncio
from typing import Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

REQUEST_WITHIN_S: Final = 15.0
"""A connection on which no request has begun for so long, or up to twice that, is closed."""


class Impatient(H11Protocol):
    """A connection that hangs up on whoever never gets to the end of a request's head."""

    _waited = False

    def connection_made(  # type: ignore[override] # as uvicorn has it
        self, transport: asyncio.Transport
    ) -> None:
        super().connection_made(transport)
        self._cycle_before = self.cycle
        self._look_later()

    def _look_later(self) -> None:
        self.loop.call_later(REQUEST_WITHIN_S, self._look)

    def _look(self) -> None:
        if self.transport.is_closing():
            return
        waits = self.conn.their_state is h11.IDLE and self.cycle is self._cycle_before
        if waits and self._waited:
            self.transport.close()
            return
        self._waited, self._cycle_before = waits, self.cycle
        self._look_later()
