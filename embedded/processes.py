"""Child processes that are never orphaned, and waits that end.

Linux. Elsewhere everything works but the end of the children when the parent is killed.
Errors: embedded.errors.
"""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from embedded import launch
from embedded.errors import ChildExitedError, DeadlineExceededError
from embedded.running import Running

STOP_DEADLINE_S: Final = 15.0
"""How long a process may take to end after the stop signal, before it is killed."""
_KILL_DEADLINE_S: Final = 10.0
_FIRST_PAUSE_S: Final = 0.005
_LONGEST_PAUSE_S: Final = 0.1
_LOG_ROTATED_AT_BYTES: Final = 5 * 1024 * 1024
_TAIL_BYTES: Final = 16 * 1024


def wait_until(check: Callable[[], bool], *, deadline_s: float, what: str) -> None:
    """Call ``check`` until it is true, with pauses of 5 to 100 ms; at least once.

    Raises:
        DeadlineExceededError: it was not true after ``deadline_s`` seconds. Says ``what``.
    """
    give_up_at = time.monotonic() + deadline_s
    pause_s = _FIRST_PAUSE_S
    while not check():
        left_s = give_up_at - time.monotonic()
        if left_s <= 0:
            raise DeadlineExceededError(what, deadline_s)
        time.sleep(min(pause_s, left_s))
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)


def free_port() -> int:
    """A TCP port of 127.0.0.1 on which nobody listens now.

    Another program may take it before it is used: a server that finds it taken must be started
    again with another one.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Supervised(Running):
    """One child process: own log file, own session, no orphan.

    * A session of its own: Ctrl-C on the terminal reaches only the parent, who then stops its
      children in the order that is right.
    * ``death_signal`` when the parent dies, even by SIGKILL. The kernel ties this to the THREAD
      that called ``start``, not to the process (prctl(2), PR_SET_PDEATHSIG): start children from
      the main thread, or from one that lives as long as they should.
    * What the process leaves behind in its process group is killed when it has ended.

    ``environment`` None inherits the parent's; ``user`` is a numeric id to run as (root only).
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str | os.PathLike[str]],
        *,
        log: Path,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
        user: int | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
        death_signal: signal.Signals | None = None,
        stop_deadline_s: float = STOP_DEADLINE_S,
    ) -> None:
        self.name = name
        self.log = log
        self._command = [os.fspath(part) for part in command]
        self._environment = None if environment is None else dict(environment)
        self._folder = folder
        self._user = user
        self._stop_signal = stop_signal
        self._death_signal = stop_signal if death_signal is None else death_signal
        self._stop_deadline_s = stop_deadline_s
        self._process: subprocess.Popen[bytes] | None = None
        self._log_begins_at = 0
        self._reaping = threading.Lock()

    def start(self) -> None:
        """Start the process; does not wait for it to be of use. Nothing happens when it runs."""
        if self.running:
            return
        self.log.parent.mkdir(parents=True, exist_ok=True)
        if self.log.exists() and self.log.stat().st_size > _LOG_ROTATED_AT_BYTES:
            self.log.replace(self.log.with_name(self.log.name + ".1"))
        user = "-" if self._user is None else str(self._user)
        launcher = [sys.executable, "-I", "-S", launch.__file__, str(os.getpid())]
        descriptor = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            self._log_begins_at = os.fstat(descriptor).st_size
            self._process = subprocess.Popen(
                [*launcher, str(int(self._death_signal)), user, *self._command],
                stdin=subprocess.DEVNULL,
                stdout=descriptor,
                stderr=descriptor,
                env=self._environment,
                cwd=self._folder,
                start_new_session=True,
            )
        finally:
            os.close(descriptor)

    def stop(self) -> int | None:
        """Stop signal, then SIGKILL after the deadline. Idempotent. Returns the exit status."""
        if self._signal(self._stop_signal):
            try:
                self.wait(deadline_s=self._stop_deadline_s)
            except DeadlineExceededError:
                return self.kill()
        return self.exit_status

    def kill(self) -> int | None:
        """SIGKILL, and wait until the process has ended. Idempotent. Returns the exit status."""
        if self._signal(signal.SIGKILL):
            self.wait(deadline_s=_KILL_DEADLINE_S)
        return self.exit_status

    def wait(self, *, deadline_s: float) -> int:
        """Wait for the end of the process. Returns the exit status, negative for a signal.

        Raises:
            DeadlineExceededError: it still runs after ``deadline_s`` seconds.
        """
        wait_until(lambda: not self.running, deadline_s=deadline_s, what=f"the end of {self.name}")
        status = self.exit_status
        if status is None:
            raise DeadlineExceededError(f"the end of {self.name}", 0, "it was never started")
        return status

    def wait_ready(
        self, check: Callable[[], bool], *, deadline_s: float, what: str | None = None
    ) -> None:
        """Wait until ``check`` is true, and give up at once when the process has ended.

        Raises:
            ChildExitedError: the process ended.
            DeadlineExceededError: it runs, but ``check`` was not true after ``deadline_s`` seconds.
        """

        def ready() -> bool:
            if not self.running:
                raise self.exited()
            return check()

        try:
            wait_until(ready, deadline_s=deadline_s, what=what or f"{self.name} to be ready")
        except DeadlineExceededError as error:
            raise DeadlineExceededError(error.what, deadline_s, self.log_tail()) from None

    def exited(self) -> ChildExitedError:
        """The error that tells of the end of the process, with the end of its log."""
        status = self.exit_status
        known = launch.EXIT_NOT_STARTED if status is None else status
        return ChildExitedError(self.name, known, self.log, self.log_tail())

    @property
    def running(self) -> bool:
        """Whether the process was started and has not ended."""
        process = self._process
        if process is None:
            return False
        with self._reaping:
            if process.returncode is None and _has_ended(process.pid):
                # Before it is reaped: until then its group's number cannot be given to others.
                _kill_group(process.pid)
                process.wait()
            return process.returncode is None

    @property
    def pid(self) -> int | None:
        """The process id, of the last start; None before the first."""
        return None if self._process is None else self._process.pid

    @property
    def exit_status(self) -> int | None:
        """The exit status, negative for a signal; None while it runs and before the first start."""
        return None if self.running or self._process is None else self._process.returncode

    def log_tail(self, *, lines: int = 20) -> str:
        """The last lines that the process wrote since its last start, at most 16 KiB."""
        try:
            with self.log.open("rb") as log:
                end = log.seek(0, os.SEEK_END)
                log.seek(max(self._log_begins_at, end - _TAIL_BYTES))
                text = log.read(_TAIL_BYTES).decode("utf-8", errors="replace")
        except FileNotFoundError:
            return ""
        return "\n".join(text.splitlines()[-lines:])

    def _signal(self, number: signal.Signals) -> bool:
        """Send a signal when the process runs. Says whether it ran."""
        if self._process is None or not self.running:
            return False
        os.kill(self._process.pid, number)
        return True


def _has_ended(pid: int) -> bool:
    """Whether our child has ended; it is left as a zombie (WNOWAIT)."""
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True


def _kill_group(leader: int) -> None:
    try:
        os.killpg(leader, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return
