"""The commands: listed, described, and doing what a newcomer relies on."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.engineering.house import ROOT, read

PROMISED = [
    "bench",
    "chaos",
    "check",
    "clean",
    "demo",
    "demo-iso15118",
    "docs",
    "format",
    "install",
    "lock",
    "map",
    "mutate",
    "test",
    "timescale",
]
PARTS_OF_CHECK = [
    "check-contracts",
    "check-format",
    "check-lint",
    "check-tests",
    "check-types",
]


def make(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(
        ["make", *arguments], cwd=cwd, env=clean, capture_output=True, text=True, check=False, timeout=60,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip


def test_make_alone_lists_every_command_with_a_line_each():
    # when make is called without anything
    result = make()

    # then every command that is promised is there, described, and nothing else happens
    assert result.returncode == 0
    listed = dict(re.findall(r"^  make (\S+) +(\S.*)$", result.stdout, re.MULTILINE))
    assert sorted(listed) == PROMISED
    assert result.stderr == ""


def test_every_target_is_either_listed_or_a_part_of_check():
    targets = re.findall(r"^([a-z0-9-]+):", read(ROOT / "Makefile"), re.MULTILINE)
    assert sorted(set(targets) - {"help"}) == sorted([*PROMISED, *PARTS_OF_CHECK])


@pytest.mark.parametrize("target", PROMISED)
def test_every_command_can_be_planned(target: str):
    assert make("--dry-run", target).returncode == 0


@pytest.mark.parametrize(
    ("keep", "kept"),
    [("KEEP=1", True), ("KEEP=0", False), ("KEEP=", False)],
    ids=["1", "0", "empty"],
)
def test_the_demonstration_keeps_running_only_when_asked(keep: str, kept: bool):
    assert ("--keep" in make("--dry-run", "demo", keep).stdout) is kept


def test_check_runs_all_its_parts():
    planned = make("--dry-run", "check").stdout
    assert all(part in planned for part in PARTS_OF_CHECK)


def test_an_installed_environment_is_left_alone(tmp_path: Path):
    # given a checkout with an environment whose stamp is right
    checkout = copy_of_installer(tmp_path / "a checkout with spaces")
    installed(checkout, "#!/bin/sh\necho must not run >&2\nexit 1\n")

    # when it is installed again
    result = install(checkout)

    # then nothing runs
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize(
    "changed", ["requirements.lock", "requirements-bootstrap.lock", "pyproject.toml"]
)
def test_a_changed_lock_is_installed_anew_and_no_stamp_is_left_when_that_fails(
    tmp_path: Path, changed: str
):
    # given an installed environment, and a Python that can do nothing
    checkout = copy_of_installer(tmp_path)
    python = installed(checkout, "#!/bin/sh\ncase $1 in -c) exit 0;; esac\nexit 1\n")
    stamp = checkout / ".venv" / ".installed"

    # when what it was made of changes
    (checkout / changed).write_text("# changed\n")
    result = install(checkout, PYTHON=str(python))

    # then it is tried, fails, and will be tried again
    assert result.returncode != 0
    assert not stamp.exists()


@pytest.mark.parametrize("how", ["moved", "of unknown origin", "in place"])
def test_an_environment_is_made_anew_where_its_checkout_was_moved(tmp_path: Path, how: str):
    # given an installed environment, and a Python that writes down what it is asked
    checkout = copy_of_installer(tmp_path / "before")
    installed(checkout, "#!/bin/sh\ncase $1$2 in -mpip) [ $3 = --version ]; exit;; esac\n")
    asked = tmp_path / "asked"
    base = tmp_path / "base-python"
    base.write_text(f'#!/bin/sh\necho "$*" >>{asked}\n[ "$1" = -c ]\n')
    base.chmod(0o755)

    # when its checkout has another path, or nobody knows which it had, or its lock has changed
    if how == "moved":
        checkout = checkout.rename(tmp_path / "after")
    elif how == "of unknown origin":
        (checkout / ".venv" / ".checkout").unlink()
    else:
        (checkout / "requirements.lock").write_text("# changed\n")
    install(checkout, PYTHON=str(base))

    # then only in its place what it holds is kept
    made_anew = "-m venv --clear .venv" in asked.read_text().splitlines()
    assert made_anew is (how != "in place")


def test_a_checkout_that_is_reached_through_a_link_is_still_the_same(tmp_path: Path):
    checkout = copy_of_installer(tmp_path / "checkout")
    installed(checkout, "#!/bin/sh\nexit 1\n")
    (tmp_path / "link").symlink_to(checkout)

    result = install(tmp_path / "link", PWD=str(tmp_path / "link"))

    assert (result.returncode, result.stderr) == (0, "")


def test_without_a_package_index_the_message_says_so_and_blames_nobody_else(tmp_path: Path):
    # given a checkout, and a package index on a port where nobody listens
    checkout = copy_of_installer(tmp_path / "checkout")
    nobody = {"PIP_INDEX_URL": "http://127.0.0.1:9/nothing", "PIP_RETRIES": "0"}

    # when it is installed
    result = install(
        checkout, PYTHON=sys.executable, PIP_CONFIG_FILE=os.devnull, PIP_NO_CACHE_DIR="1", **nobody
    )

    # then the reason is named, uv is not, and the environment knows its place for the next attempt
    assert result.returncode == 1
    assert "no package index reachable; check the network or pip's configuration" in result.stderr
    assert "uv could not" not in result.stderr
    assert (checkout / ".venv" / ".checkout").read_text() == f"{checkout.resolve()}\n"
    assert not (checkout / ".venv" / ".installed").exists()


def test_a_failure_of_pip_that_is_not_the_networks_is_not_called_so(tmp_path: Path):
    # given an environment whose pip fails at everything, for a reason of its own
    checkout = copy_of_installer(tmp_path / "checkout")
    python = installed(
        checkout,
        "#!/bin/sh\n[ $1 = -c ] && exit 0\n[ $3 = --version ] && exit 0\n"
        "echo ERROR: No space left on device >&2\nexit 1\n",
    )
    (checkout / "requirements.lock").write_text("# changed\n")

    # when it is installed
    result = install(checkout, PYTHON=str(python))

    # then its own words are shown
    assert result.returncode == 1
    assert "No space left on device" in result.stderr
    assert "no package index" not in result.stderr


def test_without_a_python_that_is_new_enough_the_message_says_what_to_do(tmp_path: Path):
    # given a machine on which every Python is a stub that only complains
    checkout = copy_of_installer(tmp_path / "checkout")
    stubs = tmp_path / "stubs"
    stubs.mkdir()
    for name in ["python3", "python3.11", "python3.12", "python3.13"]:
        (stubs / name).write_text("#!/bin/sh\necho not here >&2\nexit 127\n")
        (stubs / name).chmod(0o755)

    # when it is installed
    result = install(checkout, PATH=f"{stubs}:/usr/bin:/bin")

    # then the message names what was tried and what helps
    assert result.returncode == 1
    assert "Python 3.11 or newer" in result.stderr
    assert "PYTHON=" in result.stderr


def copy_of_installer(checkout: Path) -> Path:
    (checkout / "infra").mkdir(parents=True)
    for name in [
        "infra/install.sh",
        "requirements.lock",
        "requirements-bootstrap.lock",
        "pyproject.toml",
    ]:
        (checkout / name).write_bytes((ROOT / name).read_bytes())
    (checkout / "infra" / "install.sh").chmod(0o755)
    return checkout


def installed(checkout: Path, python: str) -> Path:
    """Leave what a finished installation leaves, with ``python`` as the text of its interpreter."""
    venv = checkout / ".venv"
    program = venv / "bin" / "python"
    program.parent.mkdir(parents=True)
    program.write_text(python)
    program.chmod(0o755)
    (venv / ".installed").write_text(key(checkout))
    (venv / ".checkout").write_text(f"{checkout.resolve()}\n")
    return program


def key(checkout: Path) -> str:
    """What the installer would write into the stamp, by its own words."""
    function = re.search(
        r"^key\(\) \{.*?^\}", read(checkout / "infra" / "install.sh"), re.MULTILINE | re.DOTALL
    )
    assert function
    return subprocess.run(
        ["bash", "-c", f"{function.group()}; key"],
        cwd=checkout,
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def install(checkout: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["infra/install.sh"], cwd=checkout, env={"PATH": "/usr/bin:/bin", **environment},
        capture_output=True, text=True, check=False, timeout=60, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def test_ci_runs_check_and_test_and_asks_nothing():
    # given the script of the pipeline
    script = ROOT / ".ci" / "run"

    # then it stops at the first failure, reads no keyboard, and runs both
    text = read(script)
    assert os.access(script, os.X_OK)
    assert "set -euo pipefail" in text
    assert "exec </dev/null" in text
    assert re.findall(r"^step make (\w+)$", text, re.MULTILINE) == ["install", "check", "test"]
