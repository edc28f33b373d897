"""Every setting of the service: environment variables ``V2G_API_<NAME>``, read once at the door.

The database is the one that everything else uses: V2G_DATABASE_URL. Where notices may go is told by
``tasks.notices.settings``. Errors: api.errors.
"""

from pathlib import Path
from typing import Final, Literal, Self, TypeVar

from pydantic import Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from api.errors import SettingsError
from settlement.hosts import is_loopback
from tasks.notices.settings import NoticeSettings

PREFIX: Final = "V2G_API_"

Chosen = TypeVar("Chosen", bound=BaseSettings)


class Settings(BaseSettings):
    """The settings of the HTTP service, checked."""

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
    http_port: int = Field(default=8080, ge=0, le=65535, description="0 takes any free port")
    tls_cert_file: Path | None = Field(
        default=None, description="certificate chain (PEM): HTTPS instead of HTTP"
    )
    tls_key_file: Path | None = Field(default=None, description="its private key (PEM), mode 0600")
    tls_client_ca_file: Path | None = Field(
        default=None,
        description="authority of clients (PEM): who has no certificate of it gets no connection"
        " (mutual TLS); a token is wanted all the same",
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
    def _leaves_under_tls_only(self) -> Self:
        """Raises SettingsError: plain HTTP would leave this machine, or TLS is named by half."""
        if (self.tls_cert_file is None) != (self.tls_key_file is None):
            raise SettingsError(
                f"{PREFIX}TLS_CERT_FILE and {PREFIX}TLS_KEY_FILE: found one of the two; expected both"
            )
        if self.tls_client_ca_file is not None and self.tls_cert_file is None:
            raise SettingsError(
                f"{PREFIX}TLS_CLIENT_CA_FILE: found without {PREFIX}TLS_CERT_FILE; expected both:"
                " without TLS no client shows a certificate"
            )
        if self.tls_cert_file is None and not is_loopback(self.http_host):
            raise SettingsError(
                f"{PREFIX}HTTP_HOST: found {self.http_host!r}, which other machines reach, in plain"
                f" HTTP; expected 127.0.0.1, or TLS ({PREFIX}TLS_CERT_FILE, {PREFIX}TLS_KEY_FILE)"
            )
        return self


def variable(name: str, kind: type[BaseSettings] = Settings) -> str:
    """The environment variable of a setting."""
    alias = kind.model_fields[name].validation_alias if name in kind.model_fields else None
    prefix = str(kind.model_config.get("env_prefix", ""))
    return alias if isinstance(alias, str) else prefix + name.upper()


def load() -> Settings:
    """The settings from the environment.

    Raises:
        SettingsError: what is missing or wrong, all of it at once.
    """
    return _loaded(Settings)


def load_notices() -> NoticeSettings:
    """The settings of notices, which other programs have, too. Raises SettingsError, as ``load``."""
    return _loaded(NoticeSettings)


def _loaded(kind: type[Chosen]) -> Chosen:
    try:
        return kind()  # the required ones come from the environment
    except ValidationError as error:
        wrong = []
        for one in error.errors():
            name = str(one["loc"][0]) if one["loc"] else "settings"
            shown = name if name.startswith("V2G_") else variable(name, kind)
            found = "nothing" if one["type"] == "missing" else repr(one["input"])[:80]
            wrong.append(f"{shown}: found {found}; {one['msg'].lower()}")
        raise SettingsError(*wrong) from error


def describe() -> str:
    """A table of every setting, for ``--help``."""
    blocks = []
    for kind in (Settings, NoticeSettings):
        for name, field in kind.model_fields.items():
            default = "required" if field.is_required() else str(field.default).lower()
            blocks.append(f"  {variable(name, kind)}  [{default}]\n      {field.description}")
    return "\n".join(blocks)
