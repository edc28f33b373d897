"""The folder of an authority: what `v2g certs` keeps, where, and who may read it.

    DIR/                                       mode 0700
    DIR/ca.pem                                 everyone's: whom to believe
    DIR/ca_private.key                         signs; belongs on no broker and on no charger
    DIR/broker_cert.pem, broker_private.key    the broker's
    DIR/settlement_cert.pem, settlement_private.key    the daemon's
    DIR/chargers/NAME_cert.pem, NAME_private.key       one pair each; no key where a request was signed

Keys have mode 0600 from their first byte on. Nothing is ever overwritten but a certificate that is
renewed. What a certificate says is decided in tasks.certificates.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, cast

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import (
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from storage.secrets import read_secret
from tasks import certificates
from tasks.certificates import CertificateError, Signer
from tasks.safe_files import replace, write_new

AUTHORITY: Final = "ca"
BROKER: Final = "broker"
CHARGERS: Final = "chargers"
FILE_MAX_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Pair:
    """Where somebody's certificate and key lie; ``key`` is None where only a request was signed."""

    name: str
    certificate: Path
    key: Path | None


def place(folder: Path, name: str) -> Pair:
    """Where a name's certificate and key lie in a folder, whether they exist or not."""
    if name == AUTHORITY:
        return Pair(name, folder / "ca.pem", folder / "ca_private.key")
    if name == certificates.DAEMON:
        return Pair(name, folder / "settlement_cert.pem", folder / "settlement_private.key")
    if name != BROKER and not name.startswith(certificates.RESERVED):
        folder = folder / CHARGERS
    return Pair(name, folder / f"{name}_cert.pem", folder / f"{name}_private.key")


def init(
    folder: Path, hosts: Sequence[str], *, now: datetime, passphrase: Path | None = None
) -> list[Pair]:
    """Make an authority, the broker's certificate for ``hosts``, and the daemon's. One call.

    Args:
        folder: made when it is missing; what lies in it is not touched.
        hosts: names and addresses under which chargers and daemon reach the broker.
        now: the validities begin here.
        passphrase: a file with the passphrase of the authority's key; None leaves that key unencrypted.

    Raises:
        CertificateError: a host will not do, or one of the files exists already.
        InsecureSecretError: the passphrase's file.
        OSError: the folder cannot be written.
    """
    pairs = [place(folder, name) for name in (AUTHORITY, BROKER, certificates.DAEMON)]
    _all_new(pairs)
    encryption = _encryption(passphrase)
    key = certificates.new_key()
    # The key's own mark: two authorities of one day must not be taken for each other.
    mark = x509.SubjectKeyIdentifier.from_public_key(key.public_key()).digest.hex()[:8]
    name = f"V2G settlement authority {now:%Y-%m-%d} {mark}"
    signer = Signer(certificates.authority(key, now=now, name=name), key)
    broker, daemon = certificates.new_key(), certificates.new_key()
    made = [
        (key, signer.certificate, encryption),
        (broker, certificates.server(signer, broker.public_key(), hosts, now=now), NoEncryption()),
        (
            daemon,
            certificates.client(signer, daemon.public_key(), certificates.DAEMON, now=now),
            NoEncryption(),
        ),
    ]
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for pair, (private, certificate, protection) in zip(pairs, made, strict=True):
        write_new(cast(Path, pair.key), _pem(private, protection), mode=0o600)
        write_new(pair.certificate, certificate.public_bytes(Encoding.PEM), mode=0o644)
    return pairs


