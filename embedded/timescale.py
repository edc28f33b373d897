"""TimescaleDB for the embedded PostgreSQL, on a machine where nobody installed it.

Debian's package of the extension is built against the same major version of PostgreSQL as the
wheel's, but for a newer C library than most machines have. So it is laid beside a copy of the
wheel's programs, together with that C library, and the server is started through its loader
(``embedded.engine``); nothing on the machine is changed. It is the Apache-licensed part of
TimescaleDB, without compression and continuous aggregates.

Extension library and control files are fetched together and never mixed. The result lies in the
cache, one folder per content of the wheel; ``python -m embedded.timescale [CACHE]`` fetches it.
A failed fetch is remembered beside it for ten minutes, in which only that command tries again.
"""

import argparse
import hashlib
import json
import platform
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from embedded import debian
from embedded.engine import LOADER, PARTS, TimescaleFiles, wheel_folder, wheel_key, wheel_major
from embedded.errors import EmbeddedError, PackageFetchError, TimescaleUnavailableError
from embedded.failures import Failures
from embedded.postgres import PostgresServer, run_statements

__all__ = ["TimescaleFiles", "TimescaleUnavailableError", "fetch", "find", "main"]

SUITE: Final = "forky"
"""The Debian release that carries the extension for the wheel's major version."""
OLDEST_VERSION: Final = (2, 18, 1)
"""Before it, ON CONFLICT DO NOTHING on compressed chunks lost rows (timescaledb issue 7672)."""
FETCH_DEADLINE_S: Final = 240.0
_TRIPLET: Final = "x86_64-linux-gnu"
_LIBRARIES: Final = ("libc6", "libssl3t64", "libzstd1", "zlib1g")
_MANIFEST: Final = "manifest.json"
_TRIAL: Final = (
    "CREATE EXTENSION timescaledb",
    "CREATE TABLE trial (ts timestamptz NOT NULL)",
    "SELECT create_hypertable('trial', by_range('ts'))",
    "INSERT INTO trial VALUES (now())",
)
DEFAULT_CACHE: Final = Path(__file__).parents[1] / ".cache"


def find(cache: Path) -> TimescaleFiles | None:
    """The extension that was fetched into ``cache`` for this wheel; None when there is none."""
    root = _root(cache)
    try:
        text = (root / _MANIFEST).read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None
    return _files(root, text)


def fetch(
    cache: Path,
    *,
    deadline_s: float = FETCH_DEADLINE_S,
    report: debian.Report,
    insist: bool = False,
) -> TimescaleFiles:
    """Fetch the extension into ``cache``, or return what is there. ``report`` hears each step.

    ``insist`` tries even when a fetch has failed within the last ten minutes.

    Raises:
        TimescaleUnavailableError: not on this machine, or not now; the reason is in plain words.
    """
    found = find(cache)
    if found is not None:
        report(f"TimescaleDB {found.version} is there: {found.root}")
        return found
    _check_machine()
    failures = Failures(_root(cache))
    if not insist and (reason := failures.recent()) is not None:
        raise TimescaleUnavailableError(
            f"{reason} (tried less than ten minutes ago; `make timescale` tries again at once)"
        )
    try:
        files = _fetch(cache, time.monotonic() + deadline_s, report)
    except TimescaleUnavailableError as error:
        failures.remember(error.reason)
        raise
    failures.forget()
    return files


def _fetch(cache: Path, give_up_at: float, report: debian.Report) -> TimescaleFiles:
    """The fetch itself, which ends by ``give_up_at`` on the clock of ``time.monotonic``."""
    parent = _root(cache).parent
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="unfinished-", dir=parent) as name:
        unfinished = Path(name)
        unfinished.chmod(0o755)  # root's trial runs as another user
        try:
            debs = _fetch_packages(unfinished / "apt", give_up_at, report)
            report("laying the extension beside PostgreSQL")
            _lay_out(unfinished)
            files = _files(unfinished / "root", _write_manifest(unfinished / "root", debs))
            report(f"trying TimescaleDB {files.version}")
            _try(files, unfinished / "trial")
        except (PackageFetchError, OSError) as error:
            raise TimescaleUnavailableError(str(error)) from error
        return _keep(unfinished / "root", cache, files)


def _keep(root: Path, cache: Path, files: TimescaleFiles) -> TimescaleFiles:
    try:
        root.rename(_root(cache))
    except OSError as error:  # another process was faster
        kept = find(cache)
        if kept is None:
            raise TimescaleUnavailableError(f"{_root(cache)} cannot be written") from error
        return kept
    return TimescaleFiles(_root(cache), files.version, files.key)


def _root(cache: Path) -> Path:
    return cache.absolute() / "timescale" / f"postgresql-{wheel_major()}-{wheel_key()[:12]}"


def _files(root: Path, manifest: str) -> TimescaleFiles:
    version = str(json.loads(manifest)["timescale"])
    return TimescaleFiles(root, version, hashlib.sha256(manifest.encode()).hexdigest())


