"""The agent: its parts, put together; how it starts, drains and stops.

Threads: main (signals, sending, presence) · intake (the controller's lines, signing, storing) · mqtt
(the broker's connection) · drain (uploads) · clock (asks chrony). They meet in the store and the outbox.
"""

import logging
import os
import queue
import random
import signal
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

from evse_agent import inbox, packet, samples
from evse_agent.backoff import Backoff
from evse_agent.clock import EVERY_S, Clock, source_of
from evse_agent.config import Config
from evse_agent.drain import Drain
from evse_agent.errors import AgentError, AuthExpiredError, StoreError
from evse_agent.intake import Answer, Intake, refusal
from evse_agent.intervals import Interval, State, Step, take
from evse_agent.key import Signer, load, thumbprint
from evse_agent.log import say
from evse_agent.mqtt import RETRY_FIRST_S, RETRY_LONGEST_S, Link
from evse_agent.notify import notify
from evse_agent.outbox import Outbox
from evse_agent.plc import Link as Powerline
from evse_agent.samples import End, RefusedError, Sample
from evse_agent.store import Store
from evse_agent.throttle import Throttle
from evse_agent.upload import Upload

logger = logging.getLogger(__name__)

TICK_S: Final = 1.0
PRESENCE_S: Final = 300.0
STOP_S: Final = 5.0
DRAIN_STOP_S: Final = 5.0


