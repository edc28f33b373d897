"""Where Java or the package cannot be had: what is said, and the exit status."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "command",
    [
        ("-m", "iso15118_bridge.session", "--agent", "nobody"),
        ("-m", "iso15118_bridge.secc", "--interface", "lo", "--evse-id", "E", "--agent", "nobody",
         "--certificates", "none"),
        ("-m", "iso15118_bridge.car", "--interface", "lo", "--certificates", "none"),
        ("-m", "cli.demo.iso15118"),
    ],
    ids=lambda command: command[1],
)  # fmt: skip
def test_without_java_it_says_what_to_install_and_exits_with_2(command, tmp_path):
    # given a PATH on which there is no Java
    ran = subprocess.run(
        [sys.executable, *command],
        cwd=ROOT, env={"PATH": str(tmp_path)}, capture_output=True, text=True, timeout=90, check=False,
    )  # fmt: skip

    # then
    assert ran.returncode == 2, ran.stderr
    assert "Java runtime" in ran.stderr
    assert "install" in ran.stderr


@pytest.mark.parametrize("module", ["session", "secc", "car", "replay", "certificates"])
def test_every_command_teaches_without_java_and_without_the_package(module, tmp_path):
    ran = subprocess.run(
        [sys.executable, "-m", f"iso15118_bridge.{module}", "--help"],
        cwd=ROOT, env={"PATH": str(tmp_path)}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert "usage: python -m iso15118_bridge." in ran.stdout
