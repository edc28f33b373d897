"""Certificates for the broker's TLS: an authority, and what it signs. In memory; no clock, no files.

Three kinds hang on one authority, and none can play another's part:

    authority   signs, and nothing else
    server      the broker: the names in it are those under which clients reach it
    client      a charger or the daemon: the common name is who it is to the broker (its user name and
                client id, and the ``%u`` of its topics)

All keys are on P-256, all signatures ECDSA with SHA-256 (RFC 5280; CA/Browser Forum's profile for
what a server's certificate carries). Files and their modes: tasks.certificate_folder.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
    generate_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAEMON: Final = "v2g-settlement"
"""The common name under which infra/v2g.acl lets the ingest daemon read what chargers send."""
GUARD: Final = "v2g-thermal"
"""The same for the one that throttles chargers: it hears their status and commands them, and no more."""
RESERVED: Final = "v2g-"
"""What begins with this is one of ours: a charger with such a name would read other chargers' packets."""

AUTHORITY_DAYS: Final = 3650
SERVER_DAYS: Final = 397
CLIENT_DAYS: Final = 397
DAYS_MAX: Final = 3650
BACKDATED: Final = timedelta(minutes=5)
"""A charger's clock may be a little behind ours on the day it is set up."""

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9*._:@=-]{0,63}")
"""Fits a topic level (no / + # %), a common name (64 characters, RFC 5280 A.1) and a file name."""
_HOST: Final = re.compile(
    r"(?=.{1,253}$)(?!-)[A-Za-z0-9-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9-]{1,63}(?<!-))*"
)


class CertificateError(ValueError):
    """A certificate that cannot be made as asked; says what was found and what was expected."""


@dataclass(frozen=True, slots=True)
class Signer:
    """An authority: its certificate, and the key that signs."""

    certificate: x509.Certificate
    key: EllipticCurvePrivateKey


def new_key() -> EllipticCurvePrivateKey:
    return generate_private_key(SECP256R1())


def client_name(text: str) -> str:
    """The name if it can be a charger's: it becomes part of MQTT topics and of file names.

    Raises:
        CertificateError: it cannot be.

    >>> client_name("DE*ABC*E0001*1")
    'DE*ABC*E0001*1'
    >>> client_name("DE/ABC")
    Traceback (most recent call last):
    tasks.certificates.CertificateError: name 'DE/ABC': expected 1 to 64 of A-Z a-z 0-9 * . _ : @ = -, \
the first a letter or digit (it becomes part of MQTT topics, where + # / have a meaning)
    """
    if not _NAME.fullmatch(text):
        raise CertificateError(
            f"name {text[:80]!r}: expected 1 to 64 of A-Z a-z 0-9 * . _ : @ = -, the first a letter"
            " or digit (it becomes part of MQTT topics, where + # / have a meaning)"
        )
    return text


def charger_name(text: str) -> str:
    """The same, and none of ours.

    Raises:
        CertificateError: it cannot be a charger's.
    """
    name = client_name(text)
    if name.lower().startswith(RESERVED):
        raise CertificateError(
            f"name {text!r}: names that begin with {RESERVED!r} belong to this system's own daemons,"
            " which read every charger's packets; give --daemon if that is what you want"
        )
    return name


def daemon_name(text: str) -> str:
    """The name if the broker's access list can know it for a daemon's.

    Raises:
        CertificateError: it cannot.
    """
    if text not in {DAEMON, GUARD} and not re.fullmatch(rf"{DAEMON}-[2-9]", text):
        raise CertificateError(
            f"daemon {text[:80]!r}: expected {DAEMON}, {DAEMON}-2 to {DAEMON}-9 for more daemons, or"
            f" {GUARD} for the guard; the broker's access list names those (infra/v2g.acl)"
        )
    return text


def alternative_name(text: str) -> x509.GeneralName:
    """A host name or an address as a certificate carries it.

    Raises:
        CertificateError: it is neither.
    """
    try:
        return x509.IPAddress(ip_address(text))
    except ValueError:
        pass
    if not _HOST.fullmatch(text):
        raise CertificateError(
            f"host {text[:80]!r}: expected a host name such as mqtt.example.com, or an IP address"
        )
    return x509.DNSName(text.lower())


