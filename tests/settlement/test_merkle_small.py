"""Every proof of every small tree: what the properties draw from, without leaving it to chance."""

import pytest

from settlement.merkle import inclusion_path, root, verify_inclusion

SIZES = range(1, 18)
"""Past two powers of two, so that an odd last node is carried up over up to four levels."""


def leaves(size: int) -> list[bytes]:
    return [bytes([number]) for number in range(size)]


@pytest.mark.parametrize("size", SIZES)
def test_every_leaf_is_proven_where_it_stands_and_nowhere_else(size: int):
    # given a list and its root
    items = leaves(size)
    top = root(items)

    # when the path of each leaf is held against every place in the list
    proven = {
        (index, place)
        for index in range(size)
        for place in range(size)
        if verify_inclusion(items[index], place, size, inclusion_path(items, index), top)
    }

    # then it proves its own place only
    assert proven == {(index, index) for index in range(size)}


@pytest.mark.parametrize("size", SIZES)
def test_a_path_that_is_too_short_or_too_long_proves_nothing(size: int):
    items = leaves(size)
    top = root(items)

    for index in range(size):
        path = inclusion_path(items, index)
        longer = [*path, bytes(32)]
        shorter = path[:-1]

        assert not verify_inclusion(items[index], index, size, longer, top)
        assert not path or not verify_inclusion(items[index], index, size, shorter, top)


@pytest.mark.parametrize("size", range(1, 9))
def test_there_is_no_path_beyond_either_end(size: int):
    for index in (-1, size):
        with pytest.raises(IndexError) as caught:
            inclusion_path(leaves(size), index)
        assert str(caught.value) == f"leaf {index} of {size}; expected one that there is"
