"""Making the settlement key, and putting another in its place: what `v2g keys init` and `rotate` do.

    DIR/settlement_private.key        mode 0600; absent where a token has the key
    DIR/settlement_cert.pem           our own word for how long the key counts, or an authority's
    DIR/settlement_public.pem         for the partner
    DIR/settlement_next_*             a new key that waits for the partner
    DIR/settlement_rotation.jws       the old key's word that the new one follows it; for the partner
    DIR/settlement_private-TIME.key   a key that another has followed at that time

Nothing is overwritten. A rotation has two halves, as the partner must know the new key before it
signs: ``prepare`` makes it, ``switch`` puts it in the old one's place with one rename. Killed at any
point, key and certificate belong together, since the certificate's file holds both at that moment.
"""

import os
from base64 import urlsafe_b64decode
from dataclasses import dataclass
from dataclasses import replace as replaced
from datetime import UTC, datetime, timedelta
from json import dumps, loads
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import NameOID

from evse_agent.config import Pkcs11
from evse_agent.key import base64url
from storage.secrets import read_secret
from tasks.certificates import BACKDATED
from tasks.posting.algorithms import JWS, RSA_BITS_MIN, PrivateKey, algorithm_of, jwk, thumbprint
from tasks.posting.key_errors import SettlementKeyError
from tasks.posting.settlement_key import Place, SettlementKey, load, read_certificates
from tasks.posting.token_key import make_key
from tasks.safe_files import replace, write_new

PUBLIC: Final = "settlement_public.pem"
REQUEST: Final = "settlement.csr"
NEXT_PRIVATE: Final = "settlement_next_private.key"
NEXT_CERTIFICATE: Final = "settlement_next_cert.pem"
NEXT_PUBLIC: Final = "settlement_next_public.pem"
STATEMENT: Final = "settlement_rotation.jws"
STATEMENT_TYPE: Final = "v2g-key-rotation+jwt"
SUBJECT: Final = "v2g-settlement"
DAYS: Final = 397
_SHARED: Final = 0o644
_OURS: Final = 0o600


@dataclass(frozen=True, slots=True)
class Made:
    """A key that was made, and what belongs to whom.

    Attributes:
        key_id: its thumbprint.
        algorithm: by what it signs.
        where: the file, or the token and the label.
        files: every file that was written.
        for_partner: of these, what the partner is to have.
        label: the key's in its token; empty where it is in a file.
    """

    key_id: str
    algorithm: str
    where: str
    files: tuple[Path, ...]
    for_partner: tuple[Path, ...]
    label: str = ""


def init(
    place: Place, *, now: datetime, days: int = DAYS, rsa_too: bool = False, request: bool = False
) -> Made:
    """Make the key where there is none, with a certificate of its own.

    Args:
        place: where key and certificate are to be.
        now: the certificate begins here.
        days: for how long.
        rsa_too: RSA instead of P-256, for a partner that needs it.
        request: a signing request for an authority instead of a certificate.

    Raises:
        SettlementKeyError: one of the files, or the label, exists; or the token cannot be used.
        InsecureSecretError: the passphrase's file.
        OSError: the folder cannot be written.
    """
    folder = place.certificate.parent
    stated = folder / REQUEST if request else place.certificate
    public = folder / PUBLIC
    _all_new([path for path in (place.key_file, stated, public) if path is not None])
    encryption = _encryption(place)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    private = _new_key(place, encryption, rsa_too=rsa_too)
    pem = (_request(private) if request else _certificate(private, now, days)).public_bytes(
        Encoding.PEM
    )
    write_new(stated, pem, mode=_SHARED)
    write_new(public, _public_pem(private), mode=_SHARED)
    if not request:
        load(place).check(now)
    files = [path for path in (place.key_file, stated, public) if path is not None]
    return _made(private, place, files, for_partner=[public])


def prepare(place: Place, *, now: datetime, days: int = DAYS, rsa_too: bool = False) -> Made:
    """Make the key that is to follow, and the old one's word for it; the old one goes on signing.

    Raises:
        SettlementKeyError: there is no old key, or a new one waits already.
        OSError: the folder cannot be written.
    """
    old = load(place)
    folder = place.certificate.parent
    certificate, public, statement = (
        folder / name for name in (NEXT_CERTIFICATE, NEXT_PUBLIC, STATEMENT)
    )
    key_file = None if place.token else folder / NEXT_PRIVATE
    files = [path for path in (key_file, certificate, public, statement) if path is not None]
    _all_new(files)
    following = Place(
        certificate=certificate,
        key_file=key_file,
        passphrase_file=place.passphrase_file,
        token=_following(place, now),
        rsa_algorithm=place.rsa_algorithm,
    )
    private = _new_key(following, _encryption(place), rsa_too=rsa_too)
    made = _certificate(private, now, days).public_bytes(Encoding.PEM)
    write_new(certificate, made, mode=_SHARED)
    write_new(public, _public_pem(private), mode=_SHARED)
    write_new(statement, _statement(old, private, now), mode=_SHARED)
    return _made(private, following, files, for_partner=[statement, public])


