"""Every setting of the daemon: environment variables ``V2G_<NAME>``, read once at the door.

Secrets are never settings: a setting names the file that holds the secret (storage.secrets says how
such a file must be kept). Errors: ingest_daemon.errors.
"""

from pathlib import Path
from typing import Final, Literal, Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from ingest_daemon import environment
from ingest_daemon.errors import SettingsError, WrongSetting
from settlement import units
from settlement.hosts import is_loopback

PREFIX: Final = "V2G_"

PACKET_CEILING_BYTES: Final = 2 * units.PACKET_MAX_BYTES
"""Longest packet that is taken at all. What is longer than a packet may be, but not than this, is
kept as evidence; what is longer still is refused at the door (MQTT 5: Maximum Packet Size)."""

BATCH_BODY_MAX_BYTES: Final = 4 * 1024 * 1024
BATCH_PACKETS_MAX: Final = 1000
"""Of one upload by HTTP."""

_DAY_S: Final = 86_400


class Settings(BaseSettings):
    """The daemon's settings, checked. Units stand in the name or in the description."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")

    database_url: str = Field(
        min_length=1,
        description="libpq connection string without a user, such as 'host=/run/postgresql dbname=v2g'",
    )

    mqtt_host: str = Field(
        default="127.0.0.1", description="broker's host name; empty switches MQTT off"
    )
    mqtt_port: int = Field(
        default=1883, ge=1, le=65535, description="broker's port; with TLS usually 8883"
    )
    mqtt_protocol: Literal["5", "311"] = Field(
        default="5", description="MQTT version: 5, or 311 for a broker that knows no 5"
    )
    mqtt_client_id: str = Field(
        default="v2g-ingest",
        min_length=1,
        max_length=64,
        pattern=r"^[\x21-\x7e]+$",
        description="names the session that the broker keeps for this daemon: fixed, unique per daemon",
    )
    mqtt_username: str = Field(default="", description="empty: none")
    mqtt_password_file: Path | None = Field(
        default=None, description="file with the broker's password, mode 0600"
    )
    mqtt_tls_ca_file: Path | None = Field(
        default=None,
        description="PEM file of the authority that signed the broker; switches TLS on",
    )
    mqtt_tls_cert_file: Path | None = Field(
        default=None,
        description="PEM file of this daemon's certificate, when the broker asks for one",
    )
    mqtt_tls_key_file: Path | None = Field(
        default=None, description="PEM file of its private key, mode 0600"
    )
    mqtt_share: str = Field(
        default="",
        pattern=r"^[^/+#\s]*$",
        description="group of a shared subscription ($share/GROUP/...) for several daemons; empty: alone",
    )
    mqtt_session_expiry_s: int = Field(
        default=7 * _DAY_S,
        ge=60,
        le=0xFFFF_FFFE,
        description="seconds for which the broker keeps packets while this daemon is away",
    )
    mqtt_keepalive_s: int = Field(
        default=30,
        ge=5,
        le=3600,
        description="seconds of silence after which a ping must be answered",
    )

    receipts: bool = Field(
        default=True,
        description="tell each device on v2g/<client>/receipt what has been committed and what is"
        " missing; without it no device may forget a packet",
    )
    gap_every_s: float = Field(
        default=15.0,
        ge=1,
        le=3600,
        description="seconds within which a gap in a device's signed sequence is named: one settlement"
        " interval",
    )

    http_host: str = Field(default="127.0.0.1", description="address on which HTTP listens")
    http_port: int = Field(default=8090, ge=0, le=65535, description="0 takes any free port")
    intake_token_file: Path = Field(description="file with the bearer token for uploads, mode 0600")
    metrics_token_file: Path | None = Field(
        default=None,
        description="file with the bearer token for /metrics, mode 0600; without one it is not served",
    )
    answer_within_s: float = Field(
        default=5.0,
        gt=0,
        le=60,
        description="seconds an upload may wait for its commit before it is told to come again",
    )

    allow_plain_network: bool = Field(
        default=False,
        description="laboratory only: speak MQTT or HTTP without TLS to or from other machines",
    )

    batch_rows: int = Field(
        default=5000, ge=1, le=50_000, description="packets landed in one transaction, at most"
    )
    batch_age_ms: int = Field(
        default=200,
        ge=0,
        le=10_000,
        description="milliseconds for which a packet waits for others to share its transaction",
    )
    buffer_packets: int = Field(
        default=8192,
        ge=1,
        le=65_535,
        description="packets from the broker held in memory: its window of unacknowledged packets"
        f" (Receive Maximum). Memory: at most this × {PACKET_CEILING_BYTES // 1024} KiB",
    )
    http_buffer_bytes: int = Field(
        default=16 * 1024 * 1024,
        ge=BATCH_BODY_MAX_BYTES,
        le=1024 * 1024 * 1024,
        description="bytes of packets from HTTP held in memory; beyond it uploads are told to come again",
    )
    http_buffer_packets: int = Field(
        default=8192,
        ge=BATCH_PACKETS_MAX,
        le=1_000_000,
        description="the same, as a number of packets",
    )
    drain_s: float = Field(
        default=10.0,
        gt=0,
        le=300,
        description="seconds for landing what is held, after the signal to stop",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", description="DEBUG also shows every batch"
    )

    @property
    def linger_s(self) -> float:
        """How long the landing thread waits for a fuller batch.

        MQTT 3.1.1 has no Receive Maximum: the broker's own window, of unknown and often small size,
        decides how many packets come before an acknowledgement. Waiting for more than that only
        waits, so there each batch is what arrived during the one before.
        """
        return self.batch_age_ms / 1000 if self.mqtt_protocol == "5" or not self.mqtt_host else 0.0

    @model_validator(mode="after")
    def _belong_together(self) -> Self:
        """Settings that need each other. Raises SettingsError, naming all that is wrong."""
        wrong = environment.wrong_broker(
            self.mqtt_host,
            self.mqtt_tls_ca_file,
            self.mqtt_tls_cert_file,
            self.mqtt_tls_key_file,
            prefix="V2G_MQTT_",
            allow_plain=self.allow_plain_network,
        )
        if self.mqtt_username and self.mqtt_password_file is None:
            expected = "a file with the password of V2G_MQTT_USERNAME"
            wrong.append(WrongSetting("V2G_MQTT_PASSWORD_FILE", "nothing", expected))
        if self.mqtt_host and self.batch_rows > self.buffer_packets:
            wrong.append(
                WrongSetting(
                    PREFIX + "BATCH_ROWS",
                    str(self.batch_rows),
                    f"at most V2G_BUFFER_PACKETS ({self.buffer_packets}): the broker sends no more before"
                    " these are acknowledged, so a larger batch never fills",
                )
            )
        if not self.allow_plain_network and not is_loopback(self.http_host):
            wrong.append(
                WrongSetting(
                    PREFIX + "HTTP_HOST",
                    f"{self.http_host!r}, which other machines reach, in plain HTTP",
                    "127.0.0.1 behind a server that ends TLS"
                    f" (or, in a laboratory, {PREFIX}ALLOW_PLAIN_NETWORK=true)",
                )
            )
        if wrong:
            raise SettingsError(*wrong)
        return self


def load() -> Settings:
    """The settings from the environment. Raises SettingsError: all that is missing or wrong."""
    return environment.load(Settings)


def describe() -> str:
    """A table of every setting, for ``--help``."""
    return environment.describe(Settings)
