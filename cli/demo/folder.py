"""The data folder of a demonstration: one at a time, made anew, never somebody else's.

DemoFolderError
├── NotADemoFolderError   it holds something that no demonstration has put there
├── FolderBusyError       another demonstration runs in it
└── FolderStuckError      what an earlier one has left cannot be removed
"""

import fcntl
import os
import secrets
import shutil
from pathlib import Path
from types import TracebackType
from typing import Final, Self

MARKER: Final = ".v2g-demo"


class DemoFolderError(RuntimeError):
    """The demonstration cannot have its folder; the message says what to do."""


class NotADemoFolderError(DemoFolderError):
    """The folder holds something that no demonstration has put there."""


class FolderBusyError(DemoFolderError):
    """Another demonstration runs in the folder."""


class FolderStuckError(DemoFolderError):
    """What an earlier demonstration has left cannot be removed."""


class DemoFolder:
    """A context manager: locked and empty on entry; on exit unlocked, with everything in it kept."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: int | None = None

    def __enter__(self) -> Self:
        self._take_lock()
        try:
            self._empty()
        except BaseException:
            self._release_lock()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._release_lock()

    def _take_lock(self) -> None:
        """Lock a file beside the folder: the folder itself is about to be replaced."""
        beside = self.path.with_name(f"{self.path.name}.lock")
        try:
            lock = os.open(beside, os.O_RDWR | os.O_CREAT, 0o600)
        except PermissionError as error:
            raise FolderStuckError(f"{beside} belongs to another user; remove it first") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            pid = os.read(lock, 20).decode() or "unknown"
            os.close(lock)
            raise FolderBusyError(
                f"a demonstration runs in {self.path} already (pid {pid}); stop it first"
            ) from error
        os.ftruncate(lock, 0)
        os.write(lock, str(os.getpid()).encode())
        self._lock = lock

    def _release_lock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _empty(self) -> None:
        """Put what is there out of the way first: a removal that is interrupted is no demonstration's
        folder without its marker, but one with another name.
        """
        if self.path.exists() and any(self.path.iterdir()):
            if not (self.path / MARKER).exists():
                raise NotADemoFolderError(
                    f"{self.path} exists and is no demonstration's; move it away first"
                )
            self.path.rename(self.path.with_name(f"{self.path.name}.old-{os.getpid()}"))
        for old in self.path.parent.glob(f"{self.path.name}.old-*"):
            try:
                shutil.rmtree(old)
            except OSError as error:
                raise FolderStuckError(
                    f"{old} cannot be removed ({error.strerror}); remove it: sudo rm -rf '{old}'"
                ) from error
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        (self.path / MARKER).touch()
        (self.path / "logs").mkdir()

    def secret(self, name: str, value: str | None = None) -> Path:
        """A file ``name`` with a secret that only its owner reads; a random token if none is given."""
        return self.private(f"{name}.token", f"{value or secrets.token_urlsafe(32)}\n")

    def private(self, name: str, text: str) -> Path:
        """A file that only its owner reads."""
        path = self.path / name
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as stream:
            stream.write(text)
        return path
