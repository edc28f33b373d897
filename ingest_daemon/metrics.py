"""What the daemon measures.

Counters count packets whose transaction has committed; what has not committed is depth and lag.
"""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from ingest_daemon.buffer import Buffer
from ingest_daemon.figures import Figures

_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_ROWS: Final = (1, 10, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 25_000, 50_000)


class Metrics(Figures):
    """All figures of one daemon.

    Args:
        buffer: asked for its depth whenever the figures are read.
        now: the clock against which the lag is measured.
        aside_kinds: every reason for which a packet may be set aside, so that each has its figure
            from the start, at zero.
    """

    def __init__(
        self, buffer: Buffer, *, now: Callable[[], datetime], aside_kinds: Iterable[str] = ()
    ) -> None:
        super().__init__()
        registry = self.registry
        self.landed = Counter(
            "v2g_ingest_landed_packets", "Packets committed for the first time.", registry=registry
        )
        self.duplicates = Counter(
            "v2g_ingest_duplicate_packets",
            "Packets that had been committed before.",
            registry=registry,
        )
        self.aside = Counter(
            "v2g_ingest_aside_packets",
            "Packets kept as evidence, by the reason why they cannot be judged.",
            ["reason"],
            registry=registry,
        )
        for kind in aside_kinds:
            self.aside.labels(reason=kind)
        self.refused = Counter(
            "v2g_ingest_refused_requests",
            "HTTP requests refused, by status.",
            ["status"],
            registry=registry,
        )
        self.batch_seconds = Histogram(
            "v2g_ingest_batch_seconds",
            "Seconds from handing a batch to the database to its COMMIT.",
            buckets=_SECONDS,
            registry=registry,
        )
        self.batch_rows = Histogram(
            "v2g_ingest_batch_rows",
            "Packets per committed batch.",
            buckets=_ROWS,
            registry=registry,
        )
        self.signed_age = Gauge(
            "v2g_ingest_signed_age_seconds",
            "Commit time of the last batch minus the newest signed time in it.",
            registry=registry,
        )
        self.landing_failures = Counter(
            "v2g_ingest_landing_failures", "Batches that had to be tried again.", registry=registry
        )
        self.database_up = Gauge(
            "v2g_ingest_database_up", "1 when the database answered last time.", registry=registry
        )
        self.mqtt_connected = Gauge(
            "v2g_ingest_mqtt_connected", "1 while subscribed at the broker.", registry=registry
        )
        self.mqtt_connects = Counter(
            "v2g_ingest_mqtt_connects",
            "Subscriptions made; one, plus reconnects.",
            registry=registry,
        )
        self.mqtt_sessions_lost = Counter(
            "v2g_ingest_mqtt_sessions_lost",
            "Reconnects at which the broker had forgotten the session, and what it held for us.",
            registry=registry,
        )
        self.receipts = Counter(
            "v2g_ingest_receipts",
            "Packets and gaps that their devices were told of.",
            registry=registry,
        )
        self.receipts_dropped = Counter(
            "v2g_ingest_receipts_dropped",
            "Packets whose devices could not be told; they send them again.",
            registry=registry,
        )
        self.gaps_found = Counter(
            "v2g_ingest_gaps", "Gaps in signed sequences that were named.", registry=registry
        )
        self.gaps_open = Gauge(
            "v2g_ingest_open_gaps",
            "Gaps named in the last 30 days in which nothing has landed yet.",
            registry=registry,
        )
        self.certificate_left = Gauge(
            "v2g_ingest_certificate_seconds",
            "Seconds until this daemon's own certificate expires; absent without one.",
            ["file"],
            registry=registry,
        )
        depth_packets = Gauge(
            "v2g_ingest_queue_packets",
            "Packets held in memory, not yet committed.",
            registry=registry,
        )
        depth_packets.set_function(lambda: buffer.depth().packets)
        depth_bytes = Gauge("v2g_ingest_queue_bytes", "Bytes of those packets.", registry=registry)
        depth_bytes.set_function(lambda: buffer.depth().bytes)
        self.lag(
            "v2g_ingest_lag_seconds",
            "For how long the oldest packet in memory has waited for its commit; 0 when none waits.",
            oldest=lambda: buffer.depth().oldest_received_at,
            now=now,
        )
