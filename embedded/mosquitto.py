"""Mosquitto: where its program is, and the settings under which it loses nothing.

The program is the installed one, else Debian's package unpacked into the cache with the libraries
that the machine lacks. The broker runs without root's rights from its first instruction, so it
needs no ``user`` setting; all paths in its settings are relative to the folder in which it is started.
"""

import base64
import hashlib
import os
import re
import secrets
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from embedded import packaged
from embedded.errors import BrokerUnavailableError, PackageFetchError
from embedded.packaged import Packaged
from embedded.processes import Supervised

_VERSION_DEADLINE_S: Final = 20.0
SETTINGS: Final = """\
listener {port} 127.0.0.1
allow_anonymous false
password_file passwords
acl_file acl
max_connections 4096

# What was acknowledged is on disk within a second; with the defaults a broker that is killed forgets
# all of it. Not autosave_on_changes: it writes the whole state on every single change.
persistence true
persistence_location state/
autosave_on_changes false
autosave_interval 1

# A subscriber's batch must fit between two acknowledgements; its own receive maximum bounds it.
max_inflight_messages 0
# What waits for a subscriber that is away is bounded by bytes, not by a number of messages.
max_queued_messages 0
max_queued_bytes 268435456
# A session that nobody takes up again is dropped in the end.
persistent_client_expiration 1m

# A packet has a few hundred bytes.
message_size_limit 65536
max_packet_size 131072

log_dest stderr
log_type error
log_type warning
log_type notice
log_timestamp_format %Y-%m-%dT%H:%M:%S
"""


@dataclass(frozen=True, slots=True)
class Mosquitto(Packaged):
    """The program with the libraries that it needs, and its version."""

    version: str = ""


def find(cache: Path, *, user: int | None) -> Mosquitto:
    """The installed program, else the one in ``cache``, else fetch it into ``cache``.

    Raises:
        BrokerUnavailableError: it cannot be had; the reason is in plain words.
    """
    try:
        found = packaged.find("mosquitto", "sbin/mosquitto", cache=cache, user=user)
    except PackageFetchError as error:
        raise BrokerUnavailableError(str(error)) from error
    try:
        done = subprocess.run(
            found.command("-h"),
            capture_output=True,
            text=True,
            timeout=_VERSION_DEADLINE_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BrokerUnavailableError(f"{found.program} does not run: {error}") from error
    version = re.search(r"mosquitto version (\S+)", done.stdout)
    if version is None:
        raise BrokerUnavailableError(f"{found.program} does not run: {done.stderr.strip()[:300]}")
    return Mosquitto(found.program, found.libraries, version.group(1))


def prepare(
    mosquitto: Mosquitto,
    folder: Path,
    *,
    port: int,
    accounts: Mapping[str, str],
    rules: Mapping[str, Sequence[tuple[str, str]]],
    log: Path,
    user: int | None,
) -> Supervised:
    """Write the settings into ``folder`` and return the process, not yet started.

    ``accounts`` are passwords by name; ``rules``, by name, pairs of "read" or "write" and a topic.
    """
    (folder / "mosquitto.conf").write_text(SETTINGS.format(port=port), encoding="utf-8")
    lines = [
        line
        for name, permitted in rules.items()
        for line in (f"user {name}", *(f"topic {verb} {topic}" for verb, topic in permitted), "")
    ]
    write_private(folder / "acl", "\n".join(lines), user)
    passwords = "".join(f"{name}:{_hashed(word)}\n" for name, word in accounts.items())
    write_private(folder / "passwords", passwords, user)
    return server(mosquitto, folder, log=log, user=user)


def server(mosquitto: Mosquitto, folder: Path, *, log: Path, user: int | None) -> Supervised:
    """The process over a folder with ``mosquitto.conf`` in it, not yet started; it keeps its state in
    ``state/`` there.
    """
    state = folder / "state"
    state.mkdir(mode=0o700, exist_ok=True)
    if user is not None:
        os.chown(state, user, user)
    return Supervised(
        "mosquitto",
        mosquitto.command("-c", "mosquitto.conf"),
        log=log,
        environment={"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"},
        folder=folder,
        user=user,
    )


def write_private(path: Path, text: str, user: int | None) -> None:
    """A file that only ``user`` reads; what was there before is replaced."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        if user is not None:
            os.fchown(descriptor, user, user)
        file.write(text)


def _hashed(password: str) -> str:
    """As mosquitto_passwd(1) writes it: type 7, PBKDF2-HMAC-SHA512.

    Few iterations: the passwords are 256 random bits, and nobody guesses those from any hash.
    """
    iterations, salt = 101, secrets.token_bytes(12)
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, iterations, dklen=64)
    encoded = [base64.b64encode(part).decode() for part in (salt, digest)]
    return f"$7${iterations}${encoded[0]}${encoded[1]}"
