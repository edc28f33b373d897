"""Decimal text as exact integers."""

import pytest

from settlement.decimals import MAX_WHOLE_DIGITS, decimal_text


@pytest.mark.parametrize(
    ("text", "places", "count"),
    [
        ("0", 0, 0),
        ("-0", 3, 0),
        ("7", 0, 7),
        ("7", 3, 7_000),
        ("-0.5", 3, -500),
        ("0.05", 2, 5),
        ("12345.678", 3, 12_345_678),
        ("007", 1, 70),
        ("9" * MAX_WHOLE_DIGITS, 2, int("9" * MAX_WHOLE_DIGITS) * 100),
    ],
)
def test_decimal_text_is_an_exact_count_of_its_smallest_unit(text, places, count):
    assert decimal_text(text, places) == count


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-",
        ".",
        ".5",  # no digit before the point
        "5.",  # no digit after it
        "1.2.3",
        "0.1234",  # more places than asked for
        "9" * (MAX_WHOLE_DIGITS + 1),
        "--5",
        "+5",
        " 5",
        "5 ",
        "5\n",
        "1_000",  # int() would take it
        "1,5",
        "٣",  # a digit, not of ASCII; int() would take it
        "²",
        "1e3",
        "nan",
        "0x10",
    ],
)
def test_all_else_is_refused_with_the_text_that_was_found(text):
    with pytest.raises(ValueError) as caught:
        decimal_text(text, 3)

    assert caught.value.args == (text,)
