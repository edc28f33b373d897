"""Certificates, private keys and secrets that settings name: there, valid, and open to nobody else.

Which variable names what kind of file stands in ``KINDS``; a test holds it against every class of
settings, so that no new secret goes unlooked at.
"""

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from enum import Enum, auto
from pathlib import Path
from typing import Final

from tasks.certificate_state import inspect
from tasks.certificates import CertificateError
from tasks.doctor.finding import Finding, State
from tasks.posting.settlement_key import CERTIFICATE

AUTH_EXPIRED: Final = "ERR_AUTH_EXPIRED"


class Kind(Enum):
    """What a file is, and so how it must be kept."""

    SECRET = auto()
    """A token, password or list of accounts: its user's alone."""
    KEY = auto()
    """A private key: its user's alone, in a folder that others cannot write to."""
    CERTIFICATE = auto()
    """A certificate: valid now, and for a month yet."""
    PLAIN = auto()
    """A configuration: there, and written by its user and root only."""


KINDS: Final[Mapping[str, Kind]] = {
    "V2G_API_TLS_CERT_FILE": Kind.CERTIFICATE,
    "V2G_API_TLS_CLIENT_CA_FILE": Kind.CERTIFICATE,
    "V2G_API_TLS_KEY_FILE": Kind.KEY,
    "V2G_API_TOKEN_FILE": Kind.SECRET,
    "V2G_CLEARINGHOUSE_CA_FILE": Kind.CERTIFICATE,
    "V2G_CLEARINGHOUSE_KEY_FILE": Kind.PLAIN,
    "V2G_CLEARINGHOUSE_TOKEN_FILE": Kind.SECRET,
    "V2G_GRID_FILE": Kind.PLAIN,
    "V2G_INTAKE_TOKEN_FILE": Kind.SECRET,
    "V2G_METRICS_TOKEN_FILE": Kind.SECRET,
    "V2G_MODBUS_FILE": Kind.PLAIN,
    "V2G_MQTT_PASSWORD_FILE": Kind.SECRET,
    "V2G_MQTT_TLS_CA_FILE": Kind.CERTIFICATE,
    "V2G_MQTT_TLS_CERT_FILE": Kind.CERTIFICATE,
    "V2G_MQTT_TLS_KEY_FILE": Kind.KEY,
    "V2G_PAYEES_FILE": Kind.SECRET,
    "V2G_REDIS_CA_FILE": Kind.CERTIFICATE,
    "V2G_REDIS_PASSWORD_FILE": Kind.SECRET,
    "V2G_SEAL_KEY_FILE": Kind.SECRET,
    "V2G_SETTLEMENT_CERT_FILE": Kind.CERTIFICATE,
    "V2G_SETTLEMENT_KEY_FILE": Kind.KEY,
    "V2G_SETTLEMENT_PASSPHRASE_FILE": Kind.SECRET,
    "V2G_SETTLEMENT_PKCS11_MODULE": Kind.PLAIN,
    "V2G_SETTLEMENT_PKCS11_PIN_FILE": Kind.SECRET,
    "V2G_THERMAL_PASSWORD_FILE": Kind.SECRET,
    "V2G_THERMAL_TLS_CERT_FILE": Kind.CERTIFICATE,
    "V2G_THERMAL_TLS_KEY_FILE": Kind.KEY,
    "V2G_WEBHOOK_ALLOW_FILE": Kind.PLAIN,
    "V2G_WEBHOOK_CA_FILE": Kind.CERTIFICATE,
}
"""Every setting that names a file, and what that file is."""


def files(environ: Mapping[str, str], *, owner: int, now: datetime) -> Sequence[Finding]:
    """A finding for each file that a variable names; one when none does.

    Args:
        environ: variables.
        owner: uid of the services' user: keys and secrets are its own.
        now: against which certificates are held.
    """
    named = [(name, kind, Path(environ[name])) for name, kind in KINDS.items() if environ.get(name)]
    key = environ.get("V2G_SETTLEMENT_KEY_FILE")
    if key and not environ.get("V2G_SETTLEMENT_CERT_FILE"):
        beside = Path(key).with_name(CERTIFICATE)
        named.append(("V2G_SETTLEMENT_CERT_FILE", Kind.CERTIFICATE, beside))
    if not named:
        found, repair = "no variable names one", "name the services' settings: --settings FILE"
        return (Finding("files", State.UNKNOWN, found, "the files of V2G_…_FILE", repair),)
    return [_finding(name, kind, path, owner, now) for name, kind, path in named]


