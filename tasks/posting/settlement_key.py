"""The settlement key: what signs every payout that is posted, with the certificate that says for how long.

A private key from a file that nobody else may read, encrypted or not, or in a token (PKCS#11), and a
certificate beside it. Whatever cannot be used is ERR_AUTH_EXPIRED with the repair, before anything is
claimed from the outbox: what is booked waits there.
"""

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from evse_agent.config import Pkcs11
from storage.errors import InsecureSecretError
from storage.secrets import read_private, read_secret
from tasks.posting.algorithms import (
    RSA_USUAL,
    Algorithm,
    PrivateKey,
    PublicKey,
    UnusableKeyError,
    algorithm_of,
    thumbprint,
    usable_public,
)
from tasks.posting.key_errors import AUTH_EXPIRED, SettlementKeyError, UnsignedError
from tasks.posting.token_key import open_key

__all__ = [
    "ASK",
    "AUTH_EXPIRED",
    "CERTIFICATE",
    "PARTNER_FILE",
    "PRIVATE",
    "RENEW",
    "Place",
    "SettlementKey",
    "SettlementKeyError",
    "UnsignedError",
    "check_certificate",
    "load",
    "read_certificates",
    "read_partner_key",
]

PRIVATE: Final = "settlement_private.key"
CERTIFICATE: Final = "settlement_cert.pem"
FILE_MAX_BYTES: Final = 64 * 1024
RENEW: Final = "make a new key, and hand it to the partner: v2g keys rotate, then rotate --switch"
ASK: Final = "ask the clearinghouse for its new key, and put it there"

_KEY: Final = "V2G_SETTLEMENT_KEY_FILE"
_CERT: Final = "V2G_SETTLEMENT_CERT_FILE"
PARTNER_FILE: Final = "V2G_CLEARINGHOUSE_KEY_FILE"
_MAKE: Final = "make one: v2g keys init DIR"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the settlement key is: in a file, or in a token.

    Attributes:
        certificate: its certificate.
        key_file: the private key; None where a token has it.
        passphrase_file: the passphrase of an encrypted key.
        token: the token, and the key's label in it.
        rsa_algorithm: by what an RSA key signs.
    """

    certificate: Path
    key_file: Path | None = None
    passphrase_file: Path | None = None
    token: Pkcs11 | None = None
    rsa_algorithm: str = RSA_USUAL

    @property
    def shown(self) -> str:
        """The file, or the token and the label."""
        if self.token is not None:
            return f"token {self.token.token!r}, key {self.token.key!r}"
        return str(self.key_file)


@dataclass(frozen=True, slots=True)
class SettlementKey:
    """The key, and the certificate that was made for it.

    Attributes:
        private: never shown; in a token it is only a way to it.
        certificate: who we are, and from when until when the key counts.
        algorithm: by what it signs.
        place: where both are.
    """

    private: PrivateKey = field(repr=False)
    certificate: x509.Certificate
    algorithm: Algorithm
    place: Place

    @property
    def public(self) -> PublicKey:
        """The public half, as the partner has it."""
        return self.private.public_key()

    @property
    def thumbprint(self) -> str:
        """The key's id (RFC 7638)."""
        return thumbprint(self.public)

    @property
    def certificate_where(self) -> str:
        """Where the certificate is, for messages."""
        return f"{_CERT} {self.place.certificate}"

    def check(self, now: datetime) -> None:
        """Whether the certificate counts at a time.

        Raises:
            SettlementKeyError: it is over, or does not count yet.
        """
        check_certificate(self.certificate, self.certificate_where, now, RENEW)


def check_certificate(certificate: x509.Certificate, where: str, now: datetime, do: str) -> None:
    """Whether a certificate counts at a time. Raises SettlementKeyError."""
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now >= ends:
        raise SettlementKeyError(where, f"expired at {ends.isoformat()}", do)
    if now < begins:
        found = f"not valid before {begins.isoformat()}, and it is {now.isoformat('T', 'seconds')}"
        raise SettlementKeyError(where, found, "look at this machine's clock")


