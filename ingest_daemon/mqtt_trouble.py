"""What goes wrong between daemon and broker, in words that say what to do; and the TLS context.

Sources: MQTT 5 §3.2.2.2 (CONNACK), §3.9.3 (SUBACK), §3.14.2.1 (DISCONNECT); verification codes of
OpenSSL (X509_STORE_CTX_get_error).
"""

import socket
import ssl
from datetime import datetime
from pathlib import Path
from typing import Final

from ingest_daemon.certificates import (
    AUTH_EXPIRED,
    DAEMON,
    RENEW,
    require_private,
    require_valid,
)
from ingest_daemon.errors import SettingsError, WrongSetting

_REFUSED: Final = {
    "Bad user name or password": "the broker refuses user name or password: look at V2G_MQTT_USERNAME"
    " and V2G_MQTT_PASSWORD_FILE, and at the broker's password file",
    "Not authorized": "the broker knows this client but does not let it in: look at V2G_MQTT_USERNAME,"
    " V2G_MQTT_PASSWORD_FILE, the certificate, and the broker's access list",
    "Unsupported protocol version": "the broker does not speak this version of MQTT: set"
    " V2G_MQTT_PROTOCOL=311",
    "Client identifier not valid": "the broker does not accept the name of this client: change"
    " V2G_MQTT_CLIENT_ID",
    "Banned": "the broker has banned this client: ask its operator",
    "Server unavailable": "the broker says it is not available now",
    "Server busy": "the broker says it is too busy now",
}
_ENDED: Final = {
    "Session taken over": "another client connected with the same V2G_MQTT_CLIENT_ID: give every"
    " daemon its own, and if there is only one daemon, somebody else uses its name",
    "Server shutting down": "the broker is shutting down",
    "Keep alive timeout": "the broker heard nothing from us within the keep-alive time",
    "Administrative action": "the broker's operator closed the connection",
    "Not authorized": "the broker no longer lets this client in",
}
CUT_SHORT: Final = (
    "the broker closed the connection soon after it stood, without a reason: it was restarted, or"
    " another client connected with the same V2G_MQTT_CLIENT_ID"
)
NO_RECEIPTS: Final = (
    "no device may forget a packet: give this client the right to write v2g/+/receipt in the broker's"
    " access list"
)
_STRANGER: Final = (
    "the broker's certificate comes from an authority that is not in V2G_MQTT_TLS_CA_FILE: name the"
    " ca.pem of the folder in which v2g certs init DIR made the broker's"
)
_CERTIFICATE: Final = {
    7: "the broker's certificate was not signed by the authority in V2G_MQTT_TLS_CA_FILE whose"
    " name it gives: v2g certs init DIR made another one",
    9: f"{AUTH_EXPIRED}: the broker's certificate is not yet valid: compare the clocks of both machines",
    10: f"{AUTH_EXPIRED}: the broker's certificate has expired: {RENEW} broker",
    18: "the broker's certificate is signed by itself and is not the one in V2G_MQTT_TLS_CA_FILE",
    19: _STRANGER,
    20: _STRANGER,
    21: _STRANGER,
    62: f"{AUTH_EXPIRED}: the broker's certificate is for another host name than V2G_MQTT_HOST: set it"
    " to a name in the certificate, or make one for this name: v2g certs init DIR --host NAME",
    64: f"{AUTH_EXPIRED}: the broker's certificate is for another address than V2G_MQTT_HOST: set it to"
    " an address in the certificate, or make one for this address: v2g certs init DIR --host ADDRESS",
}
"""By the verification code of OpenSSL."""
_TLS: Final = {
    "WRONG_VERSION_NUMBER": "no TLS is spoken on this port: look at V2G_MQTT_PORT",
    "CERTIFICATE_REQUIRED": "the broker asks for a certificate: set V2G_MQTT_TLS_CERT_FILE and"
    " V2G_MQTT_TLS_KEY_FILE; v2g certs init DIR makes both",
    "ALERT_UNKNOWN_CA": "the broker does not know the authority that signed V2G_MQTT_TLS_CERT_FILE:"
    " take the one that v2g certs init DIR made beside the broker's, or v2g certs issue DIR NAME",
    "ALERT_CERTIFICATE_EXPIRED": f"{AUTH_EXPIRED}: V2G_MQTT_TLS_CERT_FILE has expired: {RENEW} {DAEMON}",
    "ALERT_CERTIFICATE_REVOKED": "the broker says that V2G_MQTT_TLS_CERT_FILE was revoked: issue"
    " another: v2g certs issue DIR NAME",
    "ALERT_BAD_CERTIFICATE": f"{AUTH_EXPIRED}: the broker does not accept V2G_MQTT_TLS_CERT_FILE: it is"
    f" not valid by the broker's clock, or no certificate of a client: compare the clocks, or {RENEW}"
    f" {DAEMON}",
}


