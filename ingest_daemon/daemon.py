"""The daemon: its parts, put together; how it starts, drains and stops.

Threads: main (start, end) · signals · http (answers requests) · mqtt (owns the connection to the
broker) · landing (owns the connection to the database) · gaps (owns one of its own) · certificates.
Packets pass from the first to landing in the buffer, and back only as what became of them.
"""

import logging
import os
import random
import signal
import socket
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from ingest_daemon import mqtt_trouble
from ingest_daemon.backoff import Backoff
from ingest_daemon.buffer import Buffer, Room
from ingest_daemon.certificates import Calendar
from ingest_daemon.environment import secret
from ingest_daemon.errors import IngestError
from ingest_daemon.gaps import GapWatch
from ingest_daemon.health import Health
from ingest_daemon.http import Intake
from ingest_daemon.http_server import Server, listen
from ingest_daemon.landing import Landing
from ingest_daemon.log import say
from ingest_daemon.metrics import Metrics
from ingest_daemon.mqtt import RECONNECT_LONGEST_S, Subscriber
from ingest_daemon.settings import Settings
from ingest_daemon.watching import token_in
from settlement.hosts import is_loopback
from storage.arrivals import ASIDE_KINDS
from storage.engine import Role, connect
from storage.landing import Lander

logger = logging.getLogger(__name__)

DATABASE_RETRY_FIRST_S: Final = 0.2
DATABASE_RETRY_LONGEST_S: Final = 5.0
BROKER_RETRY_FIRST_S: Final = 0.5
PART_S: Final = 3.0
"""For the last words to the broker, and to HTTP clients, after draining."""


def utc_now() -> datetime:
    """The clock of the daemon."""
    return datetime.now(UTC)


