"""`v2g completion`: a real bash completes a command of ours with the script that was installed."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.completion import Shell, app, script

DEADLINE_S = 60


def run(*words: str, home: Path, status: int = 0) -> str:
    environment = {"HOME": str(home), "XDG_DATA_HOME": ""}
    done = CliRunner().invoke(app, [*words], env=environment)
    assert done.exit_code == status, done.output
    return done.output


def completed(line: str, script_file: Path) -> list[str]:
    """What bash offers after ``line``, by the function that the script has registered."""
    bash = shutil.which("bash")
    assert bash
    words = line.split(" ")
    listed = " ".join(f"'{word}'" for word in words)
    ask = (
        f". '{script_file}'; COMP_WORDS=({listed}); COMP_CWORD={len(words) - 1}; COMP_LINE='{line}';"
        " name=$(complete -p v2g | sed 's/.*-F \\([^ ]*\\).*/\\1/'); $name v2g;"
        ' printf "%s\\n" "${COMPREPLY[@]}"'
    )
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        [bash, "--norc", "-c", ask],
        capture_output=True, text=True, check=True, timeout=DEADLINE_S, env=os.environ | {"PATH": path},
    )  # fmt: skip
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "offered"),
    [("v2g lane p", ["pause"]), ("v2g quaran", ["quarantine"]), ("v2g lane show --js", ["--json"])],
)
def test_bash_completes_commands_and_options(tmp_path, line, offered):
    # given the script, installed for a user
    said = json.loads(run("install", "bash", "--json", home=tmp_path))
    file = tmp_path / ".local/share/bash-completion/completions/v2g"
    assert said["file"] == str(file)

    # then a real bash completes with it
    assert completed(line, file) == offered


def test_a_script_written_twice_is_there_once(tmp_path):
    run("install", "zsh", home=tmp_path)
    before = (tmp_path / ".zfunc" / "_v2g").read_text()

    assert "fpath" in run("install", "zsh", home=tmp_path)
    assert (tmp_path / ".zfunc" / "_v2g").read_text() == before
    assert [one.name for one in tmp_path.iterdir()] == [".zfunc"]


@pytest.mark.parametrize("shell", Shell)
def test_what_is_shown_is_what_is_installed(tmp_path, shell):
    shown = run("show", shell.value, home=tmp_path)

    assert shown.strip() == script(shell)
    assert "v2g" in shown
    assert json.loads(run("show", shell.value, "--json", home=tmp_path))["script"] == script(shell)


def test_a_home_that_cannot_be_written_is_said_so(tmp_path):
    file = tmp_path / "file"
    file.write_text("")

    assert str(file) in run("install", "bash", home=file, status=2)
