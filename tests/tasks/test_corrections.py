"""What changes after it was booked: each account ends with what one run with all the data gives it."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from settlement.booking import Share
from tests.conftest import _fresh_database
from tests.packets import make_key
from tests.tasks.scene import HOUR, START, WHOLE, Scene, vehicle_of

ONE = "DE*V2G*E00001"
CAR = vehicle_of(ONE)
HALF_HOUR = range(120)
OWN = f"payable:owner:a-{CAR}"


@pytest.fixture
def scene(plain_database: str) -> Scene:
    """Half an hour at 7.2 kW, settled: 1.29."""
    made = Scene(plain_database)
    made.set_up(ONE)
    made.deliver(made.packet(ONE, n) for n in HALF_HOUR)
    assert made.settle().booked_minor == 129
    return made


def test_another_account_in_the_contract_moves_the_money(scene: Scene) -> None:
    # when the contract turns out to be somebody else's
    scene.contract(ONE, account="heir")
    summary = scene.settle()
    # then the amount is as it was, and whose it is has changed
    assert (summary.revisions, summary.booked_minor) == (1, 0)
    assert scene.owed() == {"payable:owner:heir": 129}
    assert scene.rows(
        "select kind, account, amount_minor from posting order by created_at, account"
    ) == [
        ("payout", f"a-{CAR}", 129),
        ("adjustment", f"a-{CAR}", -129),
        ("adjustment", "heir", 129),
    ]


def test_a_contract_entered_after_the_fact_pays_from_then_on(plain_database: str) -> None:
    # given a car that discharged before anybody entered its contract
    scene = Scene(plain_database)
    scene.enrol(ONE, contract=False)
    scene.event()
    scene.price(WHOLE.started_at, WHOLE.ended_at, 420_000)
    scene.deliver(scene.packet(ONE, n) for n in HALF_HOUR)
    before = scene.settle()
    # when the contract comes, valid since a month ago
    scene.contract(ONE)
    after = scene.settle()
    # then
    assert [(one.reason, one.energy_milliwh) for one in before.unpaid] == [
        ("NO_CONTRACT", 3_600_000)
    ]
    assert (before.amount_minor, after.booked_minor) == (0, 129)


def test_a_contract_that_ended_before_the_event_is_taken_back(scene: Scene) -> None:
    scene.contract(ONE, valid_to=START - HOUR)
    assert scene.settle().booked_minor == -129
    assert scene.owed() == {}


def test_shares_are_divided_to_the_last_cent_and_each_account_is_posted_its_own(
    plain_database: str,
) -> None:
    # given a contract whose money goes to three
    scene = Scene(plain_database)
    scene.set_up(ONE)
    shares = (
        Share("owner", "alice", 600_000),
        Share("site_host", "depot", 250_000),
        Share("aggregator", "fleet", 150_000),
    )
    scene.contract(ONE, account="", shares=shares)
    scene.deliver(scene.packet(ONE, n) for n in HALF_HOUR)
    # when
    scene.settle()
    # then 129 × 0.6 = 77.4, × 0.25 = 32.25, × 0.15 = 19.35: the cent left goes to the largest rest
    assert scene.owed() == {
        "payable:owner:alice": 78,
        "payable:site_host:depot": 32,
        "payable:aggregator:fleet": 19,
    }
    assert dict(scene.rows("select account, amount_minor from posting")) == {
        "alice": 78,
        "depot": 32,
        "fleet": 19,
    }
    assert scene.one("select sum(amount_minor) from journal_line") == 0


def test_reverse_and_rebook_takes_all_back_and_books_anew(scene: Scene) -> None:
    # given a program that reverses
    scene.program(version=2, valid_from=START - timedelta(days=2), correction="reverse_and_rebook")
    scene.price(WHOLE.started_at, WHOLE.ended_at, 840_000)
    # when
    summary = scene.settle()
    # then 3.6 × 0.84 × 0.85 = 2.5704
    assert summary.booked_minor == 257 - 129
    assert scene.rows("select kind, amount_minor from posting order by created_at, kind desc") == [
        ("payout", 129),
        ("reversal", -129),
        ("rebooking", 257),
    ]
    assert scene.rows(
        "select kind, sum(amount_minor)::int from journal_entry join journal_line using (entry_id)"
        " group by kind order by kind"
    ) == [("payout", 0), ("rebooking", 0), ("reversal", 0)]
    assert scene.owed() == {OWN: 257}


def test_news_without_effect_on_money_revise_nothing(scene: Scene) -> None:
    # when the utility sends the event again, in another document
    scene.event(status="active")
    # then the event has a version more, and the settlement has not
    assert scene.settle().revisions == 0
    assert scene.one("select max(version) from event_version") == 2


def test_a_settlement_says_from_which_versions_it_came(scene: Scene) -> None:
    # given a second version of everything
    scene.event(end=START + 2 * HOUR)
    scene.approve(2)
    scene.contract(ONE, incentive_rate_ppm=900_000)
    scene.program(version=2, valid_from=START - timedelta(days=2))
    # when
    scene.settle()
    # then
    assert scene.rows(
        "select revision, program_version, event_version, contract_version from settlement order by 1"
    ) == [(1, 1, 1, 1), (2, 2, 2, 2)]


def test_an_event_that_goes_over_to_another_program_is_taken_back_from_the_first(
    scene: Scene,
) -> None:
    # given a second program, and the event in it from now on
    scene.program(program="another", valid_from=START - timedelta(days=30))
    scene.event(program="another")
    scene.approve(2)
    # when
    summary = scene.settle()
    # then
    assert (summary.amount_minor, summary.booked_minor) == (0, -129)
    assert scene.owed() == {}


def test_a_change_after_the_end_moves_no_money_until_it_is_approved_and_then_as_an_adjustment(
    scene: Scene,
) -> None:
    # given a utility that says, long after it was settled, that the event had begun at 17:10 only
    scene.event(start=START + timedelta(minutes=10))
    before = scene.settle()
    # when a person approves it
    scene.approve(2)
    after = scene.settle()
    # then 80 of 120 packets are left: 2.4 kWh × 0.42 × 0.85 = 0.8568; what was taken back says so
    assert (before.revisions, before.booked_minor) == (0, 0)
    assert (after.revisions, after.booked_minor) == (1, 86 - 129)
    assert scene.owed() == {OWN: 86}
    assert scene.rows("select kind, amount_minor from posting order by created_at") == [
        ("payout", 129),
        ("adjustment", 86 - 129),
    ]
    assert [(one.reason, one.energy_milliwh) for one in after.unpaid] == [
        ("OUTSIDE_WINDOW", 1_200_000)
    ]
    # and a third version, that nobody has approved, changes nothing again
    scene.event(status="cancelled")
    assert scene.settle().revisions == 0


def test_time_that_randomisation_leaves_open_is_listed_with_what_it_would_have_been(
    plain_database: str,
) -> None:
    # given an event whose devices may begin up to five minutes late, and a car that was there at once
    scene = Scene(plain_database)
    scene.enrol(ONE)
    scene.event(randomize_start_s=300)
    scene.price(WHOLE.started_at, WHOLE.ended_at, 420_000)
    scene.deliver(scene.packet(ONE, n) for n in HALF_HOUR)
    # when
    summary = scene.settle()
    # then 25 of 30 minutes are paid, 3 kWh × 0.42 × 0.85 = 1.071, and 0.6 kWh would have been 0.2142
    assert summary.booked_minor == 107
    assert [(one.reason, one.energy_milliwh) for one in summary.unpaid] == [
        ("EVENT_RANDOMISED", 600_000)
    ]
    assert scene.rows("select event_id, reason, would_have_been_micros from unpaid") == [
        ("peak", "EVENT_RANDOMISED", 214_200)
    ]


def _arrivals(scene: Scene) -> dict[str, Callable[[], object]]:
    """Facts that may become known in any order."""
    return {
        "first packets": lambda: scene.deliver(scene.packet(ONE, n) for n in range(80)),
        "later packets": lambda: scene.deliver(scene.packet(ONE, n) for n in range(80, 240)),
        "conflict": lambda: scene.deliver([scene.packet(ONE, 90, power_end_w="7201")]),
        "contract": partial(scene.contract, ONE, account="", shares=_HALVES),
        "price": partial(scene.price, WHOLE.started_at, WHOLE.ended_at, 420_000),
        "event": scene.event,
    }


_HALVES = (Share("owner", "alice", 500_000), Share("site_host", "depot", 500_000))
_NAMES = ("first packets", "later packets", "conflict", "contract", "price", "event")
_KEY = make_key()


def _books(dsn: str, order: list[tuple[str, bool]]) -> Any:
    """Totals per account and the effective lines, after facts came in this order with these runs."""
    scene = Scene(dsn, keys={ONE: _KEY})
    scene.enrol(ONE, contract=False)
    arrivals = _arrivals(scene)
    for name, settled in order:
        arrivals[name]()
        if settled:
            scene.settle()
    scene.settle()
    lines = scene.rows(
        """
        select vehicle_id, started_at, term, line.energy_milliwh, amount_micros
        from line join (select distinct on (program, event_id, vehicle_id) * from settlement
                        order by program, event_id, vehicle_id, revision desc) latest
             using (settlement_id)
        order by 1, 2, 3
        """
    )
    return scene.owed(), lines


@settings(
    max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    order=st.permutations(_NAMES),
    runs=st.lists(st.booleans(), min_size=len(_NAMES), max_size=len(_NAMES)),
)
def test_any_order_of_arrivals_and_any_partition_into_runs_end_at_the_same_totals(
    servers: Any, order: list[str], runs: list[bool]
) -> None:
    """P7, with the conflict after what it conflicts with: the first content stands as the reading."""
    # given an order in which facts arrive, and after which of them runs take place
    if order.index("conflict") < order.index("later packets"):
        order = [name for name in order if name != "conflict"] + ["conflict"]
    with _fresh_database(servers("plain")) as all_at_once, _fresh_database(servers("plain")) as dsn:
        # when
        expected = _books(all_at_once, [(name, False) for name in _NAMES])
        found = _books(dsn, list(zip(order, runs, strict=True)))
    # then
    assert found == expected
    assert expected[1]