class Daemon:
    """Everything that runs in the process.

    Raises:
        SettingsError: a file or an address that a setting names cannot be used.
    """

    def __init__(self, settings: Settings, *, now: Callable[[], datetime] = utc_now) -> None:
        token = secret("V2G_INTAKE_TOKEN_FILE", settings.intake_token_file)
        password = None
        if settings.mqtt_password_file is not None:
            password = secret("V2G_MQTT_PASSWORD_FILE", settings.mqtt_password_file)
        tls = mqtt_trouble.tls_context(
            settings.mqtt_tls_ca_file,
            settings.mqtt_tls_cert_file,
            settings.mqtt_tls_key_file,
            prefix="V2G_MQTT_",
            now=now(),
        )
        # Not for secrets: so that daemons do not come back in step. But it may as well be good.
        rng = random.SystemRandom()

        self._settings = settings
        self._stop = threading.Event()
        self._failure: BaseException | None = None
        parts = ("daemon", "database", "mqtt") if settings.mqtt_host else ("daemon", "database")
        self._health = Health(*parts)
        self._buffer = Buffer()
        metrics = Metrics(self._buffer, now=now, aside_kinds=ASIDE_KINDS)
        self._subscriber = None
        if settings.mqtt_host:
            self._subscriber = Subscriber(
                settings,
                self._buffer,
                password=password,
                tls=tls,
                health=self._health,
                metrics=metrics,
                backoff=Backoff(
                    first_s=BROKER_RETRY_FIRST_S, longest_s=RECONNECT_LONGEST_S, rng=rng
                ),
                now=now,
                failed=self._fail,
            )
        self._certificates = Calendar(settings, now=now, metrics=metrics)
        self._gaps = GapWatch(
            settings.database_url,
            teller=self._subscriber,
            can_tell=lambda: self._subscriber is not None and self._subscriber.receipts.up,
            every_s=settings.gap_every_s,
            metrics=metrics,
            now=now,
        )
        self._landing = Landing(
            self._buffer,
            Lander(settings.database_url),
            # A new connection each time: storage refuses an unsafe database whenever one is made.
            lambda: connect(settings.database_url, Role.INGEST).close(),
            health=self._health,
            metrics=metrics,
            backoff=Backoff(
                first_s=DATABASE_RETRY_FIRST_S, longest_s=DATABASE_RETRY_LONGEST_S, rng=rng
            ),
            rows_max=settings.batch_rows,
            linger_s=settings.linger_s,
            now=now,
            reached=self._reached,
            failed=self._fail,
        )
        self._socket = listen(
            settings.http_host, settings.http_port, variables="V2G_HTTP_HOST and V2G_HTTP_PORT"
        )
        room = Room(
            "http", packets_max=settings.http_buffer_packets, bytes_max=settings.http_buffer_bytes
        )
        intake = Intake(
            self._buffer,
            room,
            token=token,
            metrics_token=token_in(settings.metrics_token_file),
            health=self._health,
            metrics=metrics,
            now=now,
            answer_within_s=settings.answer_within_s,
        )
        self._server = Server(
            intake.app(), self._socket, answer_within_s=settings.answer_within_s, failed=self._fail
        )

    def run(self) -> int:
        """Run until a signal comes or a part breaks. The process's exit status.

        SIGTERM or SIGINT lands what is held and ends; a second one ends at once. Either way nothing
        is lost: what is not acknowledged is sent again.
        """
        self._watch_signals()
        host, port = self._socket.getsockname()[:2]
        settings = self._settings
        say(logger, logging.INFO, "started", pid=os.getpid(), http=f"http://{host}:{port}",
            broker=f"{settings.mqtt_host}:{settings.mqtt_port}" if settings.mqtt_host else "none",
            mqtt_protocol=settings.mqtt_protocol, tls=settings.mqtt_tls_ca_file is not None)  # fmt: skip
        if settings.allow_plain_network and not (
            is_loopback(settings.http_host) and is_loopback(settings.mqtt_host or "localhost")
        ):
            say(
                logger,
                logging.WARNING,
                "plain_network",
                consequence="others can read and change what is sent",
            )
        self._certificates.start()
        self._server.start()
        self._landing.start()
        self._stop.wait()
        drained = self._drain()
        if self._failure is not None:
            return self._explain(self._failure)
        say(logger, logging.INFO, "stopped", drained=drained)
        return 0

    def _reached(self) -> None:
        """The database answered: from now on packets are taken."""
        self._health.set("daemon", up=True, detail="running")
        self._gaps.start()
        if self._subscriber is not None:
            self._subscriber.start()

    def _drain(self) -> bool:
        self._health.set("daemon", up=False, detail="stopping")
        held = self._buffer.depth().packets
        say(logger, logging.INFO, "draining", packets=held, at_most_s=self._settings.drain_s)
        if self._subscriber is not None:
            self._subscriber.stop_taking()
        self._buffer.close()
        self._certificates.finish()
        self._gaps.finish(timeout_s=0.0)
        drained = self._landing.finish(timeout_s=self._settings.drain_s)
        if not drained:
            left = self._buffer.depth().packets
            say(logger, logging.WARNING, "not_drained", packets=left,
                consequence="not acknowledged: broker and HTTP clients still have them")  # fmt: skip
        if self._subscriber is not None:
            self._subscriber.finish(timeout_s=PART_S)
        self._server.finish(timeout_s=PART_S if drained else 0.0)
        return drained

    def _fail(self, error: BaseException) -> None:
        """A part has ended with an error: end the process, so that whoever supervises it sees it."""
        if self._failure is None:
            self._failure = error
        self._stop.set()

    def _explain(self, error: BaseException) -> int:
        if isinstance(error, IngestError):
            say(logger, logging.CRITICAL, "refused_to_run", why=error)
            return error.exit_status
        logger.critical("broken", exc_info=error)
        return 1

    def _watch_signals(self) -> None:
        """Hear SIGTERM and SIGINT in a thread of their own.

        Python runs signal handlers in the main thread between two of its steps; a signal that comes
        just before the main thread begins to wait for a lock is noticed when the wait is over. The
        wakeup descriptor is written at once, whatever the main thread does.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda _number, _frame: None)
        reader, writer = socket.socketpair()
        writer.setblocking(False)
        signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        self._signals = writer  # kept open

        def watch() -> None:
            while number := reader.recv(1):
                if number[0] in {signal.SIGTERM, signal.SIGINT}:
                    self._on_signal(signal.Signals(number[0]))

        threading.Thread(target=watch, name="signals", daemon=True).start()

    def _on_signal(self, number: signal.Signals) -> None:
        if self._stop.is_set():
            # In a hurry: what is held is not acknowledged, so it is sent again.
            os._exit(1)
        say(logger, logging.INFO, "signal", name=number.name)
        self._stop.set()
