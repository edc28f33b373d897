"""The folder of one PostgreSQL server: who uses it, what made it, and what a crash left in it.

pgdata        PostgreSQL's own files, mode 0700, owned by the server's user
engine        the engine that made them, one line
lock          held (flock) by the process that runs the server
postgres.log
"""

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

from embedded.errors import (
    DataFolderError,
    DataFolderInUseError,
    DeadlineExceededError,
    WrongEngineError,
    WrongMajorVersionError,
)
from embedded.places import is_private_folder, socket_folder
from embedded.processes import wait_until

_FREE_DEADLINE_S: Final = 30.0


class DataFolder:
    """``path`` and what lies in it; ``user`` is the numeric id of the server, None for our own."""

    def __init__(self, path: Path, *, user: int | None) -> None:
        self.path = path.absolute()
        self.data = self.path / "pgdata"
        self.log = self.path / "postgres.log"
        self._engine = self.path / "engine"
        self._user = user
        self._lock: int | None = None

    def take(self) -> None:
        """Make the folder, lock it for this process, and wait until an earlier server has gone.

        Raises:
            DataFolderInUseError: another process holds it, or an earlier server does not end.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        if self._lock is None:
            lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(lock)
                raise DataFolderInUseError(
                    self.path, "another process runs a server over it; stop that one first"
                ) from None
            self._lock = lock
        self.wait_until_free()

    def release(self) -> None:
        """Let other processes take the folder. Idempotent."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def wait_until_free(self) -> None:
        """Wait until no server process uses the data: one that was killed, or whose starter was.

        Raises:
            DataFolderInUseError: some are still there after half a minute.
        """
        try:
            wait_until(
                lambda: not self.processes(),
                deadline_s=_FREE_DEADLINE_S,
                what="the end of an earlier server",
            )
        except DeadlineExceededError:
            raise DataFolderInUseError(
                self.path, f"the server processes {self.processes()} use it; stop them first"
            ) from None

    @property
    def cluster_name(self) -> str:
        """A name for the data that stays when the folder is moved.

        PostgreSQL shows it in the title of each of its processes (cluster_name, PostgreSQL 18,
        "Error Reporting and Logging").
        """
        status = self.data.stat()
        return f"v2g-{status.st_dev:x}-{status.st_ino:x}"

    def processes(self) -> list[int]:
        """The ids of the server processes over this data.

        By their titles, which everyone may read: their working folders are closed to root in a
        container without CAP_SYS_PTRACE.
        """
        if not self.data.exists():
            return []
        name = self.cluster_name.encode()
        found: list[int] = []
        for title in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                if name in title.read_bytes():
                    found.append(int(title.parent.name))
            except OSError:  # it has just ended
                continue
        return found

    def sockets(self) -> Path:
        """The folder of the server's socket, empty: the one of the last start, or a new one.

        The last one is still there when its starter was killed; clients find the server again.
        """
        note = self.path / "sockets"
        if note.exists():
            folder = Path(note.read_text(encoding="utf-8").strip())
            if is_private_folder(folder, self._user):
                for left_over in folder.iterdir():
                    left_over.unlink()
                return folder
        folder = socket_folder(self._user)
        note.write_text(f"{folder}\n", encoding="utf-8")
        return folder

    def make_data(self, make: Callable[[Path], None], *, major: str, label: str) -> None:
        """Let ``make`` fill an empty folder with data, or check the data that are there.

        Raises:
            WrongMajorVersionError: another major version of PostgreSQL made them.
            WrongEngineError: another engine made them.
            DataFolderError: they are not whole.
        """
        if self.data.exists():
            self._check(major, label)
            return
        # Under another name until it is whole: a half-made one is thrown away by the next start.
        unfinished = self.path / "pgdata.unfinished"
        if unfinished.exists():
            shutil.rmtree(unfinished)
        unfinished.mkdir(mode=0o700)
        if self._user is not None:
            os.chown(unfinished, self._user, self._user)
        make(unfinished)
        self._engine.write_text(label + "\n", encoding="utf-8")
        unfinished.rename(self.data)

    def _check(self, major: str, label: str) -> None:
        try:
            found = (self.data / "PG_VERSION").read_text(encoding="ascii").strip()
            made_with = self._engine.read_text(encoding="utf-8").strip()
        except FileNotFoundError as error:
            raise DataFolderError(
                self.path, f"holds data that are not whole: {error.filename} is missing"
            ) from error
        if found != major:
            raise WrongMajorVersionError(self.path, found, major)
        if made_with != label:
            raise WrongEngineError(self.path, made_with, label)

    def forget_recycled_pid(self) -> None:
        """Remove a postmaster.pid whose number now belongs to another program.

        PostgreSQL takes any living process of its user for the old server and refuses to start;
        after a restart of a container, where the same low numbers return, that is for ever. Only
        for a folder that was taken: then no server can be alive in it.
        """
        pid_file = self.data / "postmaster.pid"
        try:
            pid = int(pid_file.read_text(encoding="ascii").splitlines()[0])
        except (FileNotFoundError, ValueError, IndexError):
            return
        if Path(f"/proc/{pid}").exists():
            pid_file.unlink()