class Agent:
    """Everything that runs in the process.

    Raises:
        AgentError: a part cannot be made: which, what was found, what to do.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._signer: Signer = load(config)
        self._key_id = thumbprint(self._signer.public)
        # Not for secrets: so that chargers do not come back in step. But it may as well be good.
        rng = random.SystemRandom()
        self._clock = Clock(source_of(config))
        self._wake: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._said_presence_at = 0.0
        self._presence_due = False
        self._full = False
        self._broker: dict[str, object] = {}
        self._powerline = Powerline(config.evse_id, changed=self._presence_changed)
        self._link = Link(
            config,
            backoff=Backoff(first_s=RETRY_FIRST_S, longest_s=RETRY_LONGEST_S, rng=rng),
            received=self._received,
            changed=self._broker_changed,
            presence=self._presence,
        )
        upload = None
        if config.upload_url is not None and config.upload_token_file is not None:
            upload = Upload(config.upload_url, config.upload_token_file, config.upload_ca_file)
        self._store = Store(config.store_file, bytes_max=config.store_max_bytes)
        self._state: State = self._store.state()
        self._outbox = Outbox(
            self._store,
            self._link.publish,
            window=config.broker.window,
            receipt_timeout=config.receipt_timeout,
        )
        self._drain = None
        if upload is not None:
            self._drain = Drain(
                config,
                upload,
                self._outbox,
                settled=self._settled,
                connected=lambda: self._link.connected,
                rng=rng,
            )
        self._intake = Intake(config.socket_file, self.line, greeting=self._greeting)
        self._throttle = Throttle(
            self._store, self._intake.tell, bidirectional=config.bidirectional_enabled
        )
        self._ending = threading.Event()

    def run(self) -> int:
        """Run until SIGTERM or SIGINT. The process's exit status."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._wake.put("end"))
        depth = self._store.depth()
        say(logger, logging.INFO, "started", pid=os.getpid(), evse_id=self._config.evse_id,
            key_id=self._key_id, epoch=self._store.epoch, waiting=depth.packets,
            limit_w=self._throttle.limit_w)  # fmt: skip
        asks = threading.Thread(target=self._watch_clock, name="clock", daemon=True)
        asks.start()
        self._link.start()
        if self._drain is not None:
            self._drain.start()
        self._intake.start()
        notify("READY=1")
        while not self._ended():
            self._tick()
        return self._end()

    def _ended(self) -> bool:
        """Wait for something to do, a second at most. Whether it is to end."""
        woken = set()
        try:
            woken.add(self._wake.get(timeout=TICK_S))
            while True:  # once for all that has come meanwhile; each may come many times a second
                woken.add(self._wake.get_nowait())
        except queue.Empty:
            return "end" in woken

    def _end(self) -> int:
        notify("STOPPING=1")
        self._ending.set()
        self._intake.stop(timeout_s=STOP_S)
        if self._drain is not None:
            self._drain.stop(timeout_s=DRAIN_STOP_S)
        self._link.stop()
        depth = self._store.depth()
        self._store.close()
        say(logger, logging.INFO, "stopped", waiting=depth.packets)
        return 0

    def _tick(self) -> None:
        """What the main thread does when it is woken, and once a second."""
        try:
            if not self._intake.alive:
                raise AgentError(
                    "the controller's thread has ended, see the log above; start again"
                )
            self._link.mend()
            self._throttle.keep()
            if self._link.connected:
                waiting_too = self._drain is None or not self._drain.active
                self._outbox.send(waiting_too=waiting_too)
            now = time.monotonic()
            if self._presence_due or now - self._said_presence_at >= PRESENCE_S:
                self._presence_due = False
                self._said_presence_at = now
                self._link.say_status(self._presence(), retain=True)
            if self._store.rotten:
                self._store.rotten.clear()
                say(logger, logging.ERROR, "stored_packet_damaged",
                    consequence="it is kept and not sent: the disk changed its bytes",
                    do="look at the disk")  # fmt: skip
            notify("WATCHDOG=1")
        except StoreError as error:
            say(logger, logging.ERROR, "store", why=error)

    def _watch_clock(self) -> None:
        while not self._ending.wait(EVERY_S):
            before = self._clock.trusted
            self._clock.refresh()
            self._presence_due |= before != self._clock.trusted

    # --- the controller's lines ------------------------------------------------------------------------

    def line(self, line: bytes) -> Answer:
        """Take a line of the controller; called by the intake's thread."""
        try:
            said = samples.parse(line)
            self._require_direction(said)
            self._take(said)
        except RefusedError as error:
            say(logger, logging.WARNING, "refused", where=error.where, found=error.found,
                expected=error.expected)  # fmt: skip
            return refusal(error.where, error.found, error.expected)
        except (StoreError, AuthExpiredError) as error:
            self._refuse_loudly(error)
            return refusal("agent", str(error), "an agent that can sign and store; send it again")
        except Exception as error:
            logger.exception("a line could not be handled")
            return refusal("agent", type(error).__name__, "no error of the agent; send it again")
        if isinstance(said, Sample):
            self._powerline.measured(said.snr_cdb)
            self._throttle.measured(int(said.power_w))
        return {"accepted": True}

    def _take(self, said: Sample | End) -> None:
        """Sign and store what a line leads to. Raises RefusedError, StoreError, AuthExpiredError."""
        every = timedelta(seconds=self._config.settlement_interval)
        try:
            self._keep(take(self._state, said, every, packet.record_times))
        except RefusedError as error:
            edge, last = self._state.edge, self._state.last
            if edge is None or last is None:
                raise
            # A session must be able to end, or nothing could follow it.
            if isinstance(said, End):
                say(logger, logging.ERROR, "interval_impossible", why=error)
                self._keep(Step(State(ended=self._state.ended), uncovered=(edge.at, last.at)))
            elif said.session_id != last.session_id:
                self._take(End(last.session_id))
                self._take(said)
            else:
                raise

    def _require_direction(self, said: Sample | End) -> None:
        last = self._state.last
        if self._config.bidirectional_enabled or not isinstance(said, Sample) or last is None:
            return
        same = last.session_id == said.session_id
        if same and said.export_milliwh > last.export_milliwh:
            raise RefusedError(
                "export_wh",
                f"{said.export_wh} after {last.export_wh}: exported energy",
                "none, because BidirectionalEnabled is false",
            )

    def _keep(self, step: Step) -> None:
        """Sign and store what a line led to; only then is it so."""
        if step.intervals or step.state != self._state:
            make = [partial(self._packet, one) for one in step.intervals]
            stored = self._store.add(make, step.state)
            self._state = step.state
            if stored:
                self._outbox.stored(stored)
                self._wake.put("stored")
            for one in stored:
                say(logger, logging.DEBUG, "stored", epoch=one.epoch, sequence=one.sequence,
                    bytes=len(one.packet))  # fmt: skip
        if self._full:
            self._full = False
            self._presence_due = True
            say(logger, logging.INFO, "store_takes_again")
        if step.uncovered is not None:
            begins, ends = (packet.text(at) for at in step.uncovered)
            say(logger, logging.ERROR, "uncovered", started_at=begins, ended_at=ends,
                consequence="the meter's energy of this time is in no packet")  # fmt: skip

    def _packet(self, interval: Interval, epoch: int, sequence: int) -> bytes:
        config = self._config
        position = None
        if config.latitude is not None and config.longitude is not None:
            position = config.latitude, config.longitude
        content = packet.fields(
            interval,
            evse_id=config.evse_id,
            epoch=epoch,
            sequence=sequence,
            clock_offset_ms=self._clock.offset.milliseconds,
            position=position,
        )
        return packet.sign(content, self._signer, self._key_id)

    def _refuse_loudly(self, error: Exception) -> None:
        if not self._full:
            self._full = True
            self._presence_due = True
            say(logger, logging.ERROR, "not_stored", why=error,
                consequence="the interval stays open: its energy goes into the next packet, within an"
                " hour")  # fmt: skip

    def _greeting(self) -> Answer | None:
        return self._throttle.greeting()

    # --- the broker's messages ---------------------------------------------------------------------------

    def _received(self, what: str, payload: bytes) -> None:
        """A receipt or a command; called by the connection's thread."""
        if what == "command":
            self._link.say_status(self._throttle.command(payload), retain=False)
            self._presence_due = True
            return
        try:
            receipt = inbox.parse(payload)
        except inbox.UnreadableReceiptError as error:
            say(logger, logging.WARNING, "receipt_unreadable", why=error)
            return
        self._settled([(one.digest, one.state, one.detail) for one in receipt.received])
        for gap in receipt.missing:
            if gap.evse_id != self._config.evse_id:
                continue
            here = self._outbox.missing(gap.epoch, gap.first, gap.last)
            if here == 0:
                say(logger, logging.WARNING, "missing_not_here", epoch=gap.epoch,
                    first=gap.first, last=gap.last,
                    why="they were receipted before, or the store was lost")  # fmt: skip
        self._wake.put("receipt")

    def _settled(self, held: Sequence[tuple[bytes, str, str]]) -> None:
        """The other side holds these; called by the connection's thread and by the uploads."""
        if not held:
            return
        keys = self._store.settle([digest for digest, _, _ in held])
        self._outbox.settled(keys)
        for digest, state, detail in held:
            if state in {"aside", "conflict"}:
                say(logger, logging.ERROR, f"packet_{state}", digest=digest.hex(), detail=detail)
        if keys and any(state == "conflict" for _, state, _ in held):
            epoch = self._store.raise_epoch()
            say(logger, logging.ERROR, "new_stream", epoch=epoch,
                why="other contents stand under this stream's sequences",
                do="never copy a store, and never restore one")  # fmt: skip
        self._wake.put("settled")

    def _broker_changed(self, up: bool, why: str) -> None:  # noqa: FBT001 - one state, told as it is
        if up:
            self._outbox.connected()
        else:
            self._outbox.disconnected()
        state = {"up": up, "why": why}
        if state != self._broker:
            self._broker = state
            if not up:
                say(logger, logging.WARNING, "mqtt_down", why=why, consequence="everything is kept")
            try:
                self._store.keep(broker={**state, "since": datetime.now(UTC).isoformat()})
            except StoreError as error:
                # For `status` only; raised here it would end the connection's thread.
                say(logger, logging.ERROR, "store", why=error)
        self._wake.put("broker")

    def _presence_changed(self) -> None:
        self._presence_due = True

    def _presence(self) -> dict[str, object]:
        depth = self._store.depth()
        return {
            "version": 1,
            "state": "online",
            "at": packet.text(datetime.now(UTC)),
            "evse_id": self._config.evse_id,
            "stream_epoch": self._store.epoch,
            "waiting": depth.packets,
            "store": "full" if self._full else "good",
            "limit_w": self._throttle.limit_w,
            "clock_offset_ms": self._clock.offset.milliseconds,
            "clock_source": self._clock.offset.source,
            **self._powerline.status(),
        }
