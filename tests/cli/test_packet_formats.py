"""`v2g packet verify` and `inspect` of meters' records, in every form in which they come."""

import json
from pathlib import Path
from typing import Any, Final

import pytest
from typer.testing import CliRunner, Result

from cli.packet import app
from settlement.signatures import CURVES
from tests.ocmf import (
    Meter,
    as_ocpp16,
    as_signed_meter_value,
    default_points,
    make_meter,
    make_record,
    point,
)
from tests.packets import Key, make_key, make_packet, make_packet_2

REAL: Final = Path(__file__).parents[2] / ".." / "shared" / "data" / "ocmf" / "records.json"
SECP192K1: Final = (
    "30 46 30 10 06 07 2A 86 48 CE 3D 02 01 06 05 2B 81 04 00 1F 03 32 00 04 C2 00 65 42 21 8B B2 7F"
    " 5E 0B 94 5C 5F 9D 15 88 67 B6 66 B3 BB 44 14 AB C6 56 94 89 A8 F7 98 50 20 C7 7F 0F 32 A4 B4 E1"
    " 83 A3 05 61 27 C3 48 69"
)


@pytest.fixture(scope="module")
def meter() -> Meter:
    return make_meter()


@pytest.fixture(scope="module")
def key() -> Key:
    return make_key()


def packet(*words: str, stdin: bytes = b"") -> Result:
    """`v2g packet …`, in this process; `test_packet` has it as a shell sees it."""
    return CliRunner().invoke(app, [*words], input=stdin)


def kept(folder: Path, name: str, data: bytes) -> str:
    file = folder / name
    file.write_bytes(data)
    return str(file)


def verify(folder: Path, data: bytes, key: bytes, *options: str) -> Result:
    return packet(
        "verify", kept(folder, "packet", data), "--key", kept(folder, "key", key), *options
    )


def said(done: Result) -> str:
    return " ".join((done.stdout + done.stderr).split())


def test_a_record_stands_under_its_meters_key_in_every_form(meter: Meter, tmp_path: Path) -> None:
    # given one record as meters and OCPP send it, and its key as people write it
    record = make_record(meter)
    forms = [record, json.dumps(as_signed_meter_value(record)).encode(), json.dumps(as_ocpp16(record)).encode()]  # fmt: skip
    keys = [meter.pem, meter.public_key, meter.public_key.hex(" ").encode()]
    for form, key in zip(forms, keys, strict=True):
        # when
        done = verify(tmp_path, form, key)
        # then
        assert done.exit_code == 0, said(done)
        assert "signature and content stand" in said(done)


def test_a_packet_comes_by_standard_input_too(meter: Meter, tmp_path: Path) -> None:
    done = packet(
        "verify", "-", "--key", kept(tmp_path, "key", meter.pem), stdin=make_record(meter)
    )
    assert done.exit_code == 0, said(done)


def test_a_curve_needs_an_allowance(tmp_path: Path) -> None:
    # given a meter on another curve than the default
    other = make_meter("secp256k1")
    record = make_record(other)
    # when / then
    refused = verify(tmp_path, record, other.pem)
    assert refused.exit_code == 2
    assert "--allow-curve secp256k1" in said(refused)
    assert verify(tmp_path, record, other.pem, "--allow-curve", "secp256k1").exit_code == 0


@pytest.mark.parametrize("words", [(), ("--allow-curve", "secp192k1")])
def test_the_curve_that_nobody_computes_is_refused_with_the_reason(
    words: tuple[str, ...], meter: Meter, tmp_path: Path
) -> None:
    done = verify(tmp_path, make_record(meter), SECP192K1.encode(), *words)
    assert done.exit_code == 2
    assert "secp192k1" in said(done)
    assert "no library at hand computes" in said(done)


REFUSED: dict[str, tuple[dict[str, Any], str, bool]] = {
    "another meter's signature": ({}, "BAD_SIGNATURE", False),
    "a curve that the key is not on": ({"algorithm": "ECDSA-secp256k1-SHA256"}, "WRONG_ALGORITHM", False),
    "a meter that says it is in error": ({"points": [point(0, ST="E")]}, "NOT_BILLABLE", True),
    "a register that runs backwards": ({"points": default_points(end_kwh="1")}, "VALUE_OUT_OF_RANGE", True),
    "no readings": ({"RD": []}, "UNREADABLE", False),
}  # fmt: skip


