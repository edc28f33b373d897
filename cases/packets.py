"""The evidence of a case as signed packets, judged as the running system judges them.

``packets/`` holds one packet per file, or one per line in ``*.ndjson``: the packet itself, or a JSON
object with ``packet`` and ``received_at``. A packet of which nobody says when it was received counts
as received when it was signed. ``keys.csv``, in the case's folder or in ``packets/``, holds the keys.
"""

import json
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, Final

import polars as pl
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
    load_pem_public_key,
)

from cases.errors import CaseError, quoted
from cases.evidence import unique_readings
from cases.fields import TIME_EXPECTED, Field, Kind, moments, read_fields, refuse, text, time
from cases.tables import FILE_MAX_BYTES, ROWS_MAX, read_bytes, size_of
from settlement import packets, units
from settlement.meter_readings import StandingRecord, joined
from settlement.packets import UnreadablePacketError
from settlement.reasons import PacketReason
from settlement.schemas import QUARANTINED, READING
from settlement.signatures import (
    SPARE_THREADS,
    DeviceKey,
    Keyring,
    UnusableKeyError,
    algorithm_of,
)
from settlement.verdicts import (
    LandedPacket,
    Policy,
    Verdict,
    claimed_between,
    fault,
    joined_row,
    judge,
    quarantine_row,
    reading_rows,
    standing_record,
)

_KEY_MAX_CHARS: Final = 4096
_LINE_MAX_BYTES: Final = 2 * units.PACKET_MAX_BYTES
_BATCH: Final = 20_000

KEYS: Final[tuple[Field, ...]] = (
    text("key_id"),
    text("evse_id"),
    time("valid_from"),
    time("valid_to", blank=True),
    time("revoked_at", blank=True),
    Field("public_key_pem_or_hex", "public_key", Kind.LINES, high=_KEY_MAX_CHARS),
    text("meter_id", blank=True),
    text("curve", blank=True),
)
"""Of ``keys.csv``; the columns that may be blank may be left out. A key with ``meter_id`` signs the
records of that meter; a ``curve`` other than secp256r1 is an allowance of this key."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What became of the packets.

    Attributes:
        readings: ``cases.evidence.READINGS_SCHEMA``.
        quarantined: ``schemas.QUARANTINED``; ``batch_id`` is 1.
    """

    readings: pl.DataFrame
    quarantined: pl.DataFrame


def read_packets(folder: Path, clock_offset: timedelta, as_of: datetime | None) -> Judged:
    """Judge the packets of a case, as known at ``as_of``.

    The same content again is a duplicate and quarantined; another content for one identity makes
    each of them a ``conflicted`` reading, so that the energy of each is accounted for.

    Args:
        folder: the case's folder.
        clock_offset: how far off an EVSE may say that its clock is.
        as_of: packets received later are left aside; None takes all.

    Raises:
        CaseError: a file cannot be read, a line is neither packet nor JSON object, or the keys do not
            fit. A packet that is wrong is no error: it is quarantined with its reason.
    """
    keys = Keyring(_read_keys(folder).values())
    readings: list[pl.DataFrame] = [READING.empty()]
    records: list[StandingRecord] = []
    refused: list[dict[str, object]] = []
    seen: set[bytes] = set()
    with ThreadPoolExecutor((os.cpu_count() or 1) + SPARE_THREADS) as threads:
        for batch in _batches(_landed(folder / "packets", as_of)):
            taken = []
            for verdict in judge(batch, keys, Policy(clock_offset=clock_offset), threads):
                if verdict.reason is not None:
                    refused.append(quarantine_row(verdict))
                elif (digest := _digest(verdict)) in seen:
                    again = replace(
                        verdict,
                        reason=PacketReason.DUPLICATE_CONTENT,
                        detail="the same signed content again",
                    )
                    refused.append(quarantine_row(again))
                else:
                    seen.add(digest)
                    taken += reading_rows(verdict)
                    record = standing_record(verdict)
                    records += [] if record is None else [record]
            readings.append(pl.DataFrame(taken, schema=READING.schema))
    between, refused_between = _between(records)
    readings.append(pl.DataFrame(between, schema=READING.schema))
    return Judged(
        unique_readings(pl.concat(readings), signed=True),
        pl.DataFrame([*refused, *refused_between], schema=QUARANTINED.schema),
    )


def _digest(verdict: Verdict) -> bytes:
    return bytes(verdict.envelope.digest) if verdict.envelope else b""


def _between(
    records: Iterable[StandingRecord],
) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    """The intervals from one record of a meter to its next: readings, and what can be none."""
    readings: list[dict[str, object]] = []
    refused: list[dict[str, object]] = []
    for content, earlier, later in joined(records):
        found = fault(content)
        if found is None:
            readings.append(joined_row(content, earlier, later))
        else:
            refused.append(
                {
                    "packet_digest": later.digest,
                    "reason": found[0].value,
                    "detail": f"from the record before: {found[1]}",
                    "evse_id": content.evse_id,
                    "vehicle_id": content.vehicle_id,
                    "started_at": content.started_at,
                    "ended_at": content.ended_at,
                    "claimed_export_milliwh": claimed_between(earlier.last, later.first),
                    "key_id": later.key_id,
                    "received_at": max(earlier.received_at, later.received_at),
                    "batch_id": 1,
                }
            )
    return readings, refused


