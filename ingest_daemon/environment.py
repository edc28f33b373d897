"""The door between the environment and a process's settings: read once, all that is wrong said at once.

For the daemon, the Modbus poller and the thermal guard. Secrets are never settings: a setting names the
file that holds the secret.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from ingest_daemon.errors import SettingsError, WrongSetting
from settlement.hosts import is_loopback
from storage.errors import InsecureSecretError
from storage.secrets import read_secret

S = TypeVar("S", bound=BaseSettings)


def load(kind: type[S]) -> S:
    """The settings of a class from the environment.

    Raises:
        SettingsError: what is missing or wrong, all of it at once.
    """
    try:
        return kind()
    except ValidationError as error:
        raise SettingsError(*(_wrong(kind, dict(one)) for one in error.errors())) from error


def variable(kind: type[BaseSettings], name: str) -> str:
    """The environment variable of a setting, by its name in the class or by the variable itself."""
    field = kind.model_fields.get(name)
    if field is None:
        return name
    alias = field.validation_alias
    return alias if isinstance(alias, str) else f"{kind.model_config['env_prefix']}{name.upper()}"


def describe(kind: type[BaseSettings]) -> str:
    """A table of every setting, for ``--help``."""
    return "\n".join(
        f"  {variable(kind, name)}  [{_default(field)}]\n      {field.description}"
        for name, field in kind.model_fields.items()
    )


def secret(name: str, path: Path) -> str:
    """What stands in the file that the variable ``name`` names.

    Raises:
        SettingsError: it cannot be read, or others could read it.
    """
    try:
        return read_secret(path)
    except InsecureSecretError as error:
        raise SettingsError(WrongSetting(name, f"{path}, {error.found}", error.repair)) from error


def wrong_broker(
    host: str,
    ca: Path | None,
    cert: Path | None,
    key: Path | None,
    *,
    prefix: str,
    allow_plain: bool,
) -> list[WrongSetting]:
    """What contradicts itself in how a broker is to be reached.

    Args:
        host: of the broker; empty: none.
        ca: file of its authority; without one there is no TLS.
        cert: file of our own certificate.
        key: file of its private key.
        prefix: of the variables that name ``cert`` and ``key``, such as V2G_MQTT_.
        allow_plain: whether MQTT without TLS may leave this machine.
    """
    wrong: list[WrongSetting] = []
    if (cert is None) != (key is None):
        absent = "CERT" if cert is None else "KEY"
        expected = "certificate and key, both or neither"
        wrong.append(WrongSetting(f"{prefix}TLS_{absent}_FILE", "nothing", expected))
    if cert is not None and ca is None:
        expected = "the broker's authority, since a certificate is given"
        wrong.append(WrongSetting("V2G_MQTT_TLS_CA_FILE", "nothing", expected))
    if host and ca is None and not allow_plain and not is_loopback(host):
        wrong.append(
            WrongSetting(
                "V2G_MQTT_HOST",
                f"{host!r}, another machine, and no TLS",
                "V2G_MQTT_TLS_CA_FILE (or, in a laboratory, V2G_ALLOW_PLAIN_NETWORK=true)",
            )
        )
    return wrong


def _wrong(kind: type[BaseSettings], error: Mapping[str, object]) -> WrongSetting:
    location = error["loc"]
    name = str(location[0]) if isinstance(location, tuple) and location else "settings"
    named = (one for one in kind.model_fields if name in {one, variable(kind, one)})
    field = kind.model_fields.get(next(named, name))
    meaning = "" if field is None or field.description is None else f" ({field.description})"
    if error["type"] == "missing":
        return WrongSetting(variable(kind, name), "nothing", f"a value{meaning}")
    words = str(error["msg"]).removeprefix("Input should be ")
    return WrongSetting(variable(kind, name), repr(error["input"])[:80], words + meaning)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    if field.default in {None, ""}:
        return "not set"
    return str(field.default).lower() if isinstance(field.default, bool) else str(field.default)
