"""The configuration file: one JSON object, its keys named as the requirements name them.

A key that ``config_keys.KEYS`` does not list is refused, with the nearest that it lists: a mistyped
key would otherwise be a default.
"""

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from evse_agent.config_keys import KEYS, REQUIRED, WrongValueError, topic_part
from evse_agent.errors import ConfigError, WrongKey
from settlement.hosts import is_loopback

CONFIG_MAX_BYTES: Final = 64 * 1024
_SHOWN_MAX_CHARS: Final = 60


@dataclass(frozen=True, slots=True)
class Pkcs11:
    """A key in a token."""

    module: Path
    token: str
    key: str
    pin_file: Path


@dataclass(frozen=True, slots=True)
class Broker:
    """The connection to the broker."""

    host: str
    port: int
    ca_file: Path | None
    cert_file: Path | None
    key_file: Path | None
    username: str | None
    password_file: Path | None
    keep_alive: int
    session_expiry: int
    window: int


@dataclass(frozen=True, slots=True)
class Config:
    """The file, checked. Times in seconds."""

    bidirectional_enabled: bool
    settlement_interval: int
    evse_id: str
    client_id: str
    key_file: Path | None
    pkcs11: Pkcs11 | None
    broker: Broker
    receipt_timeout: float
    upload_url: str | None
    upload_token_file: Path | None
    upload_ca_file: Path | None
    upload_threshold: int
    upload_after: float
    upload_pause: float
    upload_spread: float
    store_file: Path
    store_max_bytes: int
    socket_file: Path
    latitude: str | None
    longitude: str | None
    clock_source: str
    clock_offset: str | None
    allow_plain_network: bool
    log_level: str