def _finding(name: str, kind: Kind, path: Path, owner: int, now: datetime) -> Finding:
    check = f"file {name}"
    expected = {
        Kind.SECRET: "a regular file of mode 0600 of the services' user",
        Kind.KEY: "a private key of mode 0600 of the services' user, in a folder of its own",
        Kind.CERTIFICATE: "a certificate that is valid for a month yet",
        Kind.PLAIN: "a file that only its owner writes",
    }[kind]
    try:
        status = path.lstat() if kind in {Kind.SECRET, Kind.KEY} else path.stat()
    except PermissionError:
        repair = "run this as the services' user, or as root"
        return Finding(check, State.UNKNOWN, f"{path}: not to be seen from here", expected, repair)
    except OSError as error:
        return Finding(
            check,
            State.BAD,
            f"{path}: {error.strerror}",
            expected,
            f"put it there, or unset {name}",
        )
    if wrong := next(_wrong(kind, path, status, owner), None):
        found, repair = wrong
        return Finding(check, State.BAD, f"{path}: {found}", expected, repair)
    if kind is Kind.CERTIFICATE:
        return _certificate(check, path, expected, now)
    return Finding(check, State.OK, f"{path}, mode {stat.S_IMODE(status.st_mode):04o}", expected)


def _wrong(kind: Kind, path: Path, status: os.stat_result, owner: int) -> Iterator[tuple[str, str]]:
    """What is wrong with how a file is kept, and the repair, the worst first."""
    mode = stat.S_IMODE(status.st_mode)
    if not stat.S_ISREG(status.st_mode):
        yield "no regular file", "put the file itself there"
    if kind in {Kind.SECRET, Kind.KEY}:
        prefix = f"{AUTH_EXPIRED}: " if kind is Kind.KEY else ""
        if mode & 0o077:
            yield f"{prefix}mode {mode:04o}, open to others", f"chmod 600 '{path}'"
        if status.st_uid != owner:
            yield f"{prefix}owned by uid {status.st_uid}, not {owner}", f"chown {owner} '{path}'"
        if not status.st_size:
            yield "empty", "write the secret into it"
    elif mode & stat.S_IWOTH:
        yield f"mode {mode:04o}, everybody may write it", f"chmod o-w '{path}'"
    if kind is Kind.KEY:
        folder = path.absolute().parent.stat().st_mode
        if folder & 0o022 and not folder & stat.S_ISVTX:
            told = "others may write to its folder and so exchange it"
            yield f"{AUTH_EXPIRED}: {told}", f"chmod go-w '{path.parent}'"


def _certificate(check: str, path: Path, expected: str, now: datetime) -> Finding:
    try:
        (state,) = inspect(path, now=now)
    except (CertificateError, OSError) as error:
        return Finding(check, State.BAD, f"{error}", expected, "put a PEM certificate there")
    if state.not_after is None:
        return Finding(
            check, State.BAD, "; ".join(state.problems), expected, "put a PEM certificate there"
        )
    told = f"{path}: {state.name or 'no name'}, until {state.not_after:%Y-%m-%d}"
    if now > state.not_after or state.not_before is None or now < state.not_before:
        over = next(iter(state.problems), "not valid now")
        repair = "v2g certs renew DIR NAME, install it, restart who uses it; or look at the clock"
        return Finding(check, State.BAD, f"{AUTH_EXPIRED}: {over}", expected, repair)
    if state.due:
        repair = "v2g certs renew DIR NAME, install it, restart who uses it"
        return Finding(check, State.WARN, f"{told}, {state.days_left} days", expected, repair)
    return Finding(check, State.OK, told, expected)
