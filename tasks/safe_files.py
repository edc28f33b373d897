"""Files written so that a power cut leaves the old or the new one, with its mode from its first byte."""

import os
import tempfile
from pathlib import Path


def write_new(path: Path, data: bytes, *, mode: int) -> None:
    """Write a file that did not exist, on disk when this returns.

    Raises:
        FileExistsError: it exists; it is not touched.
        OSError: it cannot be written.
    """
    path.parent.mkdir(mode=0o700, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, mode)  # whatever the umask
        file.write(data)
        file.flush()
        os.fsync(descriptor)


def replace(path: Path, data: bytes, *, mode: int) -> None:
    """Put another content in a file's place, all at once. Raises OSError."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
