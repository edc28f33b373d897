"""Pieces of the generated pages: table rows, and what the code says below a name."""

import ast
import inspect
from collections.abc import Iterable
from types import ModuleType
from typing import Final

GENERATED: Final = "<!-- Written by `make docs` from the code; change it there. -->\n"


def notes(body: Iterable[ast.stmt]) -> dict[str, str]:
    r"""The text that stands below each assignment of a module or class, by the assigned name.

    >>> notes(ast.parse("A = 1\n'''what A is'''\nB = 2").body)
    {'A': 'what A is'}
    """
    found: dict[str, str] = {}
    name = ""
    for statement in body:
        match statement:
            case (
                ast.Assign(targets=[ast.Name(id=assigned)])
                | ast.AnnAssign(target=ast.Name(id=assigned))
            ):
                name = assigned
            case ast.Expr(value=ast.Constant(value=str(text))) if name:
                found[name] = " ".join(inspect.cleandoc(text).split())
                name = ""
            case _:
                name = ""
    return found


def notes_of(module: ModuleType, class_name: str = "") -> dict[str, str]:
    """``notes`` of a module, or of a class in it."""
    body: Iterable[ast.stmt] = ast.parse(inspect.getsource(module)).body
    if class_name:
        body = next(s for s in body if isinstance(s, ast.ClassDef) and s.name == class_name).body
    return notes(body)


def row(*cells: object) -> str:
    """One row of a Markdown table; a bar inside a cell does not end it."""
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"


def heading(*cells: str) -> list[str]:
    """The two lines that begin a Markdown table."""
    return [row(*cells), row(*("---" for _ in cells))]
