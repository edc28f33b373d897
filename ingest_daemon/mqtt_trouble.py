"""What goes wrong between daemon and broker, in words that say what to do; and the TLS context.

Sources: MQTT 5 §3.2.2.2 (CONNACK), §3.9.3 (SUBACK), §3.14.2.1 (DISCONNECT); verification codes of
OpenSSL (X509_STORE_CTX_get_error).
"""

import socket
import ssl
import stat
from pathlib import Path
from typing import Final

from ingest_daemon.errors import SettingsError, WrongSetting
from ingest_daemon.settings import Settings

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
_CERTIFICATE: Final = {
    7: "the broker's certificate was not signed by the authority in V2G_MQTT_TLS_CA_FILE whose"
    " name it gives",
    9: "the broker's certificate is not yet valid: compare the clocks of both machines",
    10: "the broker's certificate has expired: renew it",
    18: "the broker's certificate is signed by itself and is not the one in V2G_MQTT_TLS_CA_FILE",
    19: "the broker's certificate comes from an authority that is not in V2G_MQTT_TLS_CA_FILE",
    20: "the broker's certificate comes from an authority that is not in V2G_MQTT_TLS_CA_FILE",
    21: "the broker's certificate comes from an authority that is not in V2G_MQTT_TLS_CA_FILE",
    62: "the broker's certificate is for another host name than V2G_MQTT_HOST",
    64: "the broker's certificate is for another address than V2G_MQTT_HOST",
}
_TLS: Final = {
    "WRONG_VERSION_NUMBER": "no TLS is spoken on this port: look at V2G_MQTT_PORT",
    "CERTIFICATE_REQUIRED": "the broker asks for a certificate: set V2G_MQTT_TLS_CERT_FILE and"
    " V2G_MQTT_TLS_KEY_FILE",
    "ALERT_UNKNOWN_CA": "the broker does not know the authority that signed V2G_MQTT_TLS_CERT_FILE",
    "ALERT_CERTIFICATE_EXPIRED": "V2G_MQTT_TLS_CERT_FILE has expired: renew it",
    "ALERT_BAD_CERTIFICATE": "the broker does not accept V2G_MQTT_TLS_CERT_FILE",
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


def tls_context(settings: Settings) -> ssl.SSLContext | None:
    """TLS 1.2 or later, the broker's host name checked; None when no authority is set.

    Raises:
        SettingsError: a file cannot be used, or others can read the private key.
    """
    if settings.mqtt_tls_ca_file is None:
        return None
    try:
        context = ssl.create_default_context(cafile=str(settings.mqtt_tls_ca_file))
    except (OSError, ssl.SSLError) as error:
        raise _unusable(
            "TLS_CA", settings.mqtt_tls_ca_file, error, "a PEM file of certificates"
        ) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    cert, key = settings.mqtt_tls_cert_file, settings.mqtt_tls_key_file
    if cert is not None and key is not None:
        try:
            mode = stat.S_IMODE(key.stat().st_mode)
        except OSError as error:
            raise _unusable("TLS_KEY", key, error, "a PEM file of a private key") from error
        if mode & 0o077:
            found = f"{key} with mode {mode:04o}, which others can read"
            raise SettingsError(
                WrongSetting("V2G_MQTT_TLS_KEY_FILE", found, f"mode 0600; run: chmod 600 '{key}'")
            )
        try:
            context.load_cert_chain(cert, key, password=_no_password)
        except (OSError, ssl.SSLError, ValueError) as error:
            raise _unusable(
                "TLS_CERT", cert, error, f"the PEM certificate of the unencrypted key in {key}"
            ) from error
    return context


def _no_password() -> str:
    # OpenSSL would ask on the terminal, and a daemon would wait there for ever.
    raise ValueError("the private key is encrypted")


def _unusable(name: str, path: Path, error: Exception, expected: str) -> SettingsError:
    return SettingsError(WrongSetting(f"V2G_MQTT_{name}_FILE", f"{path} ({error})", expected))
