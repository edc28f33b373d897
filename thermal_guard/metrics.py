"""What the guard measures."""

from prometheus_client import Counter, Gauge

from ingest_daemon.figures import Figures
from settlement.throttling import Reason


class Metrics(Figures):
    """All figures of one guard."""

    def __init__(self) -> None:
        super().__init__()
        registry = self.registry
        self.database_up = Gauge(
            "v2g_thermal_database_up", "1 when the database answered last time.", registry=registry
        )
        self.mqtt_connected = Gauge(
            "v2g_thermal_mqtt_connected", "1 while the broker can be spoken to.", registry=registry
        )
        self.guarding = Gauge(
            "v2g_thermal_guarding",
            "1 while this guard decides and sends; 0 while another one does.",
            registry=registry,
        )
        self.looked_at = Gauge(
            "v2g_thermal_looked_at_seconds",
            "When the temperatures were last looked at whole, seconds since the epoch.",
            registry=registry,
        )
        self.look_seconds = Gauge(
            "v2g_thermal_look_seconds", "How long the last look took.", registry=registry
        )
        self.watched = Gauge(
            "v2g_thermal_watched_evses", "EVSE whose batteries are watched.", registry=registry
        )
        self.limited = Gauge(
            "v2g_thermal_limited_evses",
            "EVSE that must be limited now, by reason.",
            ["reason"],
            registry=registry,
        )
        for reason in Reason:
            if reason is not Reason.RELEASED:
                self.limited.labels(reason=reason.value)
        self.unacknowledged = Gauge(
            "v2g_thermal_unacknowledged_commands",
            "Commands in force that no charger has obeyed yet, by each way.",
            registry=registry,
        )
        self.commands = Counter(
            "v2g_thermal_commands", "Commands stored, by reason.", ["reason"], registry=registry
        )
        for reason in Reason:
            self.commands.labels(reason=reason.value)
        self.outcomes = Counter(
            "v2g_thermal_outcomes",
            "Attempts and answers, by what became of them.",
            ["state"],
            registry=registry,
        )
        for state in ("sent", "obeyed", "refused", "failed"):
            self.outcomes.labels(state=state)
        self.unrecorded = Gauge(
            "v2g_thermal_unrecorded_outcomes",
            "Attempts and answers that wait for the database.",
            registry=registry,
        )