def load(place: Place) -> SettlementKey:
    """The key and its certificate, as they lie there now. Whether they count yet is ``check``'s.

    The certificate's file may hold several: the key's own is taken, so that a new one can be put
    there before the key is exchanged.

    Raises:
        SettlementKeyError: a file is missing, open to others, or holds something else; the token
            cannot be used; the key is of a kind that signs nothing here; no certificate is the key's.
    """
    if place.token is not None:
        private, where = open_key(place.token), f"V2G_SETTLEMENT_PKCS11_KEY {place.shown}"
    elif place.key_file is not None:
        private, where = _from_file(place.key_file, place.passphrase_file), f"{_KEY} {place.shown}"
    else:
        raise SettlementKeyError(_KEY, "nothing", _MAKE)
    try:
        algorithm = algorithm_of(private, rsa_algorithm=place.rsa_algorithm)
    except UnusableKeyError as error:
        raise SettlementKeyError(where, f"{error}", _MAKE) from None
    public = private.public_key()
    for certificate in read_certificates(place.certificate, _CERT, _MAKE):
        if certificate.public_key() == public:
            return SettlementKey(private, certificate, algorithm, place)
    raise SettlementKeyError(
        f"{_CERT} {place.certificate}",
        f"no certificate of the key in {place.shown}",
        "put the certificate that belongs to the key there",
    )


def _from_file(path: Path, passphrase_file: Path | None) -> PrivateKey:
    where = f"{_KEY} {path}"
    try:
        content = read_private(path, bytes_max=FILE_MAX_BYTES, folder_too=True)
        word = None if passphrase_file is None else read_secret(passphrase_file).encode()
    except InsecureSecretError as error:
        is_key = error.path == path
        raise SettlementKeyError(
            where if is_key else f"V2G_SETTLEMENT_PASSPHRASE_FILE {error.path}",
            error.found,
            error.repair,
        ) from None
    try:
        private = serialization.load_pem_private_key(content, word)
    except TypeError:  # encrypted and no passphrase, or the other way round
        encrypted = word is None
        raise SettlementKeyError(
            where,
            "encrypted, and there is no passphrase" if encrypted else "not encrypted",
            "name the file of its passphrase: V2G_SETTLEMENT_PASSPHRASE_FILE"
            if encrypted
            else "unset V2G_SETTLEMENT_PASSPHRASE_FILE, or encrypt it",
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        # The library's words may quote the content: they are not repeated, and not chained.
        found = "no private key in PEM" if word is None else "not a key of this passphrase"
        raise SettlementKeyError(where, found, f"look at the file, or {_MAKE}") from None
    if not isinstance(private, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise SettlementKeyError(
            where, f"a key of kind {type(private).__name__}", f"P-256, or RSA; {_MAKE}"
        )
    return private


def read_certificates(path: Path, where: str, do: str) -> list[x509.Certificate]:
    """The certificates in a PEM file, which anybody may read.

    Raises:
        SettlementKeyError: there is none.
    """
    try:
        return x509.load_pem_x509_certificates(_read(path))
    except OSError as error:
        found = f"cannot be read ({error.strerror})"
    except ValueError:
        found = "no certificate in PEM"
    raise SettlementKeyError(f"{where} {path}", found, do)


def read_partner_key(path: Path) -> tuple[PublicKey, x509.Certificate | None]:
    """The partner's public key, and its certificate where the file holds one.

    Raises:
        SettlementKeyError: it holds neither, or a key of another kind.
    """
    where, do = f"{PARTNER_FILE} {path}", "put the key there that the partner has given you, as PEM"
    try:
        content = _read(path)
        certificate = None
        if b"-----BEGIN CERTIFICATE-----" in content:
            certificate = x509.load_pem_x509_certificate(content)
        public = (
            certificate.public_key() if certificate else serialization.load_pem_public_key(content)
        )
        return usable_public(public), certificate
    except OSError as error:
        found = f"cannot be read ({error.strerror})"
    except UnusableKeyError as error:
        found = f"{error}"
    except (ValueError, UnsupportedAlgorithm):
        found = "neither a public key nor a certificate in PEM"
    raise SettlementKeyError(where, found, do)


def _read(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(FILE_MAX_BYTES + 1)[:FILE_MAX_BYTES]
