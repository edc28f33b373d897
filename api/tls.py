"""The service's own TLS: which certificate it shows, and whose clients it lets in."""

import ssl

from api.errors import SettingsError
from api.settings import PREFIX, Settings
from storage.errors import InsecureSecretError
from storage.secrets import read_private

KEY_MAX_BYTES = 64 * 1024


def context(settings: Settings) -> ssl.SSLContext | None:
    """TLS 1.2 or newer as the settings name it; None where they name no certificate.

    Raises:
        SettingsError: a file that cannot be used, or a key that others can read.
    """
    if settings.tls_cert_file is None or settings.tls_key_file is None:
        return None
    try:
        read_private(settings.tls_key_file, bytes_max=KEY_MAX_BYTES)
    except InsecureSecretError as error:
        raise SettingsError(f"{PREFIX}TLS_KEY_FILE: {error}") from error
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.options |= ssl.OP_NO_RENEGOTIATION
    try:
        made.load_cert_chain(settings.tls_cert_file, settings.tls_key_file)
        if settings.tls_client_ca_file is not None:
            made.verify_mode = ssl.CERT_REQUIRED
            made.load_verify_locations(cafile=settings.tls_client_ca_file)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(
            f"{PREFIX}TLS_CERT_FILE, {PREFIX}TLS_KEY_FILE, {PREFIX}TLS_CLIENT_CA_FILE:"
            f" {error.strerror or error}; expected a chain, its key and an authority in PEM"
        ) from error
    return made
