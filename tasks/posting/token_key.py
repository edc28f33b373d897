"""The settlement key in a token (PKCS#11): a private key like one in a file, whose secret stays there.

The classes are cryptography's own interfaces of private keys, so that whatever signs with a key of a
file, a message or a certificate, signs with one of a token as well. What would need the secret itself
is refused.
"""

from hashlib import sha256
from typing import Any, Final, NoReturn, Self

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PSS, AsymmetricPadding, PKCS1v15
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from evse_agent.config import Pkcs11
from evse_agent.errors import AgentError, AuthExpiredError
from evse_agent.hsm import Token, library, open_session, unusable
from tasks.posting.algorithms import RSA_BITS_MIN, PrivateKey, UnusableKeyError
from tasks.posting.key_errors import SettlementKeyError

_NAMES: Final = {
    "Pkcs11.Key": "V2G_SETTLEMENT_PKCS11_KEY",
    "Pkcs11.PinFile": "V2G_SETTLEMENT_PKCS11_PIN_FILE",
}
"""What the agent's configuration calls a thing, and what our settings do."""


def open_key(place: Pkcs11) -> PrivateKey:
    """The key in a token.

    Raises:
        SettlementKeyError: module, token, PIN or key are not there, or it is a key of another kind.
    """
    try:
        token = Token(place)
    except AgentError as error:
        raise _ours(error) from None
    if isinstance(token.public, rsa.RSAPublicKey):
        return RsaInToken(token, token.public)
    return EcInToken(token, token.public)


def make_key(place: Pkcs11, *, rsa_too: bool) -> PrivateKey:
    """A new pair of keys, made inside the token, which never gives the private one away.

    Args:
        place: the token, and the label under which the pair is kept.
        rsa_too: RSA of 2,048 bits instead of P-256.

    Raises:
        SettlementKeyError: the token cannot be used, or has a key of that label already.
    """
    try:
        session = open_session(place, write=True)
        pkcs11 = library()
        try:
            if next(iter(session.get_objects({pkcs11.Attribute.LABEL: place.key})), None):
                raise SettlementKeyError(
                    "V2G_SETTLEMENT_PKCS11_KEY",
                    f"token {place.token!r} has {place.key!r} already",
                    "it is never overwritten: name another label",
                )
            made: dict[str, Any] = {
                "store": True,
                "label": place.key,
                "private_template": {
                    pkcs11.Attribute.SENSITIVE: True,
                    pkcs11.Attribute.EXTRACTABLE: False,
                },
            }
            if rsa_too:
                session.generate_keypair(pkcs11.KeyType.RSA, RSA_BITS_MIN, **made)
            else:
                curve = pkcs11.util.ec.encode_named_curve_parameters("secp256r1")
                session.create_domain_parameters(
                    pkcs11.KeyType.EC, {pkcs11.Attribute.EC_PARAMS: curve}, local=True
                ).generate_keypair(**made)
        except (pkcs11.PKCS11Error, RuntimeError, OSError) as error:
            raise unusable(place, error) from error
    except AgentError as error:
        raise _ours(error) from None
    return open_key(place)


def _ours(error: AgentError) -> SettlementKeyError:
    """The agent's words about a token, with the names of our settings."""
    if not isinstance(error, AuthExpiredError):
        return SettlementKeyError("V2G_SETTLEMENT_PKCS11_MODULE", f"{error}", "install it")
    where = _NAMES.get(error.where, "V2G_SETTLEMENT_PKCS11_MODULE")
    return SettlementKeyError(where, error.found, error.do)


class _InToken:
    """What every key in a token can do, and what none can."""

    def __init__(self, token: Token) -> None:
        self._token = token

    def _ask(self, message: bytes, mechanism: str, parameter: object = None) -> bytes:
        try:
            return self._token.ask(message, mechanism, parameter)
        except AgentError as error:
            raise _ours(error) from None

    def private_numbers(self) -> NoReturn:
        raise UnusableKeyError("the key is in a token, which does not give it away")

    def private_bytes(self, *_: object, **__: object) -> NoReturn:
        raise UnusableKeyError("the key is in a token, which does not give it away")

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, _memo: dict[int, Any]) -> Self:
        return self


class EcInToken(_InToken, ec.EllipticCurvePrivateKey):
    """A key on P-256 in a token."""

    def __init__(self, token: Token, public: ec.EllipticCurvePublicKey) -> None:
        super().__init__(token)
        self._public = public

    @property
    def curve(self) -> ec.EllipticCurve:
        return self._public.curve

    @property
    def key_size(self) -> int:
        return self._public.key_size

    def public_key(self) -> ec.EllipticCurvePublicKey:
        return self._public

    def exchange(self, *_: object, **__: object) -> NoReturn:
        raise UnusableKeyError("the settlement key signs, and does nothing else")

    def sign(
        self,
        data: bytes | bytearray | memoryview,
        signature_algorithm: ec.EllipticCurveSignatureAlgorithm,
    ) -> bytes:
        """DER, as cryptography gives it; SHA-256 alone. Raises SettlementKeyError: the token is away."""
        if not isinstance(signature_algorithm.algorithm, hashes.SHA256):
            raise UnusableKeyError("an EC key signs SHA-256 here, and nothing else")
        raw = self._ask(sha256(data).digest(), "ECDSA")
        half = len(raw) // 2
        return encode_dss_signature(int.from_bytes(raw[:half]), int.from_bytes(raw[half:]))


class RsaInToken(_InToken, rsa.RSAPrivateKey):
    """An RSA key in a token."""

    def __init__(self, token: Token, public: rsa.RSAPublicKey) -> None:
        super().__init__(token)
        self._public = public

    @property
    def key_size(self) -> int:
        return self._public.key_size

    def public_key(self) -> rsa.RSAPublicKey:
        return self._public

    def decrypt(self, *_: object, **__: object) -> NoReturn:
        raise UnusableKeyError("the settlement key signs, and does nothing else")

    def sign(self, data: bytes, padding: AsymmetricPadding, algorithm: object) -> bytes:
        """RSASSA-PKCS1-v1_5 with SHA-256, or RSASSA-PSS with SHA-512 and a salt of 64 bytes.

        Raises:
            SettlementKeyError: the token is away.
        """
        if isinstance(padding, PKCS1v15) and isinstance(algorithm, hashes.SHA256):
            return self._ask(data, "SHA256_RSA_PKCS")
        if isinstance(padding, PSS) and isinstance(algorithm, hashes.SHA512):
            pkcs11 = library()
            parameter = (pkcs11.Mechanism.SHA512, pkcs11.MGF.SHA512, hashes.SHA512.digest_size)
            return self._ask(data, "SHA512_RSA_PKCS_PSS", parameter)
        raise UnusableKeyError("an RSA key signs by PKCS#1 v1.5 with SHA-256, or PSS with SHA-512")
