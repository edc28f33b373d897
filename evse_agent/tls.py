"""TLS towards broker and intake, and what goes wrong with it, in words that say what to do.

Certificates and keys that cannot be used are ERR_AUTH_EXPIRED: expired, not yet valid, for another
host, of an unknown authority, unreadable, open to others. Verification codes: OpenSSL,
X509_STORE_CTX_get_error(3).
"""

import socket
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509

from evse_agent.errors import AuthExpiredError
from evse_agent.secret import read_private

RENEW_BEFORE: Final = timedelta(days=14)
_CERTIFICATE: Final = {
    9: "is not yet valid: compare the clocks of both machines",
    10: "has expired: its owner must renew it",
    18: "is signed by itself and is not the one in {ca}",
    19: "comes from an authority that is not in {ca}",
    20: "comes from an authority that is not in {ca}",
    21: "comes from an authority that is not in {ca}",
    62: "is for another host name than {host}",
    64: "is for another address than {host}",
}
_ALERTS: Final = {
    "CERTIFICATE_EXPIRED": "says that our certificate has expired: renew {cert}",
    "UNKNOWN_CA": "does not know the authority that signed {cert}",
    "BAD_CERTIFICATE": "does not accept {cert}",
    "CERTIFICATE_REVOKED": "says that {cert} was revoked",
    "CERTIFICATE_REQUIRED": "asks for a certificate: set Broker.CertFile and Broker.KeyFile",
}


def context(ca_file: Path | None, *, where: str) -> ssl.SSLContext:
    """TLS 1.2 or later; the other side's certificate and name are checked.

    Raises:
        AuthExpiredError: the authority's file cannot be used.
    """
    try:
        made = ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
    except (OSError, ssl.SSLError) as error:
        raise AuthExpiredError(
            where, f"{ca_file} cannot be used ({error})", "it must hold certificates in PEM"
        ) from error
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    return made


def load_own(into: ssl.SSLContext, cert_file: Path, key_file: Path, *, now: datetime) -> None:
    """Our certificate and its key, read anew: a renewed one is taken without a restart.

    Raises:
        AuthExpiredError: expired, not yet valid, unreadable, open to others, or no pair.
    """
    read_private("Broker.KeyFile", key_file)
    check_own(cert_file, now=now)
    try:
        into.load_cert_chain(cert_file, key_file, password=_no_password)
    except (OSError, ValueError) as error:
        raise AuthExpiredError(
            "Broker.CertFile",
            f"{cert_file} and {key_file} cannot be used together ({error})",
            "the one must be the PEM certificate of the other, an unencrypted key",
        ) from error


def check_own(cert_file: Path, *, now: datetime) -> timedelta:
    """How long our certificate is still valid.

    Raises:
        AuthExpiredError: it is unreadable, has expired, or is not yet valid.
    """
    try:
        certificate = x509.load_pem_x509_certificate(cert_file.read_bytes())
    except (OSError, ValueError) as error:
        raise AuthExpiredError(
            "Broker.CertFile",
            f"{cert_file} cannot be read ({error})",
            "it must hold a certificate in PEM",
        ) from error
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now >= ends:
        raise AuthExpiredError(
            "Broker.CertFile",
            f"{cert_file} expired at {ends.isoformat()}",
            "renew it; it is taken at the next attempt, without a restart",
        )
    if now < begins:
        raise AuthExpiredError(
            "Broker.CertFile",
            f"{cert_file} is not valid before {begins.isoformat()}",
            f"look at this machine's clock, which says {now.astimezone(UTC).isoformat()}",
        )
    return ends - now


def _no_password() -> str:
    # OpenSSL would ask on the terminal, and a service would wait there for ever.
    raise ValueError("the private key is encrypted")


def trouble(error: Exception, *, who: str, host: str, ca: str, cert: str) -> str:
    """Why no connection came about, or why it broke.

    Args:
        error: what was raised.
        who: "the broker" or "the intake".
        host: its name.
        ca: the key of the configuration that names its authority.
        cert: the key that names our certificate.
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        words = _CERTIFICATE.get(error.verify_code, error.verify_message)
        said = f"its certificate {words.format(ca=ca, host=host)}"
        return str(AuthExpiredError(who, said, "nothing is sent until then, everything is kept"))
    if isinstance(error, ssl.SSLError):
        for mark, words in _ALERTS.items():
            if mark in str(error).upper().replace(" ", "_"):
                said = words.format(cert=cert)
                return str(AuthExpiredError(who, said, "everything is kept until then"))
        if "WRONG_VERSION_NUMBER" in str(error):
            return f"{who} at {host} speaks no TLS on this port: look at the port"
        return f"TLS with {who} failed: {error}"
    if isinstance(error, ConnectionRefusedError):
        return f"nobody listens at {host}: does {who} run, and is the port right?"
    if isinstance(error, socket.gaierror):
        return f"no such host name {host} ({error.strerror})"
    if isinstance(error, TimeoutError):
        return f"{who} at {host} does not answer: is there a firewall between?"
    return f"the network says of {who}: {error}"
