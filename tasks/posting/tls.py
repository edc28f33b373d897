"""TLS towards the clearinghouse: 1.2 with forward secrecy and authenticated encryption, or 1.3.

Verifying cannot be switched off, and the environment has no say in it.
"""

import ssl
from pathlib import Path
from typing import Final

import httpx

CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Of TLS 1.2; those of 1.3 are all of this kind (RFC 8446 §B.4)."""


def client_context(ca_file: Path | None) -> ssl.SSLContext:
    """What a client of the clearinghouse accepts.

    Args:
        ca_file: certificates to trust instead of the public ones.

    Raises:
        OSError: ``ca_file`` cannot be read, or holds no certificates.
    """
    if ca_file is None:
        context = httpx.create_ssl_context(trust_env=False)
    else:
        context = ssl.create_default_context(cafile=ca_file)
    # SSLKEYLOGFILE would write the sessions' secrets to a file.
    context.keylog_filename = None  # type: ignore[assignment] # ssl takes None; its stub does not say so
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    return context