def _landed(folder: Path, as_of: datetime | None) -> Iterator[LandedPacket]:
    landed = 0
    for path in sorted(folder.iterdir()):
        file = f"packets/{path.name}"
        if path.name == "keys.csv" or path.name.startswith("."):
            continue
        if path.suffix == ".ndjson":
            packets_of = _from_lines(path, file)
        else:
            packet = read_bytes(path, file, _LINE_MAX_BYTES).strip()
            if not packet:
                raise CaseError(file, "empty", "a packet")
            packets_of = iter([(packet, None)])
        for packet, received_at in packets_of:
            if received_at is not None and as_of is not None and received_at > as_of:
                continue
            landed += 1
            if landed > ROWS_MAX:
                raise CaseError(file, f"more than {ROWS_MAX} packets", "a case in several parts")
            yield LandedPacket(packet, received_at or _signed_at(packet), batch_id=1)


def _from_lines(path: Path, file: str) -> Iterator[tuple[bytes, datetime | None]]:
    size_of(path, file, FILE_MAX_BYTES)
    lines: list[tuple[int, bytes, str | None]] = []
    with path.open("rb") as stream:
        row = 0
        while line := stream.readline(_LINE_MAX_BYTES + 1):
            row += 1
            if len(line) > _LINE_MAX_BYTES:
                raise CaseError(
                    file, "a longer line", f"at most {_LINE_MAX_BYTES} bytes on a line", row=row
                )
            if line.strip():
                lines.append((row, *_from_line(line.strip(), file, row)))
            if len(lines) == _BATCH:
                yield from _timed(lines, file)
                lines = []
    yield from _timed(lines, file)


def _from_line(line: bytes, file: str, row: int) -> tuple[bytes, str | None]:
    if line[:1] not in b'{"':
        return line, None
    expected = 'a packet, or {"packet": …, "received_at": …}'
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise CaseError(file, "neither packet nor JSON", expected, row=row) from error
    if isinstance(value, str):
        value = {"packet": value}
    packet, received_at = value.get("packet"), value.get("received_at")
    if not isinstance(packet, str) or not isinstance(received_at, str | None):
        raise CaseError(file, "an object without a packet as text", expected, row=row)
    if value.keys() - {"packet", "received_at"}:
        (name, *_) = sorted(value.keys() - {"packet", "received_at"})
        raise CaseError(file, f"the unknown name {quoted(name)}", expected, row=row)
    # A lone surrogate, which JSON may hold and UTF-8 may not, makes the packet unreadable: not the case.
    return packet.encode("utf-8", "surrogatepass"), received_at


def _timed(
    lines: list[tuple[int, bytes, str | None]], file: str
) -> Iterator[tuple[bytes, datetime | None]]:
    times = moments(said or "" for _, _, said in lines)
    for (row, packet, said), at in zip(lines, times, strict=True):
        if said is not None and (at is None or not units.EARLIEST <= at <= units.LATEST):
            raise CaseError(file, quoted(said), TIME_EXPECTED, row=row, column="received_at")
        yield packet, at


def _signed_at(packet: bytes) -> datetime:
    try:
        return packets.identify(packets.split(packet)).signed_at
    except UnreadablePacketError:
        return units.EARLIEST


def _batches(landed: Iterator[LandedPacket]) -> Iterator[list[LandedPacket]]:
    while batch := list(islice(landed, _BATCH)):
        yield batch


def _read_keys(folder: Path) -> dict[str, DeviceKey]:
    places = [
        path for path in (folder / "keys.csv", folder / "packets" / "keys.csv") if path.exists()
    ]
    if len(places) != 1:
        raise CaseError(
            "keys.csv",
            "stands in the case's folder and in packets/" if places else "missing",
            "once: the keys of the EVSEs that signed the packets",
        )
    file = places[0].relative_to(folder).as_posix()
    rows = read_fields(places[0], file, KEYS)
    refuse(
        file, rows.filter(~pl.col("key_id").is_first_distinct()), "key_id", "{key_id} again",
        "each key once",
    )  # fmt: skip
    refuse(
        file,
        rows.filter(pl.col("valid_to") <= pl.col("valid_from")),
        "valid_to",
        "{valid_to}",
        "a time after valid_from, {valid_from}, or nothing",
    )
    return {row["key_id"]: _key(row, file) for row in rows.iter_rows(named=True)}


def _key(row: dict[str, Any], file: str) -> DeviceKey:
    said: str = row["public_key"].strip()
    curve: str = row["curve"] or "secp256r1"
    try:
        public = (
            load_pem_public_key(said.replace("\\n", "\n").encode())
            if said.startswith("-----")
            else load_der_public_key(bytes.fromhex(said))
        )
        key = DeviceKey(
            key_id=row["key_id"],
            evse_id=row["evse_id"],
            public_key=public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
            valid_from=row["valid_from"],
            valid_to=row["valid_to"],
            revoked_at=row["revoked_at"],
            algorithm=algorithm_of(curve),
            meter_id=row["meter_id"] or "",
        )
        key.verifier  # noqa: B018 - raises UnusableKeyError for a key that could never verify
    except (ValueError, UnsupportedAlgorithm, UnusableKeyError) as error:
        raise CaseError(
            file,
            quoted(said),
            f"a public key on {_curve_named(curve)}: PEM, or DER SubjectPublicKeyInfo in hexadecimal"
            " digits",
            row=row["row"],
            column="public_key_pem_or_hex",
        ) from error
    return key


def _curve_named(curve: str) -> str:
    return "P-256 (secp256r1)" if curve == "secp256r1" else curve
