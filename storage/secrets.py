"""Secrets in files: a token or password is read only from a file that nobody else can read."""

import os
import stat
from pathlib import Path
from typing import Final

from storage.errors import InsecureSecretError

__all__ = ["SECRET_MAX_BYTES", "InsecureSecretError", "read_private", "read_secret"]

SECRET_MAX_BYTES: Final = 4096


def read_private(path: Path, *, bytes_max: int, folder_too: bool = False) -> bytes:
    """What a file holds that nobody else may read.

    The file is opened once and judged by its descriptor, so that nobody can exchange it between
    the look and the reading; a symbolic link in its last step is not followed.

    Args:
        path: the file.
        bytes_max: it is read no further.
        folder_too: refuse also a folder in which somebody else could put another file in its place;
            the file is then opened in the very folder that was judged.

    Raises:
        InsecureSecretError: missing, not a regular file, another owner's, open to group or others,
            or longer than ``bytes_max``.
    """
    folder = _open_folder(path) if folder_too else None
    try:
        return _read_private(path, bytes_max, folder)
    finally:
        if folder is not None:
            os.close(folder)


def _open_folder(path: Path) -> int:
    """The folder of a file, opened, if nobody but its user and root can exchange files in it."""
    folder = path.absolute().parent
    try:
        descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise InsecureSecretError(
            path,
            f"its folder cannot be opened ({error.strerror})",
            f"look at the path; run: install -d -m 700 '{folder}'",
        ) from error
    status = os.fstat(descriptor)
    # In a folder with the sticky bit only a file's owner can take it away (inode(7)).
    shared = status.st_mode & 0o022 and not status.st_mode & stat.S_ISVTX
    if not shared and status.st_uid in {0, os.geteuid()}:
        return descriptor
    os.close(descriptor)
    if shared:
        raise InsecureSecretError(
            path,
            f"its folder has mode {stat.S_IMODE(status.st_mode):04o}, so others can exchange it",
            f"run: chmod go-w '{folder}'",
        )
    raise InsecureSecretError(
        path,
        f"its folder is owned by uid {status.st_uid}, who can exchange it",
        f"run: chown {os.geteuid()} '{folder}'",
    )


def _read_private(path: Path, bytes_max: int, folder: int | None) -> bytes:
    try:
        # O_NONBLOCK: opening a FIFO without a writer must not wait for ever.
        descriptor = os.open(
            path if folder is None else path.name,
            os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK,
            dir_fd=folder,
        )
    except OSError as error:
        if path.is_symlink():
            raise InsecureSecretError(path, "a symbolic link", "name the file itself") from error
        raise InsecureSecretError(
            path,
            f"cannot be opened ({error.strerror})",
            f"create it readable by its user: install -m 600 /dev/stdin '{path}'",
        ) from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise InsecureSecretError(path, "not a regular file", "name a regular file")
        if status.st_uid != os.geteuid():
            raise InsecureSecretError(
                path,
                f"owned by uid {status.st_uid}, this program runs as uid {os.geteuid()}",
                f"run: chown {os.geteuid()} '{path}'",
            )
        if status.st_mode & 0o077:
            raise InsecureSecretError(
                path,
                f"mode {stat.S_IMODE(status.st_mode):04o}, open to others",
                f"run: chmod 600 '{path}'",
            )
        with open(descriptor, "rb", closefd=False) as stream:
            content = stream.read(bytes_max + 1)
    finally:
        os.close(descriptor)
    if len(content) > bytes_max:
        raise InsecureSecretError(path, f"more than {bytes_max} bytes", "it must hold this alone")
    return content


def read_secret(path: Path) -> str:
    """The secret in a file, without surrounding white space; see ``read_private``.

    Raises:
        InsecureSecretError: also where the file is empty, longer than ``SECRET_MAX_BYTES``, or not
            one line of printable ASCII.
    """
    secret = read_private(path, bytes_max=SECRET_MAX_BYTES).strip()
    if not secret:
        raise InsecureSecretError(path, "empty", "write the secret into it")
    # A line break or a NUL would end a header or a password early; the message must not show bytes.
    if not (secret.isascii() and secret.decode("ascii").isprintable()):
        raise InsecureSecretError(
            path, "not one line of printable ASCII", "it must hold the secret alone"
        )
    return secret.decode("ascii")