def issue(
    folder: Path,
    names: Sequence[str],
    *,
    now: datetime,
    days: int = certificates.CLIENT_DAYS,
    daemon: bool = False,
    passphrase: Path | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> list[Pair]:
    """Certificates and keys for chargers, or for more daemons. All names are checked before any is made.

    Raises:
        CertificateError: a name will not do, or has files already; or there is no authority here.
        OSError: the folder cannot be written.
    """
    check = certificates.daemon_name if daemon else _charger
    pairs = [place(folder, check(name)) for name in dict.fromkeys(names)]
    _all_new(pairs)
    signer = _signer(folder, passphrase)
    for pair in pairs:
        key = certificates.new_key()
        made = certificates.client(signer, key.public_key(), pair.name, now=now, days=days)
        write_new(cast(Path, pair.key), _pem(key, NoEncryption()), mode=0o600)
        write_new(pair.certificate, made.public_bytes(Encoding.PEM), mode=0o644)
        progress(1)
    return pairs


def sign_request(
    folder: Path,
    request: Path,
    *,
    name: str = "",
    now: datetime,
    days: int = certificates.CLIENT_DAYS,
    passphrase: Path | None = None,
) -> Pair:
    """A charger's certificate for a key that never left it.

    Raises:
        CertificateError: the request will not do, or names another charger than ``name``.
        OSError: a file cannot be read or written.
    """
    try:
        claimed, public_key = certificates.read_request(_read(request))
        if name and claimed != name:
            raise CertificateError(
                f"names {claimed!r}, and {name!r} was asked for; the two must agree"
            )
        pair = place(folder, _charger(claimed))
    except CertificateError as error:
        raise CertificateError(f"{request}: {error}") from error
    _all_new([pair])
    signer = _signer(folder, passphrase)
    made = certificates.client(signer, public_key, claimed, now=now, days=days)
    write_new(pair.certificate, made.public_bytes(Encoding.PEM), mode=0o644)
    return Pair(pair.name, pair.certificate, None)


def renew(
    folder: Path,
    name: str,
    *,
    now: datetime,
    days: int | None = None,
    passphrase: Path | None = None,
) -> Pair:
    """Another certificate of the same name and key in place of the old one; nothing else changes.

    ``ca`` renews the authority: what it has signed stays valid, and everyone needs the new ca.pem.
    ``broker`` keeps its host names.

    Raises:
        CertificateError: there is no such certificate here, or it is another authority's.
        OSError: the folder cannot be written.
    """
    pair = place(folder, name if name == AUTHORITY else certificates.client_name(name))
    signer = _signer(folder, passphrase)
    if not pair.certificate.exists():
        raise CertificateError(
            f"{pair.certificate}: not there; expected a certificate that was issued before"
            " (ca, broker, v2g-settlement, or a charger's name)"
        )
    old = read_certificate(pair.certificate)
    public_key = cast(EllipticCurvePublicKey, old.public_key())
    try:
        old.verify_directly_issued_by(signer.certificate)
    except (ValueError, TypeError, InvalidSignature) as error:
        raise CertificateError(
            f"{pair.certificate}: issued by another authority than {folder}'s"
        ) from error
    if name == AUTHORITY:
        made = certificates.authority(
            signer.key,
            now=now,
            days=days or certificates.AUTHORITY_DAYS,
            name=certificates.common_name(old.subject),
        )
    elif name == BROKER:
        made = certificates.server(
            signer,
            public_key,
            certificates.hosts_of(old),
            now=now,
            days=days or certificates.SERVER_DAYS,
        )
    else:
        made = certificates.client(
            signer,
            public_key,
            certificates.common_name(old.subject),
            now=now,
            days=days or certificates.CLIENT_DAYS,
        )
    replace(pair.certificate, made.public_bytes(Encoding.PEM), mode=0o644)
    return Pair(name, pair.certificate, pair.key if pair.key and pair.key.exists() else None)


def read_certificate(path: Path) -> x509.Certificate:
    """The first certificate of a PEM file.

    Raises:
        CertificateError: it holds none.
        OSError: it cannot be read.
    """
    try:
        return x509.load_pem_x509_certificate(_read(path))
    except ValueError as error:
        raise CertificateError(f"{path}: no certificate; expected PEM ({error})") from error


def _charger(name: str) -> str:
    if name in {AUTHORITY, BROKER}:
        raise CertificateError(f"name {name!r}: taken; it means the {name} itself")
    return certificates.charger_name(name)


def _signer(folder: Path, passphrase: Path | None) -> Signer:
    pair = place(folder, AUTHORITY)
    key_file = cast(Path, pair.key)
    if not key_file.exists():
        raise CertificateError(
            f"{key_file}: not there; make an authority first: v2g certs init '{folder}'"
        )
    word = None if passphrase is None else read_secret(passphrase).encode()
    try:
        key = load_pem_private_key(_read(key_file), word)
    except TypeError as error:  # encrypted and no passphrase, or the other way round
        raise CertificateError(
            f"{key_file}: {error}; give --passphrase-file exactly when the key is encrypted"
        ) from error
    except ValueError as error:
        raise CertificateError(
            f"{key_file}: cannot be used; expected the authority's key and its own passphrase ({error})"
        ) from error
    certificate = read_certificate(pair.certificate)
    if not isinstance(key, EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        raise CertificateError(f"{key_file}: not the key of {pair.certificate}")
    return Signer(certificate, key)


def _all_new(pairs: Sequence[Pair]) -> None:
    """Nothing is overwritten, and nothing is half made: every file of every name is looked for first."""
    found = [
        str(file)
        for pair in pairs
        for file in (pair.certificate, pair.key)
        if file is not None and os.path.lexists(file)
    ]
    if found:
        more = f" and {len(found) - 1} more" if len(found) > 1 else ""
        raise CertificateError(
            f"{found[0]}{more}: exists already and is not overwritten; `v2g certs renew` makes a new"
            " certificate for the same key; for a new key take the files away first"
        )


def _encryption(passphrase: Path | None) -> KeySerializationEncryption:
    if passphrase is None:
        return NoEncryption()
    return BestAvailableEncryption(read_secret(passphrase).encode())


def _pem(key: EllipticCurvePrivateKey, encryption: KeySerializationEncryption) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


def _read(path: Path) -> bytes:
    with path.open("rb") as stream:
        data = stream.read(FILE_MAX_BYTES + 1)
    if len(data) > FILE_MAX_BYTES:
        raise CertificateError(f"{path}: more than {FILE_MAX_BYTES} bytes; that is no certificate")
    return data
