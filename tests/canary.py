"""A secret that is looked for everywhere: files, processes, every table of a database."""

import os
import secrets
from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from psycopg import sql

from embedded.postgres import SUPERUSER


@dataclass
class Canary:
    """A value that stands nowhere else, and the ways in which it could be written down.

    Attributes:
        value: the secret; sixty-four hexadecimal digits, which any secret of ours may be.
    """

    value: str = field(default_factory=lambda: secrets.token_hex(32))

    def forms(self) -> list[bytes]:
        """As it is, as PostgreSQL writes bytes, and in base64 at each of the three offsets."""
        plain = self.value.encode()
        # The ends hang on what stands beside it, so they are left out.
        base64 = [b64encode(b"x" * offset + plain)[4:-4] for offset in range(3)]
        return [plain, plain.hex().encode(), *base64]

    def is_in(self, data: bytes) -> bool:
        """Whether it stands in what somebody wrote."""
        return any(form in data for form in self.forms())

    def file(self, path: Path) -> Path:
        """A file of mode 0600 that holds it."""
        path.touch(mode=0o600)
        path.write_text(self.value, "ascii")
        return path


def in_files(canary: Canary, folders: Iterable[Path], *, but: Iterable[Path] = ()) -> list[Path]:
    """Files below folders in which it stands; ``but`` those that are there to hold it."""
    spared = {one.resolve() for one in but}
    return [
        path
        for folder in folders
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.resolve() not in spared and canary.is_in(path.read_bytes())
    ]


def in_processes(canary: Canary) -> list[str]:
    """Processes of this machine whose command line or environment shows it."""
    found = []
    for process in Path("/proc").iterdir():
        if not process.name.isdigit() or int(process.name) == os.getpid():
            continue
        for shown in ("cmdline", "environ"):
            try:
                data = (process / shown).read_bytes()
            except OSError:  # it has ended, or is somebody else's
                continue
            if canary.is_in(data):
                found.append(f"{shown} of {process.name}")
    return found


def in_database(canary: Canary, dsn: str) -> list[str]:
    """Tables and views in whose dump it stands."""
    found = []
    with psycopg.connect(dsn, user=SUPERUSER) as conn:
        tables = conn.execute(
            "select c.oid::regclass::text from pg_class c join pg_namespace n on n.oid = relnamespace"
            " where relkind in ('r', 'p', 'm') and not relispartition and nspname = 'public'"
        ).fetchall()
        for (table,) in tables:
            with conn.cursor().copy(
                sql.SQL("copy (table {}) to stdout").format(sql.SQL(table))
            ) as copy:
                if canary.is_in(b"".join(bytes(piece) for piece in copy)):
                    found.append(str(table))
    return found
