"""Whether certificates still serve and are kept well: what `v2g certs show` says, before a broker does."""

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID

from tasks.certificate_folder import AUTHORITY, CHARGERS, place, read_certificate
from tasks.certificates import CertificateError, common_name, hosts_of

RENEWED_BEFORE: Final = timedelta(days=30)
"""From here on a certificate is due."""
_CERTIFICATE_END: Final = "_cert.pem"
_KEY_END: Final = "_private.key"


@dataclass(frozen=True, slots=True)
class State:
    """What one file says and what is wrong with it.

    Attributes:
        file: a certificate, or a private key without one.
        name: the common name: who it is to the broker; empty for a key.
        kind: "authority", "server", "client" or "key".
        hosts: names and addresses a server may be reached under.
        not_before: UTC; None for a key.
        not_after: UTC; None for a key.
        days_left: whole days until the end, negative when over; None for a key.
        serial: hexadecimal, as OpenSSL prints it.
        problems: why it does not serve, each with what to do; empty when it does.
        due: it serves, but should be renewed within a month.
    """

    file: Path
    name: str
    kind: str
    hosts: tuple[str, ...] = ()
    not_before: datetime | None = None
    not_after: datetime | None = None
    days_left: int | None = None
    serial: str = ""
    problems: tuple[str, ...] = ()
    due: bool = False


def inspect(
    path: Path, *, now: datetime, progress: Callable[[int], None] = lambda _: None
) -> list[State]:
    """The state of a certificate, of a private key, or of all in an authority's folder.

    Raises:
        CertificateError: there is nothing of the kind.
        OSError: it cannot be read.
    """
    if not path.is_dir():
        return [_state(path, now=now)]
    found = []
    for file in _files(path):
        found.append(_state(file, now=now))
        progress(1)
    if not found:
        raise CertificateError(f"{path}: no certificates; expected a folder of `v2g certs init`")
    return found


def ill_kept(path: Path) -> str:
    """Why a private key's file is no secret, and what to do; empty when it is one."""
    try:
        status = path.lstat()
        parent = path.absolute().parent.stat()
    except OSError as error:
        return f"{path}: cannot be looked at ({error.strerror})"
    mode = stat.S_IMODE(status.st_mode)
    if stat.S_ISLNK(status.st_mode):
        return f"{path}: a symbolic link; put the file itself there"
    if not stat.S_ISREG(status.st_mode):
        return f"{path}: no regular file"
    if mode & 0o077:
        return f"{path}: mode {mode:04o}, open to others; run: chmod 600 '{path}'"
    if os.geteuid() not in {0, status.st_uid}:
        return f"{path}: owned by uid {status.st_uid}, you are uid {os.geteuid()}"
    shared = parent.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    if shared and not parent.st_mode & stat.S_ISVTX:
        return f"{path}: others may write to its folder and so exchange it; run: chmod go-w '{path.parent}'"
    return ""


def _files(folder: Path) -> Iterator[Path]:
    """Every certificate, the authority's first; then keys that have none."""
    authority = place(folder, AUTHORITY).certificate
    if authority.exists():
        yield authority
    for part in (folder, folder / CHARGERS):
        for file in sorted(part.glob(f"*{_CERTIFICATE_END}")):
            yield file
        for file in sorted(part.glob(f"*{_KEY_END}")):
            if not _certificate_of(file).exists():
                yield file


def _key_of(certificate: Path) -> Path:
    stem = certificate.name.removesuffix(_CERTIFICATE_END).removesuffix(".pem")
    return certificate.with_name(f"{stem}{_KEY_END}")


def _certificate_of(key: Path) -> Path:
    stem = key.name.removesuffix(_KEY_END)
    end = ".pem" if stem == AUTHORITY else _CERTIFICATE_END
    return key.with_name(f"{stem}{end}")


def _state(file: Path, *, now: datetime) -> State:
    if file.name.endswith(".key"):
        wrong = ill_kept(file)
        return State(file, "", "key", problems=(wrong,) if wrong else ())
    try:
        certificate = read_certificate(file)
    except (CertificateError, OSError) as error:
        return State(file, "", "unknown", problems=(f"{error}",))
    kind = _kind(certificate)
    problems = [*_over(file, certificate, now), *_not_ours(file, certificate, kind)]
    name = ""
    try:
        name = common_name(certificate.subject)
    except CertificateError as error:
        problems.append(f"{file}: {error}")
    key = _key_of(file)
    if os.path.lexists(key):
        wrong = ill_kept(key) or _another_key(key, certificate)
        problems += [wrong] if wrong else []
    left = certificate.not_valid_after_utc - now
    return State(
        file=file,
        name=name,
        kind=kind,
        hosts=tuple(hosts_of(certificate)),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        days_left=left // timedelta(days=1),
        serial=f"{certificate.serial_number:X}",
        problems=tuple(problems),
        due=not problems and left < RENEWED_BEFORE,
    )


def _kind(certificate: x509.Certificate) -> str:
    extensions = certificate.extensions
    try:
        if extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
            return "authority"
    except x509.ExtensionNotFound:
        pass
    try:
        purposes = set(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except x509.ExtensionNotFound:
        return "any"
    return "server" if ExtendedKeyUsageOID.SERVER_AUTH in purposes else "client"


def _over(file: Path, certificate: x509.Certificate, now: datetime) -> Iterator[str]:
    name = file.name.removesuffix(_CERTIFICATE_END).removesuffix(".pem")
    name = "v2g-settlement" if name == "settlement" else name
    if now > certificate.not_valid_after_utc:
        yield (
            f"{file}: expired on {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC;"
            f" renew it: v2g certs renew DIR '{name}'"
        )
    if now < certificate.not_valid_before_utc:
        yield (
            f"{file}: not valid before {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC;"
            " look at this machine's clock"
        )


def _not_ours(file: Path, certificate: x509.Certificate, kind: str) -> Iterator[str]:
    """Whether the authority beside it has signed it; silent where there is none."""
    folder = file.parent.parent if file.parent.name == CHARGERS else file.parent
    authority = place(folder, AUTHORITY).certificate
    if kind == "authority" or not authority.exists():
        return
    try:
        certificate.verify_directly_issued_by(read_certificate(authority))
    except (CertificateError, ValueError, TypeError, InvalidSignature):
        yield f"{file}: not signed by {authority}; the broker will not know it"


def _another_key(key: Path, certificate: x509.Certificate) -> str:
    try:
        private = load_pem_private_key(key.read_bytes(), None)
    except TypeError:
        return ""  # encrypted: that it fits shows when it is used
    except (OSError, ValueError) as error:
        return f"{key}: no private key that can be used ({error})"
    shape = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    if private.public_key().public_bytes(*shape) != certificate.public_key().public_bytes(*shape):
        return f"{key}: not the key of the certificate beside it"
    return ""
