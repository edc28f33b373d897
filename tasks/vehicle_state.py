"""Keep the last known state of each vehicle where dashboards look for it; never a source of money.

Judging calls ``Keeper`` after each commit. What goes wrong here is logged and counted and changes
nothing else: judging goes on, and the state comes with the next packet.
"""

import logging
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Final

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from settlement.packets import Content
from settlement.verdicts import Verdict
from storage.engine import Role
from storage.errors import StorageError
from storage.vehicle_state import DatabaseStates, Seen, VehicleState, VehicleStates, standing

__all__ = ["Keeper", "StateSettings", "VehicleState", "keeper", "plain", "vehicle_states"]

log = logging.getLogger(__name__)

SHOWN_MAX: Final = 10_000
"""States that one question may ask for."""


class StateSettings(BaseSettings):
    """Settings of the last known state per vehicle: where it is kept, and for how long."""

    model_config = SettingsConfigDict(env_prefix="V2G_", frozen=True, extra="ignore")

    redis_url: str = Field(
        default="",
        description="rediss://[user@]host[:port][/db], or redis:// on loopback, or unix:///path;"
        " empty: the states are kept in the database",
    )
    redis_password_file: Path | None = Field(
        default=None, description="file with the password for Redis, mode 0600"
    )
    redis_ca_file: Path | None = Field(
        default=None,
        description="PEM file of the authority that signed the Redis server; empty: the machine's own",
    )
    vehicle_state_minutes: int = Field(
        default=24 * 60,
        ge=1,
        le=366 * 24 * 60,
        description="minutes after its signed time for which a vehicle's last state is shown",
    )


def vehicle_states(
    dsn: str, settings: StateSettings | None = None, *, reader: Role = Role.READ
) -> VehicleStates:
    """Where states are kept: in Redis where one is configured, else in the database.

    ``reader`` is the role that asks the database.

    Raises:
        UnusableCacheAddressError: V2G_REDIS_URL names no place that may be used.
        InsecureSecretError: the password's file is open to others.
    """
    chosen = settings or StateSettings()
    keep = timedelta(minutes=chosen.vehicle_state_minutes)
    if not chosen.redis_url:
        return DatabaseStates(dsn, keep=keep, reader=reader)
    # The client takes a while to import, and most have none configured.
    from storage.vehicle_state_redis import RedisStates  # noqa: PLC0415

    return RedisStates(
        chosen.redis_url,
        keep=keep,
        password_file=chosen.redis_password_file,
        ca_file=chosen.redis_ca_file,
    )


def keeper(dsn: str, *, clock: Callable[[], datetime]) -> "Keeper":
    """A keeper as the environment configures it."""
    return Keeper(dsn, lambda: vehicle_states(dsn), clock=clock)


class Keeper:
    """Takes the verdicts of each commit of the judge, and keeps what they say of vehicles.

    Attributes:
        kept: states that were newer than what was held.
        failures: commits whose states were not kept.

    After its first failure it tries no more: a judge at work must not wait for a cache that is not
    there, time and again. The next run of the judge has a keeper of its own.
    """

    def __init__(
        self, dsn: str, states: Callable[[], VehicleStates], *, clock: Callable[[], datetime]
    ) -> None:
        self._dsn = dsn
        self._make = states
        self._clock = clock
        self.kept = 0
        self.failures = 0

    @cached_property
    def _states(self) -> VehicleStates:
        return self._make()

    def __call__(self, verdicts: Iterable[Verdict]) -> None:
        """Never raises for trouble with the cache, its settings or the database."""
        if self.failures:
            self.failures += 1
            return
        try:
            fresh = standing(self._dsn, newest(verdicts))
            if fresh:
                self.kept += self._states.put(fresh, now=self._clock())
        except (StorageError, ValueError) as error:
            self.failures += 1
            log.warning(
                "vehicle states are not kept until the next run; judging is not affected: %s", error
            )


def newest(verdicts: Iterable[Verdict]) -> list[Seen]:
    """Of each vehicle the newest verified packet that says anything of its battery."""
    found: dict[str, Seen] = {}
    for verdict in verdicts:
        content, envelope = verdict.content, verdict.envelope
        if verdict.reason is not None or envelope is None or not isinstance(content, Content):
            continue
        if content.soc_end_ppm is None and content.power_end_w is None:
            continue
        held = found.get(content.vehicle_id)
        if held is None or content.ended_at > held.state.measured_at:
            found[content.vehicle_id] = Seen(
                VehicleState(
                    content.vehicle_id,
                    content.evse_id,
                    content.ended_at,
                    content.soc_end_ppm,
                    content.power_end_w,
                ),
                content.started_at,
                content.stream_epoch,
                content.sequence,
                envelope.digest,
            )
    return list(found.values())


def plain(state: VehicleState, *, now: datetime) -> dict[str, object]:
    """A state as commands and the API show it: names with units, times in UTC, its age beside it."""
    return {
        "vehicle_id": state.vehicle_id,
        "evse_id": state.evse_id,
        "measured_at": state.measured_at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "age_seconds": int((now - state.measured_at).total_seconds()),
        "soc_ppm": state.soc_ppm,
        "power_w": state.power_w,
    }
