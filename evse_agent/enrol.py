"""The device's side of enrolment: it proves that it holds the key, by signing the registry's nonce.

    POST <api>/v1/enrolments/challenge   {"invitation": …}   → {"nonce": …, "expires_at": …}
    POST <api>/v1/enrolments             compact JWS, ES256: header {alg, jwk, typ}, payload
                                         {nonce, thumbprint, evse_id, invitation}   → pending

The key is pending then; a second person at the registry approves it.
"""

import http.client
import json
import ssl
import urllib.error
import urllib.request
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from evse_agent import tls
from evse_agent.errors import EnrolmentError
from evse_agent.key import Signer, base64url, jwk, thumbprint
from settlement.hosts import is_loopback

TYPE: Final = "v2g-enrolment+jwt"
ANSWER_WITHIN_S: Final = 30.0
ANSWER_MAX_BYTES: Final = 64 * 1024


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """An invitation is told to nobody but the registry that was named."""

    def redirect_request(self, *_arguments: Any) -> None:
        return None


def enrol(
    api: str,
    *,
    invitation: str,
    evse_id: str,
    signer: Signer,
    ca_file: Path | None = None,
    allow_plain: bool = False,
) -> dict[str, Any]:
    """Prove possession of the key. What the registry answers.

    Raises:
        EnrolmentError: it refuses, does not answer, or is not to be trusted with an invitation.
        AuthExpiredError: the authority's file cannot be used, or the token does not sign.
    """
    parts = urlsplit(api)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise EnrolmentError(f"--api: found {api!r}; expected a URL such as https://keys.example")
    if parts.scheme == "http" and not allow_plain and not is_loopback(parts.hostname):
        raise EnrolmentError(
            f"--api: found {api!r}, another machine without TLS; expected https: whoever reads the"
            " invitation could enrol a key of his own"
        )
    opener = _opener(ca_file if parts.scheme == "https" else None, https=parts.scheme == "https")
    base = api.rstrip("/")
    try:
        challenge = _post(
            opener,
            f"{base}/v1/enrolments/challenge",
            json.dumps({"invitation": invitation}).encode(),
            "application/json",
            host=parts.hostname,
        )
    except EnrolmentError as error:
        if error.status != HTTPStatus.CONFLICT:
            raise
        # Used already. If by this very key, the answer to its proof says what has become of it.
        challenge = {"nonce": "none"}
    nonce = challenge.get("nonce")
    if type(nonce) is not str or not nonce:
        raise EnrolmentError(f"the registry at {api}: found an answer without a nonce")
    proof = sign_proof(signer, nonce=nonce, evse_id=evse_id, invitation=invitation)
    return _post(opener, f"{base}/v1/enrolments", proof, "application/jose", host=parts.hostname)


def sign_proof(signer: Signer, *, nonce: str, evse_id: str, invitation: str) -> bytes:
    """The compact JWS that only the holder of the key can make."""
    header = {"alg": "ES256", "jwk": jwk(signer.public), "typ": TYPE}
    payload = {
        "nonce": nonce,
        "thumbprint": thumbprint(signer.public),
        "evse_id": evse_id,
        "invitation": invitation,
    }
    signing_input = ".".join(
        base64url(json.dumps(part, separators=(",", ":")).encode()) for part in (header, payload)
    )
    return f"{signing_input}.{base64url(signer.sign(signing_input.encode()))}".encode()


def _opener(ca_file: Path | None, *, https: bool) -> urllib.request.OpenerDirector:
    # Without proxies of the environment, and without redirects.
    handlers: list[urllib.request.BaseHandler] = [
        urllib.request.ProxyHandler({}),
        _NoRedirect(),
    ]
    if https:
        made: ssl.SSLContext = tls.context(ca_file, where="--ca")
        handlers.append(urllib.request.HTTPSHandler(context=made))
    return urllib.request.build_opener(*handlers)


def _post(
    opener: urllib.request.OpenerDirector, url: str, body: bytes, media: str, *, host: str
) -> dict[str, Any]:
    request = urllib.request.Request(  # noqa: S310 - http and https only, see above
        url, data=body, headers={"Content-Type": media, "Accept": "application/json"}
    )
    try:
        with opener.open(request, timeout=ANSWER_WITHIN_S) as answer:
            content = answer.read(ANSWER_MAX_BYTES)
    except urllib.error.HTTPError as error:
        said = error.read(ANSWER_MAX_BYTES).decode("utf-8", "replace")
        refused = EnrolmentError(f"the registry answers {error.code}: {_problem(said)}")
        refused.status = error.code
        raise refused from error
    except urllib.error.URLError as error:
        reason = error.reason if isinstance(error.reason, Exception) else error
        words = tls.trouble(reason, who="the registry", host=host, ca="--ca", cert="none")
        raise EnrolmentError(words) from error
    except (OSError, http.client.HTTPException) as error:
        words = tls.trouble(error, who="the registry", host=host, ca="--ca", cert="none")
        raise EnrolmentError(words) from error
    try:
        fields = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise EnrolmentError(
            f"{url}: found an answer that is no JSON; expected an object"
        ) from error
    if not isinstance(fields, dict):
        raise EnrolmentError(f"{url}: found a JSON {type(fields).__name__}; expected an object")
    return fields


def _problem(said: str) -> str:
    """A problem document in one line; else what was said."""
    try:
        fields = json.loads(said)
    except ValueError:
        return said[:300]
    if not isinstance(fields, dict):
        return said[:300]
    return "; ".join(f"{name} {value}" for name, value in fields.items())[:600]
