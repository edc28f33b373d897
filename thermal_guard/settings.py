"""Every setting of the guard: environment variables, read once at the door.

Where broker and database are, it learns from the same variables as the daemon; its certificate has a
variable of its own, because one certificate is one connection: with the daemon's it would end the
daemon's connection, and the daemon its.
"""

from decimal import Decimal
from pathlib import Path
from typing import Final, Literal, Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from ingest_daemon import environment
from ingest_daemon.errors import SettingsError, WrongSetting
from settlement import units

PREFIX: Final = "V2G_THERMAL_"
_LOW: Final = Decimal(units.TEMPERATURE_MIN_MILLICELSIUS) / 1000
_HIGH: Final = Decimal(units.TEMPERATURE_MAX_MILLICELSIUS) / 1000


class Settings(BaseSettings):
    """The guard's settings, checked. Units stand in the name or in the description."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="ignore", env_ignore_empty=True
    )

    database_url: str = Field(
        min_length=1,
        validation_alias="V2G_DATABASE_URL",
        description="libpq connection string without a user, such as 'host=/run/postgresql dbname=v2g'",
    )
    mqtt_host: str = Field(
        default="127.0.0.1", validation_alias="V2G_MQTT_HOST", description="broker's host name"
    )
    mqtt_port: int = Field(
        default=1883, ge=1, le=65535, validation_alias="V2G_MQTT_PORT", description="broker's port"
    )
    mqtt_tls_ca_file: Path | None = Field(
        default=None,
        validation_alias="V2G_MQTT_TLS_CA_FILE",
        description="PEM file of the authority that signed the broker; switches TLS on",
    )
    allow_plain_network: bool = Field(
        default=False,
        validation_alias="V2G_ALLOW_PLAIN_NETWORK",
        description="laboratory only: speak MQTT without TLS to another machine",
    )
    tls_cert_file: Path | None = Field(
        default=None,
        description="PEM file of the guard's own certificate (v2g certs issue DIR v2g-thermal --daemon)",
    )
    tls_key_file: Path | None = Field(
        default=None, description="PEM file of its private key, mode 0600"
    )
    client_id: str = Field(
        default="v2g-thermal",
        min_length=1,
        max_length=64,
        pattern=r"^[\x21-\x7e]+$",
        description="its name at the broker, the common name of its certificate",
    )
    username: str = Field(default="", description="for a broker with passwords; empty: none")
    password_file: Path | None = Field(
        default=None, description="file with that password, mode 0600"
    )
    keepalive_s: int = Field(
        default=15,
        ge=5,
        le=120,
        description="seconds of silence after which a ping must be answered",
    )

    look_every_s: float = Field(
        default=1.0, ge=0.05, le=60, description="seconds between two looks at the temperatures"
    )
    limit_c: Decimal = Field(
        default=Decimal(55),
        gt=_LOW,
        le=_HIGH,
        decimal_places=3,
        description="°C at which a battery is limited that no program's terms speak of",
    )
    release_low_c: Decimal = Field(
        default=Decimal(20),
        ge=_LOW,
        lt=_HIGH,
        decimal_places=3,
        description="°C: such a battery is released when its filtered temperature is between this",
    )
    release_high_c: Decimal = Field(
        default=Decimal(45),
        gt=_LOW,
        lt=_HIGH,
        decimal_places=3,
        description="°C: and this, both included; below the limit",
    )
    filter_s: float = Field(
        default=0.0,
        ge=0,
        le=86_400,
        description="seconds: time constant of the filter for such a battery; 0 for none",
    )
    hard_limit_c: Decimal | None = Field(
        default=None,
        gt=_LOW,
        le=_HIGH,
        decimal_places=3,
        description="°C as measured, before any filter, at which every battery is limited; empty: none",
    )
    lost_after_s: float = Field(
        default=120.0,
        ge=1,
        le=3600,
        description="seconds without a temperature from a device after which its battery is limited",
    )
    look_back_s: float = Field(
        default=3600.0,
        ge=60,
        le=86_400,
        description="seconds of temperatures that are read at the start; and how long nobody may have"
        " asked a device, while others at the EVSE are asked, until it counts as taken away",
    )

    answer_within_s: float = Field(
        default=5.0, gt=0, le=60, description="seconds a charger has to answer a command"
    )
    retry_first_s: float = Field(
        default=1.0,
        gt=0,
        le=60,
        description="seconds before a command without an answer is sent again; doubles, up to the next",
    )
    retry_longest_s: float = Field(
        default=60.0, gt=0, le=3600, description="seconds between two attempts, at most"
    )
    modbus_file: Path | None = Field(
        default=None,
        validation_alias="V2G_MODBUS_FILE",
        description="the poller's file of devices: those with a limit register are also written to",
    )
    verify_every_s: float = Field(
        default=30.0,
        ge=0.05,
        le=3600,
        description="seconds between two looks whether a written register still says so",
    )
    metrics_port: int = Field(
        default=0,
        ge=0,
        le=65535,
        description="port on 127.0.0.1 for /healthz, /readyz and /metrics; 0 for none",
    )
    metrics_token_file: Path | None = Field(
        default=None,
        validation_alias="V2G_METRICS_TOKEN_FILE",
        description="file with the bearer token for /metrics, mode 0600; without one it is not served",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", description="how much is logged"
    )

    @model_validator(mode="after")
    def _belong_together(self) -> Self:
        """Settings that need each other. Raises SettingsError, naming all that is wrong."""
        wrong = environment.wrong_broker(
            self.mqtt_host,
            self.mqtt_tls_ca_file,
            self.tls_cert_file,
            self.tls_key_file,
            prefix="V2G_THERMAL_",
            allow_plain=self.allow_plain_network,
        )
        if not self.release_low_c < self.release_high_c < self.limit_c:
            wrong.append(
                WrongSetting(
                    PREFIX + "LIMIT_C",
                    f"{self.limit_c} with a release between {self.release_low_c} and"
                    f" {self.release_high_c}",
                    f"{PREFIX}RELEASE_LOW_C < {PREFIX}RELEASE_HIGH_C < {PREFIX}LIMIT_C",
                )
            )
        if self.retry_first_s > self.retry_longest_s:
            wrong.append(
                WrongSetting(
                    PREFIX + "RETRY_FIRST_S",
                    str(self.retry_first_s),
                    f"at most {PREFIX}RETRY_LONGEST_S ({self.retry_longest_s})",
                )
            )
        if self.username and self.password_file is None:
            expected = f"a file with the password of {PREFIX}USERNAME"
            wrong.append(WrongSetting(PREFIX + "PASSWORD_FILE", "nothing", expected))
        if wrong:
            raise SettingsError(*wrong)
        return self


def variable(name: str) -> str:
    """The environment variable of a setting, by its name here or by the variable itself.

    >>> variable("limit_c"), variable("V2G_MQTT_HOST")
    ('V2G_THERMAL_LIMIT_C', 'V2G_MQTT_HOST')
    """
    return environment.variable(Settings, name)


def load() -> Settings:
    """The settings from the environment. Raises SettingsError: all that is missing or wrong."""
    return environment.load(Settings)


def describe() -> str:
    """A table of every setting, for ``--help``."""
    return environment.describe(Settings)
