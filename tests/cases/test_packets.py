"""Signed packets as the evidence of a case."""

import csv
import io
import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

import cases
from tests.cases.folders import CONTRACTS, READINGS, folder, settled
from tests.packets import Key, make_key, make_packet, rfc3339

EVSE = "E1"
START = datetime(2026, 7, 1, 17, tzinfo=UTC)
STEP = timedelta(minutes=15)


@pytest.fixture(scope="module")
def key() -> Key:
    return make_key()


def fields(sequence: int, **changes: Any) -> dict[str, Any]:
    wh = 1000 + 1800 * sequence
    return {
        "evse_id": EVSE,
        "vehicle_id": "V1",
        "session_id": "S1",
        "stream_epoch": 1,
        "sequence": sequence,
        "started_at": rfc3339(START + sequence * STEP),
        "ended_at": rfc3339(START + (sequence + 1) * STEP),
        "export_start_wh": f"{wh}.000",
        "export_end_wh": f"{wh + 1800}.000",
        "soc_start_pct": f"{80 - 3 * sequence}.0000",
        "soc_end_pct": f"{77 - 3 * sequence}.0000",
    } | changes


def packet(key: Key, sequence: int, **changes: Any) -> bytes:
    return make_packet(key, **fields(sequence, **changes))


def keys(key: Key, *, hexadecimal: bool = False, valid_from: str = "2026-01-01T00:00:00Z") -> str:
    public = load_der_public_key(key.public_key)
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["key_id", "evse_id", "valid_from", "valid_to", "public_key_pem_or_hex"])
    writer.writerow(
        [key.key_id, EVSE, valid_from, "", key.public_key.hex() if hexadecimal else pem]
    )
    return out.getvalue()


def as_lines(packets: Iterable[bytes]) -> dict[str, str | bytes | None]:
    return {"packets/all.ndjson": b"\n".join(packets) + b"\n"}


def as_files(packets: Iterable[bytes]) -> dict[str, str | bytes | None]:
    return {f"packets/{number}.jws": one for number, one in enumerate(packets)}


def as_objects(packets: Iterable[bytes]) -> dict[str, str | bytes | None]:
    lines = (
        json.dumps({"packet": one.decode(), "received_at": "2026-07-01T19:00:00Z"})
        for one in packets
    )
    return {"packets/all.ndjson": "\n".join(lines)}


def signed(
    at: Path, key: Key, files: dict[str, str | bytes | None], *, keys_csv: str = ""
) -> cases.Case:
    others: dict[str, str | bytes | None] = {
        "readings.csv": None,
        "keys.csv": keys_csv or keys(key),
        "contracts.csv": CONTRACTS,
    }
    return cases.read(folder(at, {**others, **files}))


@pytest.mark.parametrize("form", [as_lines, as_files, as_objects])
def test_signed_packets_settle_like_the_same_readings_in_a_table(form, key: Key, tmp_path: Path):
    # given four readings as packets, and as rows
    packets = [packet(key, sequence) for sequence in range(4)]
    rows = []
    for sequence in range(4):
        row = {**json.loads(json.dumps(fields(sequence)))}
        rows.append(
            f"E1,V1,S1,{sequence},{row['started_at']},{row['ended_at']},{row['export_start_wh']},"
            f"{row['export_end_wh']},250000,250000,7200,7200,{80 - 3 * sequence},{77 - 3 * sequence},52.520008,13.404954,"
        )
    table = cases.read(
        folder(
            tmp_path / "table",
            {"readings.csv": "\n".join([READINGS.splitlines()[0], *rows]) + "\n"},
        )
    )

    # when
    case = signed(tmp_path / "signed", key, form(packets))

    # then the readings say the same, and so does the settlement
    own = ["key_id", "digest", "clock_offset_us", "received_at"]
    assert case.readings.drop(own).equals(table.readings.drop(own))
    assert (case.readings["received_at"] >= case.readings["ended_at"]).all()
    a, b = settled(case), settled(table)
    assert a.settlements.height == 1
    assert a.settlements.equals(b.settlements)
    assert a.lines.equals(b.lines)
    assert a.unpaid.equals(b.unpaid)


def test_a_key_may_be_hexadecimal_and_the_keys_may_lie_beside_the_packets(key: Key, tmp_path: Path):
    # when
    case = signed(
        tmp_path / "case",
        key,
        {
            **as_lines([packet(key, 0)]),
            "keys.csv": None,
            "packets/keys.csv": keys(key, hexadecimal=True),
        },
    )

    # then
    assert case.readings.height == 1


def test_every_packet_becomes_a_reading_or_is_quarantined_with_its_reason(key: Key, tmp_path: Path):
    # given good packets, and one of each kind of bad ones
    other = make_key()
    good = packet(key, 0)
    packets = [
        good,
        good,
        packet(other, 1),
        packet(key, 2, evse_id="E2"),
        packet(key, 3)[:-4] + b"AAAA",
        packet(key, 4, clock_offset_ms="60.000"),
        b"eyJ.no.packet",
        packet(key, 5),
        packet(key, 5, export_end_wh="20000.000"),
    ]

    # when
    case = signed(tmp_path / "case", key, as_lines(packets))

    # then
    assert case.readings.height + case.quarantined.height == len(packets)
    assert sorted(case.quarantined["reason"]) == [
        "BAD_SIGNATURE",
        "CLOCK_OFFSET",
        "DUPLICATE_CONTENT",
        "UNKNOWN_KEY",
        "UNREADABLE",
        "WRONG_DEVICE",
    ]
    conflicted = case.readings.filter(pl.col("conflicted"))
    assert conflicted["sequence"].to_list() == [5, 5]


def test_a_packet_received_later_is_not_known_yet(key: Key, tmp_path: Path):
    # given packets received at seven, seen from half past six
    files = {**as_objects([packet(key, 0)]), "as_of": "2026-07-01T18:30:00Z"}

    # then
    assert signed(tmp_path / "a", key, files).readings.is_empty()


def test_a_key_signs_nothing_before_it_is_valid(key: Key, tmp_path: Path):
    # given a key that is valid from the second reading's end on
    case = signed(
        tmp_path / "case",
        key,
        as_lines([packet(key, 0), packet(key, 1)]),
        keys_csv=keys(key, valid_from=rfc3339(START + 2 * STEP)),
    )

    # then
    assert case.readings["sequence"].to_list() == [1]
    assert case.quarantined["reason"].to_list() == ["KEY_NOT_VALID"]
