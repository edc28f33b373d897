"""The signing key: P-256, from a file of mode 0600 or from a token (PKCS#11), and its thumbprint."""

import base64
import json
from hashlib import sha256
from pathlib import Path
from typing import Final, Protocol

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from evse_agent.config import Config
from evse_agent.errors import AuthExpiredError, ConfigError, WrongKey
from evse_agent.secret import read_private, write_private

ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""Order of the group of P-256 (SEC 2 §2.4.2)."""
_HALF_BYTES: Final = 32


class Signer(Protocol):
    """Whoever holds the key."""

    @property
    def public(self) -> ec.EllipticCurvePublicKey:
        """The public half, on P-256."""

    def sign(self, message: bytes) -> bytes:
        """ECDSA over SHA-256 of the message: r‖s, 64 bytes, s in the lower half."""


def base64url(content: bytes) -> str:
    """RFC 7515 §2: without padding."""
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode("ascii")


def jwk(public: ec.EllipticCurvePublicKey) -> dict[str, str]:
    """The public key as RFC 7517 has it, with the members of RFC 7638 §3.2 alone."""
    numbers = public.public_numbers()
    return {
        "crv": "P-256",
        "kty": "EC",
        "x": base64url(numbers.x.to_bytes(_HALF_BYTES)),
        "y": base64url(numbers.y.to_bytes(_HALF_BYTES)),
    }


def thumbprint(public: ec.EllipticCurvePublicKey) -> str:
    """RFC 7638 with SHA-256: the name under which the key is registered."""
    members = json.dumps(jwk(public), sort_keys=True, separators=(",", ":"))
    return base64url(sha256(members.encode()).digest())


def low(r: int, s: int) -> bytes:
    """r‖s with s in the lower half: (r, n−s) verifies as well, and one of the two must be ours."""
    return r.to_bytes(_HALF_BYTES) + min(s, ORDER - s).to_bytes(_HALF_BYTES)


class FileKey:
    """A private key in memory, from a file."""

    def __init__(self, private: ec.EllipticCurvePrivateKey) -> None:
        self._private = private
        self.public: ec.EllipticCurvePublicKey = private.public_key()

    def sign(self, message: bytes) -> bytes:
        signature = self._private.sign(message, ec.ECDSA(hashes.SHA256()))
        return low(*decode_dss_signature(signature))


def load_file(path: Path) -> FileKey:
    """The key in a PEM file (PKCS#8 or SEC 1).

    Raises:
        AuthExpiredError: the file is unreadable, open to others, or no private key on P-256.
    """
    content = read_private("KeyFile", path)
    do = "make a key: python -m evse_agent keygen --out FILE"
    try:
        private = serialization.load_pem_private_key(content, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        # The library's words may quote the content: they are not repeated.
        raise AuthExpiredError(
            "KeyFile", f"{path} holds no unencrypted private key in PEM", do
        ) from error
    if not isinstance(private, ec.EllipticCurvePrivateKey) or private.curve.name != "secp256r1":
        found = getattr(getattr(private, "curve", None), "name", type(private).__name__)
        raise AuthExpiredError("KeyFile", f"{path} holds a key of kind {found}", f"P-256; {do}")
    return FileKey(private)


def load(config: Config) -> Signer:
    """The key that the configuration names.

    Raises:
        AuthExpiredError: it cannot be used.
        ConfigError: a token is named, and the library for it is not installed.
    """
    if config.key_file is not None:
        return load_file(config.key_file)
    if config.pkcs11 is None:
        raise ConfigError(WrongKey("KeyFile", "nothing", "a key file, or Pkcs11"))
    from evse_agent.hsm import TokenKey  # noqa: PLC0415 - only who has a token has its library

    return TokenKey(config.pkcs11)


def generate(path: Path) -> FileKey:
    """A new key in a new file of mode 0600.

    Raises:
        AuthExpiredError: the file exists (it is never overwritten) or cannot be written.
    """
    private = ec.generate_private_key(ec.SECP256R1())
    pem = private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    try:
        write_private(path, pem)
    except FileExistsError as error:
        raise AuthExpiredError(
            "KeyFile", f"{path} exists", "it is never overwritten: name another file"
        ) from error
    except OSError as error:
        raise AuthExpiredError(
            "KeyFile", f"{path} cannot be written ({error.strerror})", "name another place"
        ) from error
    return FileKey(private)
