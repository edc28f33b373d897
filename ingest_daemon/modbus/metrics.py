"""What the poller measures."""

from collections.abc import Callable
from datetime import datetime

from prometheus_client import Counter, Gauge, Histogram

from ingest_daemon.figures import Figures
from ingest_daemon.modbus.outbox import Outbox
from settlement.sensors import Quality


class Metrics(Figures):
    """All figures of one poller.

    Args:
        outbox: asked for its depth whenever the figures are read.
        now: the clock against which the lag is measured.
    """

    def __init__(self, outbox: Outbox, *, now: Callable[[], datetime]) -> None:
        super().__init__()
        registry = self.registry
        self.landed = Counter(
            "v2g_modbus_landed_samples", "Samples committed.", ["quality"], registry=registry
        )
        for quality in Quality:
            self.landed.labels(quality=quality.value)
        self.polls = Counter("v2g_modbus_polls", "Polls, by result.", ["result"], registry=registry)
        for result in ("answered", "failed"):
            self.polls.labels(result=result)
        self.late = Counter(
            "v2g_modbus_skipped_polls",
            "Polls left out because their time had passed already.",
            registry=registry,
        )
        self.connects = Counter(
            "v2g_modbus_discoveries", "Connections made and discovered.", registry=registry
        )
        self.poll_seconds = Histogram(
            "v2g_modbus_poll_seconds",
            "Seconds of one poll, connecting included.",
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
            registry=registry,
        )
        self.up = Gauge(
            "v2g_modbus_device_up",
            "1 when the device answered last time.",
            ["device"],
            registry=registry,
        )
        self.dropped = Counter(
            "v2g_modbus_dropped_samples",
            "Samples lost because the database was away for too long, or refused them.",
            registry=registry,
        )
        self.database_up = Gauge(
            "v2g_modbus_database_up", "1 when the database answered last time.", registry=registry
        )
        depth = Gauge(
            "v2g_modbus_outbox_samples", "Samples held in memory, not yet committed.", registry=registry
        )  # fmt: skip
        depth.set_function(lambda: outbox.samples)
        self.lag(
            "v2g_modbus_lag_seconds",
            "For how long the oldest sample in memory has waited for its commit; 0 when none waits.",
            oldest=lambda: outbox.oldest,
            now=now,
        )
