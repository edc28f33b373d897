"""Seals: what was booked cannot be changed without somebody seeing it."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from settlement import merkle
from settlement.seals import (
    GENESIS,
    BrokenSealError,
    Seal,
    UnsealableError,
    leaf,
    seal,
    verify_chain,
    verify_seal,
)

MIDNIGHT = datetime(2026, 8, 1, tzinfo=UTC)

ROW: dict[str, Any] = {
    "settlement_id": "s-1",
    "vehicle_id": "Zürich/7",
    "amount_minor": -377,
    "known_at": datetime(2026, 7, 1, 12, 0, 0, 5, tzinfo=UTC),
    "supersedes": None,
    "allocations": [{"role": "owner", "account": "a", "amount_minor": -377}],
}
LINES: list[dict[str, Any]] = [
    {"started_at": datetime(2026, 7, 1, 17, tzinfo=UTC), "term": "energy", "amount_micros": 1},
    {"started_at": datetime(2026, 7, 1, 18, tzinfo=UTC), "term": "energy", "amount_micros": 2},
]
ENTRIES: list[dict[str, Any]] = [
    {"account": "receivable:utility:p", "amount_minor": -377},
    {"account": "payable:owner:a", "amount_minor": 377},
]


def chain(*counts: int) -> tuple[list[Seal], list[list[bytes]]]:
    """Seals over so many bookings each, and their leaves."""
    seals: list[Seal] = []
    leaves: list[list[bytes]] = []
    at = 1
    for number, count in enumerate(counts):
        mine = [b"booking %d" % n for n in range(at, at + count)]
        sealed_at = MIDNIGHT + timedelta(days=number)
        seals.append(seal(seals[-1] if seals else None, at, at + count - 1, mine, sealed_at))
        leaves.append(mine)
        at += count
    return seals, leaves


# --- one booking ------------------------------------------------------------------------------------


def test_a_booking_has_one_form_sorted_compact_without_numbers_in_utc() -> None:
    assert leaf(ROW, LINES[:1], ENTRIES[:1]).decode() == (
        '{"entries":[{"account":"receivable:utility:p","amount_minor":"-377"}],'
        '"lines":[{"amount_micros":"1","started_at":"2026-07-01T17:00:00.000000Z","term":"energy"}],'
        '"settlement":{"allocations":[{"account":"a","amount_minor":"-377","role":"owner"}],'
        '"amount_minor":"-377","known_at":"2026-07-01T12:00:00.000005Z","settlement_id":"s-1",'
        '"supersedes":null,"vehicle_id":"Zürich/7"}}'
    )


def test_the_order_in_which_a_table_gives_rows_and_columns_does_not_matter() -> None:
    backwards = dict(reversed(ROW.items()))
    assert leaf(backwards, LINES[::-1], ENTRIES[::-1]) == leaf(ROW, LINES, ENTRIES)


def test_the_same_instant_on_another_clock_is_the_same() -> None:
    kathmandu = timezone(timedelta(hours=5, minutes=45))
    there = ROW | {"known_at": ROW["known_at"].astimezone(kathmandu)}
    assert leaf(there, LINES, ENTRIES) == leaf(ROW, LINES, ENTRIES)


@pytest.mark.parametrize(
    ("rows", "lines", "entries"),
    [
        (ROW | {"amount_minor": -376}, LINES, ENTRIES),
        (ROW | {"amount_minor": "-377 "}, LINES, ENTRIES),
        (ROW | {"supersedes": ""}, LINES, ENTRIES),
        (ROW | {"more": None}, LINES, ENTRIES),
        (ROW | {"known_at": ROW["known_at"] + timedelta(microseconds=1)}, LINES, ENTRIES),
        (ROW, LINES[:1], ENTRIES),
        (ROW, [*LINES, LINES[0]], ENTRIES),
        (ROW, [LINES[0], LINES[1] | {"amount_micros": 3}], ENTRIES),
        (ROW, LINES, ENTRIES[:1]),
        (ROW, ENTRIES, LINES),
        (ROW, LINES, [ENTRIES[0], ENTRIES[1] | {"account": "payable:owner:b"}]),
    ],
    ids=str,
)
def test_whatever_is_changed_of_a_booking_changes_its_leaf(rows, lines, entries) -> None:
    assert leaf(rows, lines, entries) != leaf(ROW, LINES, ENTRIES)


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (1.0, "a float"),
        (MIDNIGHT.replace(tzinfo=None), "2026-08-01T00:00:00"),
        ({1, 2}, "a set"),
        ("\ud800", "ud800"),
    ],
    ids=["float", "time without zone", "set", "lone surrogate"],
)
def test_what_has_no_one_form_is_refused_by_name(value: object, found: str) -> None:
    with pytest.raises(UnsealableError, match=found) as refused:
        leaf({"of": {"it": [value]}}, [], [])
    assert refused.value.where == "settlement.of.it[0]"


# --- the chain --------------------------------------------------------------------------------------


def test_a_seal_stands_for_its_bookings_and_all_before_it() -> None:
    # given
    seals, leaves = chain(3, 0, 2)
    # when, then
    verify_chain(seals, {1: seals[0].seal_digest, 3: seals[2].seal_digest})
    for one, mine in zip(seals, leaves, strict=True):
        verify_seal(one, mine)
    assert [(s.number, s.first, s.last, s.leaves) for s in seals] == [
        (1, 1, 3, 3),
        (2, 4, 3, 0),
        (3, 4, 5, 2),
    ]
    assert [s.previous for s in seals] == [GENESIS, seals[0].seal_digest, seals[1].seal_digest]
    assert seals[1].root == merkle.EMPTY


def test_the_digest_can_be_recomputed_by_hand() -> None:
    # given
    (one,), _ = chain(2)
    # when
    header = json.dumps(
        {
            "first": "1",
            "form": "v2g-settlement seal 1",
            "last": "2",
            "leaves": "2",
            "number": "1",
            "previous": "00" * 32,
            "root": merkle.root([b"booking 1", b"booking 2"]).hex(),
            "sealed_at": "2026-08-01T00:00:00.000000Z",
        },
        separators=(",", ":"),
    )
    # then
    assert one.seal_digest == sha256(header.encode()).digest()


@pytest.mark.parametrize(
    "changes",
    [
        {"number": 3},
        {"first": 3},
        {"first": 5},
        {"last": 2},
        {"last": 9},
        {"leaves": 1},
        {"leaves": 3},
        {"root": bytes(32)},
        {"previous": bytes(32)},
        {"sealed_at": MIDNIGHT},
        {"seal_digest": bytes(32)},
    ],
    ids=str,
)
def test_whatever_is_changed_of_a_seal_breaks_the_chain(changes: dict[str, Any]) -> None:
    # given three seals, the middle one changed
    seals, _ = chain(3, 2, 4)
    seals[1] = replace(seals[1], **changes)
    # when
    with pytest.raises(BrokenSealError) as broken:
        verify_chain(seals)
    # then
    assert broken.value.number in {2, 3}


@pytest.mark.parametrize(
    "kept_of",
    [lambda s: s[1:], lambda s: [s[0], s[2]], lambda s: [s[1], s[0], s[2]], lambda s: [*s, s[2]]],
    ids=["first left out", "middle left out", "reordered", "doubled"],
)
def test_a_chain_with_a_link_moved_is_broken(kept_of) -> None:
    seals, _ = chain(3, 2, 4)
    with pytest.raises(BrokenSealError):
        verify_chain(kept_of(seals))


def test_only_a_digest_kept_elsewhere_finds_a_chain_made_anew_or_cut_short() -> None:
    # given a chain, and the digest of its last seal kept elsewhere
    seals, _ = chain(3, 2)
    kept = {2: seals[1].seal_digest}
    forged, _ = chain(2, 3)
    # when it is made anew, or its end is left off, then it stands in itself
    verify_chain(forged)
    verify_chain(seals[:1])
    # and what was kept says otherwise
    for chain_found in (forged, seals[:1], []):
        with pytest.raises(BrokenSealError) as broken:
            verify_chain(chain_found, kept)
        assert broken.value.number == 2


@settings(deadline=None)
@given(st.permutations(range(5)), st.integers(0, 4), st.sampled_from(["edit", "drop", "double"]))
def test_any_edit_deletion_duplication_or_reordering_of_bookings_breaks_their_seal(
    order: list[int], place: int, what: str
) -> None:
    # given five sealed bookings, in another order or with one of them tampered with
    (one,), (mine,) = chain(5)
    found = [mine[n] for n in order]
    match what if found == mine else "":
        case "edit":
            found[place] += b"!"
        case "drop":
            del found[place]
        case "double":
            found.insert(place, found[place])
    # when, then
    with pytest.raises(BrokenSealError):
        verify_seal(one, found)


def test_numbers_may_be_skipped_and_bookings_may_not_be_added() -> None:
    # given booking numbers 1 to 5 of which two were rolled back
    skipped = seal(None, 1, 5, [b"1", b"3", b"5"], MIDNIGHT)
    # when, then
    verify_chain([skipped])
    with pytest.raises(BrokenSealError, match="count of bookings is 3; expected at most 2"):
        seal(None, 1, 2, [b"1", b"2", b"2"], MIDNIGHT)
    with pytest.raises(BrokenSealError, match="its first booking is 7; expected 6"):
        seal(skipped, 7, 7, [b"7"], MIDNIGHT)
    with pytest.raises(BrokenSealError, match="its last booking is 4; expected 5 or more"):
        seal(skipped, 6, 4, [], MIDNIGHT)
