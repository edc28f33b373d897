"""A signing key that never leaves its token (PKCS#11 v2.40), through python-pkcs11.

The token is given SHA-256 of the message and the mechanism CKM_ECDSA (§2.3.6), which every token
with elliptic curves knows, and answers r‖s.
"""

import threading
from hashlib import sha256
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from evse_agent.config import Pkcs11
from evse_agent.errors import AuthExpiredError, ConfigError, WrongKey
from evse_agent.key import low
from evse_agent.secret import read_word

_HALF_BYTES = 32
_POINT_BYTES = 65


def _point(encoded: bytes) -> bytes:
    """CKA_EC_POINT is the DER OCTET STRING of an uncompressed point; some tokens give it bare."""
    return encoded[-_POINT_BYTES:]


class TokenKey:
    """A key in a token; opened at once, and opened again when the token was away.

    Raises:
        AuthExpiredError: module, token, PIN or key are not there, or the key is not on P-256.
        ConfigError: python-pkcs11 is not installed.
    """

    def __init__(self, settings: Pkcs11) -> None:
        try:
            import pkcs11  # noqa: PLC0415 - an optional dependency
        except ImportError as error:
            raise ConfigError(
                WrongKey(
                    "Pkcs11",
                    "no library for it",
                    "python-pkcs11 (the project's extra `pkcs11`), or a KeyFile",
                )
            ) from error
        self._pkcs11 = pkcs11
        self._settings = settings
        self._lock = threading.Lock()
        self._private: Any = None
        self.public: ec.EllipticCurvePublicKey = self._open()

    def _open(self) -> ec.EllipticCurvePublicKey:
        library, chosen = self._pkcs11, self._settings
        pin = read_word("Pkcs11.PinFile", chosen.pin_file)
        try:
            token = library.lib(str(chosen.module)).get_token(token_label=chosen.token)
            session = token.open(user_pin=pin)
            wanted = {"label": chosen.key}
            self._private = session.get_key(
                object_class=library.ObjectClass.PRIVATE_KEY,
                key_type=library.KeyType.EC,
                **wanted,
            )
            public = session.get_key(
                object_class=library.ObjectClass.PUBLIC_KEY, key_type=library.KeyType.EC, **wanted
            )
            encoded = bytes(public[library.Attribute.EC_POINT])
        except (library.PKCS11Error, RuntimeError, OSError) as error:
            raise AuthExpiredError(
                "Pkcs11",
                f"module {chosen.module}, token {chosen.token!r}, key {chosen.key!r}:"
                f" {type(error).__name__} {error}".rstrip(),
                "look at the labels and the PIN: pkcs11-tool --module MODULE -O",
            ) from error
        try:
            return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), _point(encoded))
        except ValueError as error:
            raise AuthExpiredError(
                "Pkcs11.Key", f"{chosen.key!r} is not on P-256", "make a key on P-256 in the token"
            ) from error

    def sign(self, message: bytes) -> bytes:
        """r‖s. Raises AuthExpiredError: the token is away, or holds another key than before."""
        digest = sha256(message).digest()
        with self._lock:
            try:
                signature = self._ask(digest)
            except self._pkcs11.PKCS11Error:
                # Pulled out and put back, or its session has ended: once more, from the beginning.
                before = self.public.public_numbers()
                if self._open().public_numbers() != before:
                    raise AuthExpiredError(
                        "Pkcs11.Key",
                        f"{self._settings.key!r} is another key than before",
                        "enrol it, then start the agent again",
                    ) from None
                try:
                    signature = self._ask(digest)
                except self._pkcs11.PKCS11Error as error:
                    raise AuthExpiredError(
                        "Pkcs11", f"the token does not sign ({type(error).__name__})", "look at it"
                    ) from error
        half = len(signature) // 2
        return low(int.from_bytes(signature[:half]), int.from_bytes(signature[half:]))

    def _ask(self, digest: bytes) -> bytes:
        return bytes(self._private.sign(digest, mechanism=self._pkcs11.Mechanism.ECDSA))
