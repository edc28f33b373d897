"""TLS as IEEE 2030.5 asks for it, for this one connection, and what goes wrong with it, in words.

The suites of clause 6.7 stand in one context, which no other connection uses: TLS 1.2, ECDHE with
ECDSA, AES-128-CCM-8 (mandatory for a server) and the GCM suites that servers prefer today. CCM-8 has a
short tag, for which newer OpenSSL wants security level 0.

What cannot be used (expired, not yet valid, unreadable, open to others, of an unknown authority) is
ERR_AUTH_EXPIRED, as everywhere in this system. Verification codes: OpenSSL,
X509_STORE_CTX_get_error(3).
"""

import socket
import ssl
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from grid.errors import AuthExpiredError, FeedRefusedError, GridFeedError
from grid.feeds import Secrets
from grid.sep2 import identity

__all__ = [
    "CIPHERS",
    "OwnCertificate",
    "context",
    "own_certificate",
    "trouble",
]

CIPHERS: Final = (
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
    "ECDHE-ECDSA-AES128-CCM8:@SECLEVEL=0"
)
PEM_MAX_BYTES: Final = 256 * 1024

_UNKNOWN_AUTHORITY: Final = "comes from an authority that is not in the file of `ca`"
_OTHER_NAME: Final = "is for another name than {host}"
_CERTIFICATE: Final = {
    9: "is not yet valid: compare the clocks of both machines",
    10: "has expired: the utility must renew it",
    18: "is signed by itself and is not in the file of `ca`",
    19: _UNKNOWN_AUTHORITY,
    20: _UNKNOWN_AUTHORITY,
    21: _UNKNOWN_AUTHORITY,
    62: _OTHER_NAME,
    64: _OTHER_NAME,
}
_ALERTS: Final = {
    "CERTIFICATE_EXPIRED": "it says that our certificate has expired",
    "UNKNOWN_CA": "it does not know the authority that signed our certificate",
    "BAD_CERTIFICATE": "it does not accept our certificate",
    "CERTIFICATE_UNKNOWN": "it does not accept our certificate",
    "UNSUPPORTED_CERTIFICATE": "it does not accept certificates of this kind",
    "CERTIFICATE_REVOKED": "it says that our certificate was revoked",
    "CERTIFICATE_REQUIRED": "it asks for a certificate and was given none that it takes",
    "ACCESS_DENIED": "it denies our certificate access",
}
_NO_COMMON_GROUND: Final = {
    "PROTOCOL_VERSION": "it refuses TLS 1.2",
    "UNSUPPORTED_PROTOCOL": "it speaks another version than TLS 1.2",
    "HANDSHAKE_FAILURE": "it finds no cipher suite in common, or no certificate of ours",
}
_WANTED: Final = (
    "IEEE 2030.5 asks for TLS 1.2 with ECDHE-ECDSA-AES128-CCM8 (or AES-GCM) and an ECDSA certificate"
    " on P-256: the utility has to offer it at this address"
)


@dataclass(frozen=True, slots=True)
class OwnCertificate:
    """Who we are to the server.

    Attributes:
        lfdi: 40 upper-case hex digits, from the certificate's DER bytes.
        sfdi: the decimal number that people compare, with its check digit.
        ends_at: from then on it is of no use.
    """

    lfdi: str
    sfdi: int
    ends_at: datetime


def own_certificate(certificate: Path, *, now: datetime) -> OwnCertificate:
    """The first certificate of the file: ours, before those of its authorities.

    Raises:
        AuthExpiredError: unreadable, no PEM, expired, or not yet valid.
    """
    try:
        with certificate.open("rb") as file:
            found = x509.load_pem_x509_certificate(file.read(PEM_MAX_BYTES))
    except (OSError, ValueError) as error:
        raise AuthExpiredError(
            "certificate",
            f"{certificate} cannot be read ({error})",
            "the certificate that the utility's authority issued, in PEM",
        ) from error
    begins, ends = found.not_valid_before_utc, found.not_valid_after_utc
    if now >= ends:
        raise AuthExpiredError(
            "certificate",
            f"{certificate} expired at {ends.isoformat()}",
            "a renewed one: ask the utility's authority, and tell the utility the new LFDI",
        )
    if now < begins:
        raise AuthExpiredError(
            "certificate",
            f"{certificate} is not valid before {begins.isoformat()}",
            f"one that is; this machine's clock says {now.isoformat(timespec='seconds')}",
        )
    lfdi = identity.lfdi(found.public_bytes(Encoding.DER))
    return OwnCertificate(lfdi=lfdi, sfdi=identity.sfdi(lfdi), ends_at=ends)


