"""Meters' own records as the evidence of a case."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import cases
from cases.errors import CaseError
from tests.cases.folders import CONTRACTS, folder, settled
from tests.ocmf import Meter, make_meter, make_record, point

START = datetime(2026, 7, 1, 17, tzinfo=UTC)
QUARTER_S = 900


def record(meter: Meter, number: int, *, more_wh: int = 0) -> bytes:
    """One point, a quarter of an hour after the one before; 1.8 kWh further."""
    kwh = f"{1 + (1800 * number + more_wh) / 1000:.3f}"
    where = point(at=START + timedelta(seconds=number * QUARTER_S), export_kwh=kwh, import_kwh="5")
    return make_record(meter, [where], number, context="F", IT="EVCCID", ID="V1")


def keys(meter: Meter, curve: str = "") -> str:
    return (
        "key_id,evse_id,valid_from,valid_to,public_key_pem_or_hex,meter_id,curve\n"
        f"k1,E1,2026-01-01T00:00:00Z,,{meter.public_key.hex()},{meter.meter_id},{curve}\n"
    )


def read(at: Path, keys_csv: str, records: list[bytes]) -> cases.Case:
    files: dict[str, str | bytes | None] = {
        "readings.csv": None,
        "keys.csv": keys_csv,
        "contracts.csv": CONTRACTS,
    }
    packets = {f"packets/{number}.ocmf": one for number, one in enumerate(records)}
    return cases.read(folder(at, files | packets))


def test_a_meters_records_are_joined_and_settled(tmp_path: Path) -> None:
    # given an hour of a meter on another curve, in no order
    meter = make_meter("secp256k1")
    records = [record(meter, number) for number in (3, 0, 4, 1, 2)]
    # when
    case = read(tmp_path / "case", keys(meter, "secp256k1"), records)
    # then
    assert case.readings["started_at"].to_list() == [
        START + timedelta(seconds=n * QUARTER_S) for n in range(4)
    ]
    assert settled(case).lines["energy_milliwh"].sum() == 4 * 1_800_000
    assert case.quarantined.is_empty()


def test_a_curve_needs_an_allowance(tmp_path: Path) -> None:
    # given a key whose row does not name its curve
    meter = make_meter("secp256k1")
    with pytest.raises(CaseError, match="expected a public key on P-256"):
        read(tmp_path / "case", keys(meter), [record(meter, 0)])


def test_gaps_repeats_and_contradictions_are_told(tmp_path: Path) -> None:
    # given a gap, a record that comes twice, and one that contradicts another
    meter = make_meter()
    records = [record(meter, n) for n in (0, 1, 1, 4, 5, 6)]
    records.append(record(meter, 6, more_wh=100))
    # when
    case = read(tmp_path / "case", keys(meter), records)
    # then
    first, second, *others = case.readings.sort("started_at").iter_rows(named=True)
    assert [(one["sequence"], one["conflicted"]) for one in (first, second)] == [
        (1 * 64, False),
        (5 * 64, False),
    ]
    assert [(one["sequence"], one["conflicted"]) for one in others] == [(6 * 64, True)] * 2
    assert case.quarantined["reason"].to_list() == ["DUPLICATE_CONTENT"]
