"""Limits: each at its edge, what nonsense is refused, and a naive second opinion over random postings."""

import re
from collections import defaultdict
from copy import deepcopy
from dataclasses import asdict, replace
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from settlement.limits import (
    DEFAULTS,
    Candidate,
    CurrencyLimits,
    Limit,
    Limits,
    LimitsError,
    Total,
    Verdict,
    judge,
    keys_of,
    parse,
    plain,
)

DAY = date(2026, 7, 31)
USD = CurrencyLimits(
    minor_units=2,
    line_minor=50,
    posting_minor=100,
    vehicle_day_minor=150,
    account_day_minor=200,
    account_month_minor=300,
    approval_above_minor=80,
)
LIMITS = Limits(currencies={"USD": USD}, account_day_postings=3, vehicle_day_kwh=10, unrated_kw=7)
WIDE = replace(
    LIMITS,
    currencies={"USD": CurrencyLimits(2, 10**9, 10**9, 10**9, 10**9, 10**9, 10**9)},
    account_day_postings=10**6,
    vehicle_day_kwh=10**6,
    unrated_kw=10**4,
)


def posting(amount=10, *, number=1, **changes: Any) -> Candidate:
    given_: dict[str, Any] = {
        "posting_id": f"{number:04}",
        "account": "alice",
        "vehicle_id": "car",
        "currency": "USD",
        "amount_minor": amount,
        "day": DAY,
    }
    return Candidate(**(given_ | changes))


def with_money(**changes: int) -> Limits:
    return replace(WIDE, currencies={"USD": replace(WIDE.currencies["USD"], **changes)})


def verdict_of(one: Candidate, limits: Limits, *before: Candidate) -> tuple[Verdict, set[Limit]]:
    """The verdict on one after others that count."""
    totals: dict[Any, Total] = {}
    judge(before, WIDE, totals, set())
    (judged,) = judge([one], limits, totals, set())
    assert judged.verdict is not None
    return judged.verdict, {finding.limit for finding in judged.findings}


# At the largest amount that passes a limit of 100, and one beyond it on either side.
EDGES = [(99, Verdict.CLEAR), (100, Verdict.CLEAR), (101, Verdict.BREACH)]


@pytest.mark.parametrize("sign", [1, -1], ids=["paid", "taken back"])
@pytest.mark.parametrize(("amount", "verdict"), EDGES)
@pytest.mark.parametrize(
    ("name", "before"),
    [
        ("posting_minor", []),
        ("vehicle_day_minor", [posting(40, account="bob"), posting(-20, account="carol")]),
        ("account_day_minor", [posting(-40, vehicle_id="van"), posting(20, vehicle_id="bus")]),
        (
            "account_month_minor",
            [posting(60, day=date(2026, 7, 1), vehicle_id="van")],
        ),
    ],
)
def test_every_limit_on_money_lets_its_amount_pass_and_not_one_more(
    name, before, amount, verdict, sign
):
    # given what counts already: 0 or 60, whatever its sign
    rest = amount - (60 if before else 0)

    # when one more comes
    found = verdict_of(posting(sign * rest), with_money(**{name: 100}), *before)

    # then the limit itself passes
    assert found == (verdict, {Limit(name)} if verdict is Verdict.BREACH else set())


@pytest.mark.parametrize(
    "other",
    [
        posting(1_000, account="bob", vehicle_id="van"),
        posting(1_000, currency="EUR"),
        posting(1_000, day=date(2026, 6, 30)),
        posting(1_000, day=date(2026, 8, 1)),
    ],
    ids=["others", "another currency", "the month before", "the month after"],
)
def test_what_is_of_another_account_currency_or_month_does_not_count(other):
    limits = with_money(vehicle_day_minor=100, account_day_minor=100, account_month_minor=100)
    wide = {**WIDE.currencies, "EUR": WIDE.currencies["USD"]}
    totals: dict[Any, Total] = {}
    judge([other], replace(WIDE, currencies=wide), totals, set())

    (judged,) = judge([posting(100)], limits, totals, set())

    assert judged.verdict is Verdict.CLEAR


