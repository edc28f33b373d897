"""Promises about the source itself that neither ruff nor mypy can be asked to keep."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engineering.house import ROOT, files, packages, sources, tree

LONGEST_FILE = 350

FLOATS_ALLOWED: dict[str, str] = {
    "settlement/collusion.py": "distances and speeds in a report for people; no energy, no money",
    "settlement/metering/location.py": "distances in metres, compared with a radius; no energy",
    "settlement/thermal.py": "the filter's exp(); read by the curve with exact fractions, rounded once",
}
"""Modules of settlement/ in which a float is right, each with its reason."""

RUN_BY_IMPORT = {
    "storage/migrations/env.py",  # Alembic runs a migration by importing it
    "cli/main.py",  # typer hangs groups of commands onto the application by calls
}

FRAME_IO = ("read_", "scan_", "write_", "sink_")


def offences(module: ast.Module) -> Iterator[tuple[int, str]]:
    """Every expression that makes, or could make, a float out of exact numbers."""
    for node in ast.walk(module):
        match node:
            case ast.Constant(value=float(value)):
                yield node.lineno, f"the float {value}"
            case ast.BinOp(op=ast.Div()) | ast.AugAssign(op=ast.Div()):
                yield node.lineno, "a true division; // is exact"
            case ast.Call(func=ast.Name(id="float" | "round" as name)):
                yield node.lineno, f"{name!s}(); settlement.rounding rounds, and nothing else"
            case ast.Call(
                func=ast.Attribute(attr="mean" | "std" | "var" | "round" | "truediv" as name)
            ):
                yield node.lineno, f".{name}()"
            case ast.Attribute(attr=str(name)) if name.startswith(("Float", "float")):
                yield node.lineno, f".{name}"
            case ast.Import(names=names) if any(one.name in {"math", "numpy"} for one in names):
                yield node.lineno, "math and numpy compute in floats"
            case ast.ImportFrom(module="math" | "numpy"):
                yield node.lineno, "math and numpy compute in floats"
            case _:
                pass


@pytest.mark.parametrize(
    "source",
    ["x = 0.5", "x = a / b", "x /= b", "float(a)", "round(a)", "pl.col('a').mean()",
     "pl.col('a').round(2)", "pl.Float64", "import math", "from math import floor", "import numpy as np"],
)  # fmt: skip
def test_the_search_for_floats_finds(source):
    assert list(offences(ast.parse(source)))


@pytest.mark.parametrize("source", ["x = 5", "x = a // b", "x = a * 10**6", "'0.5'", "pl.Int64"])
def test_the_search_for_floats_leaves_exact_numbers_alone(source):
    assert list(offences(ast.parse(source))) == []


def test_no_float_can_touch_money_or_settled_energy():
    # given every module of the rules
    modules = [
        p for p in sources("settlement") if p.relative_to(ROOT).as_posix() not in FLOATS_ALLOWED
    ]

    # when each is searched
    found = [
        f"{path.relative_to(ROOT)}:{line}: {what}"
        for path in modules
        for line, what in offences(tree(path))
    ]

    # then there is nothing that makes a float
    assert found == []


def test_the_rules_neither_read_nor_write_frames():
    # given every call of a method in the rules
    calls = [
        (path, node.lineno, node.func.attr)
        for path in sources("settlement")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    ]

    # then none is a reader or a writer of Polars
    assert [
        f"{p.relative_to(ROOT)}:{line}: .{name}()"
        for p, line, name in calls
        if name.startswith(FRAME_IO)
    ] == []


def test_every_package_introduces_itself():
    # given the first line of every package's docstring
    first_lines = {
        name: (
            ast.get_docstring(tree(ROOT.joinpath(*name.split("."), "__init__.py"))) or ""
        ).partition("\n")[0]
        for name in packages()
    }

    # then there is one, and it is a sentence
    assert [name for name, line in first_lines.items() if not line.endswith((".", "?"))] == []


@pytest.mark.parametrize("path", sources(), ids=lambda p: p.relative_to(ROOT).as_posix())
def test_a_file_is_short_enough_to_hold_one_thing(path: Path):
    assert len(path.read_text("utf-8").splitlines()) <= LONGEST_FILE


def test_nothing_is_called_utils():
    # given the names of all files and folders
    names = {part for path in files() for part in path.relative_to(ROOT).with_suffix("").parts}

    # then each says what it is about
    assert names & {"utils", "util", "helpers", "helper", "common", "misc"} == set()


def test_importing_a_module_does_nothing():
    # given the statements that run when a module is imported
    running = [
        f"{path.relative_to(ROOT)}:{statement.lineno}"
        for path in sources()
        if path.relative_to(ROOT).as_posix() not in RUN_BY_IMPORT
        for statement in tree(path).body
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call)
    ]

    # then no call stands there for its effect
    assert running == []
