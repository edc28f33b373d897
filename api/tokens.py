"""Operators' tokens: a file that holds who may do what, and of each token only its SHA-256.

    {"version": 1, "tokens": [{"name": "anna", "sha256": "…", "scopes": ["keys:read"],
                               "expires_at": "2026-12-31T00:00:00Z"}]}

The file has mode 0600 and belongs to the service's user. A token is 256 random bits, so that its plain
hash tells nothing; it is shown once, when it is made. The service notices a changed file by itself.
"""

import fcntl
import hmac
import json
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from api.errors import TokenFileError
from storage.errors import InsecureSecretError
from storage.key_changes import KeyRefusedError, person
from storage.secrets import read_private

READ: Final = "keys:read"
WRITE: Final = "keys:write"
IMPORT: Final = "keys:import"
"""To bring in a key that nobody has proven and no second person approves."""
VEHICLES: Final = "vehicles:read"
WEBHOOK_READ: Final = "webhook:read"
WEBHOOK_WRITE: Final = "webhook:write"
"""To say where notices go, with their bearer token."""
SCOPES: Final = (READ, WRITE, IMPORT, VEHICLES, WEBHOOK_READ, WEBHOOK_WRITE)
SHORT: Final = frozenset({WEBHOOK_READ, WEBHOOK_WRITE})
"""Scopes of administrators, who are people: a token with one of them lasts a day."""
FILE_MAX_BYTES: Final = 1024 * 1024
VALID_FOR: Final = timedelta(days=90)
VALID_MAX: Final = timedelta(days=366)
SHORT_MAX: Final = timedelta(hours=24)
TOKEN_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Token:
    """Who has it and what it is for; ``sha256`` in hexadecimal. Its name stands under what it does."""

    name: str
    sha256: str
    scopes: frozenset[str]
    expires_at: datetime


def load(path: Path) -> tuple[Token, ...]:
    """The tokens of a file.

    Raises:
        TokenFileError: open to others, or not what is written above.
    """
    try:
        content = read_private(path, bytes_max=FILE_MAX_BYTES)
    except InsecureSecretError as error:
        raise TokenFileError(path, error.found, f"a private file: {error.repair}") from error
    try:
        document = json.loads(content)
        if document["version"] != 1:
            raise ValueError("another version")
        tokens = tuple(_token(one) for one in document["tokens"])
        if len({one.name for one in tokens}) != len(tokens):
            raise ValueError("a name twice")
    except (ValueError, TypeError, KeyError, KeyRefusedError) as error:
        # The cause may quote the file.
        raise TokenFileError(
            path, f"not what `v2g keys token` writes ({type(error).__name__})", "a file made by it"
        ) from None
    return tokens


def _token(one: Any) -> Token:
    digest, scopes = bytes.fromhex(one["sha256"]), frozenset(one["scopes"])
    expires_at = datetime.fromisoformat(one["expires_at"])
    if len(digest) != sha256().digest_size or not scopes <= set(SCOPES) or not expires_at.tzinfo:
        raise ValueError("a token that cannot be used")
    return Token(person(one["name"]), digest.hex(), scopes, expires_at)


def find(tokens: Sequence[Token], given: str) -> Token | None:
    """The token that was given; takes equally long whichever it is."""
    digest = sha256(given.encode("utf-8", "surrogatepass")).hexdigest()
    found = None
    for one in tokens:
        if hmac.compare_digest(one.sha256, digest):
            found = one
    return found


def make(
    path: Path,
    name: str,
    scopes: Sequence[str],
    *,
    now: datetime,
    valid_for: timedelta | None = None,
) -> tuple[Token, str]:
    """A new token, added to the file; the file is made where there is none.

    Without a time it is valid for a day where one of its scopes is ``SHORT``, else for ``VALID_FOR``.

    Returns:
        What is kept of it, and the token itself, which is kept nowhere.

    Raises:
        TokenFileError: a wrong scope, name or time, a name that has a token, or a file that cannot
            be used.
    """
    try:
        name = person(name)
    except KeyRefusedError as error:
        raise TokenFileError(path, f"name {error.found}", error.expected) from error
    if not scopes or not set(scopes) <= set(SCOPES):
        found = f"scope {', '.join(sorted(set(scopes) - set(SCOPES))) or 'nothing'}"
        raise TokenFileError(path, found, f"one or more of {', '.join(SCOPES)}")
    short = sorted(SHORT & set(scopes))
    longest = SHORT_MAX if short else VALID_MAX
    valid_for = (SHORT_MAX if short else VALID_FOR) if valid_for is None else valid_for
    if not timedelta(0) < valid_for <= longest:
        of = f" for {', '.join(short)}" if short else ""
        raise TokenFileError(path, f"valid for {valid_for}", f"at most {longest}{of}")
    token = secrets.token_urlsafe(TOKEN_BYTES)
    made = Token(name, sha256(token.encode()).hexdigest(), frozenset(scopes), now + valid_for)
    with _locked(path):
        known = load(path) if path.exists() else ()
        if any(one.name.casefold() == name.casefold() for one in known):
            raise TokenFileError(
                path, f"{name} has a token", "another name; `--remove` takes the old one away"
            )
        _write(path, (*known, made))
    return made, token


def remove(path: Path, name: str) -> None:
    """Take a token away: from now on it opens nothing. Raises TokenFileError."""
    with _locked(path):
        known = load(path)
        left = tuple(one for one in known if one.name != name)
        if len(left) == len(known):
            raise TokenFileError(path, f"no token of {name!r}", "a name that has one")
        _write(path, left)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One writer at a time."""
    lock = path.with_name(path.name + ".lock")
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        found = f"cannot be written ({error.strerror})"
        raise TokenFileError(path, found, "a folder of its user's own") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _write(path: Path, tokens: Sequence[Token]) -> None:
    """Whole or not at all: written beside it, synced, and put in its place."""
    rows = [
        {
            "name": one.name,
            "sha256": one.sha256,
            "scopes": sorted(one.scopes),
            "expires_at": one.expires_at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        }
        for one in tokens
    ]
    beside = path.with_name(path.name + ".new")
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        json.dump({"version": 1, "tokens": rows}, stream, indent=1)
        stream.write("\n")
        stream.flush()
        os.fsync(stream.fileno())
    beside.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


class TokenFile:
    """The tokens of a file, read again when it has changed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int, int, int] | None = None
        self._tokens: tuple[Token, ...] = ()
        self.current()

    def current(self) -> tuple[Token, ...]:
        """What the file says now. Raises TokenFileError: nobody is let in by a file that is spoilt."""
        try:
            status = self._path.lstat()
        except OSError as error:
            raise TokenFileError(
                self._path, f"cannot be read ({error.strerror})", "`v2g keys token` makes it"
            ) from error
        seen = (status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size)
        if seen != self._seen:
            self._tokens = load(self._path)
            self._seen = seen
        return self._tokens
