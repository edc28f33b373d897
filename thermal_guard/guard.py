"""The guard: its parts, put together; how it starts, looks, commands and stops.

Threads: main (looks, decides, records, sends) · signals · the connection to the broker · registers.
The others only hand over what they heard.

Only one guard decides and sends: the one that holds the lock of its connection to the database. Until
then it speaks to nobody. When the database goes away it goes on sending what is stored and not
obeyed, decides nothing, and records what happened when the database is back.
"""

import logging
import os
import random
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Final

from ingest_daemon.environment import secret
from ingest_daemon.health import Health
from ingest_daemon.http_server import Server, listen
from ingest_daemon.log import say
from ingest_daemon.modbus import configuration
from ingest_daemon.mqtt_trouble import tls_context
from ingest_daemon.watching import Watching, token_in
from settlement.throttling import Reason, Rules, plain_terms
from storage import thermal_terms, throttling
from storage.engine import Connection
from storage.throttling import Command
from thermal_guard import mqtt, signals
from thermal_guard.delivery import Book
from thermal_guard.holding import Holding
from thermal_guard.metrics import Metrics
from thermal_guard.registers import Registers, registers_of
from thermal_guard.sending import Sending
from thermal_guard.settings import PREFIX, Settings
from thermal_guard.watch import Verdict, Watch, moment, plain

logger = logging.getLogger(__name__)

CLIENTS_EVERY_S: Final = 30.0
LOOPBACK: Final = "127.0.0.1"
PART_S: Final = 3.0
"""For the last answers to whoever watches."""


def utc_now() -> datetime:
    """The clock of the guard."""
    return datetime.now(UTC)