def _check_machine() -> None:
    if sys.platform != "linux" or platform.machine() != "x86_64":
        machine = f"{platform.system()} on {platform.machine()}"
        raise TimescaleUnavailableError(f"this is {machine}; the packages are for Linux on x86_64")
    if debian.release().get("ID") != "debian":
        name = debian.release().get("PRETTY_NAME", "of an unknown kind")
        raise TimescaleUnavailableError(f"this system is {name}; the packages are Debian's")
    try:
        debian.needs()
    except PackageFetchError as error:
        raise TimescaleUnavailableError(error.reason) from error


def _fetch_packages(scratch: Path, give_up_at: float, report: debian.Report) -> list[Path]:
    mirrors = debian.Apt(scratch, give_up_at=give_up_at).mirrors()
    if not mirrors:
        raise PackageFetchError("apt's configuration names no source of this Debian release")
    packages = [*_LIBRARIES, f"postgresql-{wheel_major()}-timescaledb"]
    failure: PackageFetchError | None = None
    for mirror in mirrors:
        report(f"asking {mirror} for {SUITE}")
        try:
            apt = debian.Apt(scratch, give_up_at=give_up_at, sources=_source(mirror))
            apt.update()
            debs = apt.download(packages)
            for deb in debs:
                report(f"fetched {deb.name}")
            apt.unpack(debs, scratch.parent / "debian")
        except PackageFetchError as error:
            failure = failure or error
        else:
            return debs
    assert failure is not None
    raise failure


def _source(mirror: str) -> str:
    lines = ["Types: deb", f"URIs: {mirror}", f"Suites: {SUITE}", "Components: main"]
    lines.append("Architectures: amd64")
    if debian.ARCHIVE_KEYS.exists():
        # Whoever the mirror is, only Debian's archive is believed.
        lines.append(f"Signed-By: {debian.ARCHIVE_KEYS}")
    return "\n".join(lines) + "\n"


def _lay_out(unfinished: Path) -> None:
    """``root/home``: the wheel's programs and the extension. ``root/libraries``: the C library."""
    fetched, root = unfinished / "debian", unfinished / "root"
    for part in PARTS:
        shutil.copytree(wheel_folder() / part, root / "home" / part, symlinks=True)
    installation = root / "home" / PARTS[0]
    major = wheel_major()
    for pattern, target in (
        (f"usr/lib/postgresql/{major}/lib/timescaledb*.so", "lib"),
        (f"usr/share/postgresql/{major}/extension/timescaledb*", "share/extension"),
    ):
        matches = sorted(fetched.glob(pattern))
        if not matches:
            raise PackageFetchError(f"the packages hold no {pattern}")
        for file in matches:
            shutil.copy2(file, installation / target)
    libraries = root / "libraries"
    libraries.mkdir()
    for file in sorted((fetched / "usr" / "lib" / _TRIPLET).glob("*.so*")):
        shutil.copy2(file, libraries, follow_symlinks=False)
    for name in (LOADER, "libc.so.6", "libssl.so.3", "libcrypto.so.3", "libz.so.1"):
        if not (libraries / name).exists():
            raise PackageFetchError(f"the packages hold no {name}")


def _write_manifest(root: Path, debs: Sequence[Path]) -> str:
    control = root / "home" / PARTS[0] / "share" / "extension" / "timescaledb.control"
    found = re.search(r"default_version\s*=\s*'([0-9.]+)'", control.read_text(encoding="utf-8"))
    if found is None:
        raise PackageFetchError("the extension's control file names no version")
    version = found.group(1)
    if tuple(int(number) for number in version.split(".")) < OLDEST_VERSION:
        oldest = ".".join(map(str, OLDEST_VERSION))
        raise PackageFetchError(f"{SUITE} carries TimescaleDB {version}, which is before {oldest}")
    manifest = {"timescale": version, "wheel": wheel_key(), "packages": [deb.name for deb in debs]}
    text = json.dumps(manifest, indent=2) + "\n"
    (root / _MANIFEST).write_text(text, encoding="utf-8")
    return text


def _try(files: TimescaleFiles, folder: Path) -> None:
    """Start a server with it: a C library may be too new for this machine's kernel, say."""
    try:
        with PostgresServer(folder, timescale=files) as server:
            run_statements(server, _TRIAL)
    except EmbeddedError as error:
        raise TimescaleUnavailableError(f"it was fetched, but does not run: {error}") from error


def main(arguments: Sequence[str]) -> int:
    """``python -m embedded.timescale``: returns the exit status, 1 when it cannot be had."""
    parser = argparse.ArgumentParser(
        prog="python -m embedded.timescale",
        description="Fetch TimescaleDB for the embedded PostgreSQL, without root.",
    )
    parser.add_argument("cache", nargs="?", type=Path, default=DEFAULT_CACHE)
    parser.add_argument(
        "--within",
        type=float,
        default=FETCH_DEADLINE_S,
        metavar="SECONDS",
        help="give up after so long (default: %(default)g)",
    )
    parser.add_argument(
        "--unless-failed",
        action="store_true",
        help="do not try when that has failed within the last ten minutes",
    )
    chosen = parser.parse_args(arguments)
    try:
        files = fetch(
            chosen.cache,
            deadline_s=chosen.within,
            report=print,
            insist=not chosen.unless_failed,
        )
    except EmbeddedError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"TimescaleDB {files.version} is ready for PostgreSQL {wheel_major()}.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
