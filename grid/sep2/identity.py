"""Who a device is to an IEEE 2030.5 server: the LFDI and SFDI of its certificate (clause 6.3).

The LFDI is the first 160 bits of the SHA-256 of the certificate in DER. The SFDI is its first 36 bits as
a decimal number, and behind it the digit that makes the sum of all digits a multiple of ten. A device
behind an aggregator has an LFDI of its own, which the server says.
"""

import hashlib
import re
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

__all__ = ["LFDI_CHARS", "certificate_lfdi", "lfdi", "sfdi", "sfdi_fits"]

LFDI_CHARS: Final = 40
_SFDI_CHARS: Final = 9
"""Of the LFDI: 36 bits."""

_LFDI: Final = re.compile(rf"[0-9A-Fa-f]{{{LFDI_CHARS}}}")


def lfdi(certificate: bytes) -> str:
    """The LFDI of a certificate in DER: 40 hexadecimal digits, upper case as the standard writes it."""
    return hashlib.sha256(certificate).hexdigest()[:LFDI_CHARS].upper()


def certificate_lfdi(pem: bytes) -> str:
    """The LFDI of the first certificate in a PEM file.

    Raises:
        ValueError: there is none.
    """
    return lfdi(x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER))


def sfdi(of_lfdi: str) -> int:
    """The SFDI of an LFDI.

    >>> sfdi("3E4F45AB31EDFE5B67E343E5E4562E31984E23E5")
    167261211391

    Raises:
        ValueError: no LFDI.
    """
    if not _LFDI.fullmatch(of_lfdi):
        raise ValueError(
            f"an LFDI has {LFDI_CHARS} hexadecimal digits, this one is {of_lfdi!r:.60}"
        )
    number = int(of_lfdi[:_SFDI_CHARS], 16)
    return number * 10 + _check_digit(number)


def sfdi_fits(number: int) -> bool:
    """Whether a number is an SFDI: at most 36 bits, and its last digit checks the others."""
    body, check = divmod(number, 10)
    return 0 <= body < 1 << 36 and check == _check_digit(body)


def _check_digit(number: int) -> int:
    return -sum(map(int, str(number))) % 10