def switch(place: Place, *, now: datetime) -> Made:
    """Put the key that waits in the old one's place; the old one is kept under the time.

    Of a token only the certificate is exchanged: name the new label, ``Made.label``, in the settings.

    Raises:
        SettlementKeyError: no key waits, or it cannot be used.
        OSError: the folder cannot be written.
    """
    folder = place.certificate.parent
    certificate, statement = folder / NEXT_CERTIFICATE, folder / STATEMENT
    if not statement.exists():
        raise SettlementKeyError(
            f"{statement}", "no new key waits", "make one first: v2g keys rotate"
        )
    following = Place(
        certificate=certificate,
        key_file=None if place.token else folder / NEXT_PRIVATE,
        passphrase_file=place.passphrase_file,
        token=_following(place, _made_at(statement)),
        rsa_algorithm=place.rsa_algorithm,
    )
    files = [place.certificate, folder / PUBLIC, _kept(statement, now)]
    old = load(place)
    # Killed at any step, the command said again finds what is done already and does the rest.
    if certificate.exists() and old.public != _first(certificate).public_key():
        new = load(following)
        new.check(now)
        both = [new.certificate, old.certificate]
        pem = b"".join(one.public_bytes(Encoding.PEM) for one in both)
        replace(place.certificate, pem, mode=_SHARED)
        if place.key_file is not None and following.key_file is not None:
            kept = _kept(place.key_file, now)
            os.link(place.key_file, kept)
            following.key_file.replace(place.key_file)  # from here on the new key signs
            files += [place.key_file, kept]
    where = replaced(place, token=following.token)
    signs = load(where)
    replace(folder / PUBLIC, _public_pem(signs.private), mode=_SHARED)
    (folder / NEXT_PUBLIC).unlink(missing_ok=True)
    os.link(statement, _kept(statement, now))
    certificate.unlink(missing_ok=True)
    statement.unlink()
    return _made(signs.private, where, files, for_partner=[])


def _first(path: Path) -> x509.Certificate:
    return read_certificates(path, "", "take settlement_next_* away, and rotate")[0]


def _following(place: Place, made_at: datetime) -> Pkcs11 | None:
    """Where in the token the next key is: under the old label with the time of its making."""
    if place.token is None:
        return None
    return replaced(place.token, key=f"{place.token.key}-{_stamp(made_at)}")


def _kept(path: Path, now: datetime) -> Path:
    return path.with_name(f"{path.stem}-{_stamp(now)}{path.suffix}")


def _stamp(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y%m%dT%H%M%SZ}"


def _made(private: PrivateKey, place: Place, files: list[Path], for_partner: list[Path]) -> Made:
    return Made(
        key_id=thumbprint(private.public_key()),
        algorithm=_algorithm_id(private, place),
        where=place.shown,
        files=tuple(files),
        for_partner=tuple(for_partner),
        label=place.token.key if place.token else "",
    )


def _algorithm_id(private: PrivateKey, place: Place) -> str:
    return algorithm_of(private, rsa_algorithm=place.rsa_algorithm).algorithm_id


def _all_new(files: list[Path]) -> None:
    for path in files:
        if os.path.lexists(path):
            raise SettlementKeyError(
                f"{path}", "exists already", "it is never overwritten: take it away, or rotate"
            )


def _encryption(place: Place) -> KeySerializationEncryption:
    if place.passphrase_file is None:
        return NoEncryption()
    return BestAvailableEncryption(read_secret(place.passphrase_file).encode())


def _new_key(place: Place, encryption: KeySerializationEncryption, *, rsa_too: bool) -> PrivateKey:
    if place.token is not None:
        return make_key(place.token, rsa_too=rsa_too)
    if place.key_file is None:
        raise ValueError("a place without a file and without a token")
    private: PrivateKey
    if rsa_too:
        private = rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS_MIN)
    else:
        private = ec.generate_private_key(ec.SECP256R1())
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
    write_new(place.key_file, pem, mode=_OURS)
    return private


def _public_pem(private: PrivateKey) -> bytes:
    return private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _subject() -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, SUBJECT)])


def _certificate(private: PrivateKey, now: datetime, days: int) -> x509.Certificate:
    """Our own word for how long the key counts: signs, and is no authority."""
    usage = x509.KeyUsage(
        digital_signature=True, content_commitment=True, key_encipherment=False,
        data_encipherment=False, key_agreement=False, key_cert_sign=False, crl_sign=False,
        encipher_only=False, decipher_only=False,
    )  # fmt: skip
    public = private.public_key()
    return (
        x509.CertificateBuilder()
        .subject_name(_subject())
        .issuer_name(_subject())
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .sign(private, hashes.SHA256())
    )


def _request(private: PrivateKey) -> x509.CertificateSigningRequest:
    builder = x509.CertificateSigningRequestBuilder().subject_name(_subject())
    return builder.sign(private, hashes.SHA256())


def _statement(old: SettlementKey, new: PrivateKey, now: datetime) -> bytes:
    """A compact JWS (RFC 7515) by the old key: this key follows me."""
    public = new.public_key()
    header = {
        "alg": JWS[old.algorithm.algorithm_id],
        "kid": old.thumbprint,
        "typ": STATEMENT_TYPE,
    }
    claims = {
        "iat": int(now.timestamp()),
        "old": old.thumbprint,
        "new": thumbprint(public),
        "jwk": jwk(public),
    }
    signed = ".".join(base64url(dumps(part, sort_keys=True).encode()) for part in (header, claims))
    signature = old.algorithm(private_key=old.private).sign(signed.encode())
    return f"{signed}.{base64url(signature)}\n".encode()


def _made_at(statement: Path) -> datetime:
    """When a statement of ours was made; it is our own file, and decides nothing but a label."""
    try:
        claims = statement.read_text("ascii").split(".")[1]
        stated = loads(urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["iat"]
        return datetime.fromtimestamp(stated, tz=UTC)
    except (ValueError, LookupError, TypeError):
        raise SettlementKeyError(
            f"{statement}", "no statement of ours", "make another: take settlement_next_* away"
        ) from None
