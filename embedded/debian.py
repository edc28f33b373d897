"""Debian packages without root: fetched by the machine's own apt, unpacked into a folder of ours.

apt runs with the machine's configuration (mirror, proxy, credentials, keys), but keeps its lists
and downloads in a scratch folder and never touches what is installed. What it fetches carries the
archive's signature; what it does not trust, it does not fetch. Errors: PackageFetchError.
"""

import os
import platform
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from embedded.errors import ChildExitedError, DeadlineExceededError, PackageFetchError
from embedded.processes import Supervised

Report = Callable[[str], None]

ARCHIVE_KEYS: Final = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_ALIASES: Final = ("oldstable", "stable", "testing", "unstable", "sid")
_INSTALLED: Final = Path("/var/lib/dpkg/status")
_SETTINGS: Final = """\
Dir::State "{scratch}/state/";
Dir::State::lists "{scratch}/lists/";
Dir::State::status "{status}";
Dir::Cache "{scratch}/cache/";
Dir::Log "{scratch}/log/";
APT::Sandbox::User "";
Debug::NoLocking "true";
Acquire::Languages "none";
Acquire::Retries "1";
Acquire::http::Timeout "15";
Acquire::https::Timeout "15";
Dpkg::Use-Pty "false";
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Pre-Install-Pkgs;
"""
_OWN_SOURCES: Final = """\
Dir::Etc::SourceList "{scratch}/own.sources";
Dir::Etc::SourceParts "/dev/null";
Dir::Etc::Preferences "/dev/null";
Dir::Etc::PreferencesParts "/dev/null";
APT::Update::Error-Mode "any";
"""


def needs(*programs: str) -> None:
    """Refuse a machine that is not Debian's kind, or lacks a program.

    Raises:
        PackageFetchError: says what is missing.
    """
    for program in ("apt-get", "dpkg-deb", *programs):
        if shutil.which(program) is None:
            raise PackageFetchError(f"the program {program} is missing; Debian packages need it")


def release() -> dict[str, str]:
    """What /etc/os-release says (os-release(5)): ID, VERSION_ID, VERSION_CODENAME; maybe empty."""
    try:
        return platform.freedesktop_os_release()
    except OSError:
        return {}


class Apt:
    """An apt with lists and downloads of its own, in ``scratch``, which ends by ``give_up_at``.

    ``sources`` is a deb822 text that replaces the machine's sources; None keeps them.
    ``give_up_at`` is on the clock of ``time.monotonic``. ``overrides`` are further lines of
    apt.conf(5).
    """

    def __init__(
        self,
        scratch: Path,
        *,
        give_up_at: float,
        sources: str | None = None,
        overrides: str = "",
    ) -> None:
        self.scratch = scratch.absolute()
        self._give_up_at = give_up_at
        for folder in ("state", "lists/partial", "cache/archives/partial", "log", "debs"):
            (self.scratch / folder).mkdir(parents=True, exist_ok=True)
        status = self.scratch / "status"
        status.touch()
        if _INSTALLED.exists() and sources is None:
            status = _INSTALLED
        settings = _SETTINGS.format(scratch=self.scratch, status=status)
        if sources is not None:
            (self.scratch / "own.sources").write_text(sources, encoding="utf-8")
            settings += _OWN_SOURCES.format(scratch=self.scratch)
        (self.scratch / "apt.conf").write_text(settings + overrides, encoding="utf-8")

    def mirrors(self) -> list[str]:
        """The addresses from which the machine installs the main part of its own release.

        apt itself reads its sources, so both of their formats (one-line and deb822,
        sources.list(5)) count. Whether an address is Debian's shows when its signature is checked.
        """
        rows = self._run(
            "apt-get",
            # Without release information, because no lists were fetched yet.
            [
                *("indextargets", "--no-release-info", "--format", "$(RELEASE) $(REPO_URI)"),
                *("Created-By: Packages", "Component: main"),
            ],
            "reading the sources",
        )
        own = {release().get("VERSION_CODENAME", ""), *_ALIASES}
        found = [row.partition(" ") for row in rows.splitlines()]
        return list(dict.fromkeys(uri for name, _, uri in found if name in own))

    def update(self) -> None:
        """Fetch the package lists."""
        self._run("apt-get", ["update"], "fetching the package lists")

    def download(self, packages: Sequence[str]) -> list[Path]:
        """Fetch exactly ``packages``."""
        self._run("apt-get", ["download", *packages], "fetching the packages")
        return sorted((self.scratch / "debs").glob("*.deb"))

    def download_with_missing(self, package: str) -> list[Path]:
        """Fetch ``package`` and those it depends on which the machine does not have."""
        self._run(
            "apt-get",
            ["--yes", "--no-install-recommends", "--download-only", "install", package],
            f"fetching {package}",
        )
        return sorted((self.scratch / "cache" / "archives").glob("*.deb"))

    def unpack(self, packages: Sequence[Path], into: Path) -> None:
        """Unpack ``packages`` over each other; runs none of their scripts."""
        into.mkdir(parents=True, exist_ok=True)
        for package in packages:
            self._run("dpkg-deb", ["-x", str(package), str(into)], f"unpacking {package.name}")

    def _run(self, program: str, arguments: Sequence[str], what: str) -> str:
        left_s = self._give_up_at - time.monotonic()
        if left_s <= 0:
            raise PackageFetchError(f"{what} was not begun: the time was over")
        options = ["-c", str(self.scratch / "apt.conf"), "-q"] if program == "apt-get" else []
        child = Supervised(
            program,
            [program, *options, *arguments],
            log=self.scratch / "log" / f"{program}.log",
            environment={**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"},
            folder=self.scratch / "debs",
        )
        with child:
            try:
                status = child.wait(deadline_s=left_s)
            except DeadlineExceededError:
                raise PackageFetchError(f"{what} took longer than the time that was left") from None
            if status != 0:
                raise PackageFetchError(f"{what} failed: {_reason(child.exited())}")
            return child.log_tail(lines=1000)


def _reason(error: ChildExitedError) -> str:
    """What apt calls an error, without its progress."""
    said = [line for line in error.tail.splitlines() if line.startswith(("E:", "Err:", "W:"))]
    return "; ".join(said[-3:]) or error.tail
