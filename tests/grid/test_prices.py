"""The rules by which a stated price becomes one of ours, as a table of values."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grid.prices import StatedPrice, Unit, currency, micros_per_kwh, once_each
from grid.records import PriceSaid
from grid.times import moment
from settlement.periods import Period
from settlement.timeline import Price, Scope, build
from tests.settlement.frames import example_program

NOW = datetime(2026, 7, 1, tzinfo=UTC)
EVENING = datetime(2026, 7, 1, 17, tzinfo=UTC)
HALF = timedelta(minutes=30)
NEW_YORK, LONDON = ZoneInfo("America/New_York"), ZoneInfo("Europe/London")


@pytest.mark.parametrize(
    ("digits", "unit", "micros"),
    [
        ("0.42000", Unit.KWH, 420_000),
        ("0", Unit.KWH, 0),
        ("-0.0125", Unit.KWH, -12_500),
        ("-0.000001", Unit.KWH, -1),
        ("100", Unit.KWH, 100_000_000),
        ("-100", Unit.KWH, -100_000_000),
        ("0.42000000000", Unit.KWH, 420_000),
        ("42", Unit.MWH, 42_000),
        ("29.991", Unit.MWH, 29_991),
        ("29.99100", Unit.MWH, 29_991),
        ("-150.25", Unit.MWH, -150_250),
        ("100000", Unit.MWH, 100_000_000),
    ],
)
def test_digits_become_the_same_number_as_on_paper(digits, unit, micros):
    assert micros_per_kwh(digits, unit) == micros


@pytest.mark.parametrize(
    ("digits", "unit", "expected"),
    [
        ("0,42", Unit.KWH, 'a decimal as text, such as "0.42000", with at most 6 places'),
        ("1.234,5", Unit.KWH, "a decimal as text"),
        ("1e-1", Unit.KWH, "a decimal as text"),
        ("", Unit.KWH, "a decimal as text"),
        (".5", Unit.KWH, "a decimal as text"),
        ("5.", Unit.KWH, "a decimal as text"),
        ("+0.42", Unit.KWH, "a decimal as text"),
        ("NaN", Unit.KWH, "a decimal as text"),
        ("٠.٤٢", Unit.KWH, "a decimal as text"),
        ("0.42 ", Unit.KWH, "a decimal as text"),
        ("0.4200001", Unit.KWH, "with at most 6 places"),
        ("29.99123", Unit.MWH, 'a decimal as text, such as "42.000", with at most 3 places'),
        ("100.000001", Unit.KWH, "at most 100 per kWh, either sign"),
        ("-100000.001", Unit.MWH, "at most 100000 per MWh, either sign"),
    ],
)
def test_nothing_is_rounded_or_guessed(digits, unit, expected):
    with pytest.raises(ValueError, match=r"^(a decimal|at most)") as caught:
        micros_per_kwh(digits, unit)

    assert expected in str(caught.value)


@given(st.integers(-100_000_000, 100_000_000))
@settings(max_examples=100)
def test_every_price_is_read_back_from_its_digits(micros):
    sign, size = "-" if micros < 0 else "", abs(micros)

    assert micros_per_kwh(f"{sign}{size // 10**6}.{size % 10**6:06}") == micros
    assert micros_per_kwh(f"{sign}{size // 10**3}.{size % 10**3:03}", Unit.MWH) == micros


@pytest.mark.parametrize("code", ["usd", "US", "USDX", "840", "ÜSD", ""])
def test_a_currency_is_three_capital_letters(code):
    assert currency("USD") == "USD"
    with pytest.raises(ValueError, match="an ISO 4217 code, such as USD"):
        currency(code)


def price(micros=420_000, start=EVENING, length=HALF, program="p", code="USD") -> PriceSaid:
    return PriceSaid(program, start, start + length, micros, code, b"", NOW)


def stated(*prices: tuple[PriceSaid, datetime | None]) -> list[StatedPrice]:
    return [
        StatedPrice(f"line {number}", one, made_at)
        for number, (one, made_at) in enumerate(prices, start=1)
    ]


EARLIER, LATER = NOW - timedelta(hours=2), NOW - timedelta(hours=1)
TWICE = {
    "once": ([(price(), None)], [420_000], []),
    "twice the same": ([(price(), None), (price(), None)], [420_000], []),
    "twice the same at different times": ([(price(), EARLIER), (price(), LATER)], [420_000], []),
    "contradictory, no times": (
        [(price(1), None), (price(2), None)],
        [],
        ["line 1", "line 2"],
    ),
    "contradictory, the later one counts": ([(price(1), LATER), (price(2), EARLIER)], [1], []),
    "contradictory, of one time": (
        [(price(1), LATER), (price(2), LATER)],
        [],
        ["line 1", "line 2"],
    ),
    "contradictory, one of them without a time": (
        [(price(1), LATER), (price(2), None)],
        [],
        ["line 1", "line 2"],
    ),
    "three, the last two alike": (
        [(price(1), EARLIER), (price(2), LATER), (price(2), LATER)],
        [2],
        [],
    ),
    "three, the last two contradictory": (
        [(price(1), EARLIER), (price(2), LATER), (price(3), LATER)],
        [],
        ["line 1", "line 2", "line 3"],
    ),
    "another currency is another content": (
        [(price(), None), (price(code="EUR"), None)],
        [],
        ["line 1", "line 2"],
    ),
    "another program is another price": (
        [(price(1), None), (price(2, program="q"), None)],
        [1, 2],
        [],
    ),
    "another length is another interval": (
        [(price(1), None), (price(2, length=2 * HALF), None)],
        [1, 2],
        [],
    ),
    "one bad interval and a good one": (
        [(price(1), None), (price(2), None), (price(3, start=EVENING + HALF), None)],
        [3],
        ["line 1", "line 2"],
    ),
}


@pytest.mark.parametrize(("said", "kept", "refused"), TWICE.values(), ids=TWICE)
def test_an_interval_is_stated_once_or_not_at_all(said, kept, refused):
    found, refusals = once_each(stated(*said))

    assert [one.price_micros_per_kwh for one in found] == kept
    assert [one.where for one in refusals] == refused


def test_a_contradiction_names_both_places_and_what_stands_there():
    _, (first, _) = once_each(stated((price(1), None), (price(-2), None)))

    assert str(first) == (
        "line 1: 1 micros USD per kWh for 'p' from 2026-07-01T17:00:00+00:00 to"
        " 2026-07-01T17:30:00+00:00, and another price at line 2; expected one price of an interval,"
        " or times of creation that tell the last one"
    )


@pytest.mark.parametrize(
    ("text", "zone", "fold", "expected"),
    [
        ("2026-07-01T17:00:00Z", None, None, "2026-07-01T17:00:00"),
        ("2026-07-01T17:00:00.5+02:00", None, None, "2026-07-01T15:00:00.500000"),
        ("2026-07-01 12:00", NEW_YORK, None, "2026-07-01T16:00:00"),
        ("2026-12-01 12:00", NEW_YORK, None, "2026-12-01T17:00:00"),
        # an offset says more than the zone
        ("2026-11-01T01:30:00-05:00", NEW_YORK, None, "2026-11-01T06:30:00"),
        ("2026-11-01 01:30", NEW_YORK, 0, "2026-11-01T05:30:00"),
        ("2026-11-01 01:30", NEW_YORK, 1, "2026-11-01T06:30:00"),
        # a fold where nothing happens twice says nothing
        ("2026-11-01 03:30", NEW_YORK, 1, "2026-11-01T08:30:00"),
        ("2026-10-25 01:00", LONDON, 1, "2026-10-25T01:00:00"),
        ("2026-10-25 01:00", LONDON, 0, "2026-10-25T00:00:00"),
        # the first instants before and after the clocks change
        ("2026-03-08 01:59:59", NEW_YORK, None, "2026-03-08T06:59:59"),
        ("2026-03-08 03:00", NEW_YORK, None, "2026-03-08T07:00:00"),
        ("2026-11-01 02:00", NEW_YORK, None, "2026-11-01T07:00:00"),
    ],
)
def test_a_time_is_one_moment(text, zone, fold, expected):
    assert moment(text, zone=zone, fold=fold) == datetime.fromisoformat(f"{expected}+00:00")


@pytest.mark.parametrize(
    ("text", "zone", "fold", "expected"),
    [
        ("2026-07-01 12:00", None, None, "a time with its offset, or timezone:"),
        (
            "2026-11-01 01:30",
            NEW_YORK,
            None,
            "an offset (2026-11-01T01:30:00-04:00 or 2026-11-01T01:30:00-05:00), or in CSV a fold",
        ),
        ("2026-03-08 02:30", NEW_YORK, None, "a time that exists in America/New_York"),
        ("2026-03-08 02:30", NEW_YORK, 0, "a time that exists in America/New_York"),
        ("2026-03-29 01:30", LONDON, 1, "a time that exists in Europe/London"),
        ("01.07.2026 12:00", NEW_YORK, None, "a time such as 2026-07-01T17:00:00Z"),
        ("2026-02-30 12:00", NEW_YORK, None, "a time such as"),
        ("2026-07-01 24:00", NEW_YORK, None, "a time such as"),
        ("2026-07-01", NEW_YORK, None, "a time such as"),
        ("1999-07-01T12:00:00Z", None, None, "a time from 2020 to 2100"),
        ("0001-01-01T00:00:00+14:00", None, None, "a time "),
    ],
)
def test_a_time_that_could_be_two_or_none_is_refused(text, zone, fold, expected):
    with pytest.raises(ValueError, match=r"^a") as caught:
        moment(text, zone=zone, fold=fold)

    assert str(caught.value).startswith(expected)


@pytest.mark.parametrize(
    ("day", "hours"), [("2026-03-08", 23), ("2026-07-01", 24), ("2026-11-01", 25)]
)
def test_a_day_of_local_hours_covers_every_moment_once(day, hours):
    # given the hours of a local day as its zone shows them, with the fold where one happens twice
    start = datetime.fromisoformat(day).replace(tzinfo=NEW_YORK).astimezone(UTC)
    shown = [(start + timedelta(hours=number)).astimezone(NEW_YORK) for number in range(hours + 1)]

    # when they are read back
    read = [
        moment(one.replace(tzinfo=None).isoformat(), zone=NEW_YORK, fold=one.fold) for one in shown
    ]

    # then they follow each other without a gap and without an overlap, to the next midnight
    assert read == [start + timedelta(hours=number) for number in range(hours + 1)]
    assert (shown[-1].hour, shown[-1].date() - shown[0].date()) == (0, timedelta(days=1))


def covering(*said: tuple[int, int, int, int]) -> list[int | None]:
    """The price of each quarter of an hour, of prices (from, to, micros, received), by quarters."""
    at = [EVENING + number * HALF / 2 for number in range(5)]
    prices = [
        Price("p", at[start], at[end], micros, NOW + timedelta(seconds=received))
        for start, end, micros, received in said
    ]
    program = example_program()
    timeline = build([], prices, Scope(program, [program], Period(at[0], at[4])))
    return [
        next(
            row["price_micros_per_kwh"]
            for row in timeline.iter_rows(named=True)
            if row["started_at"] <= start < row["ended_at"]
        )
        for start in at[:4]
    ]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        # a gap stays a gap
        ([(0, 1, 10, 0), (3, 4, 20, 0)], [10, None, None, 20]),
        # an hour, and later a quarter of it
        ([(0, 4, 10, 0), (1, 2, 20, 5)], [10, 20, 10, 10]),
        # a quarter, and later the whole hour
        ([(1, 2, 20, 0), (0, 4, 10, 5)], [10, 10, 10, 10]),
        # received at one time, the one that starts later
        ([(1, 3, 20, 0), (0, 2, 10, 0)], [10, 20, 20, None]),
        # negative is a price like another
        ([(0, 4, -10, 0)], [-10, -10, -10, -10]),
    ],
    ids=["gap", "shorter later", "longer later", "at one time", "negative"],
)
def test_overlapping_prices_the_one_received_last_counts(said, expected):
    assert covering(*said) == expected
