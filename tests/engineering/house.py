"""What the promises about the code base are held against: its folders, its files, its configuration."""

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from cli.map import ROOT

__all__ = [
    "PYPROJECT",
    "ROOT",
    "files",
    "imported",
    "locked",
    "packages",
    "read",
    "sources",
    "tree",
]

APART = "iso15118_bridge"
"""A folder with an environment of its own, which is no package of ours: tests/iso15118 watches it."""

PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


@cache
def files() -> tuple[Path, ...]:
    """Every file that is, or is about to be, part of the repository; ignored ones are not."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    paths = (ROOT / name for name in listed.split("\0") if name)
    return tuple(sorted(path for path in paths if path.is_file()))


def read(path: Path) -> str:
    """The text of a file; empty for one that is no text."""
    try:
        return path.read_text("utf-8")
    except UnicodeDecodeError:
        return ""


def packages() -> list[str]:
    """Every folder with an ``__init__.py`` outside tests and ``APART``, dotted."""
    folders = (path.parent.relative_to(ROOT) for path in files() if path.name == "__init__.py")
    return sorted(
        ".".join(folder.parts) for folder in folders if folder.parts[0] not in {"tests", APART}
    )


def sources(*tops: str) -> list[Path]:
    """The Python files below these top-level folders, or of every package."""
    chosen = tops or {name.partition(".")[0] for name in packages()}
    return [p for p in files() if p.suffix == ".py" and p.relative_to(ROOT).parts[0] in chosen]


@cache
def tree(path: Path) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse(read(path), filename=str(path))


def imported(path: Path) -> Iterator[tuple[str, str]]:
    """Each import of a file as (what is imported, the name that it gets here)."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, alias.asname or alias.name.partition(".")[0]
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                yield f"{node.module}.{alias.name}", alias.asname or alias.name


def locked(name: str) -> dict[str, set[str]]:
    """What a lock file pins, by normalised name; a package may have one version per Python."""
    pinned: dict[str, set[str]] = {}
    for one, version in re.findall(
        r"^([a-z0-9][a-z0-9._-]*)==([^\s;\\]+)", read(ROOT / name), re.MULTILINE
    ):
        pinned.setdefault(re.sub(r"[-_.]+", "-", one), set()).add(version)
    return pinned