@pytest.mark.parametrize(("made", "reason", "signed"), REFUSED.values(), ids=REFUSED)
def test_what_does_not_stand_exits_1_and_says_whether_the_signature_does(
    made: dict[str, Any], reason: str, signed: bool, meter: Meter, tmp_path: Path
) -> None:
    # given a record, and its meter's key or another's
    public = make_meter().pem if reason == "BAD_SIGNATURE" else meter.pem
    # when
    done = verify(tmp_path, make_record(meter, **made), public, "--json")
    # then
    assert done.exit_code == 1
    verdict = json.loads(done.stdout)
    assert (verdict["stands"], verdict["reason"]) == (False, reason)
    assert verdict["signature_stands"] is signed
    assert ("the signature stands, but" in said(done)) is signed


def test_a_packet_that_carries_a_record_needs_both_keys(
    meter: Meter, key: Key, tmp_path: Path
) -> None:
    # given a packet of version 2
    carrying = make_packet_2(key, [make_record(meter)], bare=True)
    meter_key = kept(tmp_path, "meter.pem", meter.pem)
    # when it is verified with both keys, with one, and with another meter's
    both = verify(tmp_path, carrying, key.public_key, "--meter-key", meter_key)
    one = verify(tmp_path, carrying, key.public_key)
    other = kept(tmp_path, "other.pem", make_meter().pem)
    wrong = verify(tmp_path, carrying, key.public_key, "--meter-key", other)
    # then
    assert both.exit_code == 0, said(both)
    assert one.exit_code == 1
    assert "UNKNOWN_KEY" in said(one)
    assert "--meter-key" in said(one)
    assert wrong.exit_code == 1
    assert "BAD_SIGNATURE" in said(wrong)


def test_a_meters_key_is_not_asked_for_where_there_is_no_record(
    meter: Meter, key: Key, tmp_path: Path
) -> None:
    meter_key = kept(tmp_path, "meter.pem", meter.pem)
    done = verify(tmp_path, make_packet(key), key.public_key, "--meter-key", meter_key)
    assert done.exit_code == 2
    assert "carries no meter's records" in said(done)


def inspected(data: bytes) -> tuple[int, dict[str, Any]]:
    done = packet("inspect", "-", "--json", stdin=data)
    (one,) = json.loads(done.stdout)["packets"]
    return done.exit_code, one


def reasons(one: dict[str, Any]) -> list[str]:
    return [found["reason"] for found in one["findings"] if found["reason"]]


def test_a_record_is_shown_field_by_field_with_its_points(meter: Meter) -> None:
    # given a record of a meter that the judge would believe
    status, one = inspected(make_record(meter, number=12))
    # then every field stands there with its meaning, and each point with its registers
    assert status == 0
    shown = {field["path"]: (field["value"], field["meaning"]) for field in one["fields"]}
    assert shown["payload.PG"][0] == "T12"
    assert "clock synchronised" in shown["payload.RD[0].TM"][1]
    assert "export, register 2.8.0" in shown["payload.RD[0].RI"][1]
    assert shown["payload.RD[0].ST"] == ("G", "status of the meter: good")
    assert [p["export_milliwh"] for p in one["points"]] == [1_000_000_000, 1_000_030_000]
    assert (one["format"], one["payable"], reasons(one)) == ("ocmf", True, [])


def test_why_it_would_not_be_paid_is_said_in_full(meter: Meter) -> None:
    points = [point(0, EF="E", ST="M"), point(15, clock="U")]
    status, one = inspected(make_record(meter, points, algorithm="ECDSA-secp192k1-SHA256"))
    assert status == 0
    assert one["payable"] is False
    assert reasons(one) == ["WRONG_ALGORITHM", "NOT_BILLABLE", "NOT_BILLABLE"]
    details = " ".join(found["detail"] for found in one["findings"])
    for word in ("secp192k1", "energy not usable", "manipulated", "clock unknown"):
        assert word in details


def test_a_packet_of_ours_and_the_record_inside_are_both_shown(meter: Meter, key: Key) -> None:
    status, one = inspected(make_packet_2(key, [make_record(meter)], bare=True))
    paths = {field["path"] for field in one["fields"]}
    assert status == 0
    assert {"header.kid", "payload.session_id", "records[0].payload.PG", "records[0].signature.SD"} <= paths  # fmt: skip
    assert len(one["points"]) == 2
    assert one["said"]["power_start_w"] is None


def test_a_clock_that_is_off_and_a_time_to_come_are_named(key: Key) -> None:
    _, off = inspected(make_packet(key, clock_offset_ms="51"))
    _, early = inspected(
        make_packet(key, started_at="2099-01-01T00:00:00Z", ended_at="2099-01-01T00:00:15Z")
    )
    assert (reasons(off), reasons(early)) == (["CLOCK_OFFSET"], ["FUTURE_TIME"])


