"""Every key of the configuration file: how it is read, its default, what it means.

``KEYS`` is the only list of them: the parser, ``--help`` and docs/agent.md follow it.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from settlement import units
from settlement.decimals import decimal_text

CLOCK_SOURCES: Final = ("auto", "chrony", "kernel", "stated")
REQUIRED: Final = object()


class WrongValueError(ValueError):
    """What was expected instead."""


Parse = Callable[[Any], Any]


def _flag(value: Any) -> bool:
    if type(value) is not bool:
        raise WrongValueError("true or false")
    return value


def _integer(low: int, high: int) -> Parse:
    def parse(value: Any) -> int:
        if type(value) is not int or not low <= value <= high:
            raise WrongValueError(f"an integer from {low} to {high}")
        return value

    return parse


def _number(low: float, high: float) -> Parse:
    def parse(value: Any) -> float:
        if type(value) not in {int, float} or not low <= value <= high:
            raise WrongValueError(f"a number from {low:g} to {high:g}")
        return float(value)

    return parse


def _text(value: Any) -> str:
    if type(value) is not str or not 0 < len(value) <= units.ID_MAX_CHARS:
        raise WrongValueError(f"text of 1 to {units.ID_MAX_CHARS} characters")
    if not value.isprintable():
        raise WrongValueError("printable characters")
    return value


def topic_part(value: Any) -> str:
    if any(c in "/+#$" for c in _text(value)):
        raise WrongValueError("text without / + # $, because it is part of a topic")
    return str(value)


def _path(value: Any) -> Path:
    if type(value) is not str or not value.startswith("/") or "\0" in value:
        raise WrongValueError("an absolute path")
    return Path(value)


def _host(value: Any) -> str:
    try:
        str(value).encode("idna")
    except UnicodeError:
        value = None
    if type(value) is not str or not value or "/" in value or value != value.strip():
        raise WrongValueError("a host name or an address, without a scheme")
    return value


def _url(value: Any) -> str:
    parts = urlsplit(value) if type(value) is str else urlsplit("")
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query:
        raise WrongValueError("a URL such as https://settlement.example")
    if parts.username or parts.password:
        raise WrongValueError("a URL without a password; the token stands in UploadTokenFile")
    return str(value).rstrip("/")


def _degrees(largest: int) -> Parse:
    def parse(value: Any) -> str:
        try:
            if type(value) is str and abs(decimal_text(value, 6)) <= largest * 1_000_000:
                return value
        except ValueError:
            pass
        raise WrongValueError(f'degrees as text from "-{largest}" to "{largest}", 6 places')

    return parse


def _milliseconds(value: Any) -> str:
    try:
        if type(value) is str and abs(decimal_text(value, 3)) <= units.CLOCK_OFFSET_MAX_US:
            return value
    except ValueError:
        pass
    raise WrongValueError('milliseconds as text, such as "0.5"')


def _one_of(*words: str) -> Parse:
    def parse(value: Any) -> str:
        if value not in words:
            raise WrongValueError("one of " + ", ".join(words))
        return str(value)

    return parse


@dataclass(frozen=True, slots=True)
class Key:
    """One key of the file. ``default`` None: not set."""

    parse: Parse
    default: object
    meaning: str


KEYS: Final[Mapping[str, Key]] = {
    "BidirectionalEnabled": Key(
        _flag,
        REQUIRED,
        "whether this charger may discharge a car; if false, the controller is told 0 W "
        "and exported energy is refused",
    ),
    "SettlementInterval": Key(
        _integer(1, 3600),
        REQUIRED,
        "seconds that one packet covers",
    ),
    "EvseId": Key(
        _text,
        REQUIRED,
        "the charger (EVSEID) whose key is enrolled",
    ),
    "ClientId": Key(
        topic_part,
        None,
        "its name at the broker, and in its topics; the common name of its certificate [EvseId]",
    ),
    "KeyFile": Key(
        _path,
        None,
        "PEM file of the signing key, P-256, mode 0600; or Pkcs11",
    ),
    "Pkcs11": Key(
        dict,
        None,
        "the token that holds the signing key, instead of KeyFile",
    ),
    "Pkcs11.Module": Key(
        _path,
        REQUIRED,
        "the token's library",
    ),
    "Pkcs11.Token": Key(
        _text,
        REQUIRED,
        "label of the token",
    ),
    "Pkcs11.Key": Key(
        _text,
        REQUIRED,
        "label of the key pair",
    ),
    "Pkcs11.PinFile": Key(
        _path,
        REQUIRED,
        "file of the PIN, mode 0600",
    ),
    "Broker": Key(
        dict,
        REQUIRED,
        "the MQTT broker",
    ),
    "Broker.Host": Key(
        _host,
        REQUIRED,
        "its host name, as in its certificate",
    ),
    "Broker.Port": Key(
        _integer(1, 65535),
        8883,
        "its port",
    ),
    "Broker.CaFile": Key(
        _path,
        None,
        "PEM file of the authority that signed its certificate; without it no TLS",
    ),
    "Broker.CertFile": Key(
        _path,
        None,
        "PEM file of this charger's certificate",
    ),
    "Broker.KeyFile": Key(
        _path,
        None,
        "PEM file of that certificate's key, mode 0600",
    ),
    "Broker.Username": Key(
        _text,
        None,
        "account, where a broker wants one beside the certificate",
    ),
    "Broker.PasswordFile": Key(
        _path,
        None,
        "file of its password, mode 0600",
    ),
    "Broker.KeepAlive": Key(
        _integer(5, 3600),
        60,
        "seconds after which silence means a broken connection",
    ),
    "Broker.SessionExpiry": Key(
        _integer(1, 30 * 86400),
        7 * 86400,
        "seconds for which the broker keeps commands and receipts for an agent that is away",
    ),
    "Broker.Window": Key(
        _integer(2, 1000),
        20,
        "packets under way to the broker at once; half of it is kept free for new ones",
    ),
    "ReceiptTimeout": Key(
        _number(0.1, 3600),
        60.0,
        "seconds after which a packet without a receipt is sent again",
    ),
    "UploadUrl": Key(
        _url,
        None,
        "where batches go after an outage; without it everything goes over the broker",
    ),
    "UploadTokenFile": Key(
        _path,
        None,
        "file of the bearer token for it, mode 0600",
    ),
    "UploadCaFile": Key(
        _path,
        None,
        "PEM file of the authority that signed its certificate [the system's]",
    ),
    "UploadThreshold": Key(
        _integer(1, 1_000_000),
        100,
        "packets that must wait before a batch is uploaded",
    ),
    "UploadAfter": Key(
        _number(0, 86400),
        300.0,
        "seconds without a broker after which fewer are uploaded, too",
    ),
    "UploadPause": Key(
        _number(0, 3600),
        1.0,
        "seconds between two batches",
    ),
    "UploadSpread": Key(
        _number(0, 3600),
        30.0,
        "before its first batch a charger waits a random part of this, in seconds, so "
        "that a fleet does not come back at once",
    ),
    "StoreFile": Key(
        _path,
        REQUIRED,
        "where packets are kept until receipted (SQLite)",
    ),
    "StoreMaxBytes": Key(
        _integer(64 * 1024, 1 << 40),
        256 << 20,
        "bytes of packets kept; beyond it new intervals are refused, loudly, and none is "
        "thrown away",
    ),
    "SocketFile": Key(
        _path,
        REQUIRED,
        "Unix socket on which the charge controller speaks, mode 0600",
    ),
    "Latitude": Key(
        _degrees(90),
        None,
        "where the charger stands, WGS 84, if the controller does not say",
    ),
    "Longitude": Key(
        _degrees(180),
        None,
        "the same",
    ),
    "ClockSource": Key(
        _one_of(*CLOCK_SOURCES),
        "auto",
        "who knows the clock's error: auto (chrony, else kernel), chrony, kernel, or "
        "stated (a laboratory's way)",
    ),
    "ClockOffset": Key(
        _milliseconds,
        None,
        "the error that is stated, in milliseconds, with ClockSource stated",
    ),
    "AllowPlainNetwork": Key(
        _flag,
        False,
        "a laboratory's way: speak to other machines without TLS",
    ),
    "LogLevel": Key(
        _one_of("DEBUG", "INFO", "WARNING", "ERROR"),
        "INFO",
        "how much is logged",
    ),
}
"""Every key; ``Outer.Inner`` is a key of the object ``Outer``."""


def describe() -> str:
    """A table of every key, for ``--help``."""
    rows = []
    for name, key in KEYS.items():
        if key.default is REQUIRED:
            default = "required"
        else:
            default = "not set" if key.default is None else json.dumps(key.default)
        rows.append(f"  {name}  [{default}]\n      {key.meaning}")
    return "\n".join(rows)