def refused(reason: str) -> str:
    """A refusal in CONNACK, by the reason's name in MQTT 5."""
    return _REFUSED.get(reason, f"the broker refuses the connection: {reason}")


def ended(reason: str) -> str:
    """Why the broker ended the connection, by the reason's name in MQTT 5."""
    return _ENDED.get(reason, f"the connection has ended: {reason}")


def not_subscribed(reason: str, topic: str) -> str:
    """A refusal in SUBACK."""
    return (
        f"the broker does not let this client read {topic} at QoS 1 ({reason}): give it the right in"
        " the broker's access list"
    )


def unreachable(error: Exception) -> str:
    """Why no connection came about, or why it broke."""
    if isinstance(error, UnicodeError):
        return f"this can be no host name ({error}): look at V2G_MQTT_HOST"
    if isinstance(error, ssl.SSLCertVerificationError):
        return _CERTIFICATE.get(
            error.verify_code, f"the broker's certificate: {error.verify_message}"
        )
    if isinstance(error, ssl.SSLError):
        for mark, words in _TLS.items():
            if mark in str(error):
                return words
        return f"TLS failed: {error}"
    if isinstance(error, ConnectionRefusedError):
        return "nobody listens there: is the broker running, and are V2G_MQTT_HOST and V2G_MQTT_PORT right?"
    if isinstance(error, socket.gaierror):
        return f"no such host name ({error.strerror}): look at V2G_MQTT_HOST"
    if isinstance(error, TimeoutError):
        return "no answer: is there a firewall between, or is V2G_MQTT_HOST wrong?"
    return f"the network says: {error}"


def tls_context(
    ca: Path | None, cert: Path | None, key: Path | None, *, prefix: str, now: datetime
) -> ssl.SSLContext | None:
    """TLS 1.2 or later, the broker's host name checked; None when no authority is set.

    Args:
        ca: file of the broker's authority.
        cert: file of our own certificate.
        key: file of its private key.
        prefix: of the variables that name ``cert`` and ``key``, such as V2G_MQTT_.
        now: the time at which the certificate must be valid.

    Raises:
        SettingsError: a file cannot be used, others can read the private key, or the certificate is
            of another time.
    """
    if ca is None:
        return None
    try:
        context = ssl.create_default_context(cafile=str(ca))
    except (OSError, ssl.SSLError) as error:
        expected = "a PEM file of certificates"
        raise _unusable("V2G_MQTT_TLS_CA_FILE", ca, error, expected) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if cert is not None and key is not None:
        require_private(key, f"{prefix}TLS_KEY_FILE")
        require_valid(cert, f"{prefix}TLS_CERT_FILE", now=now)
        try:
            context.load_cert_chain(cert, key, password=_no_password)
        except (OSError, ssl.SSLError, ValueError) as error:
            expected = f"the PEM certificate of the unencrypted key in {key}"
            raise _unusable(f"{prefix}TLS_CERT_FILE", cert, error, expected) from error
    return context


def _no_password() -> str:
    # OpenSSL would ask on the terminal, and a daemon would wait there for ever.
    raise ValueError("the private key is encrypted")


def _unusable(variable: str, path: Path, error: Exception, expected: str) -> SettingsError:
    rights = AUTH_EXPIRED if isinstance(error, PermissionError) else ""
    return SettingsError(WrongSetting(variable, f"{path} ({error})", expected, rights))
