"""After an outage: what waits goes over HTTP in batches, paced, while new packets go over the broker.

It begins when more than UploadThreshold packets wait, or when there has been no broker for
UploadAfter seconds and any wait; then a random part of UploadSpread is waited, so that a fleet does not
come back in one second. It ends when less than half a window waits: the broker takes the rest.
"""

import logging
import random
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from evse_agent.backoff import Backoff
from evse_agent.config import Config
from evse_agent.log import say
from evse_agent.outbox import Outbox
from evse_agent.upload import BODY_MAX_BYTES, PACKETS_MAX, Upload, fitting

logger = logging.getLogger(__name__)

LOOK_EVERY_S: Final = 1.0
RETRY_FIRST_S: Final = 1.0
RETRY_LONGEST_S: Final = 60.0

Settled = Callable[[Sequence[tuple[bytes, str, str]]], None]


class Drain:
    """The thread of uploads.

    Args:
        config: thresholds and pauses.
        upload: where batches go.
        outbox: what waits.
        settled: told of each packet that the other side holds.
        connected: whether the broker's connection stands.
        rng: for waits that differ between chargers.
    """

    def __init__(
        self,
        config: Config,
        upload: Upload,
        outbox: Outbox,
        *,
        settled: Settled,
        connected: Callable[[], bool],
        rng: random.Random,
    ) -> None:
        self._config = config
        self._upload = upload
        self._outbox = outbox
        self._settled = settled
        self._connected = connected
        self._rng = rng
        self._backoff = Backoff(first_s=RETRY_FIRST_S, longest_s=RETRY_LONGEST_S, rng=rng)
        self._batch_max = PACKETS_MAX
        self._seen_at = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="drain", daemon=True)
        self.active = False
        """Whether uploads take what waits; else the broker does."""
        self.trouble = ""

    def start(self) -> None:
        self._thread.start()

    def stop(self, *, timeout_s: float) -> None:
        """End after the batch that is under way, or leave it: it is answered with 208 next time."""
        self._stop.set()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self._stop.wait(LOOK_EVERY_S):
            try:
                if self._needed():
                    self._all()
            except Exception:
                # Whatever it was, nothing is lost by it: packets leave the store by receipts alone.
                logger.exception("the uploads broke off")
                self._stop.wait(self._backoff.next_s())
            finally:
                self.active = False
                self._outbox.uploaded()

    def _needed(self) -> bool:
        now = time.monotonic()
        if self._connected():
            self._seen_at = now
        waiting = self._outbox.waiting()
        if waiting > self._config.upload_threshold:
            return True
        alone = now - self._seen_at >= self._config.upload_after and not self._connected()
        return alone and waiting > 0

    def _all(self) -> None:
        """From the first batch to the last."""
        if self._stop.wait(self._rng.uniform(0, self._config.upload_spread)):
            return
        self.active = True
        began, count = time.monotonic(), 0
        say(logger, logging.INFO, "drain_begins", waiting=self._outbox.waiting())
        while not self._stop.is_set():
            chosen = self._outbox.for_upload(self._batch_max, bytes_max=BODY_MAX_BYTES)
            batch = fitting(chosen, packets_max=self._batch_max)
            self._outbox.uploading(batch)
            if not batch:
                break
            outcome = self._upload.send(batch)
            if outcome.settled:
                self._settled(outcome.settled)
                count += len(outcome.settled)
            self._outbox.uploaded()
            if outcome.smaller:
                self._batch_max = max(1, self._batch_max // 2)
            if outcome.trouble and not outcome.settled:
                if not self._wait_out(outcome.trouble, outcome.wait_s):
                    return
                continue
            self._backoff.reset()
            self.trouble = ""
            self.active = True
            if self._outbox.waiting() <= self._config.broker.window // 2 and self._connected():
                break
            # Paced, and never in step with others.
            if self._stop.wait(self._config.upload_pause * self._rng.uniform(0.5, 1.5)):
                break
        seconds = time.monotonic() - began
        say(logger, logging.INFO, "drain_ends", packets=count, seconds=f"{seconds:.1f}",
            waiting=self._outbox.waiting())  # fmt: skip

    def _wait_out(self, trouble: str, asked_s: float) -> bool:
        """Wait before the next attempt; meanwhile the broker takes what waits. False: stopping."""
        if trouble != self.trouble:
            say(logger, logging.WARNING, "upload_failed", why=trouble,
                consequence="tries again; everything is kept")  # fmt: skip
        self.trouble = trouble
        self.active = False
        return not self._stop.wait(max(asked_s, self._backoff.next_s()))
