"""What a run adds to the books."""

from datetime import timedelta

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from settlement.booking import Booked, Key, Revision, revisions
from settlement.matching import match
from settlement.periods import Period
from settlement.pricing import Priced
from settlement.pricing import price as price_matched
from tests.settlement.frames import at, contract, grid, price, reading, readings, window

EVENING = Period(at("16:00"), at("21:00"))


def priced(*rows: dict[str, object], prices: tuple[str, str] = ("16:00", "21:00")) -> Priced:
    settled = grid(
        [window("peak", "17:00", "18:00")],
        [price(*prices, 420_000)],
        [contract("car"), contract("van")],
    )
    result = match(readings(*rows), settled, EVENING)
    return price_matched(result.matched, result.unpaid, settled.programs)


def amount(one: Revision) -> int:
    minor = one.settlement["amount_minor"]
    assert isinstance(minor, int)
    return minor


class Books:
    """The books as a dictionary: what a database keeps, without one."""

    def __init__(self) -> None:
        self.booked: dict[Key, Booked] = {}
        self.entries: list[tuple[str, int]] = []

    def take(self, run: Priced) -> list[Revision]:
        new = revisions(run.settlements, run.lines, self.booked)
        for one in new:
            s = one.settlement
            key = (str(s["program"]), str(s["event_id"]), str(s["vehicle_id"]))
            before = self.booked[key].booked_minor if key in self.booked else 0
            self.booked[key] = Booked(
                one.settlement_id,
                one.supersedes,
                one.revision,
                before + one.adjustment_minor,
                str(s["currency"]),
                1,
            )
            self.entries += [(entry.account, entry.amount_minor) for entry in one.entries]
        return new

    def owed(self) -> dict[str, int]:
        frame = pl.DataFrame(self.entries, schema=["account", "amount"], orient="row")
        return {
            a: s for a, s in frame.group_by("account").agg(pl.col("amount").sum()).iter_rows() if s
        }


FIRST = reading("car", at("17:00"), at("17:30"), 3_000_000)
LATE = reading("car", at("17:30"), at("18:00"), 3_000_000)
VAN = reading("van", at("17:00"), at("17:30"), 1_000_000)


def test_settling_twice_books_once() -> None:
    books = Books()
    assert len(books.take(priced(FIRST, VAN))) == 2
    assert books.take(priced(VAN, FIRST)) == []


def test_late_data_books_the_difference_on_what_it_corrects() -> None:
    # given a settlement that was booked before a late packet came
    books = Books()
    (first,) = books.take(priced(FIRST))
    # when the period is settled again with it
    (second,) = books.take(priced(FIRST, LATE))
    # then the difference is booked and names what it corrects
    assert second.supersedes == first.settlement_id
    assert second.revision == 2
    assert second.adjustment_minor == amount(second) - amount(first)


def test_energy_that_vanishes_is_taken_back() -> None:
    books = Books()
    books.take(priced(FIRST, VAN))
    (taken_back,) = books.take(priced(VAN))
    assert taken_back.settlement["vehicle_id"] == "car"
    assert "payable:vehicle:car" not in books.owed()


def test_a_result_that_returns_to_an_earlier_one_is_a_new_settlement() -> None:
    books = Books()
    (first,) = books.take(priced(FIRST))
    books.take(priced(FIRST, LATE))
    (third,) = books.take(priced(FIRST))
    assert third.settlement_id != first.settlement_id
    assert third.revision == 3


def test_a_held_settlement_books_nothing_and_takes_nothing_back() -> None:
    # given a booked settlement
    books = Books()
    books.take(priced(FIRST))
    owed = books.owed()
    # when its price is withdrawn
    (held,) = books.take(priced(FIRST, prices=("16:00", "17:10")))
    # then
    assert (held.settlement["state"], held.entries, books.owed()) == ("held", (), owed)


def test_the_same_content_has_the_same_id_on_every_machine() -> None:
    (one,) = Books().take(priced(FIRST, LATE))
    (other,) = Books().take(priced(LATE, FIRST))
    assert one.settlement_id == other.settlement_id


def test_every_entry_sums_to_zero() -> None:
    books = Books()
    for run in (priced(FIRST), priced(FIRST, LATE, VAN), priced()):
        assert all(sum(e.amount_minor for e in one.entries) == 0 for one in books.take(run))


@settings(max_examples=25, deadline=None)
@given(st.permutations(range(8)), st.lists(st.integers(1, 8), min_size=1, max_size=8))
def test_any_order_of_arrival_in_any_number_of_runs_books_the_same_total(
    order: list[int], sizes: list[int]
) -> None:
    # given eight readings that arrive in any order, settled after any arrivals
    all_rows = [
        reading(
            v,
            at("17:00") + timedelta(minutes=7 * n),
            at("17:00") + timedelta(minutes=7 * n + 7),
            400_000 + 37_001 * n,
        )
        for v in ("car", "van")
        for n in range(4)
    ]
    once, many = Books(), Books()
    # when
    once.take(priced(*all_rows))
    arrived: list[dict[str, object]] = []
    waiting = [all_rows[n] for n in order]
    for size in sizes:
        arrived, waiting = arrived + waiting[:size], waiting[size:]
        many.take(priced(*arrived))
    many.take(priced(*all_rows))
    # then
    assert many.owed() == once.owed()