@pytest.mark.parametrize(("amount", "verdict"), [(79, Verdict.CLEAR), (80, Verdict.CLEAR), (81, Verdict.APPROVAL), (-81, Verdict.APPROVAL)])  # fmt: skip
def test_what_is_above_the_threshold_waits_for_approval(amount, verdict):
    found, findings = verdict_of(posting(amount), with_money(approval_above_minor=80))

    assert found is verdict
    assert findings == ({Limit.APPROVAL} if verdict is Verdict.APPROVAL else set())


@pytest.mark.parametrize(("micros", "verdict"), [(499_999, Verdict.CLEAR), (500_000, Verdict.CLEAR), (500_001, Verdict.BREACH)])  # fmt: skip
def test_a_line_is_bounded_to_the_micro(micros, verdict):
    assert verdict_of(posting(line_micros=micros), with_money(line_minor=50))[0] is verdict


@pytest.mark.parametrize(("before", "verdict"), [(1, Verdict.CLEAR), (2, Verdict.CLEAR), (3, Verdict.BREACH)])  # fmt: skip
def test_the_number_of_postings_of_a_day_is_bounded(before, verdict):
    counted = [posting(number=n, vehicle_id=f"car-{n}") for n in range(before)]

    found, findings = verdict_of(posting(), replace(WIDE, account_day_postings=3), *counted)

    assert found is verdict
    assert findings == ({Limit.ACCOUNT_DAY_POSTINGS} if verdict is Verdict.BREACH else set())


# 7 kW over a quarter of an hour are 1.75 kWh; 2 % more 1.785 kWh; and a step of the register.
RATED = 1_786_000


@pytest.mark.parametrize(("milliwh", "verdict"), [(RATED - 1, Verdict.CLEAR), (RATED, Verdict.CLEAR), (RATED + 1, Verdict.BREACH)])  # fmt: skip
def test_a_line_holds_no_more_energy_than_power_times_time_and_two_percent(milliwh, verdict):
    one = posting(line_milliwh=milliwh, line_us=15 * 60 * 1_000_000, line_readings=1)

    found, findings = verdict_of(one, replace(WIDE, unrated_kw=7))

    assert found is verdict
    assert findings == ({Limit.POWER} if verdict is Verdict.BREACH else set())


@pytest.mark.parametrize(("milliwh", "verdict"), [(9_999_999, Verdict.CLEAR), (10_000_000, Verdict.CLEAR), (10_000_001, Verdict.BREACH)])  # fmt: skip
def test_the_energy_of_a_vehicle_and_day_is_bounded(milliwh, verdict):
    assert verdict_of(posting(day_milliwh=milliwh), replace(WIDE, vehicle_day_kwh=10))[0] is verdict


def test_a_currency_without_limits_is_a_breach():
    found, findings = verdict_of(posting(1, currency="XTS"), LIMITS)

    assert (found, findings) == (Verdict.BREACH, {Limit.CURRENCY})


def test_what_breaks_a_limit_holds_its_account_and_counts_nowhere():
    # given a posting that is too large, between others
    totals: dict[Any, Total] = {}
    held: set[str] = set()
    given_ = [posting(10, number=1), posting(101, number=2), posting(10, number=3)]

    # when they are judged
    judged = judge([*given_, posting(10, account="bob")], LIMITS, totals, held)

    # then what follows to the same account is not judged, and others go on
    assert [one.verdict for one in judged] == [Verdict.CLEAR, Verdict.BREACH, None, Verdict.CLEAR]
    assert held == {"alice"}
    assert totals[keys_of(given_[0])[1]] == Total(10, 1)
    assert judged[1].detail == (
        "LIMIT: posting_minor: 1.01 USD in one posting, 1.00 USD allowed;"
        " approval_above_minor: 1.01 USD in one posting, 0.80 USD allowed"
    )
    assert judged[2].detail == "ACCOUNT_HELD: account alice is held"
    assert judged[0].detail == ""


def test_what_waits_for_approval_keeps_its_room():
    totals: dict[Any, Total] = {}
    judged = judge([posting(90, number=1), posting(70, number=2)], LIMITS, totals, set())

    assert [one.verdict for one in judged] == [Verdict.APPROVAL, Verdict.BREACH]
    assert {finding.limit for finding in judged[1].findings} == {Limit.VEHICLE_DAY}