def test_the_key_in_an_ocpp_object_is_shown_and_believed_by_nobody(meter: Meter) -> None:
    wrapped = json.dumps(as_signed_meter_value(make_record(meter), public_key=meter.public_key))
    status, one = inspected(wrapped.encode())
    shown = [(f["value"], f["meaning"]) for f in one["fields"] if f["path"] == "packet.publicKey"]
    assert status == 0
    assert any("on secp256r1" in value for value, _ in shown)
    assert all("proves nothing" in meaning for _, meaning in shown)


MALFORMED = {
    "a name twice": (b'OCMF|{"PG":"T1","PG":"T2","MS":"1"}|{"SD":"3006020101020101"}', "payload.PG (given again)"),
    "no signature": (b'OCMF|{"PG":"T1","MS":"1"}', "payload.PG"),
    "a payload that is none": (b"OCMF|{x|{}", "payload"),
    "another's object": (b'{"a":{"b":[1,2]}}', "packet.a.b[1]"),
    "text": (b"hello\x1b[2J", "packet"),
    "a JWS of two parts": (b"eyJhbGciOiJFUzI1NiJ9.eyJhIjoxfQ", "payload.a"),
}  # fmt: skip


@pytest.mark.parametrize(("data", "path"), MALFORMED.values(), ids=MALFORMED)
def test_what_is_malformed_is_shown_as_far_as_it_can_be_read(data: bytes, path: str) -> None:
    status, one = inspected(data)
    assert status == 1
    assert reasons(one) == ["UNREADABLE"]
    assert path in {field["path"] for field in one["fields"]}


def test_nothing_in_a_packet_reaches_the_terminal_as_a_command(meter: Meter) -> None:
    # given a tariff text that would clear the screen
    record = make_record(meter, TT="\x1b[2Jfree \u202e tariff")
    # when
    done = packet("inspect", "-", stdin=record)
    # then
    assert done.exit_code == 0
    assert "\x1b" not in done.stdout
    assert "\u202e" not in done.stdout
    assert "free" in said(done)


def test_of_several_records_missing_and_repeated_numbers_are_said(
    meter: Meter, tmp_path: Path
) -> None:
    # given four records of a meter, in the order in which they came
    files = [
        kept(tmp_path, f"{place}.ocmf", make_record(meter, number=number))
        for place, number in enumerate((3, 7, 4, 4))
    ]
    # when
    done = packet("inspect", *files)
    # then
    assert done.exit_code == 0
    assert f"meter {meter.meter_id}: records T3 to T7; missing: 5 to 6; more than once: 4; late: 4" in said(done)  # fmt: skip


def test_unusable_files_exit_2(tmp_path: Path) -> None:
    missing = packet("inspect", str(tmp_path / "none"))
    empty = packet("inspect", kept(tmp_path, "empty", b"\n"))
    assert (missing.exit_code, empty.exit_code) == (2, 2)
    assert "can be read" in said(missing)
    assert "empty" in said(empty)


@pytest.mark.skipif(not REAL.is_file(), reason="the records of real meters are not beside this repository")  # fmt: skip
def test_every_record_of_a_real_meter_can_be_inspected(tmp_path: Path) -> None:
    records = json.loads(REAL.read_text("utf-8"))
    files = [kept(tmp_path, str(n), one["record"].encode()) for n, one in enumerate(records)]
    done = packet("inspect", *files, "--json")
    assert done.exit_code == 0, done.stderr
    assert len(json.loads(done.stdout)["packets"]) == len(records)


@pytest.mark.skipif(
    not REAL.is_file(), reason="the records of real meters are not beside this repository"
)
def test_every_record_of_a_real_meter_is_verified_as_the_collection_says(tmp_path: Path) -> None:
    curves = [word for curve in CURVES for word in ("--allow-curve", curve)]
    for one in json.loads(REAL.read_text("utf-8")):
        # given a record, and the key beside it as it is written there
        record, key = one["record"].encode(), one["public_key"].encode()
        # when
        done = verify(tmp_path, record, key, *curves, "--json")
        # then its signature stands where the collection says so, but for the curve nobody computes
        if "secp192k1" in one["alg"]:
            assert (done.exit_code, "secp192k1" in said(done)) == (2, True)
        else:
            verdict = json.loads(done.stdout)
            assert verdict["signature_stands"] is (one["expected"] == "valid"), one["origin"]
            assert verdict["stands"] is (done.exit_code == 0)
