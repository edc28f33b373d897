"""Throwaway certificates: an authority, a server's, a device's. P-256 and SHA-256, as §6.11 wants.

For loopback only. The keys lie unencrypted in the folder, mode 0600.
"""

import hashlib
import ipaddress
import os
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from py20305.security import compute_sfdi

LFDI_DIGITS: Final = 40
DAYS_DEFAULT: Final = 30
HOSTS: Final = ("127.0.0.1", "localhost")


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key, as PEM files."""

    certificate: Path
    key: Path

    @property
    def lfdi(self) -> str:
        """The long form device identifier: 40 hex digits, capitals."""
        return lfdi_of(ssl.PEM_cert_to_DER_cert(self.certificate.read_text(encoding="ascii")))


def lfdi_of(certificate: bytes) -> str:
    """The leftmost 160 bits of the SHA-256 over the DER certificate (IEEE 2030.5 §6.3.4)."""
    return hashlib.sha256(certificate).hexdigest()[:LFDI_DIGITS].upper()


def sfdi_of(lfdi: str) -> int:
    """The short form: the LFDI's leftmost 36 bits as decimal with a check digit (§6.3.3)."""
    return int(compute_sfdi(lfdi))


class Authority:
    """A certificate authority in a folder: ``ca.pem`` there, and what it has issued.

    Args:
        folder: made if missing, readable by its owner only.
        now: from when on the certificates hold, less an hour.
        name: the authority's own.
    """

    def __init__(
        self, folder: Path, *, now: datetime | None = None, name: str = "throwaway"
    ) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder = folder
        self.certificate = folder / "ca.pem"
        self._now = now or datetime.now(UTC)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _named(f"{name} authority")
        certificate = (
            self._begin(self._name, self._key.public_key(), days=DAYS_DEFAULT, late=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self._identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(
            self._key.public_key()
        )
        self.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def server(
        self, name: str = "server", *, hosts: tuple[str, ...] = HOSTS, expired: bool = False
    ) -> Pair:
        """A server's pair for these host names and addresses; expired: since yesterday."""
        names = x509.SubjectAlternativeName([_general(host) for host in hosts])
        return self._issue(name, names, ExtendedKeyUsageOID.SERVER_AUTH, expired=expired)

    def client(self, name: str = "client", *, expired: bool = False) -> Pair:
        """A device's or an aggregator's pair."""
        names = x509.SubjectAlternativeName([x509.DNSName(f"{name}.invalid")])
        return self._issue(name, names, ExtendedKeyUsageOID.CLIENT_AUTH, expired=expired)

    def _issue(
        self,
        name: str,
        names: x509.SubjectAlternativeName,
        purpose: x509.ObjectIdentifier,
        *,
        expired: bool,
    ) -> Pair:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            self._begin(_named(name), key.public_key(), days=DAYS_DEFAULT, late=expired)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
            .add_extension(names, critical=False)
            .add_extension(self._identifier, critical=False)
            .sign(self._key, hashes.SHA256())
        )
        pair = Pair(self.folder / f"{name}.pem", self.folder / f"{name}.key")
        pair.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        secret = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        pair.key.unlink(missing_ok=True)
        with os.fdopen(
            os.open(pair.key, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb"
        ) as file:
            file.write(secret)
        return pair

    def _begin(
        self, subject: x509.Name, key: ec.EllipticCurvePublicKey, *, days: int, late: bool
    ) -> x509.CertificateBuilder:
        ends = self._now - timedelta(days=1) if late else self._now + timedelta(days=days)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(ends - timedelta(days=days, hours=1))
            .not_valid_after(ends)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        )


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


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
