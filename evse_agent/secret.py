"""Files that nobody else may read: signing key, token, password, PIN, TLS key."""

import os
import stat
from pathlib import Path
from typing import Final

from evse_agent.errors import AuthExpiredError

PRIVATE_MAX_BYTES: Final = 64 * 1024


def read_private(where: str, path: Path) -> bytes:
    """The content of a private file.

    The file is opened once and judged by its descriptor, so that nobody can exchange it between the
    look and the reading; a symbolic link in its last step is not followed.

    Args:
        where: the key of the configuration that names the file, for the message.
        path: the file.

    Raises:
        AuthExpiredError: missing, a link, not a regular file, another owner's, open to group or
            others, empty, or larger than ``PRIVATE_MAX_BYTES``.
    """
    try:
        # O_NONBLOCK: opening a FIFO without a writer must not wait for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        if path.is_symlink():
            raise AuthExpiredError(
                where, f"{path} is a symbolic link", "name the file itself"
            ) from error
        do = f"look at the path, and make the file readable by uid {os.geteuid()} alone"
        raise AuthExpiredError(where, f"{path} cannot be read ({error.strerror})", do) from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise AuthExpiredError(where, f"{path} is not a regular file", "name a regular file")
        if status.st_uid != os.geteuid():
            raise AuthExpiredError(
                where,
                f"{path} is owned by uid {status.st_uid}, this program runs as uid {os.geteuid()}",
                f"run: chown {os.geteuid()} '{path}'",
            )
        if status.st_mode & 0o077:
            raise AuthExpiredError(
                where,
                f"{path} has mode {stat.S_IMODE(status.st_mode):04o}, open to others",
                f"run: chmod 600 '{path}' (and if others may have read it, make a new one)",
            )
        content = os.read(descriptor, PRIVATE_MAX_BYTES + 1)
    finally:
        os.close(descriptor)
    if not 0 < len(content) <= PRIVATE_MAX_BYTES:
        found = "is empty" if not content else f"is larger than {PRIVATE_MAX_BYTES} bytes"
        raise AuthExpiredError(where, f"{path} {found}", "it must hold the secret alone")
    return content


def read_word(where: str, path: Path) -> str:
    """A token, password or PIN: one line of printable ASCII, without surrounding white space.

    Raises:
        AuthExpiredError: as ``read_private``, or something else stands in it.
    """
    content = read_private(where, path).strip()
    # A line break or a NUL would end a header early; the message must not show the bytes.
    if not (content and content.isascii() and content.decode("ascii").isprintable()):
        raise AuthExpiredError(
            where,
            f"{path} holds something else than one line of printable ASCII",
            "it must hold the secret alone",
        )
    return content.decode("ascii")


def write_private(path: Path, content: bytes) -> None:
    """A new file of mode 0600, on disk when this returns. Raises FileExistsError, OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
