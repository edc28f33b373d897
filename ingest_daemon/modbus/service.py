"""The process: pollers, landing and HTTP in one event loop; how it starts, drains and stops."""

import asyncio
import logging
import os
import random
import signal
from collections.abc import Callable
from contextlib import nullcontext, suppress
from datetime import UTC, datetime
from typing import Any, Final

import uvicorn

from ingest_daemon.backoff import Backoff
from ingest_daemon.errors import IngestError
from ingest_daemon.health import Health
from ingest_daemon.http_server import configured, listen
from ingest_daemon.log import say
from ingest_daemon.modbus.configuration import Device, Fleet
from ingest_daemon.modbus.landing import Landing
from ingest_daemon.modbus.metrics import Metrics
from ingest_daemon.modbus.outbox import Outbox
from ingest_daemon.modbus.poll import Poll, Poller
from ingest_daemon.modbus.rounds import Rounds
from ingest_daemon.modbus.settings import Settings
from ingest_daemon.watching import Watching, token_in
from storage.sample_store import SampleStore

logger = logging.getLogger(__name__)

DATABASE_RETRY_FIRST_S: Final = 0.2
DATABASE_RETRY_LONGEST_S: Final = 5.0
CONNECTIONS_MAX: Final = 32


def utc_now() -> datetime:
    """The clock of the process."""
    return datetime.now(UTC)


class Service:
    """Everything that runs in the process.

    Args:
        settings: as loaded.
        fleet: the devices.
        now: the clock for what is measured, UTC.

    Raises:
        SettingsError: the address for HTTP, or the token for the figures, cannot be had.
    """

    def __init__(
        self, settings: Settings, fleet: Fleet, *, now: Callable[[], datetime] = utc_now
    ) -> None:
        # Not for secrets: so that pollers do not come in step. But it may as well be good.
        self._rng = random.SystemRandom()
        self._settings = settings
        self._fleet = fleet
        self._now = now
        self._health = Health("database", "poller")
        self._outbox = Outbox(samples_max=settings.modbus_outbox_samples)
        self._metrics = Metrics(self._outbox, now=now)
        token = token_in(settings.metrics_token_file)
        self._app = Watching(self._health, self._metrics, token=token).app()
        self._socket = listen(
            settings.modbus_http_host, settings.modbus_http_port, variables="V2G_MODBUS_HTTP_PORT"
        )

    def run(self) -> int:
        """Run until a signal comes or a part breaks. The process's exit status.

        SIGTERM or SIGINT lands what is held and ends; a second one ends at once.
        """
        # What goes wrong on a connection is a sample's word; the library says it again, at length.
        logging.getLogger("pymodbus").setLevel(logging.CRITICAL + 1)
        try:
            return asyncio.run(self._run())
        except IngestError as error:
            say(logger, logging.CRITICAL, "refused_to_run", why=error)
            return error.exit_status
        except Exception:
            logger.critical("broken", exc_info=True)
            return 1

    async def _run(self) -> int:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(_hear)
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal, number, stop)
        landing = Landing(
            self._outbox,
            SampleStore(self._settings.database_url, now=self._now),
            health=self._health,
            metrics=self._metrics,
            backoff=Backoff(
                first_s=DATABASE_RETRY_FIRST_S,
                longest_s=DATABASE_RETRY_LONGEST_S,
                rng=self._rng,
            ),
        )
        rounds = Rounds(
            self._fleet, self._outbox, metrics=self._metrics, now=self._now, rng=self._rng
        )
        server = _Quiet(configured(self._app, answer_within_s=0, connections_max=CONNECTIONS_MAX))
        host, port = self._socket.getsockname()[:2]
        say(logger, logging.INFO, "started", pid=os.getpid(), devices=len(self._fleet.devices),
            http=f"http://{host}:{port}")  # fmt: skip
        http = asyncio.create_task(server.serve([self._socket]), name="http")
        lands = asyncio.create_task(landing.run(), name="landing")
        polls = asyncio.create_task(rounds.run(), name="polling")
        stopping = asyncio.create_task(stop.wait(), name="stop")
        self._health.set("poller", up=True, detail="running")
        try:
            done, _ = await asyncio.wait(
                {http, lands, polls, stopping}, return_when=asyncio.FIRST_COMPLETED
            )
            self._health.set("poller", up=False, detail="stopping")
            await _ended(polls)
            for one in done - {stopping, polls}:
                one.result()
            if polls in done:
                polls.result()
            await self._drain(landing, lands)
        finally:
            server.should_exit = True
            for one in (polls, lands, stopping):
                await _ended(one)
            await asyncio.wait({http}, timeout=1.0)
            await _ended(http)
        say(logger, logging.INFO, "stopped", held=self._outbox.samples)
        return 0

    async def _drain(self, landing: Landing, lands: "asyncio.Task[None]") -> None:
        say(logger, logging.INFO, "draining", samples=self._outbox.samples,
            at_most_s=self._settings.drain_s)  # fmt: skip
        landing.end()
        await asyncio.wait({lands}, timeout=self._settings.drain_s)
        if lands.done():
            lands.result()
        else:
            oldest = self._outbox.oldest
            say(logger, logging.ERROR, "not_drained", samples=self._outbox.samples,
                since=oldest.isoformat() if oldest else "now",
                consequence="these samples are lost")  # fmt: skip
            # Not by way of the loop, which would wait for a thread that waits for the database.
            os._exit(1)

    def _on_signal(self, number: signal.Signals, stop: asyncio.Event) -> None:
        if stop.is_set():
            os._exit(1)
        say(logger, logging.INFO, "signal", name=signal.Signals(number).name)
        stop.set()


class _Quiet(uvicorn.Server):
    """uvicorn without its own signal handlers: the service has them."""

    def capture_signals(self) -> Any:
        return nullcontext()


async def _ended(task: "asyncio.Task[Any]") -> None:
    """Cancelled, if it is under way, and at its end."""
    task.cancel()
    with suppress(asyncio.CancelledError, Exception):
        await task


def _hear(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """What breaks in a callback: pymodbus' decoder raises there on a spoilt frame, and asyncio then cuts
    the connection, which its poller has noticed already.
    """
    say(logger, logging.DEBUG, "callback", message=context.get("message"),
        error=repr(context.get("exception")))  # fmt: skip


async def once(fleet: Fleet, *, now: Callable[[], datetime] = utc_now) -> list[tuple[Device, Poll]]:
    """Ask every device once, in the file's order. For people who set devices up."""
    logging.getLogger("pymodbus").setLevel(logging.CRITICAL + 1)
    asyncio.get_running_loop().set_exception_handler(_hear)
    turns = asyncio.Semaphore(fleet.concurrency)
    rng = random.SystemRandom()

    async def ask(device: Device) -> tuple[Device, Poll]:
        poller = Poller(device, now=now, rng=rng)
        async with turns:
            poll = await poller.poll()
        poller.close()
        return device, poll

    return list(await asyncio.gather(*(ask(device) for device in fleet.devices)))
