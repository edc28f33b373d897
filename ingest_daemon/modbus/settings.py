"""Every setting of the poller: environment variables ``V2G_<NAME>``, read once at the door."""

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from ingest_daemon import environment


class Settings(BaseSettings):
    """The poller's settings, checked. Devices stand in a file of their own."""

    model_config = SettingsConfigDict(env_prefix="V2G_", frozen=True, extra="ignore")

    database_url: str = Field(
        min_length=1,
        description="libpq connection string without a user, such as 'host=/run/postgresql dbname=v2g'",
    )
    modbus_file: Path = Field(description="YAML or JSON file of the devices: docs/temperatures.md")
    modbus_outbox_samples: int = Field(
        default=200_000,
        ge=1_000,
        le=10_000_000,
        description="samples held in memory while the database is away; some 400 bytes each. Beyond it"
        " the oldest go, which is counted, logged and recorded",
    )
    modbus_http_host: Literal["127.0.0.1", "::1"] = Field(
        default="127.0.0.1", description="address on which /healthz, /readyz and /metrics listen"
    )
    modbus_http_port: int = Field(
        default=8091, ge=0, le=65_535, description="0 takes any free port"
    )
    metrics_token_file: Path | None = Field(
        default=None,
        description="file with the bearer token for /metrics, mode 0600; without one it is not served",
    )
    drain_s: float = Field(
        default=10.0,
        gt=0,
        le=300,
        description="seconds for landing what is held, after the signal to stop",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", description="how much is logged"
    )


def load() -> Settings:
    """The settings from the environment. Raises SettingsError: all that is missing or wrong."""
    return environment.load(Settings)


def describe() -> str:
    """A table of every setting, for ``--help``."""
    return environment.describe(Settings)
