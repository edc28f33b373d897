"""The evidence of a dispute as files: what was sent, what was answered, what the partner listed, and why
the money is owed. Each stands in a manifest that ``sha256sum -c`` checks.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from statements import packing
from statements.pack import Subject
from storage import dispute_evidence, disputes, partner_statements
from storage.disputes import Dispute
from storage.engine import Connection
from tasks import statement

MANIFEST: Final = "MANIFEST.sha256"
_README: Final = """\
Evidence of a dispute about a payment.

dispute.json         what is claimed, by when, and what was said so far
posting-body.json    the posting, byte for byte as it was sent
posting.json         its id, account, amount and the SHA-256 of those bytes
receipts.json        every answer to it, in order
statement-line.json  what the partner's statement says of it
statement-file.*     that statement, byte for byte as it came
settlement-pack.json why the money is owed: `v2g statement verify settlement-pack.json` checks it
MANIFEST.sha256      SHA-256 of each of these files

What is not there does not exist: a line that belongs to no posting of ours has no posting.
To check that nothing was changed: sha256sum -c MANIFEST.sha256
"""


class FolderTakenError(ValueError):
    """There is something in the folder already."""

    def __init__(self, folder: Path) -> None:
        super().__init__(f"{folder}: there is something in it; expected a new or an empty folder")


def facts(
    conn: Connection, posting_id: str, statement_id: str | None, number: int | None
) -> dict[str, bytes]:
    """What the database holds about a payment, as files by name; small, and the same at every time
    until something is added to it.
    """
    found: dict[str, bytes] = {}
    posting = _posting(conn, posting_id)
    if posting is not None:
        found["posting-body.json"] = posting.body
        found["posting.json"] = _json(
            {
                "posting_id": posting.posting_id,
                "settlement_id": posting.settlement_id,
                "partner": posting.partner,
                "kind": posting.kind,
                "account": posting.account,
                "currency": posting.currency,
                "amount_minor": posting.amount_minor,
                "body_sha256": posting.body_digest.hex(),
                "created_at": posting.created_at,
                "state": posting.state,
                "detail": posting.detail,
                "changed_at": posting.changed_at,
                "payout_file": posting.file_id,
            }
        )
        found["receipts.json"] = _json(dispute_evidence.receipts(conn, posting_id))
    if statement_id is not None and number is not None:
        stored = partner_statements.find(conn, statement_id)
        line = partner_statements.line_of(conn, statement_id, number)
        about = {name: value for name, value in asdict(stored).items() if name != "digest"}
        found["statement-line.json"] = _json(
            {
                "line": line._asdict() if line else None,
                "statement": about | {"file_sha256": stored.digest.hex()},
            }
        )
        suffix = "csv" if stored.format == "csv" else "xml"
        found[f"statement-file.{suffix}"] = partner_statements.content_of(conn, statement_id)
    return found


def _posting(conn: Connection, posting_id: str) -> dispute_evidence.Sent | None:
    try:
        return dispute_evidence.sent(conn, posting_id)
    except dispute_evidence.NoSuchPostingError:
        return None


def digest_of(files: Mapping[str, bytes]) -> bytes:
    """SHA-256 of the manifest of these files."""
    return sha256(manifest(files)).digest()


def manifest(files: Mapping[str, bytes]) -> bytes:
    """What ``sha256sum`` writes about these files, by name."""
    return "".join(
        f"{sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files)
    ).encode()


def write_pack(dsn: str, asked: str, folder: Path, *, now: datetime) -> tuple[Dispute, list[str]]:
    """Write the evidence of a dispute into a new folder.

    Returns:
        The dispute, and the names of the files.

    Raises:
        NoSuchDisputeError: no such dispute.
        FolderTakenError: there is something in the folder.
        OSError: it cannot be written.
    """
    if folder.exists() and any(folder.iterdir()):
        raise FolderTakenError(folder)
    with partner_statements.operating(dsn) as conn:
        dispute = disputes.find(conn, asked)
        files = facts(conn, dispute.posting_id, dispute.statement_id, dispute.number)
        posting = _posting(conn, dispute.posting_id)
    files["dispute.json"] = _json(
        asdict(dispute) | {"evidence_digest": dispute.evidence_digest.hex(), "state": dispute.state}
    )
    if posting is not None and posting.vehicle_id and posting.event_id:
        files |= _settlement(dsn, Subject(posting.vehicle_id, posting.event_id, "", None), now)
    files["README.txt"] = _README.encode()
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        folder.joinpath(name).write_bytes(content)
    folder.joinpath(MANIFEST).write_bytes(manifest(files))
    return dispute, sorted([*files, MANIFEST])


def _settlement(dsn: str, subject: Subject, now: datetime) -> dict[str, bytes]:
    """Why the money is owed; nothing where nothing is stated about it."""
    try:
        return {"settlement-pack.json": packing.write(statement.collect(dsn, subject, now=now))}
    except statement.NothingBookedError:
        return {}


def _json(value: Any) -> bytes:
    return (
        json.dumps(value, indent=2, sort_keys=True, default=str, ensure_ascii=False).encode()
        + b"\n"
    )
