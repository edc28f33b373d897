"""The contracts between the packages: that they name every package, and that they bite."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.engineering.house import PYPROJECT, packages

LINTER = PYPROJECT["tool"]["importlinter"]
CONTRACTS = {contract["name"]: contract for contract in LINTER["contracts"]}
TOPS = {name.partition(".")[0] for name in packages()}


def test_every_package_is_under_contract():
    assert set(LINTER["root_packages"]) == TOPS


def test_every_package_has_its_layer_but_the_embedded_servers_which_stand_alone():
    # given the layers from top to bottom
    layers = CONTRACTS["imports point one way"]["layers"]

    # when their names are taken apart
    named = [name.strip() for layer in layers for name in layer.split("|")]

    # then each package stands there once
    assert sorted(named) == sorted(TOPS - {"embedded"})


def test_the_embedded_servers_may_import_none_of_the_others():
    assert set(CONTRACTS["embedded servers stand alone"]["forbidden_modules"]) == TOPS - {
        "embedded"
    }


def test_every_package_is_type_checked():
    assert set(PYPROJECT["tool"]["mypy"]["packages"]) == TOPS | {"tests"}


SMALL_HOUSE = {
    "settlement": "X = 1",
    "storage": "import settlement",
    "tasks": "import storage",
}


@pytest.mark.parametrize(
    ("package", "source", "broken"),
    [
        pytest.param(
            "settlement", "import storage", "imports point one way", id="rules-import-storage"
        ),
        pytest.param(
            "settlement", "import os", "the rules know no I/O", id="rules-read-the-environment"
        ),
        pytest.param(
            "settlement",
            "def f():\n    import socket",
            "the rules know no I/O",
            id="hidden-in-a-function",
        ),
        pytest.param(
            "tasks", "import psycopg", "only storage talks to PostgreSQL", id="a-step-connects"
        ),
        pytest.param(
            "tasks", "import prefect", "only wrappers know Prefect", id="a-step-knows-prefect"
        ),
    ],
)
def test_the_contracts_bite(tmp_path: Path, package: str, source: str, broken: str):
    # given a small house that keeps this project's contracts, as far as they concern it
    write_house(tmp_path, SMALL_HOUSE)

    # when one package breaks one
    (tmp_path / package / "wrong.py").write_text(source)

    # then that contract is named
    result = lint(tmp_path)
    assert result.returncode == 1
    assert f"{broken}" in result.stdout
    assert "BROKEN" in result.stdout


def test_a_house_that_breaks_nothing_passes(tmp_path: Path):
    write_house(tmp_path, SMALL_HOUSE)
    result = lint(tmp_path)
    assert result.returncode == 0, result.stdout


def write_house(root: Path, house: dict[str, str]) -> None:
    """Packages, and the contracts of pyproject.toml that speak of them."""
    for name, source in house.items():
        (root / name).mkdir()
        (root / name / "__init__.py").write_text(source)
    (root / "storage" / "sql.py").write_text("import psycopg")
    (root / "tasks" / "prefect_tasks.py").write_text("import prefect")
    lines = [
        "[importlinter]",
        f"root_packages = {listed(house)}",
        "include_external_packages = True",
    ]
    kept = {
        "imports point one way": {"layers": ["tasks", "storage", "settlement"]},
        "the rules know no I/O, no clock and no framework": {},
        "only storage talks to PostgreSQL": {"allowed_importers": ["storage"]},
        "only wrappers know Prefect": {"allowed_importers": ["tasks.prefect_tasks"]},
    }
    for name, changes in kept.items():
        lines.append(f"[importlinter:contract:{name}]")
        for key, value in (CONTRACTS[name] | changes).items():
            lines.append(f"{key} = {listed(value) if isinstance(value, list) else value}")
    (root / ".importlinter").write_text("\n".join(lines))


def listed(values: list[str] | dict[str, str]) -> str:
    return "".join(f"\n    {value}" for value in values)


def lint(root: Path) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-c",
        "from importlinter.cli import lint_imports_command as c; c()",
        "--no-cache",
    ]
    return subprocess.run(
        [*command, "--config", ".importlinter"], cwd=root, env={"PYTHONPATH": str(root), "PATH": "/usr/bin:/bin"},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
