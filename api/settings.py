"""Every setting of the service: environment variables ``V2G_API_<NAME>``, read once at the door.

The database is the one that everything else uses: V2G_DATABASE_URL. Errors: api.errors.
"""

from ipaddress import ip_address
from pathlib import Path
from typing import Final, Literal, Self

from pydantic import Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from api.errors import SettingsError

PREFIX: Final = "V2G_API_"


class Settings(BaseSettings):
    """The settings of the registry's HTTP service, checked."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")

    database_url: str = Field(
        min_length=1,
        validation_alias="V2G_DATABASE_URL",
        description="libpq connection string without a user, such as 'host=/run/postgresql dbname=v2g'",
    )
    token_file: Path = Field(
        description="file with the operators' tokens, as hashes, mode 0600: `v2g keys token` writes it"
    )
    http_host: str = Field(default="127.0.0.1", description="address on which HTTP listens")
    http_port: int = Field(default=8090, ge=0, le=65535, description="0 takes any free port")
    allow_plain_network: bool = Field(
        default=False, description="laboratory only: speak HTTP without TLS to other machines"
    )
    database_connections: int = Field(
        default=8, ge=1, le=64, description="requests that are at the database at the same time"
    )
    answer_within_s: float = Field(
        default=15.0,
        gt=0,
        le=60,
        description="seconds a request may wait for its turn before it is told to come again",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", description="DEBUG also shows every request"
    )

    @model_validator(mode="after")
    def _stays_here(self) -> Self:
        """Raises SettingsError: plain HTTP would leave this machine."""
        if not self.allow_plain_network and not is_loopback(self.http_host):
            raise SettingsError(
                f"{PREFIX}HTTP_HOST: found {self.http_host!r}, which other machines reach, in plain"
                " HTTP; expected 127.0.0.1 behind a server that ends TLS (or, in a laboratory,"
                f" {PREFIX}ALLOW_PLAIN_NETWORK=true)"
            )
        return self


def is_loopback(host: str) -> bool:
    """Whether a host name or address means this machine and no other.

    >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def variable(name: str) -> str:
    """The environment variable of a setting."""
    alias = Settings.model_fields[name].validation_alias if name in Settings.model_fields else None
    return alias if isinstance(alias, str) else PREFIX + name.upper()


def load() -> Settings:
    """The settings from the environment.

    Raises:
        SettingsError: what is missing or wrong, all of it at once.
    """
    try:
        return Settings()  # the required ones come from the environment
    except ValidationError as error:
        wrong = []
        for one in error.errors():
            name = str(one["loc"][0]) if one["loc"] else "settings"
            shown = name if name.startswith("V2G_") else variable(name)
            found = "nothing" if one["type"] == "missing" else repr(one["input"])[:80]
            wrong.append(f"{shown}: found {found}; {one['msg'].lower()}")
        raise SettingsError(*wrong) from error


def describe() -> str:
    """A table of every setting, for ``--help``."""
    blocks = []
    for name, field in Settings.model_fields.items():
        default = "required" if field.is_required() else str(field.default).lower()
        blocks.append(f"  {variable(name)}  [{default}]\n      {field.description}")
    return "\n".join(blocks)
