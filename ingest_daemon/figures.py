"""What every process measures alike, for Prometheus: one registry per process, nothing global."""

from collections.abc import Callable
from datetime import datetime
from typing import Final

from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.process_collector import ProcessCollector

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


class Figures:
    """The figures of one process; to begin with, its CPU, memory and files."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)

    def text(self) -> bytes:
        """All figures in Prometheus' text format 0.0.4."""
        return generate_latest(self.registry)

    def lag(
        self,
        name: str,
        words: str,
        *,
        oldest: Callable[[], datetime | None],
        now: Callable[[], datetime],
    ) -> None:
        """A figure for how long what is oldest in memory has waited; asked whenever it is read."""

        def seconds() -> float:
            since = oldest()
            return 0.0 if since is None else max(0.0, (now() - since).total_seconds())

        Gauge(name, words, registry=self.registry).set_function(seconds)
