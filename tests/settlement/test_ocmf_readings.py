"""The readings of a meter's record: registers, times, what is left out, and what its flags forbid."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from settlement.packets import UnreadablePacketError, identify, split
from tests.ocmf import (
    EXPORT,
    IMPORT,
    TRANSACTION_EXPORT,
    default_points,
    make_meter,
    make_record,
    point,
)
from tests.packets import evening
from tests.settlement.recorded import read

METER = make_meter()


def test_a_number_too_long_for_a_float_is_read_to_its_last_digit() -> None:
    record = make_record(METER, payload=payload_with("123456789012.345678"))
    assert read(record).points[0].export_milliwh == 123_456_789_012_345_678


def payload_with(number: str) -> bytes:
    """A payload whose register is this JSON, digit for digit."""
    moment = point(0)[0]
    text = json.dumps({"FV": "1.0", "PG": "T1", "MS": METER.meter_id, "RD": [moment | {"RV": 0}]})
    return text.replace('"RV": 0', f'"RV": {number}').encode()


VALUES = {
    "57.584": 57_584_000,
    '"       9.038"': 9_038_000,
    '"00000000.000"': 0,
    '"0.0"': 0,
    "62500.2031": 62_500_203_100,
    "1.0000009": 1_000_000,
    "1.0000019999": 1_000_001,
    "2.5E1": 25_000_000,
    "-0.0000009": 0,
    "-1": -1_000_000,
}


@pytest.mark.parametrize(("written", "milliwatt_hours"), VALUES.items())
def test_a_register_is_read_from_its_digits_and_rounded_toward_zero(
    written: str, milliwatt_hours: int
) -> None:
    record = make_record(METER, payload=payload_with(written))
    assert read(record).points[0].export_milliwh == milliwatt_hours


@pytest.mark.parametrize(
    "written",
    ["NaN", "Infinity", '"NaN"', '"1_0"', '"1,5"', '"0x10"', '""', "true", "null", "[1]", "1e99999",
     '"1e999999999999"', "9" * 41, '"' + "9" * 50 + '"', "1000000000000", '"\\u0661"'],
)  # fmt: skip
def test_what_is_no_number_of_a_register_is_refused_or_named(written: str) -> None:
    record = make_record(METER, payload=payload_with(written))
    try:
        (only,) = read(record).points
    except UnreadablePacketError as error:
        said = str(error)
    else:
        assert only.export_milliwh is None
        said = only.problem
    assert "RV" in said or "JSON" in said


def one_point(**changes: Any) -> list[list[dict[str, Any]]]:
    return [[point(0)[0] | changes]]


FORBIDDEN = {
    "an energy error": ({"EF": "E"}, "energy not usable"),
    "a time error": ({"EF": "t"}, "time not usable"),
    "both, and flags of others": ({"EF": "xEt"}, "time not usable"),
    "a manipulated meter": ({"ST": "M"}, "manipulated"),
    "a status nobody knows": ({"ST": "Q"}, "unknown"),
    "a clock of unknown state": ({"TM": "2026-07-01T17:00:00,000+0200 U"}, "clock unknown"),
    "a clock of no state": ({"TM": "2026-07-01T17:00:00,000+0200"}, "not stated"),
    "a unit that is no energy": ({"RU": "mOhm"}, "RU 'mOhm'"),
    "no unit": ({"RU": ""}, "RU ''"),
    "megawatt-hours or milliwatt-hours": ({"RU": "MWh"}, "RU 'MWh'"),
    "an exception": ({"TX": "X"}, "exception"),
    "a register of power": ({"RI": "1-0:2.7.0"}, "no register"),
    "a register of one tariff": ({"RI": "1-0:2.8.1"}, "no register"),
    "a register of an earlier time": ({"RI": "1-0:2.8.0*198"}, "no register"),
    "a register of gas": ({"RI": "7-0:2.8.0"}, "no register"),
}


@pytest.mark.parametrize(("changes", "said"), FORBIDDEN.values(), ids=FORBIDDEN)
def test_what_the_meter_marks_as_unfit_is_read_and_named(
    changes: dict[str, Any], said: str
) -> None:
    (only,) = read(make_record(METER, one_point(**changes))).points
    assert said in only.problem


PERMITTED = {
    "a clock that informs": {"TM": "2026-07-01T17:00:00,000+0200 I"},
    "a relative clock": {"TM": "2026-07-01T17:00:00,000+0200 R"},
    "a point before the milliseconds": {"TM": "2026-07-01T17:00:00.000+02:00 S"},
    "no milliseconds": {"TM": "2026-07-01T15:00:00Z S"},
    "watt-hours": {"RU": "Wh", "RV": "1000000"},
    "flags of others": {"EF": "xyz"},
}


@pytest.mark.parametrize("changes", PERMITTED.values(), ids=PERMITTED)
def test_what_the_field_writes_differently_is_read_alike(changes: dict[str, Any]) -> None:
    (only,) = read(make_record(METER, one_point(**changes))).points
    assert only.problem == ""
    assert only.export_milliwh == 1_000_000_000
    if "TM" in changes:
        assert only.at == datetime(2026, 7, 1, 15, tzinfo=UTC)


def test_a_field_that_is_left_out_is_that_of_the_reading_before() -> None:
    # given a record in which each reading states only what changed
    head, *_ = point(0, export_kwh="1.5", import_kwh=None)
    later = point(15)[0]["TM"]
    entries = [head, {"RV": "7", "RI": IMPORT}, {"TM": later, "RI": EXPORT, "RV": "1.6"}, {"RI": IMPORT, "RV": "7"}]  # fmt: skip
    # when
    first, last = read(make_record(METER, [entries])).points
    # then
    assert (first.export_milliwh, first.import_milliwh) == (1_500_000, 7_000_000)
    assert (last.export_milliwh, last.import_milliwh) == (1_600_000, 7_000_000)
    assert (last.kind, last.clock) == ("C", "S")


def test_an_error_flag_that_is_left_out_still_stands() -> None:
    head = point(0)[0] | {"EF": "E"}
    first, last = read(make_record(METER, [[head], [{"TM": point(15)[0]["TM"]}]])).points
    assert "energy not usable" in first.problem
    assert "energy not usable" in last.problem
    assert last.export_milliwh == first.export_milliwh


def test_no_register_inherits_the_value_of_another() -> None:
    head = point(0, export_kwh="1.5")[0]
    (only,) = read(make_record(METER, [[head, {"RI": IMPORT}]])).points
    assert only.import_milliwh is None
    assert "RV: no value" in only.problem


def test_after_an_exception_nothing_of_a_record_is_billed() -> None:
    points = [point(0, kind="B"), point(15, kind="X"), point(30, kind="E")]
    assert [bool(p.problem) for p in read(make_record(METER, points)).points] == [False, True, True]


def registers(*codes: str, after_s: float = 0) -> list[dict[str, Any]]:
    """One time at which registers show 1, 2, 3 ... kWh."""
    return [point(after_s)[0] | {"RI": code, "RV": n} for n, code in enumerate(codes, 1)]


def test_of_several_registers_the_total_at_the_mains_counts() -> None:
    codes = ("1-0:2.8.0", "01-00:C0.08.00*FF", "01-00:C1.08.00*FF", TRANSACTION_EXPORT)
    (only,) = read(make_record(METER, [registers(*codes)])).points
    assert (only.export_register, only.export_milliwh) == ("C0", 2_000_000)
    (only,) = read(make_record(METER, [registers(codes[0], *codes[2:])])).points
    assert (only.export_register, only.export_milliwh) == ("C2", 3_000_000)
    (only,) = read(make_record(METER, [registers(codes[0], codes[2])])).points
    assert (only.export_register, only.export_milliwh) == ("2.8.0", 1_000_000)


def test_one_register_counts_for_a_whole_record() -> None:
    # given the transaction's register at one end only, and the total at both
    points = [registers(TRANSACTION_EXPORT, EXPORT), registers(EXPORT, after_s=15)]
    # when
    said = read(make_record(METER, points))
    # then the difference is of one register
    assert [p.export_register for p in said.points] == ["2.8.0", "2.8.0"]


def test_a_register_with_two_values_at_one_time_has_none() -> None:
    (only,) = read(make_record(METER, [registers(EXPORT, "1-b:2.8.e")])).points
    assert only.export_milliwh is None
    assert "2 values at one time" in only.problem


def test_readings_of_one_time_are_one_point_and_points_ascend() -> None:
    # given both registers, each begun and ended before the other
    begin, end = point(0, import_kwh="5"), point(15, import_kwh="5")
    entries = [begin[0], end[0], begin[1], end[1]]
    # when
    said = read(make_record(METER, [entries]))
    # then
    assert [p.at for p in said.points] == [evening(), evening() + timedelta(seconds=15)]
    assert all(p.import_milliwh == 5_000_000 for p in said.points)


def test_a_reading_of_something_else_than_energy_is_no_point() -> None:
    duration = point(40)[0] | {"RI": "01-00:00.08.06*FF", "RU": "sec", "RV": 40}
    assert len(read(make_record(METER, [*default_points(), [duration]])).points) == 2


def test_no_more_points_are_read_than_have_numbers() -> None:
    moments = [[{"TM": f"2026-07-01T17:{n // 60:02d}:{n % 60:02d}Z S"}] for n in range(1, 64)]
    head = [point(0, at=datetime(2026, 7, 1, 17, tzinfo=UTC))[0]]
    assert len(read(make_record(METER, [head, *moments[:62]])).points) == 63
    with pytest.raises(UnreadablePacketError, match="at most 63"):
        read(make_record(METER, [head, *moments]))


def test_a_version_written_as_a_number_is_read() -> None:
    assert read(make_record(METER, payload=payload_with("1").replace(b'"1.0"', b"1.0"))).number == 1


def test_flags_that_thousands_of_readings_inherit_are_not_said_by_each() -> None:
    # given a record of 8 KiB that says little, loudly
    loud = point(0, clock="U", EF="E" * 64, ST="M" * 64)[0]
    with pytest.raises(UnreadablePacketError, match="at most 512"):
        read(make_record(METER, [[loud, *({} for _ in range(512))]]))
    # then what is wrong stays short, however often it is
    (shown,) = read(make_record(METER, [[loud, *({} for _ in range(511))]])).points
    assert "clock unknown" in shown.problem
    assert len(shown.problem) <= 200


def test_a_record_is_filed_under_the_time_of_its_last_point() -> None:
    # given a reading of the voltage after the last one of energy
    voltage = point(16)[0] | {"RI": "1-0:32.7.0", "RU": "V", "RV": "230"}
    record = make_record(METER, [point(0), point(15), [voltage]])
    # then where it is filed is where a statement looks for it
    assert identify(split(record)).signed_at == read(record).points[-1].at


def test_two_channels_of_a_meter_have_no_difference() -> None:
    # given two lines that one meter counts, one at each end
    lines = [
        [point(0)[0] | {"RI": "1-1:2.8.0"}],
        [point(15)[0] | {"RI": "1-2:2.8.0", "RV": "1003.000"}],
    ]
    first, last = read(make_record(METER, lines)).points
    # then only one is chosen, and the other end states nothing of it
    assert (first.export_register, last.export_register) == ("2.8.0@1", "")
    assert last.export_milliwh is None
    # and 0, or a letter, is no channel
    for code in ("1-0:2.8.0", "1-b:2.8.e", "01-00:02.08.00*FF"):
        shown = read(make_record(METER, [[point(0)[0] | {"RI": code}]])).points[0]
        assert shown.export_register == "2.8.0"
