"""The house on one page: every room with its number and verb, in the order in which the data walks.

Drawn from the packages' own docstrings and files, so that it cannot fall behind them; nothing is
imported. ``make map`` prints it.
"""

import ast
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
NOT_ROOMS: Final = frozenset({"build", "tests"})
LARGEST_SHOWN: Final = 8
LONG_FILE_LINES: Final = 300
"""From here on a file is asked whether two things live in it."""


@dataclass(frozen=True, slots=True)
class Module:
    """One Python file: its path below the root, and its number of lines."""

    path: str
    lines: int


@dataclass(frozen=True, slots=True)
class Room:
    """One top-level package, as its docstring introduces it.

    Attributes:
        name: the package.
        number: its place on the data's way; None for what stands beside the way.
        verb: what it does there, in capitals; empty beside the way.
        sentence: the rest of the docstring's first line.
        modules: its Python files, the longest first.
    """

    name: str
    number: int | None
    verb: str
    sentence: str
    modules: tuple[Module, ...]


def introduce(first_line: str) -> tuple[int | None, str, str]:
    """Number, verb and sentence of a package docstring's first line.

    >>> introduce("4 DECIDE: the rules of settlement, frame in, frame out.")
    (4, 'DECIDE', 'the rules of settlement, frame in, frame out.')
    >>> introduce("The operator's commands.")
    (None, '', "The operator's commands.")
    """
    head, colon, sentence = first_line.partition(":")
    number, _, verb = head.partition(" ")
    if colon and number.isdecimal() and verb.isupper():
        return int(number), verb, sentence.strip()
    return None, "", first_line.strip()


def room(folder: Path, root: Path) -> Room:
    """The package in a folder. Its modules may be unfinished: only ``__init__.py`` is parsed."""
    docstring = ast.get_docstring(ast.parse((folder / "__init__.py").read_text("utf-8"))) or ""
    number, verb, sentence = introduce(docstring.partition("\n")[0])
    modules = (
        Module(path.relative_to(root).as_posix(), path.read_text("utf-8").count("\n"))
        for path in folder.rglob("*.py")
    )
    longest_first = sorted(modules, key=lambda module: (-module.lines, module.path))
    return Room(folder.name, number, verb, sentence, tuple(longest_first))


def rooms(root: Path = ROOT) -> list[Room]:
    """Every top-level package: along the data's way first, then the others by name."""
    folders = (init.parent for init in root.glob("*/__init__.py"))
    found = [room(folder, root) for folder in folders if folder.name not in NOT_ROOMS]
    return sorted(found, key=lambda one: (one.number is None, one.number or 0, one.name))


def draw(house: Sequence[Room]) -> str:
    """The map as text: one line per room, then the longest files."""
    lines = [
        f"{one.name + '/':<16} {one.number if one.number is not None else '':>1} {one.verb:<8} "
        f"{one.sentence}  ({len(one.modules)} files, {total(one.modules)} lines)"
        for one in house
    ]
    longest = sorted(
        (module for one in house for module in one.modules), key=lambda module: -module.lines
    )[:LARGEST_SHOWN]
    lines += ["", "longest files"]
    lines += [
        f"{module.lines:6}  {module.path}{'   two things?' * (module.lines > LONG_FILE_LINES)}"
        for module in longest
    ]
    return "\n".join(lines) + "\n"


def total(modules: Iterable[Module]) -> int:
    """Lines of all these files together."""
    return sum(module.lines for module in modules)


if __name__ == "__main__":
    sys.stdout.write(draw(rooms()))
