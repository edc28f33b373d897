"""Merkle trees: one digest that stands for a list, and short proofs that an item is in it.

The tree of RFC 9162 §2.1.1: SHA-256, a leaf is hashed behind a zero byte and a node behind a one, so
that no node can be passed off as a leaf; a list is divided at the largest power of two below its
length. Its levels are built from the leaves upwards, neighbours paired and an odd last one carried
up, which is the same tree.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

EMPTY: Final = sha256(b"").digest()
"""The root of no leaves."""

_LEAF: Final = b"\x00"
_NODE: Final = b"\x01"


def leaf_hash(leaf: bytes) -> bytes:
    """SHA-256 of a leaf behind its prefix."""
    return sha256(_LEAF + leaf).digest()


@dataclass(frozen=True, slots=True)
class Tree:
    """A tree whose proofs are read off without hashing again.

    Attributes:
        levels: from the hashes of the leaves up to the root.
    """

    levels: Sequence[Sequence[bytes]]

    @classmethod
    def of(cls, hashes: Iterable[bytes]) -> "Tree":
        """The tree over ``leaf_hash`` of each item, in order."""
        levels = [list(hashes)]
        while len(levels[-1]) > 1:
            below = levels[-1]
            level = [
                sha256(_NODE + below[at] + below[at + 1]).digest()
                for at in range(0, len(below) - 1, 2)
            ]
            if len(below) % 2:
                level.append(below[-1])
            levels.append(level)
        return cls(levels)

    @property
    def root(self) -> bytes:
        """What stands for the whole list."""
        return self.levels[-1][0] if self.levels[-1] else EMPTY

    def path(self, index: int) -> list[bytes]:
        """The inclusion path of one leaf (§2.1.3.1): the neighbours on its way up.

        Raises:
            IndexError: there is no such leaf.
        """
        if not 0 <= index < len(self.levels[0]):
            raise IndexError(f"leaf {index} of {len(self.levels[0])}; expected one that there is")
        path = []
        for level in self.levels[:-1]:
            neighbour = index ^ 1
            if neighbour < len(level):
                path.append(level[neighbour])
            index //= 2
        return path


def root(leaves: Iterable[bytes]) -> bytes:
    """The root of a list (§2.1.1).

    >>> root([]).hex()[:16], root([b""]).hex()[:16]
    ('e3b0c44298fc1c14', '6e340b9cffb37a98')
    """
    return Tree.of(map(leaf_hash, leaves)).root


def inclusion_path(leaves: Iterable[bytes], index: int) -> list[bytes]:
    """The proof that the leaf at ``index`` is in the list (§2.1.3.1). For many, keep a ``Tree``.

    Raises:
        IndexError: there is no such leaf.
    """
    return Tree.of(map(leaf_hash, leaves)).path(index)


def verify_inclusion(
    leaf: bytes, index: int, size: int, path: Sequence[bytes], expected_root: bytes
) -> bool:
    """Whether a path proves that ``leaf`` stands at ``index`` in the list of ``size`` with that root
    (§2.1.3.2).
    """
    if not 0 <= index < size:
        return False
    node, last, found = index, size - 1, leaf_hash(leaf)
    for neighbour in path:
        if last == 0:
            return False
        if node % 2 or node == last:
            found = sha256(_NODE + neighbour + found).digest()
            while not node % 2 and node:
                node, last = node // 2, last // 2
        else:
            found = sha256(_NODE + found + neighbour).digest()
        node, last = node // 2, last // 2
    return last == 0 and found == expected_root