def authority(
    key: EllipticCurvePrivateKey, *, now: datetime, days: int = AUTHORITY_DAYS, name: str
) -> x509.Certificate:
    """An authority's own certificate; made again with the same name and key it renews the old one.

    Raises:
        CertificateError: more days than sane.
    """
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    usage = x509.KeyUsage(
        digital_signature=False, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, key_cert_sign=True, crl_sign=True,
        encipher_only=False, decipher_only=False,
    )  # fmt: skip
    return (
        _begun(subject, subject, key.public_key(), now=now, days=days)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .sign(key, hashes.SHA256())
    )


def server(
    signer: Signer,
    public_key: EllipticCurvePublicKey,
    hosts: Sequence[str],
    *,
    now: datetime,
    days: int = SERVER_DAYS,
) -> x509.Certificate:
    """The broker's certificate, for the names and addresses under which clients reach it.

    Raises:
        CertificateError: no name, one that cannot be, or the authority ends before the certificate.
    """
    if not hosts:
        raise CertificateError("the broker's certificate: expected at least one host name")
    names = [alternative_name(host) for host in dict.fromkeys(hosts)]
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "v2g-broker")])
    return _signed(
        signer, subject, public_key, ExtendedKeyUsageOID.SERVER_AUTH, names, now=now, days=days
    )


def client(
    signer: Signer,
    public_key: EllipticCurvePublicKey,
    name: str,
    *,
    now: datetime,
    days: int = CLIENT_DAYS,
) -> x509.Certificate:
    """A client's certificate; whether it may have that name is for the caller to ask.

    Raises:
        CertificateError: the name can be nobody's, or the authority ends before the certificate.
    """
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, client_name(name))])
    return _signed(
        signer, subject, public_key, ExtendedKeyUsageOID.CLIENT_AUTH, [], now=now, days=days
    )


def read_request(data: bytes) -> tuple[str, EllipticCurvePublicKey]:
    """Name and key of a signing request (PKCS #10, PEM or DER); all else in it is ignored.

    Raises:
        CertificateError: it is none, its signature does not stand, or key or name will not do.
    """
    try:
        pem = data.lstrip().startswith(b"-----")
        request = (x509.load_pem_x509_csr if pem else x509.load_der_x509_csr)(data)
        signed = request.is_signature_valid
        key = request.public_key()
    except (ValueError, UnsupportedAlgorithm, InvalidSignature) as error:
        raise CertificateError(
            f"no signing request ({error}); expected PKCS #10, PEM or DER"
        ) from error
    if not signed:
        raise CertificateError("the signing request's signature does not stand: it was altered")
    if not isinstance(key, EllipticCurvePublicKey) or not isinstance(key.curve, SECP256R1):
        raise CertificateError("the signing request's key: expected one on P-256 (prime256v1)")
    return common_name(request.subject), key


def common_name(name: x509.Name) -> str:
    """The one common name of a subject.

    Raises:
        CertificateError: it has none or several, and the broker would not know whom to believe.
    """
    found = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    if len(found) != 1:
        raise CertificateError(
            f"subject {name.rfc4514_string()!r}: found {len(found)} common names, expected one"
        )
    return str(found[0].value)


def hosts_of(certificate: x509.Certificate) -> list[str]:
    """Host names and addresses in a certificate, as text."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    addresses = map(str, names.get_values_for_type(x509.IPAddress))
    return [*names.get_values_for_type(x509.DNSName), *addresses]


def _signed(
    signer: Signer,
    subject: x509.Name,
    public_key: EllipticCurvePublicKey,
    purpose: x509.ObjectIdentifier,
    names: Sequence[x509.GeneralName],
    *,
    now: datetime,
    days: int,
) -> x509.Certificate:
    ends = signer.certificate.not_valid_after_utc
    if now + timedelta(days=days) > ends:
        raise CertificateError(
            f"the authority's own certificate ends on {ends:%Y-%m-%d}, before one of {days} days would:"
            " renew it first (v2g certs renew DIR ca) or give fewer --days"
        )
    usage = x509.KeyUsage(
        digital_signature=True, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, key_cert_sign=False, crl_sign=False,
        encipher_only=False, decipher_only=False,
    )  # fmt: skip
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.key.public_key())
    builder = (
        _begun(subject, signer.certificate.subject, public_key, now=now, days=days)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .add_extension(identifier, critical=False)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(signer.key, hashes.SHA256())


def _begun(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: EllipticCurvePublicKey,
    *,
    now: datetime,
    days: int,
) -> x509.CertificateBuilder:
    if not 1 <= days <= DAYS_MAX:
        raise CertificateError(f"validity of {days} days: expected 1 to {DAYS_MAX}")
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )
