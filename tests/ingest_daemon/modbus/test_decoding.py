"""Registers as a temperature: exact, in their unit, and never in a guessed order of words."""

import struct
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest_daemon.modbus.decoding import said
from ingest_daemon.modbus.plan import Sensor, Spot
from settlement.sensors import Limits, Quality

FORMATS = {"int16": ">h", "uint16": ">H", "int32": ">i", "uint32": ">I", "float32": ">f"}


def sensor(kind="int16", **fields) -> Sensor:
    return Sensor("s", True, kind, Spot(0, 0), Limits(), **fields)


def raw(kind: str, number: float) -> bytes:
    return struct.pack(FORMATS[kind], number)


def swapped(value: bytes) -> bytes:
    return value[2:] + value[:2]


@pytest.mark.parametrize(
    ("number", "factor", "expected"),
    [
        (215, 0xFFFF, 21_500),
        (-15, 0xFFFF, -1_500),
        (3, 1, 30_000),
        (2155, 0xFFFE, 21_550),
        (38, 0, 38_000),
    ],
)
def test_a_scale_factor_is_a_power_of_ten(number, factor, expected):
    assert said(sensor(), raw("int16", number), factor).millicelsius == expected


@pytest.mark.parametrize("factor", [0x8000, 11, 0xFFF5, 0x7FFF])
def test_a_scale_factor_that_is_none_makes_no_temperature(factor):
    found = said(sensor(), raw("int16", 215), factor)
    assert (found.millicelsius, found.quality) == (None, Quality.GARBLED)
    assert "expected -10 to 10" in found.detail


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("int16", b"\x80\0"),
        ("uint16", b"\xff\xff"),
        ("int32", b"\x80\0\0\0"),
        ("uint32", b"\xff\xff\xff\xff"),
        ("float32", b"\x7f\xc0\0\0"),
        ("float32", b"\xff\x80\0\x01"),
    ],
)
def test_what_says_not_implemented_is_no_reading(kind, value):
    assert said(sensor(kind), value, None).quality is Quality.NOT_IMPLEMENTED
    assert (
        said(sensor(kind, words="little"), swapped(value), None).quality is Quality.NOT_IMPLEMENTED
    )


def test_a_value_that_the_file_calls_missing_is_no_reading():
    odd = sensor(missing=frozenset({-999}))
    assert said(odd, raw("int16", -999), None).quality is Quality.NOT_IMPLEMENTED
    assert said(odd, raw("int16", 99), None).millicelsius == 99_000


@pytest.mark.parametrize(
    ("unit", "number", "expected"),
    [("C", 250, 25_000), ("K", 2982, 25_050), ("F", 770, 25_000), ("F", 771, 25_056)],
)
def test_units_become_celsius(unit, number, expected):
    found = said(sensor(unit=unit, scale=Fraction(1, 10)), raw("int16", number), None)
    assert found.millicelsius == expected


@pytest.mark.parametrize("number", [float("inf"), -float("inf"), 2.3e-41, -1e-7, -0.0])
def test_a_float_that_no_thermometer_says_is_garbled(number):
    assert said(sensor("float32"), raw("float32", number), None).quality is Quality.GARBLED


def test_zero_and_other_equal_words_have_no_order():
    assert said(sensor("float32"), raw("float32", 0.0), None).certain
    assert said(sensor("int32", scale=Fraction(1, 10_000)), b"\0\x05\0\x05", None).certain


@pytest.mark.parametrize(
    ("kind", "number", "scale"),
    [
        ("float32", 36.6, 1),
        ("float32", 25.0, 1),
        ("int32", 2500, Fraction(1, 100)),
        ("uint32", 25, 1),
    ],
)
def test_words_the_other_way_round_are_recognised_and_are_no_value(kind, number, scale):
    for words, order in (("big", swapped), ("little", bytes)):
        found = said(
            sensor(kind, words=words, scale=Fraction(scale)), order(raw(kind, number)), None
        )
        assert (found.millicelsius, found.quality) == (None, Quality.GARBLED)
        assert "with its words the other way round" in found.detail
        assert not found.certain


def test_what_is_a_temperature_in_both_orders_is_uncertain():
    found = said(sensor("float32"), b"\x42\x10\x3c\0", None)
    assert (found.millicelsius, found.certain) == (36_059, False)


@given(st.integers(-(2**31), 2**31 - 1), st.sampled_from([1, 10, 1000, 100_000]))
def test_an_int32_is_exact_or_nothing(number, divisor):
    found = said(sensor("int32", scale=Fraction(1, divisor)), raw("int32", number), None)
    assert found.millicelsius in (round(Fraction(1000 * number, divisor)), None)


@given(st.floats(0.015625, 150, width=32))
def test_a_float_in_range_is_itself_to_the_millidegree_and_swapped_never(number):
    value = raw("float32", number)
    straight = said(sensor("float32"), value, None)
    turned = said(sensor("float32"), swapped(value), None)
    assert straight.millicelsius == round(Fraction(number) * 1000)
    if value[:2] != value[2:]:
        assert turned.millicelsius is None or not turned.certain
