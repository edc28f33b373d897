import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from embedded.errors import ChildExitedError, DeadlineExceededError
from embedded.processes import Supervised, free_port, wait_until

SLEEP = ["sleep", "600"]


def alive(pid: int) -> bool:
    """A zombie has ended: in a container nobody may be there to reap it."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def pid_in(file: Path) -> int:
    wait_until(
        lambda: file.exists() and file.read_text().endswith("\n"), deadline_s=20, what=str(file)
    )
    return int(file.read_text())


def test_a_child_ends_when_its_parent_is_killed(tmp_path):
    script = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from embedded.processes import Supervised\n"
        "child = Supervised('child', ['sleep', '600'], log=Path(sys.argv[1]) / 'child.log')\n"
        "child.start()\n"
        "Path(sys.argv[1], 'pid').write_text(f'{child.pid}\\n')\n"
        "time.sleep(600)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)])
    child = pid_in(tmp_path / "pid")
    assert alive(child)

    parent.kill()
    parent.wait(timeout=20)

    wait_until(lambda: not alive(child), deadline_s=20, what="the child's end")


def test_stopping_twice_is_stopping_once(tmp_path):
    child = Supervised("sleeper", SLEEP, log=tmp_path / "log")
    child.start()
    assert child.running

    first, second = child.stop(), child.stop()

    assert (first, second) == (-signal.SIGTERM, -signal.SIGTERM)
    assert not child.running


def test_what_was_never_started_can_be_stopped(tmp_path):
    child = Supervised("sleeper", SLEEP, log=tmp_path / "log")

    status = child.stop()

    assert status is None
    assert not child.running


def test_a_child_that_ignores_the_stop_signal_is_killed_after_the_deadline(tmp_path):
    ready = tmp_path / "ready"
    child = Supervised(
        "stubborn",
        ["sh", "-c", f"trap '' TERM; echo $$ > {ready}; while :; do sleep 1; done"],
        log=tmp_path / "log",
        stop_deadline_s=0.2,
    )
    child.start()
    pid_in(ready)

    status = child.stop()

    assert status == -signal.SIGKILL


def test_what_a_child_leaves_in_its_group_ends_with_it(tmp_path):
    file = tmp_path / "pid"
    child = Supervised(
        "leader", ["sh", "-c", f"sleep 600 & echo $! > {file}; wait"], log=tmp_path / "log"
    )
    child.start()
    grandchild = pid_in(file)
    assert alive(grandchild)

    child.stop()

    wait_until(lambda: not alive(grandchild), deadline_s=20, what="the grandchild's end")


def test_a_child_hears_sigint_though_its_parent_ignores_it(tmp_path):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        child = Supervised("sleeper", SLEEP, log=tmp_path / "log", stop_signal=signal.SIGINT)
        child.start()
        wait_until(
            lambda: b"600" in Path(f"/proc/{child.pid}/cmdline").read_bytes().split(b"\0")[:2],
            deadline_s=20,
            what="exec",
        )

        status = child.stop()
    finally:
        signal.signal(signal.SIGINT, before)

    assert status == -signal.SIGINT


def test_a_child_has_a_session_of_its_own_so_that_the_terminal_does_not_reach_it(tmp_path):
    with Supervised("sleeper", SLEEP, log=tmp_path / "log") as child:
        assert child.pid is not None
        assert os.getsid(child.pid) == child.pid


def test_a_command_that_is_not_there_is_named_in_the_error(tmp_path):
    child = Supervised("server", ["/no/such/program"], log=tmp_path / "log")
    child.start()

    with pytest.raises(ChildExitedError, match=r"/no/such/program cannot be run") as caught:
        child.wait_ready(lambda: False, deadline_s=20)

    assert caught.value.exit_status == 127


def test_the_error_of_a_child_that_ends_too_early_holds_the_end_of_this_runs_log(tmp_path):
    log = tmp_path / "log"
    log.write_text("of an earlier run\n")
    child = Supervised("server", ["sh", "-c", "echo the port is taken; exit 3"], log=log)
    child.start()

    with pytest.raises(ChildExitedError) as caught:
        child.wait_ready(lambda: False, deadline_s=20)

    assert caught.value.exit_status == 3
    assert caught.value.tail == "the port is taken"
    assert "of an earlier run" in log.read_text()


def test_a_child_that_never_becomes_ready_is_told_with_its_log(tmp_path):
    script = "echo warming up; exec sleep 600"
    with Supervised("server", ["sh", "-c", script], log=tmp_path / "log") as child:
        wait_until(lambda: "warming" in child.log_tail(), deadline_s=20, what="the log line")

        with pytest.raises(
            DeadlineExceededError, match=r"0\.05 s in vain for the server.*warming up"
        ):
            child.wait_ready(lambda: False, deadline_s=0.05, what="the server")


def test_a_long_log_is_set_aside_at_the_next_start(tmp_path):
    log = tmp_path / "log"
    log.write_bytes(b"x" * (5 * 1024 * 1024 + 1))

    with Supervised("sleeper", SLEEP, log=log):
        pass

    assert log.stat().st_size == 0
    assert (tmp_path / "log.1").stat().st_size == 5 * 1024 * 1024 + 1


def test_a_wait_ends_at_its_deadline_and_says_for_what():
    with pytest.raises(DeadlineExceededError, match="the moon") as caught:
        wait_until(lambda: False, deadline_s=0.02, what="the moon")

    assert caught.value.deadline_s == 0.02


def test_a_wait_looks_once_even_without_any_time():
    wait_until(lambda: True, deadline_s=0, what="what is already true")


def test_a_free_port_can_be_listened_on():
    port = free_port()

    with socket.create_server(("127.0.0.1", port)) as server:
        assert server.getsockname()[1] == port


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_child_of_root_keeps_nothing_of_roots_rights(tmp_path):
    child = Supervised(
        "id", ["cat", "/proc/self/status"], log=tmp_path / "log", user=65534, folder=Path("/")
    )
    child.start()

    child.wait(deadline_s=20)

    lines = dict(
        line.split(":\t", 1) for line in child.log_tail(lines=100).splitlines() if ":\t" in line
    )
    assert lines["Uid"].split() == ["65534"] * 4
    assert lines["Gid"].split() == ["65534"] * 4
    assert lines["Groups"].strip() == ""
    assert int(lines["CapEff"], 16) == 0