# --- an independent second opinion ---------------------------------------------------------------


def naive(postings: list[Candidate]) -> dict[str, str]:
    """Verdicts by adding everything up anew for each posting; shares nothing with ``judge``."""
    verdicts: dict[str, str] = {}
    for number, one in enumerate(postings):
        earlier = postings[:number]
        if any(verdicts[p.posting_id] == "breach" and p.account == one.account for p in earlier):
            verdicts[one.posting_id] = "held"
            continue
        counted = [p for p in earlier if verdicts[p.posting_id] in ("clear", "approval")]
        counted.append(one)

        def spent(counted=counted, **same: Any) -> int:
            return sum(
                abs(p.amount_minor)
                for p in counted
                if all(getattr(p, name) == value for name, value in same.items())
            )

        month = [p for p in counted if (p.day.year, p.day.month) == (one.day.year, one.day.month)]
        broken = (
            abs(one.amount_minor) > 100
            or spent(vehicle_id=one.vehicle_id, day=one.day) > 150
            or spent(account=one.account, day=one.day) > 200
            or spent(month, account=one.account) > 300
            or len([p for p in counted if (p.account, p.day) == (one.account, one.day)]) > 3
        )
        large = abs(one.amount_minor) > 80
        verdicts[one.posting_id] = "breach" if broken else "approval" if large else "clear"
    return verdicts


POSTINGS = st.lists(
    st.builds(
        posting,
        st.integers(-110, 110),
        account=st.sampled_from(["alice", "bob"]),
        vehicle_id=st.sampled_from(["car", "van", "bus"]),
        day=st.integers(-2, 2).map(lambda days: DAY + timedelta(days=days)),
    ),
    max_size=25,
).map(lambda made: [replace(one, posting_id=f"{n:04}") for n, one in enumerate(made)])


@settings(max_examples=200, deadline=None)
@given(POSTINGS, st.data())
def test_whatever_the_chunks_the_verdicts_are_those_of_the_naive_sums(postings, data):
    # given random postings, cut anywhere
    cuts = data.draw(st.lists(st.integers(0, len(postings)), max_size=4).map(sorted))
    edges = [0, *cuts, len(postings)]

    # when they are judged chunk by chunk
    totals: dict[Any, Total] = {}
    held: set[str] = set()
    judged = [
        one
        for start, end in pairwise(edges)
        for one in judge(postings[start:end], LIMITS, totals, held)
    ]

    # then
    found = {one.candidate.posting_id: one.verdict or "held" for one in judged}
    assert found == naive(postings)


@settings(max_examples=200, deadline=None)
@given(POSTINGS, st.randoms(use_true_random=False))
def test_whether_an_account_is_held_does_not_depend_on_the_order(postings, random):
    # given limits on accounts only: a vehicle's limit strikes whichever account comes last
    own = [replace(one, vehicle_id=f"{one.account}'s {one.posting_id}") for one in postings]
    shuffled = list(own)
    random.shuffle(shuffled)

    # when the same postings come in two orders
    outcomes = []
    for order in (own, shuffled):
        held: set[str] = set()
        totals: dict[Any, Total] = {}
        judge(order, LIMITS, totals, held)
        by_account: dict[str, int] = defaultdict(int)
        for (scope, subject, *_), total in totals.items():
            if scope == "account_month":
                by_account[subject] += total.amount_minor
        outcomes.append((held, {name: by_account[name] for name in {"alice", "bob"} - held}))

    # then the same accounts are held, and to the others the same is paid
    assert outcomes[0] == outcomes[1]


# --- the document ------------------------------------------------------------------------------------


def document() -> dict[str, Any]:
    return deepcopy(plain(LIMITS))


def test_the_defaults_are_limits_and_can_be_written_and_read():
    assert parse(plain(DEFAULTS), "defaults") == DEFAULTS
    assert DEFAULTS.currencies["USD"].approval_above_minor == 100_000


