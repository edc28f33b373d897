"""Prices: exact in micros per kWh from the documents that say them, or refused by name."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grid.sep2 import currencies, tariffs
from grid.sep2.errors import Sep2Error
from grid.sep2.price import TariffPrice, chosen, micros_per_kwh
from grid.sep2.price import price as exact
from grid.sep2.tariffs import FORWARD, REVERSE, Step
from settlement import units
from tests.grid.sep2 import written
from tests.grid.sep2.written import element

MRID = "70000000000000000000000100009F1C"


def profile(**changes: object) -> bytes:
    said: dict[str, object] = {
        "currency": 840, "pricePowerOfTenMultiplier": -4, "primacy": 0, "serviceCategoryKind": 0,
    } | changes  # fmt: skip
    parts = [element(name, value) for name, value in said.items() if value is not None]
    link = '<RateComponentListLink href="/tp/1/rc" all="1"/>'
    return written.document(
        element("TariffProfile", element("mRID", MRID), *parts, link, href="/tp/1")
    )


def component(**changes: str) -> bytes:
    links = {
        "ReadingTypeLink": '<ReadingTypeLink href="/rt/2"/>',
        "TimeTariffIntervalListLink": '<TimeTariffIntervalListLink href="/tp/1/rc/2/tti"/>',
    } | changes
    parts = (element("mRID", "80"), element("roleFlags", "00"), *links.values())
    return written.document(element("RateComponent", *parts, href="/tp/1/rc/2"))


def reading(**changes: object) -> bytes:
    said: dict[str, object] = {
        "commodity": 2, "flowDirection": 19, "powerOfTenMultiplier": 3, "uom": 72,
    } | changes  # fmt: skip
    parts = [element(name, value) for name, value in said.items() if value is not None]
    return written.document(element("ReadingType", *parts, href="/rt/2"))


def interval(
    changes: dict[str, object] | None = None, *, mrid: str = "94", steps_href: str = "/cti/1"
) -> bytes:
    more = f'<ConsumptionTariffIntervalListLink href="{steps_href}" all="1"/>'
    said = {"mRID": mrid, "duration": 300, "DERControlBase": None, "more": more}
    text = written.control(said | (changes or {}), href=f"/tp/1/rc/2/tti/{mrid}")
    return written.document(text.replace("DERControl", "TimeTariffInterval"))


def step(price: object | None = 2145, start: object = 0, block: object = 0) -> str:
    parts = [element("consumptionBlock", block), element("startValue", start)]
    return element(
        "ConsumptionTariffInterval", *parts, "" if price is None else element("price", price)
    )


def steps(*each: str, all: int | None = None) -> bytes:  # noqa: A002
    count = len(each)
    return written.document(
        element(
            "ConsumptionTariffIntervalList",
            *each,
            href="/cti/1",
            all=count if all is None else all,
            results=count,
        )
    )


def price(
    of: bytes | None = None,
    per: bytes | None = None,
    steps_of: bytes | None = None,
    when: bytes | None = None,
) -> TariffPrice:
    return exact(
        tariffs.tariffs(profile() if of is None else of, where="/tp").items[0],
        tariffs.components(component(), where="/rc").items[0],
        tariffs.reading(reading() if per is None else per, where="/rt"),
        tariffs.intervals(interval() if when is None else when, where="/tti").items[0],
        tariffs.steps(steps(step()) if steps_of is None else steps_of, where="/cti"),
        where="/tti",
    )


# --- what a price is --------------------------------------------------------------------------------


def test_a_price_is_put_together_from_what_four_documents_say():
    made = price()
    assert made.micros_per_kwh == 214_500
    assert (made.flow, made.currency) == (REVERSE, "USD")
    assert made.started_at == datetime.fromtimestamp(written.START, UTC)
    assert made.ended_at - made.started_at == timedelta(minutes=5)
    assert (made.tariff, made.component, made.interval) == (MRID.lower(), "80", "94")
    assert made.cancelled_at is None


@pytest.mark.parametrize(
    ("number", "power", "reading_power", "micros"),
    [
        (2145, -4, 3, 214_500),
        (-2145, -4, 3, -214_500),  # a negative price is one
        (0, 9, 3, 0),
        (45, 0, 6, 45_000),  # per MWh
        (1, -6, 3, 1),  # the least
        (1, -9, 0, 1),  # per Wh
        (2, -6, 1, 200),  # per 10 Wh
        (100, 0, 3, units.PRICE_MAX_MICROS_PER_KWH),
        (-100, 0, 3, -units.PRICE_MAX_MICROS_PER_KWH),
        (2**31 - 1, -9, 3, None),  # not whole
        (1, -7, 3, None),
        (1, 0, 9, 1),
        (1, -1, 9, None),
        (101, 0, 3, None),  # out of bounds
        (2**31 - 1, 9, -9, None),
        (-(2**31), 9, -9, None),
    ],
)
def test_powers_of_ten_are_exact_or_refused(
    number: int, power: int, reading_power: int, micros: int | None
):
    read = (
        profile(pricePowerOfTenMultiplier=power),
        reading(powerOfTenMultiplier=reading_power),
        steps(step(number)),
    )
    if micros is None:
        with pytest.raises(Sep2Error, match=f"^/tti: {number} times ten to the {power} per ten"):
            price(*read)
    else:
        assert price(*read).micros_per_kwh == micros


@given(st.integers(-(2**31), 2**31 - 1), st.integers(-9, 9), st.integers(-9, 9))
def test_a_price_is_what_fractions_say_or_is_none(number: int, power: int, reading_power: int):
    exact = Fraction(number) * Fraction(10) ** (power + 6 + 3 - reading_power)
    fits = exact.denominator == 1 and abs(exact) <= units.PRICE_MAX_MICROS_PER_KWH
    try:
        made = micros_per_kwh(number, power, reading_power, where="")
    except Sep2Error:
        assert not fits
    else:
        assert fits
        assert made == exact


def test_what_a_tariff_leaves_out_has_the_standards_default():
    # given no powers of ten: whole units per watt-hour
    of = profile(pricePowerOfTenMultiplier=None)
    per = reading(powerOfTenMultiplier=None)
    with pytest.raises(Sep2Error, match="at most 100 per kWh"):
        price(of, per, steps(step(1)))
    assert price(of, per, steps(step(0))).micros_per_kwh == 0
    # and no currency is none
    with pytest.raises(Sep2Error, match="a tariff without a currency"):
        price(profile(currency=None))


def test_the_flow_says_whether_it_is_the_price_of_export():
    assert price(per=reading(flowDirection=19)).flow == REVERSE
    assert price(per=reading(flowDirection=1)).flow == FORWARD
    assert price(per=reading(flowDirection=None)).flow == 0


def test_a_cancelled_price_says_since_when():
    made = price(when=interval({"currentStatus": 2, "dateTime": written.START + 60}))
    assert made.cancelled_at == made.started_at + timedelta(minutes=1)


@pytest.mark.parametrize(
    ("of", "per", "steps_of", "said"),
    [
        (None, reading(uom=73), None, "a price per uom 73; expected per watt-hour, 72"),
        (None, reading(uom=None), None, "a price per uom 0"),
        (profile(currency=0), None, None, "a tariff without a currency"),
        (None, None, steps(), "0 steps of consumption; expected one"),
        (None, None, steps(step(), step(9, 100, 1)), "2 steps of consumption"),
        (None, None, steps(step(), all=2), "2 steps of consumption"),
        (None, None, steps(step(start=10)), "a step from 10 on"),
        (None, None, steps(step(price=None)), "a step without a price"),
        (None, None, steps(step("0.2145")), "price: '0.2145'; expected a whole number"),
        (None, None, steps(step(2**31)), "price: 2147483648"),
    ],
)
def test_what_does_not_make_one_price_is_refused(
    of: bytes | None, per: bytes | None, steps_of: bytes | None, said: str
):
    with pytest.raises(Sep2Error) as caught:
        price(of, per, steps_of)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (profile(currency=1), "currency: 1; expected a number of ISO 4217"),
        (profile(currency=959), "currency: 959"),  # gold
        (profile(currency="USD"), "currency: 'USD'"),
        (profile(pricePowerOfTenMultiplier=10), "pricePowerOfTenMultiplier: 10"),
        (profile(primacy=256), "primacy: 256"),
        (profile(primacy=None), "primacy: nothing"),
    ],
)
def test_a_tariff_that_does_not_fit_is_refused_by_the_fields_name(body: bytes, said: str):
    page = tariffs.tariffs(body, where="/tp")
    assert page.items == ()
    assert said in str(page.refused[0])


def test_a_component_needs_its_links():
    for name in ("ReadingTypeLink", "TimeTariffIntervalListLink"):
        (refused,) = tariffs.components(component(**{name: ""}), where="/rc").refused
        assert str(refused) == f"/rc, line 2, {name}: no link; expected an element with an href"


def test_documents_of_another_kind_are_refused():
    for read in (tariffs.tariffs, tariffs.components, tariffs.intervals, tariffs.steps):
        with pytest.raises(Sep2Error, match="the root 'ReadingType'"):
            read(reading(), where="/x")
    with pytest.raises(Sep2Error, match="expected a ReadingType"):
        tariffs.reading(profile(), where="/x")


# --- several prices for one time --------------------------------------------------------------------


def test_the_same_price_twice_counts_once_and_of_two_the_one_created_last():
    first = price()
    assert chosen([first, first]) == ([first], [])
    newer = replace(first, micros_per_kwh=1, created_at=first.created_at + timedelta(seconds=1))
    assert chosen([newer, first]) == ([newer], [])
    changed = replace(first, micros_per_kwh=2, version=first.version + 1)
    assert chosen([first, changed]) == ([changed], [])


def test_two_prices_of_one_time_and_one_creation_are_both_refused_by_name():
    first = price()
    other = replace(first, interval="95", micros_per_kwh=-1)
    kept, refused = chosen([first, other])
    assert kept == []
    assert [one.where for one in refused] == ["TimeTariffInterval 94", "TimeTariffInterval 95"]
    assert "-1 micros per kWh from 2026-11-23T02:43:16Z on" in str(refused[1])
    # elsewhere or at another time there is no contradiction
    elsewhere = replace(other, component="81")
    assert chosen([first, elsewhere]) == ([first, elsewhere], [])


# --- currencies -------------------------------------------------------------------------------------


def test_currencies_are_those_that_are_paid_in():
    for number, letters in [(840, "USD"), (978, "EUR"), (36, "AUD"), (8, "ALL"), (826, "GBP")]:
        assert currencies.letters(number) == letters
    named = [name for number in range(1000) if (name := currencies.letters(number))]
    assert len(named) == len(set(named)) > 150
    assert all(len(name) == 3 and name.isupper() and name.isascii() for name in named)
    assert currencies.letters(0) == ""
    assert currencies.letters(961) is None


def test_a_step_is_read_as_it_is():
    (read,) = tariffs.steps(steps(step(-5, 7, 2)), where="").items
    assert read == Step(href="", block=2, number=-5, start=7)