def context(certificate: Path, key: Path, ca: Path, *, secrets: Secrets) -> ssl.SSLContext:
    """Mutual TLS 1.2 with the suites of the standard; the server's name and certificate are checked.

    Args:
        certificate: PEM, ours first, then those between it and the authority.
        key: PEM, not encrypted, which nobody else can read.
        ca: PEM, the authorities that may vouch for the server. The system's own are not asked.
        secrets: looks at the key file before OpenSSL reads it.

    Raises:
        AuthExpiredError: one of the files cannot be used.
    """
    try:
        secrets.read_private(key, bytes_max=PEM_MAX_BYTES)
    except Exception as error:  # of the caller's kind, which has no name here
        raise AuthExpiredError(
            "key", str(error), "the private key in PEM, which only this program's user can read"
        ) from error
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.minimum_version = made.maximum_version = ssl.TLSVersion.TLSv1_2
    made.set_ciphers(CIPHERS)
    try:
        made.load_verify_locations(cafile=ca)
    except (OSError, ssl.SSLError) as error:
        raise AuthExpiredError(
            "ca", f"{ca} cannot be used ({error})", "the utility's authorities, in PEM"
        ) from error
    try:
        made.load_cert_chain(certificate, key, password=_no_password)
    except (OSError, ValueError) as error:
        raise AuthExpiredError(
            "certificate, key",
            f"{certificate} and {key} cannot be used together ({error})",
            "a certificate and its own key, which has no password",
        ) from error
    return made


def _no_password() -> str:
    # OpenSSL would ask on the terminal, and a service would wait there for ever.
    raise ValueError("the key is encrypted")


def _first(error: BaseException) -> BaseException:
    """What Python raised of TLS or of the network, before libraries wrapped it."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError):
            return seen
        seen = seen.__cause__ or seen.__context__
    return error


def trouble(error: BaseException, *, where: str, host: str, who: str) -> GridFeedError | str:
    """Why no connection came about, or why it broke.

    Returns:
        In words, where asking again may help; otherwise the error to raise at once.
    """
    first = _first(error)
    if isinstance(first, ssl.SSLCertVerificationError):
        words = _CERTIFICATE.get(first.verify_code, f"is not accepted: {first.verify_message}")
        return AuthExpiredError(
            where,
            f"the certificate of {host} {words.format(host=host)}",
            "one that `url` and `ca` vouch for: compare both with what the utility gave",
        )
    if isinstance(first, ssl.SSLEOFError):
        return (
            f"{host} cut the line within TLS and gave no reason: no version or suite in common, or a"
            f" certificate of ours that it does not take; {_WANTED}"
        )
    if isinstance(first, ssl.SSLError):
        return _tls_trouble(first, where, host, who)
    if isinstance(first, ConnectionRefusedError):
        return f"nobody listens at {host}: look at the port in `url`"
    if isinstance(first, socket.gaierror):
        return f"no such host name {host} ({first.strerror})"
    if isinstance(first, TimeoutError):
        return f"{host} does not answer in time"
    return f"{type(error).__name__}: {str(error)[:200]}"


def _tls_trouble(error: ssl.SSLError, where: str, host: str, who: str) -> GridFeedError | str:
    mark = f"{error.reason} {error}".upper().replace(" ", "_")
    for alert, words in _ALERTS.items():
        if f"ALERT_{alert}" in mark:
            return AuthExpiredError(
                where,
                f"TLS with {host}: {words}",
                "a certificate that it takes: ask the utility from which authority, and whether we are"
                f" registered: {who}",
            )
    for alert, words in _NO_COMMON_GROUND.items():
        if alert in mark:
            return FeedRefusedError(where, f"no TLS with {host}: {words}", _WANTED)
    if "WRONG_VERSION_NUMBER" in mark or "HTTP_REQUEST" in mark:
        return FeedRefusedError(
            where, f"{host} speaks no TLS on this port", "look at the port in `url`"
        )
    return f"TLS with {host} failed: {error}"
