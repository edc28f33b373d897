"""Hosts that may be told anything: a file that only its owner changes, one host per line.

    # where notices may go
    hooks.example.com
    hooks.example.com:8443
    127.0.0.1:8443 internal

A host stands for itself: no patterns, no subdomains. A port that is not 443 stands there, too.
``internal`` permits addresses of this machine and of private networks, for that host only.
"""

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tasks.notices.errors import AllowFileError, DestinationRefusedError
from tasks.notices.urls import HTTPS, Url, parse

FILE_MAX_BYTES: Final = 64 * 1024
HOSTS_MAX: Final = 100
INTERNAL: Final = "internal"

_LINE: Final = re.compile(r"(?P<place>\S+)(?:[ \t]+(?P<flag>\S+))?[ \t]*")


@dataclass(frozen=True, slots=True)
class Allowed:
    """Hosts and ports that may be called; of each whether it may be an internal one."""

    places: Mapping[tuple[str, int], bool]

    def require(self, url: Url) -> bool:
        """Whether the host of a URL may have internal addresses.

        Raises:
            DestinationRefusedError: it is not in the list.
        """
        internal = self.places.get((url.host, url.port))
        if internal is None:
            listed = any(host == url.host for host, _ in self.places)
            raise DestinationRefusedError(
                "url",
                f"{url.host}, port {url.port}, which is not allowed",
                "the port that the file of allowed hosts names"
                if listed
                else "a host that the file of allowed hosts names (V2G_WEBHOOK_ALLOW_FILE)",
            )
        return internal


def read_allowed(path: Path | None) -> Allowed:
    """The hosts of a file; none where no file is named.

    The file is judged by its descriptor, so that nobody exchanges it between the look and the reading.

    Raises:
        AllowFileError: missing, a link, another owner's than root's or this program's, writable by
            others (or its folder is), or a line that is no host.
    """
    if path is None:
        return Allowed({})
    lines = _content(path).split("\n")
    places: dict[tuple[str, int], bool] = {}
    for number, line in enumerate(lines, start=1):
        said = line.partition("#")[0].strip(" \t\r")
        if said:
            host, port, internal = _place(path, number, said)
            places[host, port] = internal
    if len(places) > HOSTS_MAX:
        raise AllowFileError(path, f"{len(places)} hosts", f"at most {HOSTS_MAX}")
    return Allowed(places)


def _place(path: Path, number: int, said: str) -> tuple[str, int, bool]:
    found = _LINE.fullmatch(said)
    try:
        if found is None or found["flag"] not in {None, INTERNAL}:
            raise DestinationRefusedError("", "another word", "")
        place = found["place"]
        # The same reading as of a URL: what is allowed and what is asked for cannot differ in it.
        url = parse(f"https://{place.removesuffix(f':{HTTPS}')}")
        if url.path != "/" or place.endswith("/"):
            raise DestinationRefusedError("", "a path", "")
    except DestinationRefusedError as error:
        raise AllowFileError(
            path, f"line {number}: {error.found}", f"HOST[:PORT] [{INTERNAL}]"
        ) from error
    return url.host, url.port, found["flag"] == INTERNAL


def _content(path: Path) -> str:
    expected = "a file of root's or this program's that nobody else may write"
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise AllowFileError(path, f"cannot be opened ({error.strerror})", expected) from error
    try:
        status = os.fstat(descriptor)
        folder = path.parent.stat()
        if not stat.S_ISREG(status.st_mode):
            raise AllowFileError(path, "not a regular file", expected)
        if status.st_uid not in {0, os.geteuid()}:
            raise AllowFileError(path, f"owned by uid {status.st_uid}", expected)
        if status.st_mode & 0o022:
            found = f"mode {stat.S_IMODE(status.st_mode):04o}"
            raise AllowFileError(path, found, f"{expected}: chmod go-w '{path}'")
        if folder.st_mode & 0o022 and not folder.st_mode & stat.S_ISVTX:
            found = f"its folder has mode {stat.S_IMODE(folder.st_mode):04o}"
            raise AllowFileError(path, found, f"{expected}: chmod go-w '{path.parent}'")
        with open(descriptor, "rb", closefd=False) as stream:
            content = stream.read(FILE_MAX_BYTES + 1)
    finally:
        os.close(descriptor)
    if len(content) > FILE_MAX_BYTES or not content.isascii():
        found = f"more than {FILE_MAX_BYTES} bytes, or not ASCII"
        raise AllowFileError(path, found, "one host per line")
    return content.decode("ascii")