def test_the_page_names_every_limit_with_its_default():
    page = (Path(__file__).parents[2] / "docs" / "limits.md").read_text()
    rows = dict(re.findall(r"^\| `(\w+)` \| .+ \| ([\d,.]+) \|$", page, re.MULTILINE))
    shown = {
        **{
            name: f"{value / 100:,.2f}"
            for name, value in asdict(DEFAULTS.currencies["USD"]).items()
        },
        **{name: f"{value:,}" for name, value in plain(DEFAULTS).items() if isinstance(value, int)},
    }

    assert rows == {name: value for name, value in shown.items() if name != "minor_units"}
    assert set(rows) == {limit.value for limit in Limit} - {"currencies"}


@pytest.mark.parametrize(
    ("change", "where", "expected"),
    [
        ({"line_minor": 0}, "currencies.USD.line_minor", "a whole number from 1"),
        ({"line_minor": -5}, "currencies.USD.line_minor", "a whole number from 1"),
        ({"line_minor": "50"}, "currencies.USD.line_minor", "a whole number from 1"),
        ({"line_minor": 50.0}, "currencies.USD.line_minor", "a whole number from 1"),
        ({"line_minor": True}, "currencies.USD.line_minor", "a whole number from 1"),
        ({"posting_minor": 10**16}, "currencies.USD.posting_minor", "a whole number from 1"),
        ({"minor_units": 7}, "currencies.USD.minor_units", "a whole number from 0 to 6"),
        ({"line_minor": 101}, "currencies.USD.line_minor", "at most posting_minor, which is 100"),
        ({"posting_minor": 79}, "currencies.USD.approval_above_minor", "at most posting_minor, which is 79"),
        ({"vehicle_day_minor": 99}, "currencies.USD.posting_minor", "at most vehicle_day_minor"),
        ({"account_day_minor": 99}, "currencies.USD.posting_minor", "at most account_day_minor"),
        ({"account_month_minor": 199}, "currencies.USD.account_day_minor", "at most account_month_minor"),
        ({"aproval_above_minor": 1}, "currencies.USD.aproval_above_minor", "one of minor_units"),
    ],
)  # fmt: skip
def test_nonsense_about_money_is_refused_by_its_place(change, where, expected):
    said = document()
    said["currencies"]["USD"] |= change

    with pytest.raises(LimitsError, match=r"^limits\.yaml: ") as caught:
        parse(said, "limits.yaml")

    assert caught.value.where == where
    assert expected in caught.value.expected


@pytest.mark.parametrize("name", list(plain(LIMITS)))
def test_a_limit_that_nobody_has_said_is_refused(name):
    said = document()
    del said[name]

    with pytest.raises(LimitsError, match=f"{name}: missing; expected a value"):
        parse(said, "limits.yaml")


@pytest.mark.parametrize("name", list(asdict(USD)))
def test_neither_may_a_currency_leave_one_out(name):
    said = document()
    del said["currencies"]["USD"][name]

    with pytest.raises(LimitsError, match=f"currencies.USD.{name}: missing"):
        parse(said, "limits.yaml")


@pytest.mark.parametrize(
    ("said", "where"),
    [
        (None, ""),
        ([], ""),
        ({**plain(LIMITS), "currencies": {}}, "currencies"),
        ({**plain(LIMITS), "currencies": {"usd": {}}}, "currencies"),
        ({**plain(LIMITS), "currencies": {"USD": 5}}, "currencies.USD"),
        ({**plain(LIMITS), "account_day_postings": 0}, "account_day_postings"),
        ({**plain(LIMITS), "vehicle_day_kwh": -1}, "vehicle_day_kwh"),
        ({**plain(LIMITS), "unrated_kw": 10**5000}, "unrated_kw"),
        ({**plain(LIMITS), "more": 1}, "more"),
    ],
    ids=["nothing", "a list", "no currency", "no code", "no section", "none", "negative", "endless", "more"],
)  # fmt: skip
def test_what_is_no_document_of_limits_is_refused(said, where):
    with pytest.raises(LimitsError) as caught:
        parse(said, "limits.yaml")

    assert caught.value.where == where
