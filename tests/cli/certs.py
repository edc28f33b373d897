"""`v2g certs` run in a folder of its own, for the tests of its commands."""

import stat
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app

EVSE = "DE*ABC*E0001*1"


def run(*words: str | Path, status: int = 0) -> str:
    """What a command prints: on standard output when it succeeds, else all of it."""
    result = CliRunner().invoke(app, ["certs", *map(str, words)], env={"COLUMNS": "200"})
    assert result.exit_code == status, result.output
    return result.output if status else result.stdout


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def folder(tmp_path) -> Path:
    """An authority with the broker's and the daemon's certificates."""
    made: Path = tmp_path / "authority"
    run("init", made, "--host", "mqtt.example.com", "--host", "10.0.0.5")
    return made
