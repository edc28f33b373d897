"""Throwaway certificates for a clearinghouse over TLS, good ones and those that must be refused.

    authority = Authority(folder)             # folder/ca.pem is what a client has to trust
    pair = authority.server(Showing.EXPIRED)

For loopback only. The keys lie unencrypted in the folder, mode 0600.
"""

import ipaddress
import os
import ssl
import warnings
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

HOSTS: Final = ("127.0.0.1", "localhost")
WRONG_HOST: Final = "elsewhere.invalid"
DAYS: Final = 30


class Showing(StrEnum):
    """Which certificate the server shows."""

    GOOD = "good"
    EXPIRED = "expired"
    NOT_YET_VALID = "not-yet-valid"
    WRONG_HOST = "wrong-host"
    SELF_SIGNED = "self-signed"


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key, as PEM files."""

    certificate: Path
    key: Path


class Authority:
    """A certificate authority in a folder: ``ca.pem`` there, and what it has issued.

    A folder that has one already keeps it, so that a client's settings need not change.

    Args:
        folder: made if missing, readable by its owner only.
        now: from when on the certificates hold, less an hour.

    Raises:
        ValueError: the folder's key or certificate cannot be read, or one is there alone.
    """

    def __init__(self, folder: Path, *, now: datetime | None = None) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder = folder
        self.certificate = folder / "ca.pem"
        self._now = now or datetime.now(UTC)
        secret = folder / "ca.key"
        if secret.exists() != self.certificate.exists():
            raise ValueError(f"{folder}: has only one of ca.pem and ca.key; remove it")
        if secret.exists():
            self._key = read_signing_key(secret)
            return
        self._key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            self._begin(
                _CA, self._key.public_key(), starts=self._now - timedelta(days=DAYS), days=3 * DAYS
            )
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        write_signing_key(secret, self._key)

    def server(self, showing: Showing = Showing.GOOD) -> Pair:
        """A server's pair for this machine, made anew, in files named for what is shown."""
        key = ec.generate_private_key(ec.SECP256R1())
        starts = {
            Showing.EXPIRED: self._now - timedelta(days=DAYS + 1),
            Showing.NOT_YET_VALID: self._now + timedelta(days=1),
        }.get(showing, self._now - timedelta(hours=1))
        hosts = (WRONG_HOST,) if showing is Showing.WRONG_HOST else HOSTS
        name = _named("clearinghouse")
        alone = showing is Showing.SELF_SIGNED
        issuer = name if alone else _CA
        certificate = (
            self._begin(name, key.public_key(), starts=starts, days=DAYS, issuer=issuer)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(
                x509.SubjectAlternativeName([_general(host) for host in hosts]), critical=False
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(
                    (key if alone else self._key).public_key()
                ),
                critical=False,
            )
            .sign(key if alone else self._key, hashes.SHA256())
        )
        pair = Pair(self.folder / f"{showing}.pem", self.folder / f"{showing}.key")
        pair.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        write_signing_key(pair.key, key)
        return pair

    @staticmethod
    def _begin(
        subject: x509.Name,
        key: ec.EllipticCurvePublicKey,
        *,
        starts: datetime,
        days: int,
        issuer: x509.Name | None = None,
    ) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer or subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(starts)
            .not_valid_after(starts + timedelta(days=days))
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        )


def server_context(pair: Pair, *, tls11_only: bool = False) -> ssl.SSLContext:
    """What the server speaks: TLS 1.2 and 1.3, or 1.1 alone, which no client should accept."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    if tls11_only:
        # TLS 1.1 signs with SHA-1, which OpenSSL allows at level 0 only.
        context.set_ciphers("ALL:@SECLEVEL=0")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = ssl.TLSVersion.TLSv1_1
            context.maximum_version = ssl.TLSVersion.TLSv1_1
    else:
        context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def read_signing_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """The P-256 private key in a PEM file, unencrypted. Raises ValueError."""
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}: {error}; expected an unencrypted PEM private key") from error
    if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1):
        return key
    raise ValueError(f"{path}: expected a key on the curve P-256")


def write_signing_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    """Write a private key that only its owner reads, over what was there."""
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(secret)


def public_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """The public half, PEM SubjectPublicKeyInfo."""
    return key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


_CA: Final = _named("throwaway clearinghouse authority")


def _general(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
