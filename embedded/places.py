"""Where files must lie so that a server without root's rights reaches them.

A server refuses root, or should not have it. Started by root it runs as ``NOBODY``, who may be kept
out of a folder by any folder above it (a checkout in /root, say). Foreign folders are never opened
to everybody for its sake: programs are copied to a place that it reaches, and data stay where they
are and are entered before the rights are given up (``embedded.postgres``).
"""

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from embedded.errors import NoUsablePlaceError

NOBODY: Final = 65534
"""The numeric id of a user and a group without rights, on every Linux."""

_SOCKET_FOLDER_MAX_CHARS: Final = 80
"""A socket's path may have 107 bytes on Linux (unix(7)); the server adds its file's name."""


def server_user() -> int | None:
    """The id that a server started by this process shall have; None is the process's own."""
    return NOBODY if os.geteuid() == 0 else None


def reaches(user: int | None, path: Path) -> bool:
    """Whether ``user`` may enter or read ``path`` by the permission bits from the root down."""
    if user is None:
        return os.access(path, os.R_OK | os.X_OK)
    resolved = path.resolve()
    if not resolved.exists():
        return False
    return all(_enters(user, folder.stat()) for folder in (resolved, *resolved.parents))


def _enters(user: int, status: os.stat_result) -> bool:
    if status.st_uid == user:
        return bool(status.st_mode & stat.S_IXUSR)
    if status.st_gid == user:
        return bool(status.st_mode & stat.S_IXGRP)
    return bool(status.st_mode & stat.S_IXOTH)


def _shared_folders(user: int | None) -> Iterator[Path]:
    """Folders for everybody in which ``user`` may work, the preferred one first."""
    for folder in dict.fromkeys((tempfile.gettempdir(), "/tmp", "/var/tmp")):  # noqa: S108
        path = Path(folder)
        if path.is_dir() and reaches(user, path) and os.access(path, os.W_OK):
            yield path


def socket_folder(user: int | None) -> Path:
    """A new folder of ``user`` alone (0700), its path short enough for a socket.

    Raises:
        NoUsablePlaceError: every temporary folder is too long, or closed to ``user``.
    """
    for parent in _shared_folders(user):
        if len(os.fsencode(parent)) + len("/v2g-12345678") <= _SOCKET_FOLDER_MAX_CHARS:
            folder = Path(tempfile.mkdtemp(prefix="v2g-", dir=parent))  # mode 0700
            if user is not None:
                os.chown(folder, user, user)
            return folder
    raise NoUsablePlaceError("a unix socket", ["TMPDIR, /tmp and /var/tmp: too long or closed"])


def is_private_folder(folder: Path, user: int | None) -> bool:
    """Whether ``folder`` is a folder, no link, that belongs to ``user`` alone."""
    try:
        status = folder.lstat()
    except OSError:
        return False
    owner = os.geteuid() if user is None else user
    private = stat.S_IMODE(status.st_mode) == stat.S_IRWXU
    return stat.S_ISDIR(status.st_mode) and status.st_uid == owner and private


def placed(
    root: Path,
    parts: Sequence[str],
    key: str,
    *,
    user: int | None,
    shared: Path | None = None,
    forbidden: str = "",
) -> Path:
    """A folder with ``parts`` of ``root`` that ``user`` can read: ``root``, or a copy made once.

    A path with one of the characters in ``forbidden`` is as good as one that cannot be reached.

    ``key`` names the content: another content needs another key. The copy lies in ``shared`` (a
    temporary folder) and serves every later call; several processes may call at once, and a copy
    from which a cleaner of temporary folders took files is made anew.

    Raises:
        NoUsablePlaceError: no temporary folder serves, or another user owns the copy's name.
    """
    if _free_of(forbidden, root) and all(reaches(user, root / part) for part in parts):
        return root
    tried: list[str] = []
    for parent in [shared] if shared is not None else _shared_folders(user):
        if not _free_of(forbidden, parent):
            tried.append(f"{parent}: its path has a blank, or one of {forbidden.strip()}")
            continue
        copy = parent / f"v2g-programs-{os.geteuid()}-{key[:32]}"
        if _is_whole(copy, root, parts):
            return copy
        if _is_our_own(copy) or not os.path.lexists(copy):
            return _copy(root, parts, copy)
        tried.append(f"{copy}: belongs to another user, or others may write to it")
    raise NoUsablePlaceError(f"a copy of {root}", tried or ["TMPDIR, /tmp and /var/tmp: closed"])


def _free_of(forbidden: str, path: Path) -> bool:
    return not any(character in str(path) for character in forbidden)


def _is_our_own(folder: Path) -> bool:
    """Nobody else may have put programs there that we then run."""
    try:
        status = folder.lstat()
    except FileNotFoundError:
        return False
    others_write = status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and not others_write


def _copy(root: Path, parts: Sequence[str], copy: Path) -> Path:
    unfinished = Path(tempfile.mkdtemp(prefix="v2g-programs-unfinished-", dir=copy.parent))
    discarded = unfinished.with_name(unfinished.name + ".old")
    try:
        for part in parts:
            shutil.copytree(root / part, unfinished / part, symlinks=True)
        _open_to_all(unfinished)
        if _is_whole(copy, root, parts):  # another process was faster
            return copy
        if os.path.lexists(copy):
            copy.rename(discarded)
        unfinished.rename(copy)
    except OSError:  # another process was faster by a moment; its copy is as good when it is whole
        if not _is_whole(copy, root, parts):
            raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
        shutil.rmtree(discarded, ignore_errors=True)
    return copy


def _open_to_all(tree: Path) -> None:
    for folder, _, files in os.walk(tree):
        Path(folder).chmod(0o755)
        for path in (Path(folder, name) for name in files):
            if not path.is_symlink():
                path.chmod(0o755 if path.stat().st_mode & stat.S_IXUSR else 0o644)


def _is_whole(copy: Path, root: Path, parts: Sequence[str]) -> bool:
    try:
        return _is_our_own(copy) and _sizes(copy, parts) == _sizes(root, parts)
    except FileNotFoundError:  # it was taken away while we looked
        return False


def _sizes(root: Path, parts: Sequence[str]) -> dict[str, int]:
    return {
        str(path.relative_to(root)): path.lstat().st_size
        for part in parts
        for folder, _, files in os.walk(root / part)
        for path in (Path(folder, name) for name in files)
    }
