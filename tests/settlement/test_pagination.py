"""The counter of a meter's records: gaps, repeats and late ones are recognised."""

from hypothesis import given
from hypothesis import strategies as st

from settlement.packets.pagination import Pagination, pagination


def test_a_whole_stream_has_nothing_to_say() -> None:
    (page,) = pagination(("T", number) for number in range(46669, 46699))
    assert page.whole
    assert (page.first, page.last) == (46669, 46698)


def test_what_is_missing_is_named_once_however_long() -> None:
    (page,) = pagination([("T", 1), ("T", 2), ("T", 5), ("T", 2**46)])
    assert page.gaps == ((3, 4), (6, 2**46 - 1))
    assert not page.whole


def test_what_comes_twice_and_what_comes_late_are_told_apart() -> None:
    (page,) = pagination(("T", number) for number in (3, 1, 2, 3, 2, 5, 4))
    assert page == Pagination("T", 1, 5, gaps=(), repeats=(2, 3), late=(1, 2, 4))


def test_each_context_has_a_counter_of_its_own() -> None:
    fiscal, transaction = pagination([("T", 7), ("F", 1), ("T", 8), ("F", 3)])
    assert (fiscal.context, fiscal.gaps) == ("F", ((2, 2),))
    assert (transaction.context, transaction.whole) == ("T", True)


def test_no_records_have_no_pages() -> None:
    assert pagination([]) == ()


@given(st.lists(st.integers(0, 40), min_size=1))
def test_what_came_and_what_is_missing_are_all_there_is(numbers: list[int]) -> None:
    # given numbers in any order
    (page,) = pagination(("T", number) for number in numbers)
    # then every number between the ends came or is missing
    missing = {n for one, two in page.gaps for n in range(one, two + 1)}
    assert missing | set(numbers) == set(range(min(numbers), max(numbers) + 1))
    assert missing & set(numbers) == set()
    # and it is whole exactly when they are consecutive
    assert page.whole == (numbers == list(range(numbers[0], numbers[0] + len(numbers))))