class Guard:
    """Everything that runs in the process.

    Raises:
        SettingsError: a file that a setting names cannot be used.
        ConfigError: the file of devices cannot be used.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        now: Callable[[], datetime] = utc_now,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        rng = random.SystemRandom()
        password = None
        if settings.password_file is not None:
            password = secret(PREFIX + "PASSWORD_FILE", settings.password_file)
        self._settings = settings
        self._now = now
        self._monotonic = monotonic
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._health = Health("database", "mqtt")
        self.metrics = Metrics()
        self._watching = Watching(
            self._health, self.metrics, token=token_in(settings.metrics_token_file)
        )
        self._look_at_s = 0.0
        self._clients_at_s = 0.0
        self._watch = _watch(settings)
        self._holding = Holding(
            settings.database_url,
            taken=self._take_up,
            health=self._health,
            metrics=self.metrics,
            rng=rng,
            monotonic=monotonic,
        )
        self._book = Book(
            answer_within_s=settings.answer_within_s,
            first_s=settings.retry_first_s,
            longest_s=settings.retry_longest_s,
            rng=rng,
            now=now,
            monotonic=monotonic,
        )
        self._link = mqtt.Link(
            settings,
            password=password,
            tls=tls_context(
                settings.mqtt_tls_ca_file,
                settings.tls_cert_file,
                settings.tls_key_file,
                prefix="V2G_THERMAL_",
                now=now(),
            ),
            rng=rng,
            wake=self._wake.set,
            changed=self._broker_changed,
            may_connect=lambda: self._holding.guarding,
        )
        file = settings.modbus_file
        devices = [] if file is None else registers_of(configuration.load(file))
        self._registers = Registers(devices, wake=self._wake.set)
        self._sending = Sending(
            self._book,
            self._link,
            self._registers,
            verify_every_s=settings.verify_every_s,
            metrics=self.metrics,
            monotonic=monotonic,
        )

    def run(self) -> int:
        """Run until a signal comes. The process's exit status.

        Raises:
            SettingsError: the port for the figures is taken.
            UnsafeStartError: the database could lose what is committed.
        """
        self._signals = signals.heed(self._told_to_stop)
        settings = self._settings
        server = self._served(settings.metrics_port) if settings.metrics_port else None
        say(logger, logging.INFO, "started", pid=os.getpid(),
            broker=f"{settings.mqtt_host}:{settings.mqtt_port}",
            tls=settings.mqtt_tls_ca_file is not None, registers=len(self._registers.devices))  # fmt: skip
        try:
            while not self._stop.is_set():
                self._wake.clear()
                self.step()
                self._wake.wait(max(0.0, self._look_at_s - self._monotonic()))
        finally:
            self._registers.stop()
            self._link.stop()
            self._holding.close()
            if server is not None:
                server.finish(timeout_s=PART_S)
        say(logger, logging.INFO, "stopped", consequence="limits stand until a guard releases them")
        return 0

    def _served(self, port: int) -> Server:
        def failed(error: BaseException) -> None:
            # Batteries are guarded, whether anybody can look on or not.
            say(logger, logging.ERROR, "not_watched", why=repr(error))

        sock = listen(LOOPBACK, port, variables=PREFIX + "METRICS_PORT")
        server = Server(self._watching.app(), sock, answer_within_s=0, failed=failed)
        server.start()
        return server

    def step(self) -> None:
        """Hear what came; look, where it is time; send what is due."""
        self._sending.listen()
        if self._monotonic() >= self._look_at_s:
            self._look_at_s = self._monotonic() + self._settings.look_every_s
            self._holding.do(self._look)
        if self._holding.guarding:
            self._link.start()
            self._sending.send(lambda: self._holding.do(self._sending.record))

    def _take_up(self, conn: Connection) -> None:
        """From now on this is the one guard: what is in force stands in the tables."""
        for standing in throttling.standing(conn).values():
            self._book.take(standing)
        self._sending.route(thermal_terms.clients(conn, now=self._now()))
        conn.rollback()

    def _look(self, conn: Connection) -> None:
        """Read, decide, store. What is stored is sent afterwards."""
        began, now = self._monotonic(), self._now()
        self._watch.look(conn, now)
        if began >= self._clients_at_s:
            self._clients_at_s = began + CLIENTS_EVERY_S
            self._sending.route(thermal_terms.clients(conn, now=now))
        conn.rollback()
        self._sending.record(conn)
        verdicts = self._watch.decide(now)
        commands = [one for verdict in verdicts if (one := self._ordered(verdict, now))]
        if commands:
            self._store(conn, commands)
        self._measure(verdicts, began)

    def _ordered(self, verdict: Verdict, now: datetime) -> Command | None:
        """The command that a verdict asks for; None where the one in force says it."""
        current = self._book.command(verdict.evse_id)
        reason = verdict.decision.reason
        limit_w = None if reason is None else 0
        if reason is None:
            if current is None or current.limit_w is None:
                return None
            reason = Reason.RELEASED
        elif current is not None and (current.limit_w, current.reason) == (0, reason.value):
            return None
        return Command(
            command_id=uuid.uuid4(),
            evse_id=verdict.evse_id,
            number=1 if current is None else current.number + 1,
            limit_w=limit_w,
            reason=reason.value,
            evidence=plain(verdict),
            raised_at=moment(verdict.decision.since),
            recorded_at=now,
        )

    def _store(self, conn: Connection, commands: list[Command]) -> None:
        stored = throttling.order(conn, commands)
        conn.commit()
        for one in stored:
            self._book.put(one, self._sending.ways(one.evse_id))
            self.metrics.commands.labels(reason=one.reason).inc()
            level = logging.INFO if one.limit_w is None else logging.WARNING
            say(logger, level, "limit", evse_id=one.evse_id, limit_w=one.limit_w,
                reason=one.reason, command_id=one.command_id)  # fmt: skip
        if len(stored) < len(commands):
            # Another guard was quicker, or this one's own commit, whose answer was lost.
            self._take_up(conn)

    def _measure(self, verdicts: Iterable[Verdict], began: float) -> None:
        reasons = [verdict.decision.reason for verdict in verdicts]
        self.metrics.watched.set(len(reasons))
        for reason in (Reason.LIMIT, Reason.LOST):
            self.metrics.limited.labels(reason=reason.value).set(reasons.count(reason))
        self.metrics.looked_at.set(self._now().timestamp())
        self.metrics.look_seconds.set(self._monotonic() - began)

    def _broker_changed(self, up: bool, why: str) -> None:  # noqa: FBT001 - called by the connection
        self.metrics.mqtt_connected.set(int(up))
        if self._health.set("mqtt", up=up, detail=why) and not up:
            say(logger, logging.ERROR, "mqtt_down", why=why,
                consequence="agents cannot be told; tries again")  # fmt: skip

    def _told_to_stop(self) -> bool:
        before = self._stop.is_set()
        self._stop.set()
        self._wake.set()
        return before


def _watch(settings: Settings) -> Watch:
    otherwise = plain_terms(
        limit=round(settings.limit_c * 1000),
        low=round(settings.release_low_c * 1000),
        high=round(settings.release_high_c * 1000),
        time_constant_us=round(settings.filter_s * 1_000_000),
    )
    hard = settings.hard_limit_c
    rules = Rules(
        (otherwise,),
        lost_after_us=round(settings.lost_after_s * 1_000_000),
        forgotten_after_us=round(settings.look_back_s * 1_000_000),
        hard_millicelsius=None if hard is None else round(hard * 1000),
    )
    look_back = timedelta(seconds=settings.look_back_s)
    return Watch(otherwise, rules, look_back, unusable=_unusable_program)


def _unusable_program(error: Exception) -> None:
    say(logger, logging.ERROR, "program_unusable", why=error,
        consequence="the terms known before stand")  # fmt: skip
