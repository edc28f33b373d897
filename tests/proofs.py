"""Proofs of possession for tests, made by a JOSE library that shares no code with ours."""

import json
from typing import Any

from joserfc import jws
from joserfc.jwk import ECKey

from tests.packets import Key

TYPE = "v2g-enrolment+jwt"


def jwk_of(key: ECKey | bytes) -> dict[str, Any]:
    """A public key as the JWK of a proof, from its private one or from DER."""
    known = ECKey.import_key(key) if isinstance(key, bytes) else key
    whole: dict[str, Any] = dict(known.as_dict(private=False))
    return {name: whole[name] for name in ("kty", "crv", "x", "y")}


def make_proof(
    key: Key | ECKey,
    nonce: str,
    *,
    evse_id: str,
    invitation: str,
    header: dict[str, Any] | None = None,
    **payload: Any,
) -> bytes:
    """What a device sends to enrol its key; whatever is given by name replaces what is right."""
    private = key if isinstance(key, ECKey) else key.private
    algorithm = {"P-256": "ES256", "secp256k1": "ES256K", "P-384": "ES384"}[private.curve_name]
    protected = {"alg": algorithm, "jwk": jwk_of(private), "typ": TYPE}
    content = {
        "nonce": nonce,
        "thumbprint": private.thumbprint(),
        "evse_id": evse_id,
        "invitation": invitation,
    }
    signed = json.dumps(content | payload).encode()
    registry = jws.JWSRegistry(algorithms=["ES256", "ES256K", "ES384"])
    return jws.serialize_compact(
        protected | (header or {}), signed, private, registry=registry
    ).encode()
