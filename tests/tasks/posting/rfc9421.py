"""A partner's side of RFC 9421, written from its text: enough to verify our requests and sign answers.

Shares nothing with the library that signs, but ``cryptography``.
"""

import re
from base64 import b64decode, b64encode
from collections.abc import Mapping
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)

Public = ec.EllipticCurvePublicKey | rsa.RSAPublicKey


def base(covered: list[str], values: Mapping[str, str], parameters: str) -> bytes:
    """§2.5: a line for each component, then the parameters."""
    lines = [f"{name}: {values[name]}" for name in covered]
    return "\n".join([*lines, f'"@signature-params": {parameters}']).encode("ascii")


def verify_bytes(public: Public, algorithm: str, signature: bytes, message: bytes) -> bool:
    """§3.3.1, §3.3.2, §3.3.4."""
    try:
        match algorithm:
            case "ecdsa-p256-sha256":
                assert isinstance(public, ec.EllipticCurvePublicKey)
                if len(signature) != 64:
                    return False
                r, s = int.from_bytes(signature[:32]), int.from_bytes(signature[32:])
                public.verify(encode_dss_signature(r, s), message, ec.ECDSA(hashes.SHA256()))
            case "rsa-v1_5-sha256":
                assert isinstance(public, rsa.RSAPublicKey)
                public.verify(signature, message, padding.PKCS1v15(), hashes.SHA256())
            case "rsa-pss-sha512":
                assert isinstance(public, rsa.RSAPublicKey)
                pss = padding.PSS(padding.MGF1(hashes.SHA512()), salt_length=64)
                public.verify(signature, message, pss, hashes.SHA512())
            case _:
                return False
    except InvalidSignature:
        return False
    return True


def verified(
    public: Public,
    *,
    method: str,
    uri: str,
    headers: Mapping[str, str],
    body: bytes,
    algorithm: str = "ecdsa-p256-sha256",
) -> dict[str, str]:
    """The parameters of a request's signature if it stands for these bytes; otherwise nothing.

    Args:
        public: the sender's key.
        method: as it stands in the request line.
        uri: the target URI.
        headers: by their names in lower case.
        body: as it came.
        algorithm: that goes with the key.
    """
    given = re.fullmatch(r"sig=(\(([^)]*)\)(.*))", headers["signature-input"])
    assert given is not None
    parameters, covered = given[1], given[2].split(" ")
    values = {'"@method"': method, '"@target-uri"': uri}
    values |= {f'"{name}"': value.strip() for name, value in headers.items()}
    if any(name not in values for name in covered):
        return {}
    if '"content-digest"' in covered:
        digest = f"sha-256=:{b64encode(sha256(body).digest()).decode()}:"
        if headers["content-digest"] != digest:
            return {}
    signature = b64decode(headers["signature"].removeprefix("sig=:").removesuffix(":"))
    if not verify_bytes(public, algorithm, signature, base(covered, values, parameters)):
        return {}
    found = dict(part.split("=", 1) for part in given[3].strip(";").split(";"))
    return {name: value.strip('"') for name, value in found.items()} | {"covers": given[2]}


def sign_answer(
    private: ec.EllipticCurvePrivateKey,
    *,
    status: int,
    body: bytes,
    key_id: str,
    created: int,
    request_name: str,
    request_value: str,
    content_type: str = "application/json",
    tag: str = "v2g-answer",
    more: str = "",
) -> dict[str, str]:
    """The fields of a signed answer. ``request_name`` of the request is covered with ``;req``."""
    digest = f"sha-256=:{b64encode(sha256(body).digest()).decode()}:"
    of_request = f'"{request_name}";req'
    covered = ['"@status"', '"content-type"', '"content-digest"', of_request]
    values = dict(zip(covered, [str(status), content_type, digest, request_value], strict=True))
    parameters = f'({" ".join(covered)});created={created};keyid="{key_id}"{more}'
    parameters += f';tag="{tag}"' if tag else ""
    r, s = decode_dss_signature(
        private.sign(base(covered, values, parameters), ec.ECDSA(hashes.SHA256()))
    )
    signature = b64encode(r.to_bytes(32) + s.to_bytes(32)).decode()
    return {
        "content-type": content_type,
        "content-digest": digest,
        "signature-input": f"sig={parameters}",
        "signature": f"sig=:{signature}:",
    }
