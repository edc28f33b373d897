"""Evidence packs as files: the same pack gives the same bytes, and what is odd is refused by name."""

import json
from dataclasses import replace
from typing import Any

import pytest

from settlement.periods import Period
from statements.pack import Pack, Subject
from statements.packing import read, write
from statements.texts import PackError
from tests.statements.packed import HOUR, START, make_pack


@pytest.fixture(scope="module")
def pack() -> Pack:
    return make_pack()


def test_a_pack_comes_back_from_its_bytes_bit_for_bit(pack: Pack) -> None:
    # when
    again = write(read(write(pack)))
    # then
    assert again == write(pack)


def test_a_meters_key_comes_back_and_a_pack_without_any_is_as_it_was(pack: Pack) -> None:
    # given
    (enrolled,) = pack.keys
    of_meter = replace(enrolled.key, meter_id="METER-1", client_id="gateway-1")
    other = replace(pack, keys=(replace(enrolled, key=of_meter),))
    # then
    assert read(write(other)).keys == other.keys
    assert b"meter_id" in write(other)
    assert b"meter_id" not in write(pack)


def test_a_subject_of_every_part_comes_back(pack: Pack) -> None:
    # given
    subject = Subject("VIN-1", "peak", "anna", Period(START, START + HOUR))
    # when
    again = read(write(replace(pack, subject=subject)))
    # then
    assert again.subject == subject
    assert str(subject) == (
        "vehicle VIN-1, event peak, account anna, from 2026-07-01T17:00:00Z to 2026-07-01T18:00:00Z"
    )


def test_no_number_stands_in_a_pack(pack: Pack) -> None:
    # given
    numbers: list[Any] = []
    # when
    json.loads(write(pack), parse_int=numbers.append, parse_float=numbers.append)
    # then
    assert numbers == []


def test_settlements_and_lines_are_those_that_were_computed(pack: Pack) -> None:
    # when
    again = read(write(pack))
    # then
    assert again.settlements["amount_minor"].to_list() == [401]
    assert again.lines["amount_micros"].to_list() == [1_625_778, 2_380_604]
    assert again.unpaid["reason"].to_list() == ["OUTSIDE_WINDOW"]


def change(path: str, value: object):
    """A change of what stands at a path of names and places."""

    def apply(document: dict[str, Any]) -> None:
        *steps, last = path.split("/")
        place: Any = document
        for step in steps:
            place = place[int(step)] if isinstance(place, list) else place[step]
        place[int(last) if isinstance(place, list) else last] = value

    return apply


ODD = {
    "another form": (change("form", "v2g-statement/2"), "form: another document"),
    "a name too many": (change("surprise", "x"), "pack.surprise: not known here"),
    "a number": (change("made_by", 7), "the number 7; expected numbers as text"),
    "a time without zone": (change("made_at", "2026-07-01T17:00:00"), "pack.made_at: '2026-07-01T17"),
    "another known_at": (change("known_at", None), "pack.known_at: another time"),
    "digits that are none": (change("seals/0/leaves", "3e1"), "pack.seals[0].leaves: '3e1'; expected"),
    "a root that is no hash": (change("seals/0/root", "xyz"), "pack.seals[0].root: 'xyz'; expected hex"),
    "a packet that is no base64": (change("packets/0/packet", "?"), "pack.packets[0].packet: '?'"),
    "an empty period": (
        change("runs/0/period/ended_at", "2020-01-01T00:00:00.000000Z"),
        "pack.runs[0].period: an empty period",
    ),
    "no stretch": (change("runs/0/stretch_us", "0"), "pack.runs[0].stretch_us: 0; expected"),
    "an account of two": (change("runs/0/accounts/0", ["a", "b"]), "pack.runs[0].accounts[0]"),
    "a reference of one": (change("runs/0/known/programs/0", ["a"]), "known.programs[0]: another list"),
    "other columns": (change("unpaid/columns", ["run_id"]), "pack.unpaid.columns: other columns"),
    "a row too short": (change("unpaid/rows/0", ["run-1"]), "pack.unpaid.rows[0]: another row"),
    "text for an amount": (
        change("runs/0/known/prices/rows/0/3", "cheap"),
        "runs[0].known.prices: values of another type",
    ),
    "a settlement without id": (
        change("bookings/0/settlement/settlement_id", None),
        "pack.bookings[0].settlement.settlement_id: missing",
    ),
    "a list for an object": (change("bookings/0/lines/0", []), "pack.bookings[0].lines[0]: a list"),
    "a path that is no hash": (change("bookings/0/proof/path/0", "zz"), "bookings[0].proof.path"),
}  # fmt: skip


@pytest.mark.parametrize(("apply", "said"), ODD.values(), ids=ODD.keys())
def test_what_is_odd_is_refused_by_name(pack: Pack, apply: Any, said: str) -> None:
    # given
    document = json.loads(write(pack))
    apply(document)
    # when
    with pytest.raises(PackError) as caught:
        read(json.dumps(document).encode())
    # then
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[]", b"\xff", b'{"form": "a", "form": "b"}', b"[" * 100_000],
    ids=["empty", "cut", "a list", "no UTF-8", "a name twice", "nested without end"],
)
def test_what_is_no_pack_is_refused(data: bytes) -> None:
    with pytest.raises(PackError):
        read(data)
