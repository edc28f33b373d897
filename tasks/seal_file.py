"""Seals kept outside of the database: one JSON document a line, each seal with the hashes under it.

A copy elsewhere is what finds the changes of somebody who may change the database and its seals. The
hashes name what was changed; a line without ``bookings`` still tells that something was.
"""

import json
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from settlement.seals import FORM, Seal
from storage.ledger import Leaf

_HASH_BYTES: Final = 32


class SealFileError(ValueError):
    """A line that is no seal: ``path``, ``line``, what was ``found`` and ``expected``."""

    def __init__(self, path: Path, line: int, found: str, expected: str) -> None:
        super().__init__(f"{path}:{line}: {found}; expected {expected}")
        self.path = path
        self.line = line
        self.found = found
        self.expected = expected


class SealFile:
    """The seals in a file. Hashes are read when they are asked for, one seal's at a time.

    Raises:
        SealFileError: a line that is no seal, or a number that stands twice.
        OSError: the file cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._places: dict[int, tuple[int, int]] = {}
        self.seals: Mapping[int, Seal] = self._read()

    def leaves(self, number: int) -> Sequence[Leaf] | None:
        """The hashes kept with a seal; None where there is no such seal, or none were kept."""
        if number not in self._places:
            return None
        offset, line = self._places[number]
        with self._path.open("rb") as stream:
            stream.seek(offset)
            body = self._parsed(stream.readline(), line)
        if "bookings" not in body:
            return None
        try:
            return [Leaf(int(no), str(of), _hash(leaf)) for no, of, leaf in body["bookings"]]
        except (TypeError, ValueError) as error:
            raise SealFileError(
                self._path, line, f"bookings that cannot be read ({error})", "[number, id, hash]"
            ) from error

    def _read(self) -> dict[int, Seal]:
        found: dict[int, Seal] = {}
        with self._path.open("rb") as stream:
            offset = 0
            for line, text in enumerate(stream, 1):
                seal = self._seal(self._parsed(text, line), line)
                if seal.number in found:
                    raise SealFileError(self._path, line, f"seal {seal.number} again", "each once")
                found[seal.number] = seal
                self._places[seal.number] = (offset, line)
                offset += len(text)
        return found

    def _parsed(self, text: bytes, line: int) -> dict[str, Any]:
        try:
            body = json.loads(text)
        except ValueError as error:
            raise SealFileError(self._path, line, f"no JSON ({error})", "a seal") from error
        if not isinstance(body, dict) or body.get("form") != FORM:
            raise SealFileError(self._path, line, "another document", f"a seal of form {FORM!r}")
        return body

    def _seal(self, body: Mapping[str, Any], line: int) -> Seal:
        try:
            return Seal(
                number=int(body["number"]),
                first=int(body["first"]),
                last=int(body["last"]),
                leaves=int(body["leaves"]),
                root=_hash(body["root"]),
                previous=_hash(body["previous"]),
                sealed_at=datetime.fromisoformat(body["sealed_at"]).astimezone(UTC),
                seal_digest=_hash(body["seal_digest"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise SealFileError(
                self._path, line, f"{type(error).__name__}: {error}", "all parts of a seal"
            ) from error


def append(path: Path, seal: Seal, leaves: Sequence[Leaf]) -> None:
    """Add a seal, on disk when this returns.

    Raises:
        OSError: the file cannot be written.
    """
    body = {
        "form": FORM,
        "number": seal.number,
        "first": seal.first,
        "last": seal.last,
        "leaves": seal.leaves,
        "root": seal.root.hex(),
        "previous": seal.previous.hex(),
        "sealed_at": seal.sealed_at.astimezone(UTC).isoformat(),
        "seal_digest": seal.seal_digest.hex(),
        "bookings": [[one.booking_no, one.settlement_id, one.leaf.hex()] for one in leaves],
    }
    with path.open("ab") as stream:
        stream.write(json.dumps(body, separators=(",", ":")).encode() + b"\n")
        stream.flush()
        os.fsync(stream.fileno())


def _hash(text: str) -> bytes:
    value = bytes.fromhex(text)
    if len(value) != _HASH_BYTES:
        raise ValueError(f"{len(value)} bytes instead of {_HASH_BYTES}")
    return value
