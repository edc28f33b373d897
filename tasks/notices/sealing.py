"""A destination's token and signing secret, encrypted for the database (AES-256-GCM, NIST SP 800-38D).

The key is in a file of mode 0600: 64 hexadecimal digits. What is sealed is bound to its destination and
to what it is, so that a row's token cannot be put into another row, nor in place of the secret.
"""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from storage.errors import InsecureSecretError
from storage.secrets import read_secret
from tasks.notices.errors import SealError

TOKEN: Final = "token"  # noqa: S105 - what a sealed thing is, not a token
SECRET: Final = "secret"  # noqa: S105

_VERSION: Final = b"\x01"
_NONCE_BYTES: Final = 12
_KEY: Final = re.compile(r"[0-9a-fA-F]{64}")
MAKE: Final = "make one: openssl rand -hex 32 | install -m 600 /dev/stdin FILE (V2G_SEAL_KEY_FILE)"


class Sealer:
    """Seals and opens under one key. It is never shown."""

    def __init__(self, key: bytes, *, random: Callable[[int], bytes] = os.urandom) -> None:
        self._cipher = AESGCM(key)
        self._random = random

    def __repr__(self) -> str:
        return "Sealer(…)"

    def seal(self, text: str, destination_id: UUID, what: str) -> bytes:
        """A text that only ``open`` with the same destination and ``what`` gives back."""
        nonce = self._random(_NONCE_BYTES)
        sealed = self._cipher.encrypt(nonce, text.encode(), _bound(destination_id, what))
        return _VERSION + nonce + sealed

    def open(self, sealed: bytes, destination_id: UUID, what: str) -> str:
        """What was sealed. Raises SealError: another key, another place, or changed since."""
        version, nonce, rest = sealed[:1], sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
        try:
            if version != _VERSION:
                raise InvalidTag
            return self._cipher.decrypt(nonce, rest, _bound(destination_id, what)).decode()
        except (InvalidTag, ValueError):
            raise SealError(
                f"the {what} of destination {destination_id} cannot be opened",
                "use the key file that was in use then, or configure the destination again",
            ) from None


def _bound(destination_id: UUID, what: str) -> bytes:
    return f"v2g webhook {what} {destination_id}".encode()


def read_sealer(path: Path) -> Sealer:
    """The sealer of a key file. Raises SealError: a file that others could read, or no key in it."""
    try:
        key = read_secret(path)
    except InsecureSecretError as error:
        raise SealError(f"{error.path}: {error.found}", error.repair) from error
    if not _KEY.fullmatch(key):
        raise SealError(f"{path}: not 64 hexadecimal digits", MAKE)
    return Sealer(bytes.fromhex(key))
