"""A signing key that never leaves its token (PKCS#11 v2.40), through python-pkcs11.

``Token`` is any pair of keys in a token, EC on P-256 or RSA; the settlement service signs with one
too. ``TokenKey`` is the agent's: P-256. The token is given SHA-256 of the message and the mechanism
CKM_ECDSA (§2.3.6), which every token with elliptic curves knows, and answers r‖s.
"""

import threading
from hashlib import sha256
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, rsa

from evse_agent.config import Pkcs11
from evse_agent.errors import AuthExpiredError, ConfigError, WrongKey
from evse_agent.key import low
from evse_agent.secret import read_word

_POINT_BYTES = 65


def library() -> Any:
    """python-pkcs11, where it is installed. Raises ConfigError."""
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
    return pkcs11


def open_session(settings: Pkcs11, *, write: bool = False) -> Any:
    """A session with the token, logged in as its user.

    Raises:
        AuthExpiredError: module, token or PIN are not there, or the PIN is wrong.
        ConfigError: python-pkcs11 is not installed.
    """
    pkcs11 = library()
    pin = read_word("Pkcs11.PinFile", settings.pin_file)
    try:
        token = pkcs11.lib(str(settings.module)).get_token(token_label=settings.token)
        try:
            return token.open(rw=write, user_pin=pin)
        except pkcs11.UserAlreadyLoggedIn:
            # Logged in is the whole process, with all of its sessions (PKCS#11 v2.40 §5.6.8).
            return token.open(rw=write)
    except (pkcs11.PKCS11Error, RuntimeError, OSError) as error:
        raise unusable(settings, error) from error


def unusable(settings: Pkcs11, error: Exception) -> AuthExpiredError:
    """What the token said, with the names under which it was asked."""
    return AuthExpiredError(
        "Pkcs11",
        f"module {settings.module}, token {settings.token!r}, key {settings.key!r}:"
        f" {type(error).__name__} {error}".rstrip(),
        "look at the labels and the PIN: pkcs11-tool --module MODULE -O",
    )


def _point(encoded: bytes) -> bytes:
    """CKA_EC_POINT is the DER OCTET STRING of an uncompressed point; some tokens give it bare."""
    return encoded[-_POINT_BYTES:]


class Token:
    """A pair of keys in a token; opened at once, and opened again when the token was away.

    Attributes:
        public: the public half, as the token has it.

    Raises:
        AuthExpiredError: module, token, PIN or key are not there, or the key is of another kind.
        ConfigError: python-pkcs11 is not installed.
    """

    def __init__(self, settings: Pkcs11) -> None:
        self._pkcs11 = library()
        self._settings = settings
        self._lock = threading.Lock()
        self._private: Any = None
        self.public: ec.EllipticCurvePublicKey | rsa.RSAPublicKey = self._open()

    def _open(self) -> ec.EllipticCurvePublicKey | rsa.RSAPublicKey:
        pkcs11, chosen = self._pkcs11, self._settings
        session = open_session(chosen)
        try:
            wanted = {"label": chosen.key}
            self._private = session.get_key(object_class=pkcs11.ObjectClass.PRIVATE_KEY, **wanted)
            public = session.get_key(object_class=pkcs11.ObjectClass.PUBLIC_KEY, **wanted)
            if public.key_type is pkcs11.KeyType.RSA:
                exponent = int.from_bytes(public[pkcs11.Attribute.PUBLIC_EXPONENT])
                modulus = int.from_bytes(public[pkcs11.Attribute.MODULUS])
                return rsa.RSAPublicNumbers(exponent, modulus).public_key()
            encoded = bytes(public[pkcs11.Attribute.EC_POINT])
        except (pkcs11.PKCS11Error, RuntimeError, OSError) as error:
            raise unusable(chosen, error) from error
        try:
            return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), _point(encoded))
        except ValueError as error:
            raise AuthExpiredError(
                "Pkcs11.Key", f"{chosen.key!r} is not on P-256", "make a key on P-256 in the token"
            ) from error

    def ask(self, message: bytes, mechanism: str, parameter: object = None) -> bytes:
        """The token's signature of what the mechanism takes.

        Args:
            message: to be signed; for a mechanism without a digest of its own, the digest.
            mechanism: the name that python-pkcs11 gives it, such as ``ECDSA``.
            parameter: what the mechanism wants beside it.

        Raises:
            AuthExpiredError: the token is away, or holds another key than before.
        """
        chosen = self._pkcs11.Mechanism[mechanism]
        with self._lock:
            try:
                return self._ask(message, chosen, parameter)
            except self._pkcs11.PKCS11Error:
                # Pulled out and put back, or its session has ended: once more, from the beginning.
                before = self.public.public_numbers()
                if self._open().public_numbers() != before:
                    raise AuthExpiredError(
                        "Pkcs11.Key",
                        f"{self._settings.key!r} is another key than before",
                        "make it known to whoever verifies, then start again",
                    ) from None
                try:
                    return self._ask(message, chosen, parameter)
                except self._pkcs11.PKCS11Error as error:
                    raise AuthExpiredError(
                        "Pkcs11", f"the token does not sign ({type(error).__name__})", "look at it"
                    ) from error

    def _ask(self, message: bytes, mechanism: Any, parameter: object) -> bytes:
        return bytes(self._private.sign(message, mechanism=mechanism, mechanism_param=parameter))


class TokenKey:
    """The agent's key in a token. Raises as ``Token``; also where the key is not on P-256."""

    def __init__(self, settings: Pkcs11) -> None:
        self._token = Token(settings)
        public = self._token.public
        if not isinstance(public, ec.EllipticCurvePublicKey):
            raise AuthExpiredError(
                "Pkcs11.Key",
                f"{settings.key!r} is not on P-256",
                "make a key on P-256 in the token",
            )
        self.public = public

    def sign(self, message: bytes) -> bytes:
        """r‖s. Raises AuthExpiredError: the token is away, or holds another key than before."""
        signature = self._token.ask(sha256(message).digest(), "ECDSA")
        half = len(signature) // 2
        return low(int.from_bytes(signature[:half]), int.from_bytes(signature[half:]))
