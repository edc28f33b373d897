"""Whatever single thing of a booking, or bit of a packet, is changed: it is found."""

import base64
import copy
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from statements.packing import read, write
from statements.texts import PackError
from statements.verify import verify
from tests.statements.packed import make_pack

DOCUMENT: dict[str, Any] = json.loads(write(make_pack()))
THREADS = ThreadPoolExecutor(2)
EXAMPLES = settings(max_examples=30, deadline=None)

Path = tuple[str | int, ...]


def leaves(value: object, path: Path = ()) -> Iterator[Path]:
    """The paths of everything that is no object and no list."""
    if isinstance(value, dict):
        for name, one in value.items():
            yield from leaves(one, (*path, name))
    elif isinstance(value, list):
        for place, one in enumerate(value):
            yield from leaves(one, (*path, place))
    else:
        yield path


EVERYTHING = sorted(leaves({**DOCUMENT, "packets": DOCUMENT["packets"][:1]}), key=str)
BOOKED = sorted(leaves(DOCUMENT["bookings"], ("bookings",)), key=str)


def put(document: Any, path: Path, value: object) -> object:
    """Put a value at a path; gives what stood there."""
    for step in path[:-1]:
        document = document[step]
    before, document[path[-1]] = document[path[-1]], value
    return before


def stands(document: dict[str, Any]) -> bool:
    try:
        pack = read(json.dumps(document).encode())
    except PackError:
        return False
    return verify(pack, THREADS).stands


def test_the_document_stands_before_it_is_changed() -> None:
    assert stands(DOCUMENT)


@EXAMPLES
@given(path=st.sampled_from(BOOKED), value=st.sampled_from(["", "0", "1", "-1", "x", None]))
def test_any_change_of_a_booking_is_found(path: Path, value: str | None) -> None:
    # given
    document = copy.deepcopy(DOCUMENT)
    before = put(document, path, value)
    # then
    assert stands(document) == (before == value)


@settings(max_examples=60, deadline=None)
@given(
    path=st.sampled_from(EVERYTHING),
    value=st.sampled_from(
        ["", "0", "-1", "x", "9" * 30, "2026-13-01T00:00:00.000000Z", None, [], {}, ["x"], True]
    ),
)
def test_whatever_stands_in_a_file_ends_in_a_verdict_or_a_refusal(path: Path, value: Any) -> None:
    # given
    document = copy.deepcopy(DOCUMENT)
    put(document, path, value)
    # then
    assert stands(document) in (True, False)


@EXAMPLES
@given(number=st.integers(0, 89), data=st.data())
def test_any_bit_of_any_packet_counts(number: int, data: st.DataObject) -> None:
    # given
    packet = bytearray(base64.b64decode(DOCUMENT["packets"][number]["packet"]))
    place = data.draw(st.integers(0, len(packet) - 1))
    packet[place] ^= 1 << data.draw(st.integers(0, 6))
    document = copy.deepcopy(DOCUMENT)
    document["packets"][number]["packet"] = base64.b64encode(packet).decode()
    # then
    assert not stands(document)
