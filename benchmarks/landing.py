"""From the broker to committed rows, at QoS 1, against COPY of the same rows.

The packets wait in the broker, in the daemon's session, before the daemon starts; so what is
measured is the daemon and the database, not the publisher.
"""

import os
import secrets
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from time import perf_counter
from typing import Final

from benchmarks.figure import Figure
from embedded import timescale
from embedded.broker import Broker
from embedded.postgres import PostgresServer, create_database
from embedded.processes import Supervised, wait_until
from simulators.evening import Evening
from simulators.fleet import publish
from simulators.labels import Delivery, Label
from simulators.mqtt_connection import BrokerAddress
from storage import reports
from storage.engine import Role, connect
from storage.landing import Arrival, Lander
from storage.migrate import migrate

AIM: Final = 0.5
BATCH_ROWS: Final = 5_000
DEADLINE_S: Final = 300.0
CACHE: Final = Path(".cache")


def run() -> Sequence[Figure]:
    """Measure on embedded parts in a temporary folder."""
    evening = Evening(seed=2, day=date(2026, 7, 1), received_by=datetime.now(UTC))
    good = [
        one
        for one in evening.deliveries
        if one.label in (Label.GOOD, Label.OUT_OF_WINDOW, Label.LATE)
    ]
    CACHE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="v2g-bench-") as name:
        folder = Path(name)
        with (
            PostgresServer(folder / "postgres", timescale=timescale.find(CACHE)) as server,
            Broker(folder / "broker", cache=CACHE) as broker,
        ):
            dsn = create_database(server, "landing")
            migrate(dsn)
            through = _through_the_broker(folder, broker, dsn, good)
            direct_dsn = create_database(server, "direct")
            migrate(direct_dsn)
            direct = _direct(direct_dsn, good)
            copied = _copy(dsn)
    return [
        Figure(
            "landed through the broker, QoS 1",
            through,
            "rows/s",
            copied,
            "COPY of the same rows",
            f"ratio {AIM}",
            through / copied >= AIM,
        ),
        Figure(
            "landed without the broker",
            direct,
            "rows/s",
            copied,
            "COPY of the same rows",
            "-",
            met=True,
        ),
    ]


def _through_the_broker(
    folder: Path, broker: Broker, dsn: str, deliveries: Sequence[Delivery]
) -> float:
    """Rows per second from the first committed batch to the last; the first is not counted."""
    address = BrokerAddress(
        broker.host,
        broker.port,
        *broker.credentials("fleet"),
        tls=None,
        mqtt5=broker.supports_mqtt5,
    )
    environment = _daemon_environment(folder, broker, dsn)
    _let_subscribe(folder, environment)
    publish(deliveries, address, deadline_s=DEADLINE_S)
    with connect(dsn, Role.READ) as conn, _daemon(folder, environment, "land"):
        conn.autocommit = True
        marks: list[tuple[float, int]] = []

        def all_landed() -> bool:
            new = reports.landed(conn).new
            if not marks or new > marks[-1][1]:
                marks.append((perf_counter(), new))
            return new >= len(deliveries)

        wait_until(all_landed, deadline_s=DEADLINE_S, what="every packet to land")
    (began, first), (ended, last) = next(mark for mark in marks if mark[1]), marks[-1]
    return (last - first) / (ended - began)


def _direct(dsn: str, deliveries: Sequence[Delivery]) -> float:
    """The lander alone, in batches of the daemon's size."""
    now = datetime.now(UTC)
    arrivals = [Arrival(one.packet, now, "mqtt", one.topic_evse_id) for one in deliveries]
    lander = Lander(dsn)
    began = perf_counter()
    for start in range(0, len(arrivals), BATCH_ROWS):
        lander.land(arrivals[start : start + BATCH_ROWS])
    seconds = perf_counter() - began
    lander.close()
    return len(arrivals) / seconds


def _copy(dsn: str) -> float:
    """Rows per second of binary COPY of the landed rows into a table like theirs, key and all."""
    with connect(f"{dsn} user=v2g", Role.OWNER) as conn:
        conn.execute("create table copied (like raw_packet including all)")
        conn.commit()
        rows = conn.execute("select * from raw_packet").fetchall()
        seconds = 0.0
        for start in range(0, len(rows), BATCH_ROWS):
            began = perf_counter()
            with (
                conn.cursor() as cursor,
                cursor.copy("copy copied from stdin (format binary)") as copy,
            ):
                copy.set_types(
                    ["text", "timestamptz", "bytea", "bytea", "timestamptz", "text", *["int8"] * 4]
                )
                for row in rows[start : start + BATCH_ROWS]:
                    copy.write_row(row)
            conn.commit()
            seconds += perf_counter() - began
    return len(rows) / seconds


def _daemon_environment(folder: Path, broker: Broker, dsn: str) -> dict[str, str]:
    user, password = broker.credentials("daemon")
    return {
        "V2G_DATABASE_URL": dsn,
        "V2G_MQTT_HOST": broker.host,
        "V2G_MQTT_PORT": str(broker.port),
        "V2G_MQTT_PROTOCOL": "5" if broker.supports_mqtt5 else "311",
        "V2G_MQTT_USERNAME": user,
        "V2G_MQTT_PASSWORD_FILE": str(_secret(folder / "mqtt", password)),
        "V2G_HTTP_PORT": "0",
        "V2G_INTAKE_TOKEN_FILE": str(_secret(folder / "intake", secrets.token_urlsafe(32))),
        "V2G_BATCH_ROWS": str(BATCH_ROWS),
    }


def _secret(path: Path, value: str) -> Path:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(value)
    return path


def _daemon(folder: Path, environment: dict[str, str], name: str) -> Supervised:
    return Supervised(
        name,
        (sys.executable, "-m", "ingest_daemon"),
        log=folder / f"{name}.log",
        environment=dict(os.environ) | environment,
    )


def _let_subscribe(folder: Path, environment: dict[str, str]) -> None:
    """Run the daemon once until it has subscribed: its session then outlives it in the broker."""
    with _daemon(folder, environment, "subscribe") as daemon:
        wait_until(
            lambda: "event=mqtt_up" in daemon.log_tail(lines=100),
            deadline_s=DEADLINE_S,
            what="the daemon to subscribe",
        )
