"""What a run adds to the books, whose it is, and what it does not add."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from settlement.booking import (
    Allocation,
    Booked,
    CurrencyChangedError,
    Difference,
    Entry,
    Key,
    Kind,
    MissingTermsError,
    Movement,
    Policy,
    Revised,
    Revision,
    Share,
    ShareError,
    TwoSettlementsError,
    allocate,
    payments,
    revisions,
)
from settlement.pricing import Priced
from settlement.programs import Correction
from tests.settlement.matched import PROGRAM, at, priced, row, tariff, unpaid_row

DELTA = Policy(Correction.DELTA, 0, 10_000)
LEDGER = Policy(Correction.REVERSE_AND_REBOOK, 0, 10_000)
POLICIES = pytest.mark.parametrize("policy", [DELTA, LEDGER], ids=["delta", "reverse and rebook"])

OWNER = (Share("owner", "alice", 1_000_000),)
SPLIT = (
    Share("owner", "alice", 700_000),
    Share("site_host", "depot", 200_000),
    Share("aggregator", "fleet", 100_000),
)
CAR: Key = (PROGRAM, "peak", "car")


class Books:
    """The books as dictionaries: what a database keeps, without one."""

    def __init__(self, policy: Policy = DELTA, shares: Sequence[Share] = SPLIT) -> None:
        self.policy = policy
        self.shares: dict[str, Sequence[Share]] = {"contract-car": shares, "contract-van": OWNER}
        self.closed: frozenset[tuple[str, str]] = frozenset()
        self.booked: dict[Key, Booked] = {}
        self.journal: list[Entry] = []
        self.standing: dict[Key, Revision] = {}

    def compare(self, run: Priced) -> Revised:
        return revisions(
            run.settlements,
            run.lines,
            self.booked,
            self.shares,
            {PROGRAM: self.policy},
            self.closed,
        )

    def take(self, run: Priced) -> list[Revision]:
        new = self.compare(run).revisions
        for one in new:
            s = one.settlement
            key = (str(s["program"]), str(s["event_id"]), str(s["vehicle_id"]))
            amounts = dict(self.booked[key].amounts) if key in self.booked else {}
            for m in one.movements:
                amounts[m.role, m.account] = amounts.get((m.role, m.account), 0) + m.amount_minor
            self.booked[key] = Booked(
                one.settlement_id,
                one.supersedes,
                one.revision,
                str(s["currency"]),
                int(str(s["program_version"])),
                amounts,
            )
            self.journal += one.entries
            self.standing[key] = one
        return new

    def owed(self) -> dict[str, int]:
        """Balances of the journal, those of nothing left out."""
        balances: dict[str, int] = {}
        for entry in self.journal:
            balances[entry.account] = balances.get(entry.account, 0) + entry.amount_minor
        return {account: balance for account, balance in sorted(balances.items()) if balance}


def car(
    milliwh: int, start: str = "17:00", end: str = "17:30", **changes: object
) -> dict[str, object]:
    return row("car", at(start), at(end), milliwh, **changes)


CENT = 23_810
"""0.01 at 0.42 per kWh."""

FIRST = car(3_000_000)  # 1.26
LATE = car(3_000_001, "17:30", "18:00")
VAN = row("van", at("17:00"), at("17:30"), 1_000_000)  # 0.42
NOTHING = priced()


def amount(one: Revision) -> int:
    minor = one.settlement["amount_minor"]
    assert isinstance(minor, int)
    return minor


# --- shares -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("minor", "ppm", "parts"),
    [
        (126, [700_000, 200_000, 100_000], [88, 25, 13]),  # 88.2, 25.2, 12.6
        (-126, [700_000, 200_000, 100_000], [-88, -25, -13]),
        (1, [500_000, 500_000], [1, 0]),
        (-1, [500_000, 500_000], [-1, 0]),
        (100, [333_333, 333_333, 333_334], [33, 33, 34]),
        (5, [250_000, 250_000, 250_000, 250_000], [2, 1, 1, 1]),
        (0, [500_000, 500_000], [0, 0]),
        (7, [0, 1_000_000], [0, 7]),
        (10**15, [333_333, 666_667], [333_333 * 10**9, 666_667 * 10**9]),
    ],
    ids=str,
)
def test_an_amount_is_divided_by_largest_remainder_and_ties_go_by_key(
    minor: int, ppm: list[int], parts: list[int]
) -> None:
    # given shares in the reverse order of their accounts
    shares = [Share("owner", f"account-{n}", share) for n, share in enumerate(ppm)][::-1]
    # when
    allocated = allocate(minor, shares)
    # then
    assert allocated == tuple(
        Allocation("owner", f"account-{n}", part) for n, part in enumerate(parts)
    )


def test_ties_go_by_role_before_account() -> None:
    shares = [Share("owner", "a", 500_000), Share("aggregator", "z", 500_000)]
    assert allocate(1, shares)[0] == Allocation("aggregator", "z", 1)


@st.composite
def shares_of_one(draw: st.DrawFn) -> list[Share]:
    cuts = sorted(
        draw(st.lists(st.integers(0, 10**6) | st.sampled_from([250_000, 500_000]), max_size=6))
    )
    parts = [high - low for low, high in zip([0, *cuts], [*cuts, 10**6], strict=True)]
    return [
        Share(draw(st.sampled_from(["owner", "site_host", "aggregator"])), f"a-{n}", part)
        for n, part in enumerate(parts)
    ]


@settings(max_examples=300, deadline=None)
@given(minor=st.integers(-(10**15), 10**15) | st.integers(-20, 20), shares=shares_of_one())
def test_allocations_sum_to_the_amount_and_each_is_within_one_of_its_share(
    minor: int, shares: list[Share]
) -> None:
    # given any amount and shares, when it is divided by them (P24)
    allocated = allocate(minor, shares)
    # then
    assert sum(one.amount_minor for one in allocated) == minor
    exact = {(s.role, s.account): Fraction(minor * s.share_ppm, 10**6) for s in shares}
    assert all(abs(a.amount_minor - exact[a.role, a.account]) < 1 for a in allocated)
    # and what is taken back mirrors what was given, in whatever order shares come
    mirrored = tuple(replace(one, amount_minor=-one.amount_minor) for one in allocated)
    assert allocate(-minor, shares[::-1]) == mirrored


@pytest.mark.parametrize(
    ("shares", "told"),
    [
        ([], "a sum of 0 ppm"),
        ([Share("owner", "a", 999_999)], "a sum of 999999 ppm; expected 1000000 ppm"),
        ([Share("owner", "a", 1_000_001), Share("owner", "b", -1)], "1000001 ppm for owner a"),
        ([Share("owner", "a", 500_000), Share("owner", "a", 500_000)], "an account twice"),
        ([Share("thief", "a", 1_000_000)], "a role 'thief'"),
    ],
    ids=["none", "less than one", "negative", "twice", "unknown role"],
)
def test_shares_that_do_not_divide_a_whole_are_refused(shares: list[Share], told: str) -> None:
    with pytest.raises(ShareError, match=told):
        allocate(100, shares)


# --- the first booking, and the same again ----------------------------------------------------------


@POLICIES
def test_a_first_booking_pays_out_to_each_account_by_its_share(policy: Policy) -> None:
    # given, when
    (one,) = Books(policy).take(priced(FIRST))
    # then
    assert one.allocations == (
        Allocation("aggregator", "fleet", 13),
        Allocation("owner", "alice", 88),
        Allocation("site_host", "depot", 25),
    )
    assert one.movements == tuple(
        Movement(Kind.PAYOUT, a.role, a.account, a.amount_minor) for a in one.allocations
    )
    assert one.entries == (
        Entry(Kind.PAYOUT, f"receivable:utility:{PROGRAM}", "USD", 126),
        Entry(Kind.PAYOUT, "payable:aggregator:fleet", "USD", -13),
        Entry(Kind.PAYOUT, "payable:owner:alice", "USD", -88),
        Entry(Kind.PAYOUT, "payable:site_host:depot", "USD", -25),
    )
    assert (one.revision, one.supersedes, one.adjustment_minor) == (1, None, 126)


@POLICIES
def test_settling_twice_books_once(policy: Policy) -> None:
    books = Books(policy)
    assert len(books.take(priced(FIRST, VAN))) == 2
    assert books.take(priced(VAN, FIRST)) == []


def test_a_settlement_of_nothing_is_recorded_and_moves_nothing() -> None:
    # given, when
    books = Books()
    (one,) = books.take(priced(car(1)))
    # then
    assert (one.revision, one.allocations, one.movements, one.entries) == (1, (), (), ())
    # and what comes of it later is a payout
    (two,) = books.take(priced(FIRST))
    assert {m.kind for m in two.movements} == {Kind.PAYOUT}


def test_a_penalty_is_taken_from_each_account_by_its_share() -> None:
    # given an order of 2 kW of which nothing came: -1.10 at 0.55 per kW
    terms = {"price_per_kw": "0.35", "penalty_per_kw": "0.55"}
    run = priced(car(0, end="18:00", ordered_w=2_000), program=tariff(product="order", order=terms))
    # when
    (one,) = Books().take(run)
    # then
    assert [m.amount_minor for m in one.movements] == [-11, -77, -22]
    assert [entry.amount_minor for entry in one.entries] == [-110, 11, 77, 22]


def test_the_same_content_has_the_same_id_on_every_machine() -> None:
    (one,) = Books().take(priced(FIRST, LATE))
    (other,) = Books().take(priced(LATE, FIRST))
    assert one.settlement_id == other.settlement_id
    assert len(one.lines) == 2
    assert one.lines == other.lines


def test_an_id_follows_from_lines_shares_and_what_it_supersedes() -> None:
    # given the same amount from other lines, to other accounts, after another
    books = Books()
    ids = [books.take(run)[0].settlement_id for run in (priced(FIRST), priced(LATE), priced(FIRST))]
    ids += [Books().take(priced(LATE))[0].settlement_id]
    ids += [Books(shares=OWNER).take(priced(FIRST))[0].settlement_id]
    # when, then
    assert len(set(ids)) == 5


# --- corrections ------------------------------------------------------------------------------------


def test_a_difference_is_booked_per_account_on_what_it_corrects() -> None:
    # given a settlement of 1.26 that was booked before a late packet came
    books = Books()
    (first,) = books.take(priced(FIRST))
    # when the period is settled again with it: 2.52, of which 176.4, 50.4 and 25.2; the cent that is
    # left over is owed to two alike, and goes to the owner by the order of roles
    (second,) = books.take(priced(FIRST, LATE))
    # then
    assert (second.supersedes, second.revision) == (first.settlement_id, 2)
    assert second.movements == (
        Movement(Kind.ADJUSTMENT, "aggregator", "fleet", 25 - 13),
        Movement(Kind.ADJUSTMENT, "owner", "alice", 177 - 88),
        Movement(Kind.ADJUSTMENT, "site_host", "depot", 50 - 25),
    )
    assert second.adjustment_minor == amount(second) - amount(first) == 126


def test_the_new_total_is_divided_and_not_the_difference() -> None:
    # given 0.01 for two, which goes to the first of them
    halves = (Share("owner", "a", 500_000), Share("owner", "b", 500_000))
    books = Books(shares=halves)
    books.take(priced(car(23_810)))
    assert books.owed()["payable:owner:a"] == -1
    # when it becomes 0.02, 0.03, 0.04: each time one more
    for cents in (2, 3, 4):
        books.take(priced(car(23_810 * cents)))
    # then both have the same; dividing each difference would have given all to the first
    assert (books.owed()["payable:owner:a"], books.owed()["payable:owner:b"]) == (-2, -2)


def test_a_ledger_counterparty_sees_all_reversed_and_rebooked() -> None:
    # given
    books = Books(LEDGER)
    books.take(priced(FIRST))
    # when
    (second,) = books.take(priced(FIRST, LATE))
    # then
    assert [(m.kind.value, m.account, m.amount_minor) for m in second.movements] == [
        ("reversal", "fleet", -13),
        ("reversal", "alice", -88),
        ("reversal", "depot", -25),
        ("rebooking", "fleet", 25),
        ("rebooking", "alice", 177),
        ("rebooking", "depot", 50),
    ]
    totals = [e.amount_minor for e in second.entries if e.account.startswith("receivable")]
    assert totals == [-126, 252]
    assert second.adjustment_minor == 126


@POLICIES
def test_energy_that_vanishes_is_taken_back_from_where_it_went(policy: Policy) -> None:
    # given
    books = Books(policy)
    books.take(priced(FIRST, VAN))
    # when the car's is gone, and its contract with it
    del books.shares["contract-car"]
    (taken_back,) = books.take(priced(VAN))
    # then
    assert taken_back.settlement["vehicle_id"] == "car"
    assert taken_back.settlement["contract_id"] == ""
    assert (taken_back.lines, taken_back.allocations) == ([], ())
    assert books.owed() == {f"receivable:utility:{PROGRAM}": 42, "payable:owner:alice": -42}
    # and is not taken back twice
    assert books.take(priced(VAN)) == []


@POLICIES
def test_a_result_that_returns_to_an_earlier_one_is_a_new_settlement(policy: Policy) -> None:
    books = Books(policy)
    (first,) = books.take(priced(FIRST))
    owed = books.owed()
    books.take(priced(FIRST, LATE))
    (third,) = books.take(priced(FIRST))
    assert third.settlement_id != first.settlement_id
    assert (third.revision, books.owed()) == (3, owed)


def test_lines_that_change_without_the_money_are_recorded_and_move_nothing() -> None:
    # given the same 1.26 from one line or two
    books = Books()
    books.take(priced(FIRST))
    halves = [car(1_500_000, "17:00", "17:15"), car(1_500_000, "17:15", "17:30")]
    # when, then
    (second,) = books.take(priced(*halves))
    assert (second.revision, second.movements, second.entries, len(second.lines)) == (2, (), (), 2)


@pytest.mark.parametrize(
    ("policy", "moved"),
    [
        (DELTA, [("adjustment", "alice", -126), ("adjustment", "bob", 126)]),
        (LEDGER, [("reversal", "alice", -126), ("rebooking", "bob", 126)]),
        (
            Policy(Correction.DELTA, 10**9, 10_000),
            [("adjustment", "alice", -126), ("adjustment", "bob", 126)],
        ),
    ],
    ids=["delta", "reverse and rebook", "whatever is material"],
)
def test_another_account_moves_the_money_even_where_the_amount_is_the_same(
    policy: Policy, moved: list[tuple[str, str, int]]
) -> None:
    # given a settlement that was paid to alice
    books = Books(policy, OWNER)
    books.take(priced(FIRST))
    # when it turns out to be bob's
    books.shares["contract-car"] = (Share("owner", "bob", 1_000_000),)
    (second,) = books.take(priced(FIRST))
    # then
    assert [(m.kind.value, m.account, m.amount_minor) for m in second.movements] == moved
    assert second.adjustment_minor == 0
    assert books.owed() == {f"receivable:utility:{PROGRAM}": 126, "payable:owner:bob": -126}


def test_of_a_contract_that_is_not_known_any_more_the_accounts_stay() -> None:
    # given 0.88, 0.25 and 0.13
    books = Books()
    books.take(priced(FIRST))
    # when it doubles after its contract is gone
    del books.shares["contract-car"]
    (second,) = books.take(priced(car(6_000_000)))
    # then each has twice as much
    assert [m.amount_minor for m in second.movements] == [13, 88, 25]


def test_a_penalty_of_a_contract_that_is_gone_stays_where_it_was() -> None:
    # given a penalty of 0.03, 0.02 of it from a and 0.01 from b
    thirds = (Share("owner", "a", 666_667), Share("owner", "b", 333_333))
    books = Books(shares=thirds)
    books.take(priced(car(-3 * CENT)))
    # when it becomes 0.04 after the contract is gone: 2.67 and 1.33
    del books.shares["contract-car"]
    books.take(priced(car(-4 * CENT)))
    # then
    assert books.booked[CAR].amounts == {("owner", "a"): -3, ("owner", "b"): -1}


@pytest.mark.parametrize(
    ("policy", "kind"),
    [(DELTA, Kind.ADJUSTMENT), (LEDGER, Kind.REBOOKING)],
    ids=["delta", "reverse and rebook"],
)
def test_what_comes_back_after_it_was_taken_back_is_no_second_payout(
    policy: Policy, kind: Kind
) -> None:
    # given
    books = Books(policy)
    books.take(priced(FIRST))
    books.take(NOTHING)
    # when
    (third,) = books.take(priced(FIRST))
    # then
    assert {(m.kind, m.amount_minor > 0) for m in third.movements} == {(kind, True)}
    assert third.adjustment_minor == 126


# --- held, immaterial, final ------------------------------------------------------------------------


def held(*rows: dict[str, object]) -> Priced:
    return priced(*rows, without=[unpaid_row("car", "PRICE_MISSING")])


@POLICIES
def test_a_held_settlement_books_nothing_and_takes_nothing_back(policy: Policy) -> None:
    # given a booked settlement
    books = Books(policy)
    books.take(priced(FIRST))
    owed = books.owed()
    # when its price is withdrawn in part, and altogether
    (partly,) = books.take(held(FIRST))
    (wholly,) = books.take(held())
    # then
    for one in (partly, wholly):
        assert (one.settlement["state"], one.allocations, one.movements) == ("held", (), ())
    assert books.owed() == owed
    # and what is decided then is booked as the difference to what stood
    (decided,) = books.take(priced(FIRST, LATE))
    assert (decided.revision, decided.adjustment_minor) == (4, 126)


def test_what_was_held_first_is_a_payout_then() -> None:
    books = Books(Policy(Correction.DELTA, 10**9, 10_000))
    books.take(held(FIRST))
    (second,) = books.take(priced(FIRST))
    assert {m.kind for m in second.movements} == {Kind.PAYOUT}
    assert second.revision == 2


@pytest.mark.parametrize(
    ("cents", "booked"),
    [(90, True), (91, False), (109, False), (110, True)],
    ids=["10 less", "9 less", "9 more", "10 more"],
)
@POLICIES
def test_a_difference_below_the_threshold_is_reported_and_not_booked(
    policy: Policy, cents: int, booked: bool
) -> None:
    # given 1.00 booked, and a threshold of 0.10
    books = Books(replace(policy, materiality_micros=100_000))
    books.take(priced(car(100 * CENT)))
    # when
    revised = books.compare(priced(car(cents * CENT)))
    # then
    assert len(revised.revisions) == booked
    expected = [] if booked else [Difference(*CAR, "USD", 100, cents, "materiality")]
    assert revised.differences == expected


def test_a_first_booking_is_never_withheld() -> None:
    books = Books(Policy(Correction.DELTA, 10**9, 10_000))
    assert [one.adjustment_minor for one in books.take(priced(car(CENT)))] == [1]


def test_what_is_gone_is_withheld_below_the_threshold_too() -> None:
    books = Books(Policy(Correction.DELTA, 20_000, 10_000))
    books.take(priced(car(CENT)))
    revised = books.compare(NOTHING)
    assert revised == Revised([], [Difference(*CAR, "USD", 1, 0, "materiality")])


@pytest.mark.parametrize("micros_per_minor", [1, 10_000, 1_000_000], ids=str)
def test_the_threshold_is_in_the_currency_and_not_in_minor_units(micros_per_minor: int) -> None:
    # given a threshold of two minor units
    books = Books(Policy(Correction.DELTA, 2 * micros_per_minor, micros_per_minor))
    books.take(priced(car(CENT)))
    # when, then
    assert books.compare(priced(car(2 * CENT))).revisions == []
    assert len(books.compare(priced(car(3 * CENT))).revisions) == 1


@pytest.mark.parametrize(
    ("run", "computed"),
    [(priced(FIRST, LATE), 252), (NOTHING, 0)],
    ids=["more", "gone"],
)
def test_after_the_final_run_a_difference_is_reported_and_not_booked(
    run: Priced, computed: int
) -> None:
    # given a closed event
    books = Books()
    books.take(priced(FIRST))
    books.closed = frozenset({(PROGRAM, "peak")})
    # when, then
    assert books.compare(run) == Revised([], [Difference(*CAR, "USD", 126, computed, "final")])


def test_after_the_final_run_even_a_first_booking_is_only_reported() -> None:
    books = Books()
    books.closed = frozenset({(PROGRAM, "peak")})
    assert books.compare(priced(FIRST)) == Revised([], [Difference(*CAR, "USD", 0, 126, "final")])


def test_after_the_final_run_money_at_the_wrong_account_is_reported() -> None:
    books = Books(shares=OWNER)
    books.take(priced(FIRST))
    books.closed = frozenset({(PROGRAM, "peak")})
    books.shares["contract-car"] = (Share("owner", "bob", 1_000_000),)
    assert books.compare(priced(FIRST)).differences == [Difference(*CAR, "USD", 126, 126, "final")]


def test_after_the_final_run_what_moves_no_money_is_no_difference() -> None:
    # given a closed event, another event open
    books = Books()
    books.take(priced(FIRST))
    books.closed = frozenset({(PROGRAM, "peak"), ("other", "next")})
    halves = [car(1_500_000, "17:00", "17:15"), car(1_500_000, "17:15", "17:30")]
    # when, then
    assert books.compare(priced(*halves)) == Revised([], [])
    assert books.compare(held(FIRST)) == Revised([], [])
    assert len(books.compare(priced(FIRST, car(1, event_id="next"))).revisions) == 1


# --- what cannot be booked --------------------------------------------------------------------------


def test_a_settlement_that_was_computed_twice_is_refused() -> None:
    run = priced(FIRST, car(1, "17:30", "18:00", contract_id="another"))
    with pytest.raises(TwoSettlementsError, match="tariff / peak / car was computed twice"):
        Books().compare(run)


def test_money_without_shares_is_refused_and_nothing_needs_none() -> None:
    books = Books()
    books.shares = {}
    with pytest.raises(MissingTermsError, match="no shares of 'contract-car'"):
        books.compare(priced(FIRST))
    assert len(books.take(priced(car(1)))) == 1


def test_a_program_without_a_policy_is_refused() -> None:
    run = priced(FIRST)
    with pytest.raises(MissingTermsError, match="no policy of 'tariff'"):
        revisions(run.settlements, run.lines, {}, {}, {})


def test_what_was_booked_in_one_currency_is_not_corrected_in_another() -> None:
    books = Books()
    books.take(priced(FIRST))
    with pytest.raises(CurrencyChangedError, match="booked in USD and is now computed in EUR"):
        books.compare(priced(FIRST, program=tariff(currency="EUR")))


# --- payments ---------------------------------------------------------------------------------------


def test_an_account_in_two_roles_is_told_one_sum_per_kind() -> None:
    # given an owner who is the site's host too
    moved = [
        Movement(Kind.REVERSAL, "owner", "alice", -10),
        Movement(Kind.REVERSAL, "site_host", "alice", -5),
        Movement(Kind.REBOOKING, "owner", "alice", 20),
        Movement(Kind.REBOOKING, "owner", "bob", 3),
        Movement(Kind.REBOOKING, "site_host", "bob", -3),
    ]
    # when, then what comes to nothing is not told
    assert payments(moved) == {(Kind.REVERSAL, "alice"): -15, (Kind.REBOOKING, "alice"): 20}


# --- laws -------------------------------------------------------------------------------------------


def fleet_row(number: int) -> dict[str, object]:
    start = at("17:00") + timedelta(minutes=7 * (number % 4))
    vehicle = ("car", "van")[number // 4]
    return row(vehicle, start, start + timedelta(minutes=7), 400_000 + 37_001 * number)


FLEET = [fleet_row(number) for number in range(8)]
POLICY = st.sampled_from([DELTA, LEDGER])
SUBSETS = st.lists(st.sets(st.integers(0, 7)), min_size=1, max_size=5)


def effective(books: Books) -> list[list[Any]]:
    return [list(books.standing[key].lines) for key in sorted(books.standing)]


@settings(max_examples=60, deadline=None)
@given(runs=SUBSETS, policy=POLICY)
def test_any_history_of_runs_ends_at_what_one_run_with_all_the_data_books(
    runs: list[set[int]], policy: Policy
) -> None:
    # given runs over any part of the data, in any order, then one over all of it (P4, P7)
    once, many = Books(policy), Books(policy)
    once.take(priced(*FLEET))
    # when
    for seen in runs:
        many.take(priced(*(FLEET[n] for n in seen)))
    many.take(priced(*FLEET))
    # then every account has the same, for the same lines; and another run adds nothing (P3)
    assert many.owed() == once.owed()
    assert effective(many) == effective(once)
    assert many.take(priced(*FLEET)) == []


@settings(max_examples=60, deadline=None)
@given(runs=SUBSETS, policy=POLICY)
def test_money_is_conserved_from_the_lines_to_each_account(
    runs: list[set[int]], policy: Policy
) -> None:
    # given any history of runs
    books = Books(policy)
    for seen in runs:
        run = priced(*(FLEET[n] for n in seen))
        # when
        for one in books.take(run):
            # then every entry sums to nothing, per kind (P2)
            for kind in Kind:
                assert sum(e.amount_minor for e in one.entries if e.kind is kind) == 0
            assert one.adjustment_minor == sum(m.amount_minor for m in one.movements)
            assert all(m.amount_minor for m in one.movements)
            assert sum(a.amount_minor for a in one.allocations) == amount(one)
        # and lines, settlements and books agree, the stated difference counted (P1)
        shown = [
            *run.lines["amount_micros"].to_list(),
            *run.settlements["rounding_difference_micros"].to_list(),
        ]
        assert sum(shown) == run.settlements["amount_minor"].sum() * 10_000
        total = sum(booked.booked_minor for booked in books.booked.values())
        assert total == run.settlements["amount_minor"].sum()
        assert books.owed().get(f"receivable:utility:{PROGRAM}", 0) == total
        by_account: dict[tuple[str, str], int] = {}
        for standing in books.standing.values():
            for a in standing.allocations:
                key = (a.role, a.account)
                by_account[key] = by_account.get(key, 0) + a.amount_minor
        assert books.owed() == {
            **{f"payable:{r}:{a}": -v for (r, a), v in sorted(by_account.items()) if v},
            **({f"receivable:utility:{PROGRAM}": total} if total else {}),
        }


@settings(max_examples=60, deadline=None)
@given(base=st.sets(st.integers(0, 7)), more=st.sets(st.integers(0, 7)), policy=POLICY)
def test_taking_data_back_undoes_what_adding_it_did(
    base: set[int], more: set[int], policy: Policy
) -> None:
    # given some data (P8)
    books = Books(policy)
    books.take(priced(*(FLEET[n] for n in base)))
    before = books.owed()
    # when more is added and taken away again
    books.take(priced(*(FLEET[n] for n in base | more)))
    books.take(priced(*(FLEET[n] for n in base)))
    # then
    assert books.owed() == before


@settings(max_examples=60, deadline=None)
@given(
    runs=st.lists(st.tuples(st.integers(-500, 500), shares_of_one()), min_size=1, max_size=5),
    policy=POLICY,
)
def test_any_history_of_amounts_and_shares_leaves_each_account_its_part_of_the_last(
    runs: list[tuple[int, list[Share]]], policy: Policy
) -> None:
    # given
    books = Books(policy)
    for cents, shares in runs:
        books.shares["contract-car"] = shares
        # when
        books.take(priced(car(cents * CENT)))
        # then
        owed = {
            f"payable:{a.role}:{a.account}": -a.amount_minor
            for a in allocate(cents, shares)
            if a.amount_minor
        }
        receivable = {f"receivable:utility:{PROGRAM}": cents} if cents else {}
        assert books.owed() == {**owed, **receivable}
