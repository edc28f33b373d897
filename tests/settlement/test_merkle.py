"""The Merkle tree of RFC 9162 §2.1, against its recursive definition and published roots."""

from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from settlement.merkle import EMPTY, Tree, inclusion_path, leaf_hash, root, verify_inclusion

LEAVES = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
"""The inputs of Certificate Transparency's reference tests."""

ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
"""Their roots, by the number of leaves."""

lists = st.lists(st.binary(max_size=4), max_size=40)


def by_definition(leaves: list[bytes]) -> bytes:
    """MTH of §2.1.1, word for word."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return sha256(b"\x00" + leaves[0]).digest()
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return sha256(b"\x01" + by_definition(leaves[:k]) + by_definition(leaves[k:])).digest()


def path_by_definition(index: int, leaves: list[bytes]) -> list[bytes]:
    """PATH of §2.1.3.1, word for word."""
    if len(leaves) == 1:
        return []
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    if index < k:
        return [*path_by_definition(index, leaves[:k]), by_definition(leaves[k:])]
    return [*path_by_definition(index - k, leaves[k:]), by_definition(leaves[:k])]


@pytest.mark.parametrize("size", range(1, 9))
def test_the_published_roots_come_out(size: int) -> None:
    assert root(LEAVES[:size]).hex() == ROOTS[size - 1]


def test_the_root_of_nothing_is_the_digest_of_nothing() -> None:
    assert root([]) == EMPTY == sha256(b"").digest()


@settings(deadline=None)
@given(lists)
def test_the_root_is_the_one_of_the_recursive_definition(leaves: list[bytes]) -> None:
    assert root(leaves) == by_definition(leaves)


@settings(deadline=None)
@given(lists.filter(bool), st.data())
def test_every_path_is_the_defined_one_and_proves_its_leaf(
    leaves: list[bytes], data: st.DataObject
) -> None:
    # given a leaf of a list
    index = data.draw(st.integers(0, len(leaves) - 1))
    # when
    path = inclusion_path(leaves, index)
    # then
    assert path == path_by_definition(index, leaves)
    assert verify_inclusion(leaves[index], index, len(leaves), path, root(leaves))


@settings(deadline=None)
@given(lists.filter(bool), st.data())
def test_a_path_proves_nothing_else(leaves: list[bytes], data: st.DataObject) -> None:
    # given a proof
    size = len(leaves)
    index = data.draw(st.integers(0, size - 1))
    path, top = inclusion_path(leaves, index), root(leaves)
    # when one thing about it is changed
    other = data.draw(st.integers(0, size - 1).filter(lambda i: leaves[i] != leaves[index]) if len(set(leaves)) > 1 else st.just(-1))  # fmt: skip
    proofs = [
        (leaves[index] + b"x", index, size, path, top),
        (leaves[index], index, size, [*path, bytes(32)], top),
        (leaves[index], index, size, path, bytes(32)),
        (leaves[index], -1, size, path, top),
        (leaves[index], size, size, path, top),
    ]
    if path:
        proofs.append((leaves[index], index, size, path[:-1], top))
        proofs.append((leaves[index], index, size, [bytes(32), *path[1:]], top))
    if other >= 0:
        proofs.append((leaves[index], other, size, path, top))
    # then none of them holds
    assert [verify_inclusion(*proof) for proof in proofs] == [False] * len(proofs)


def test_a_node_cannot_be_passed_off_as_a_leaf() -> None:
    # given the two hashes that a node is made of
    node = leaf_hash(b"a") + leaf_hash(b"b")
    # when it is offered as the only leaf, then the root is another
    assert root([node]) != root([b"a", b"b"])


@settings(deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=3), min_size=2, max_size=40, unique=True), st.data())
def test_any_edit_deletion_insertion_duplication_and_reordering_changes_the_root(
    leaves: list[bytes], data: st.DataObject
) -> None:
    # given a list and two places in it
    one = data.draw(st.integers(0, len(leaves) - 1))
    two = data.draw(st.integers(0, len(leaves) - 1).filter(lambda i: i != one))
    swapped = list(leaves)
    swapped[one], swapped[two] = swapped[two], swapped[one]
    changed = {
        "edit": [*leaves[:one], leaves[one] + b"!", *leaves[one + 1 :]],
        "deletion": [*leaves[:one], *leaves[one + 1 :]],
        "insertion": [*leaves[:one], b"", *leaves[one:]],
        "duplication": [*leaves[: one + 1], *leaves[one:]],
        "reordering": swapped,
        "duplicated last": [*leaves, leaves[-1]],
    }
    # when, then
    roots = {name: root(other) for name, other in changed.items()}
    assert root(leaves) not in roots.values()


def test_a_leaf_that_is_not_there_has_no_path() -> None:
    with pytest.raises(IndexError, match="leaf 3 of 3"):
        Tree.of(map(leaf_hash, LEAVES[:3])).path(3)
    with pytest.raises(IndexError, match="leaf 0 of 0"):
        inclusion_path([], 0)
