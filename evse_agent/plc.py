"""The powerline between charger and car (HomePlug Green PHY), watched by its signal-to-noise ratio.

Below 10 dB its handshake fails: "Communication Timeout". That is logged once when it begins, then at
most every five minutes, and over is what stays over: at least 12 dB.
"""

import logging
import time
from collections.abc import Callable
from typing import Final

from evse_agent.log import say

logger = logging.getLogger(__name__)

LOW_CDB: Final = 1000
"""10 dB, in hundredths."""
GOOD_CDB: Final = 1200
AGAIN_S: Final = 300.0
MESSAGE: Final = "Communication Timeout"


def decibel(hundredths: int) -> str:
    """Decimal text.

    >>> decibel(850), decibel(-30)
    ('8.50', '-0.30')
    """
    whole, rest = divmod(abs(hundredths), 100)
    return f"{'-' if hundredths < 0 else ''}{whole}.{rest:02}"


class Link:
    """One powerline link. ``changed`` is called when it becomes low or good."""

    def __init__(
        self,
        evse_id: str,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._evse_id = evse_id
        self._monotonic = monotonic
        self._changed = changed
        self._said_at = 0.0
        self._unsaid = 0
        self.low = False
        self.snr_cdb: int | None = None

    def measured(self, snr_cdb: int | None) -> None:
        """A value of the controller, in hundredths of a decibel; None: it has none."""
        if snr_cdb is None:
            return
        self.snr_cdb = snr_cdb
        if snr_cdb < LOW_CDB:
            began = not self.low
            self.low = True
            self._unsaid += 1
            if began or self._monotonic() - self._said_at >= AGAIN_S:
                self._say(snr_cdb)
            if began:
                self._changed()
        elif self.low and snr_cdb >= GOOD_CDB:
            self.low = False
            self._unsaid = 0
            say(logger, logging.INFO, "plc_good", evse_id=self._evse_id, snr_db=decibel(snr_cdb))
            self._changed()

    def _say(self, snr_cdb: int) -> None:
        say(
            logger,
            logging.WARNING,
            "plc_low",
            message=MESSAGE,
            evse_id=self._evse_id,
            snr_db=decibel(snr_cdb),
            expected="at least 10 dB",
            samples=self._unsaid,
        )
        self._said_at = self._monotonic()
        self._unsaid = 0

    def status(self) -> dict[str, object]:
        """For the presence."""
        if self.snr_cdb is None:
            return {}
        return {
            "snr_db": decibel(self.snr_cdb),
            "plc": MESSAGE if self.low else "good",
        }
