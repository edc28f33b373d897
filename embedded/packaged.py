"""A server from a Debian package: fetched once into the cache, unpacked, run from there.

What the package's scripts would do (users, units, folders) is not done: the server runs as whoever
starts it, in a folder of its own, on loopback.
"""

import hashlib
import os
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from embedded import debian
from embedded.errors import PackageFetchError
from embedded.failures import Failures
from embedded.places import placed

FETCH_DEADLINE_S: Final = 90.0
_NOT_IN_LIBRARY_PATHS: Final = ":;$="
"""LD_LIBRARY_PATH is divided at the first two, the third begins a token (ld.so(8)); env(1) takes
what holds the last for a variable, not for a program."""
_INSTALLED: Final = ("/usr/sbin", "/usr/local/sbin")
"""Debian installs servers where an ordinary user's PATH does not look."""


@dataclass(frozen=True, slots=True)
class Packaged:
    """A program, and ``libraries`` it needs beside the machine's own; None where it needs none."""

    program: Path
    libraries: Path | None = None

    def command(self, *arguments: str) -> list[str]:
        """A command line. The libraries are for the program alone, not for what starts it."""
        program = [str(self.program), *arguments]
        if self.libraries is None:
            return program
        return ["env", f"LD_LIBRARY_PATH={self.libraries}", *program]


def find(package: str, program: str, *, cache: Path, user: int | None) -> Packaged:
    """The installed program, else the one in ``cache``, else fetch its package into ``cache``.

    Args:
        package: Debian's name, such as "redis-server".
        program: where the package holds it below /usr, such as "bin/redis-server".
        cache: where packages are unpacked to.
        user: who will run it.

    Raises:
        PackageFetchError: it cannot be had; the reason is in plain words.
    """
    name = Path(program).name
    for path in (shutil.which(name), *(f"{folder}/{name}" for folder in _INSTALLED)):
        if path is not None and Path(path).exists():
            return Packaged(Path(path))
    system = debian.release()
    release = "-".join(
        [system.get("ID", "unknown"), system.get("VERSION_ID", ""), os.uname().machine]
    )
    root = cache.absolute() / package / release
    if not root.exists():
        _fetch(package, root)
    key = hashlib.sha256((root / "packages").read_bytes()).hexdigest()
    usr = placed(root, ["usr"], key, user=user, forbidden=_NOT_IN_LIBRARY_PATHS) / "usr"
    return Packaged(usr / program, next(usr.glob("lib/*-linux-*"), None))


def _fetch(package: str, root: Path) -> None:
    """Fetch the package and unpack it as ``root``; several processes may do so at once."""
    failures = Failures(root)
    if (reason := failures.recent()) is not None:
        raise PackageFetchError(reason)
    root.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="unfinished-", dir=root.parent) as name:
        unfinished = Path(name) / "root"
        try:
            debian.needs()
            apt = debian.Apt(Path(name) / "apt", give_up_at=time.monotonic() + FETCH_DEADLINE_S)
            apt.update()
            debs = apt.download_with_missing(package)
            apt.unpack(debs, unfinished)
        except PackageFetchError as error:
            reason = f"{package} is not installed, and {error}"
            failures.remember(reason)
            raise PackageFetchError(reason) from error
        _flatten(unfinished)
        listed = "".join(f"{deb.name}\n" for deb in debs)
        (unfinished / "packages").write_text(listed, encoding="utf-8")
        try:
            unfinished.rename(root)
        except OSError:  # another process was faster
            if not root.exists():
                raise


def _flatten(root: Path) -> None:
    """Older packages still carry /lib beside /usr/lib; all libraries go to the latter."""
    for folder in root.glob("lib/*-linux-*"):
        target = root / "usr" / "lib" / folder.name
        target.mkdir(parents=True, exist_ok=True)
        for file in folder.iterdir():
            shutil.move(file, target / file.name)
