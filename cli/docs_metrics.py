"""docs/metrics.md: every figure for Prometheus, from the registries of the processes that serve them."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from prometheus_client import Metric

from cli.markdown import GENERATED, heading, row
from ingest_daemon import metrics as daemon
from ingest_daemon.buffer import Buffer
from ingest_daemon.figures import Figures
from ingest_daemon.modbus import metrics as poller
from ingest_daemon.modbus.outbox import Outbox
from storage.arrivals import ASIDE_KINDS
from thermal_guard import metrics as guard

INTRO: Final = """\
Served at `/metrics` in Prometheus' text format by the ingest daemon (`V2G_HTTP_PORT`), the poller of
temperatures (`V2G_MODBUS_HTTP_PORT`) and the guard (`V2G_THERMAL_METRICS_PORT`), to whoever has the token
of `V2G_METRICS_TOKEN_FILE` ([settings](settings.md)). A counter's samples end in `_total`, a histogram's
in `_bucket`, `_sum` and `_count`. Every process also has the figures of the Prometheus client about itself
(`process_…`: CPU, memory, open files). What was settled and paid is no metric: it stands in the database,
exact, and `v2g` and the operator's page show it."""

OURS: Final = "v2g_"


def _epoch() -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC)


def processes() -> dict[str, Figures]:
    """The figures of each process that serves any, by the process's title."""
    return {
        "Ingest daemon": daemon.Metrics(Buffer(), now=_epoch, aside_kinds=ASIDE_KINDS),
        "Poller of temperatures": poller.Metrics(Outbox(samples_max=1), now=_epoch),
        "Thermal guard": guard.Metrics(),
    }


def families(figures: Figures) -> Iterator[Metric]:
    """What we measure ourselves, in the order of the names."""
    found = (one for one in figures.registry.collect() if one.name.startswith(OURS))
    yield from sorted(found, key=lambda one: one.name)


def labels(figures: Figures, name: str) -> tuple[str, ...]:
    """The labels that tell a figure's samples apart."""
    collector = figures.registry._names_to_collectors[name]  # noqa: SLF001 - no public way before a first sample
    return tuple(getattr(collector, "_labelnames", ()))


def metrics_page() -> str:
    """docs/metrics.md: name, type, labels and meaning of every figure, by process."""
    lines = ["# Metrics", "", GENERATED, INTRO]
    for title, figures in processes().items():
        lines += ["", f"## {title}", "", *heading("name", "type", "labels", "meaning")]
        for one in families(figures):
            told = ", ".join(f"`{label}`" for label in labels(figures, one.name))
            ending = "_total" if one.type == "counter" else ""
            lines.append(row(f"`{one.name}{ending}`", one.type, told, one.documentation))
    return "\n".join(lines) + "\n"