def load(path: Path) -> Config:
    """Read and check a configuration file.

    Raises:
        ConfigError: it cannot be read, is no JSON object, or keys are wrong: all of them at once.
    """
    try:
        with path.open("rb") as file:
            content = file.read(CONFIG_MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(
            WrongKey(str(path), f"nothing readable ({error.strerror})", "a configuration file")
        ) from error
    if len(content) > CONFIG_MAX_BYTES:
        raise ConfigError(WrongKey(str(path), "a huge file", f"at most {CONFIG_MAX_BYTES} bytes"))
    return parse(content, name=str(path))


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ConfigError(WrongKey(twice[:_SHOWN_MAX_CHARS], "this key twice", "each key once"))
    return fields


def parse(content: bytes, *, name: str = "configuration") -> Config:
    """The same, from its bytes. Raises ConfigError."""
    try:
        given = json.loads(content, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise ConfigError(WrongKey(name, f"no JSON ({error})", "one JSON object")) from error
    if not isinstance(given, dict):
        raise ConfigError(WrongKey(name, f"a JSON {type(given).__name__}", "one JSON object"))
    wrong: list[WrongKey] = []
    values = _values(given, "", wrong)
    for outer in ("Broker", "Pkcs11"):
        inner = given.get(outer)
        if isinstance(inner, dict):
            values |= _values(inner, f"{outer}.", wrong)
        elif inner is not None:
            wrong.append(WrongKey(outer, _shown(inner), "an object { … }"))
    if wrong:
        raise ConfigError(*wrong)
    _belong_together(values, wrong)
    if wrong:
        raise ConfigError(*wrong)
    return _config(values)


def _values(given: Mapping[str, object], prefix: str, wrong: list[WrongKey]) -> dict[str, Any]:
    known = {
        name.removeprefix(prefix): key
        for name, key in KEYS.items()
        if name.startswith(prefix) and "." not in name.removeprefix(prefix)
    }
    for name in given:
        if name not in known:
            lowered = {one.lower(): one for one in known}
            near = difflib.get_close_matches(name.lower(), lowered, n=1, cutoff=0.5)
            hint = f"; did you mean {prefix}{lowered[near[0]]}?" if near else ""
            shown = f"{prefix}{name[:_SHOWN_MAX_CHARS]}"
            wrong.append(WrongKey(shown, "an unknown key", f"a key of docs/agent.md{hint}"))
    values: dict[str, Any] = {}
    for name, key in known.items():
        full = prefix + name
        if name not in given:
            values[full] = None if key.default is REQUIRED else key.default
            if key.default is REQUIRED:
                wrong.append(WrongKey(full, "nothing", key.meaning))
        elif key.parse is not dict:
            try:
                values[full] = key.parse(given[name])
            except WrongValueError as error:
                wrong.append(WrongKey(full, _shown(given[name]), f"{error} ({key.meaning})"))
        else:
            values[full] = given[name]
    return values


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN_MAX_CHARS else text[: _SHOWN_MAX_CHARS - 1] + "…"


def _belong_together(values: Mapping[str, Any], wrong: list[WrongKey]) -> None:
    """Keys that need, or exclude, each other."""
    if (values["KeyFile"] is None) == (values["Pkcs11"] is None):
        found = "nothing" if values["KeyFile"] is None else "Pkcs11 as well"
        wrong.append(WrongKey("KeyFile", found, "either KeyFile or Pkcs11"))
    if values["ClientId"] is None:
        try:
            topic_part(values["EvseId"])
        except WrongValueError as error:
            found = "nothing, and EvseId cannot stand for it"
            wrong.append(WrongKey("ClientId", found, str(error)))
    for one, other in _PAIRS:
        if (values[one] is None) != (values[other] is None):
            absent, there = (one, other) if values[one] is None else (other, one)
            wrong.append(WrongKey(absent, "nothing", f"a value, since {there} is given"))
    if values["Broker.CertFile"] is not None and values["Broker.CaFile"] is None:
        expected = "the broker's authority, since CertFile is given"
        wrong.append(WrongKey("Broker.CaFile", "nothing", expected))
    if (values["ClockSource"] == "stated") != (values["ClockOffset"] is not None):
        found = "nothing" if values["ClockOffset"] is None else _shown(values["ClockOffset"])
        expected = 'a value exactly if ClockSource is "stated"'
        wrong.append(WrongKey("ClockOffset", found, expected))
    if not values["AllowPlainNetwork"]:
        _require_tls(values, wrong)


_PAIRS: Final = (
    ("Latitude", "Longitude"),
    ("Broker.CertFile", "Broker.KeyFile"),
    ("Broker.Username", "Broker.PasswordFile"),
    ("UploadUrl", "UploadTokenFile"),
)


def _require_tls(values: Mapping[str, Any], wrong: list[WrongKey]) -> None:
    plain = ", or in a laboratory AllowPlainNetwork"
    if values["Broker.CaFile"] is None and not is_loopback(values["Broker.Host"]):
        found = "nothing, and a broker on another machine"
        wrong.append(WrongKey("Broker.CaFile", found, "TLS" + plain))
    url = urlsplit(values["UploadUrl"] or "")
    if url.scheme == "http" and not is_loopback(url.hostname or ""):
        wrong.append(WrongKey("UploadUrl", "http to another machine", "https" + plain))


def _config(v: Mapping[str, Any]) -> Config:
    def under(outer: str) -> dict[str, Any]:
        return {
            _snake(name.removeprefix(f"{outer}.")): value
            for name, value in v.items()
            if name.startswith(f"{outer}.")
        }

    plain = {_snake(name): value for name, value in v.items() if "." not in name}
    plain["client_id"] = plain["client_id"] or plain["evse_id"]
    plain["broker"] = Broker(**under("Broker"))
    plain["pkcs11"] = None if v["Pkcs11"] is None else Pkcs11(**under("Pkcs11"))
    return Config(**plain)


def _snake(name: str) -> str:
    """A key's name as a field's.

    >>> _snake("SettlementInterval"), _snake("Pkcs11"), _snake("EvseId")
    ('settlement_interval', 'pkcs11', 'evse_id')
    """
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")
