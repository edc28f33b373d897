"""Verifying a pack: an honest one stands, and any change of what decides money is found."""

import base64
import json
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest

from settlement import seals
from settlement.timeline import Price
from statements.pack import Conflict, Pack, SignedPacket
from statements.packing import read, write
from statements.recompute import judged
from statements.verify import State, Verified, verify
from tests.packets import Key, make_key
from tests.statements.packed import (
    EVSE,
    HOUR,
    KNOWN_AT,
    PROGRAM,
    START,
    booked,
    make_pack,
    program_body,
    signed,
)
from tests.statements.test_pack import change

THERMAL = {
    "time_constant_min": 20,
    "curve_c": [["20", "1"], ["45", "1"], ["55", "0"]],
    "missing": "hold",
    "fresh_min": 5,
}
Change = Callable[[dict[str, Any]], object]


@pytest.fixture(scope="module")
def threads() -> Iterator[Executor]:
    with ThreadPoolExecutor(2) as executor:
        yield executor


@pytest.fixture(scope="module")
def key() -> Key:
    return make_key()


@pytest.fixture(scope="module")
def pack(key: Key) -> Pack:
    return make_pack(key=key, body=program_body(thermal=THERMAL))


def broken(verified: Verified) -> list[str]:
    return [check.name for check in verified.checks if check.state is State.BROKEN]


def test_an_honest_pack_stands(pack: Pack, threads: Executor) -> None:
    # given
    kept = {1: pack.seals[0]}
    # when
    alone = verify(read(write(pack)), threads)
    vouched = verify(
        read(write(pack)), threads, against=kept, roots=frozenset({pack.seals[0].root})
    )
    # then
    assert broken(alone) == []
    assert [c.name for c in alone.checks if c.state is State.OPEN] == ["seals"]
    assert {check.state for check in vouched.checks} == {State.HOLDS}


def flip(name: str, place: int) -> Change:
    """One bit of a packet changed, somewhere in its middle."""

    def apply(document: dict[str, Any]) -> None:
        data = bytearray(base64.b64decode(document[name][place]["packet"]))
        data[len(data) // 2] ^= 1
        document[name][place]["packet"] = base64.b64encode(data).decode()

    return apply


def other_key(document: dict[str, Any]) -> None:
    document["keys"][0]["public_key"] = base64.b64encode(make_key().public_key).decode()


def body(old: str, new: str) -> Change:
    def apply(document: dict[str, Any]) -> None:
        text = document["programs"][0]["body"]
        assert old in text
        document["programs"][0]["body"] = text.replace(old, new)

    return apply


def drop(path: str) -> Change:
    def apply(document: dict[str, Any]) -> None:
        *steps, last = path.split("/")
        place: Any = document
        for step in steps:
            place = place[int(step)] if isinstance(place, list) else place[step]
        del place[int(last)]

    return apply


def cell(frame: str, column: str, value: str, row: int = 0) -> Change:
    """A cell of a frame, by its column."""

    def apply(document: dict[str, Any]) -> None:
        place: Any = document
        for step in frame.split("/"):
            place = place[int(step)] if isinstance(place, list) else place[step]
        place["rows"][row][place["columns"].index(column)] = value

    return apply


def hotter(document: dict[str, Any]) -> None:
    frame = document["temperatures"]
    at = frame["columns"].index("battery_millicelsius")
    for row in frame["rows"][60:]:
        row[at] = "53000"


KNOWN = "runs/0/known"
BOOKED = "bookings/0"
TAMPERED: dict[str, tuple[Change, str]] = {
    "a bit of a packet": (flip("packets", 40), "packets"),
    "a packet left out": (drop("packets/40"), "lines"),
    "a packet held back until later": (
        change("packets/40/judged_at", "2026-07-09T00:00:00.000000Z"),
        "lines",
    ),
    "the digest of a packet": (change("packets/3/digest", "00" * 32), "packets"),
    "received before it was signed": (
        change("packets/40/received_at", "2026-07-01T16:00:00.000000Z"),
        "packets",
    ),
    "came on another topic": (change("packets/40/topic_evse_id", "OTHER"), "packets"),
    "another public key": (other_key, "packets"),
    "a key left out": (drop("keys/0"), "packets"),
    "a key of another EVSE": (change("keys/0/evse_id", "OTHER"), "packets"),
    "a key valid later": (change("keys/0/valid_from", "2026-07-01T17:30:00.000000Z"), "packets"),
    "a key valid no longer": (change("keys/0/valid_to", "2026-07-01T17:30:00.000000Z"), "packets"),
    "a key revoked": (change("keys/0/revoked_at", "2026-07-01T17:30:00.000000Z"), "packets"),
    "another algorithm": (change("keys/0/algorithm", "ES512"), "packets"),
    "a price": (cell(f"{KNOWN}/prices", "price_micros_per_kwh", "420001"), "lines"),
    "a price left out": (drop(f"{KNOWN}/prices/rows/1"), "lines"),
    "when a price counts": (
        cell(f"{KNOWN}/prices", "ended_at", "2026-07-01T17:20:00.000000Z"),
        "lines",
    ),
    "a rate": (cell(f"{KNOWN}/contracts", "incentive_rate_ppm", "900000"), "lines"),
    "whose contract": (cell(f"{KNOWN}/contracts", "vehicle_id", "VIN-9"), "lines"),
    "when a contract counts": (
        cell(f"{KNOWN}/contracts", "valid_from", "2026-07-01T18:00:00.000000Z"),
        "lines",
    ),
    "a rated power": (cell(f"{KNOWN}/contracts", "rated_w", "1000"), "lines"),
    "a contract left out": (drop(f"{KNOWN}/contracts/rows/0"), "lines"),
    "a tier": (body('"1.15"', '"1.16"'), "lines"),
    "a check": (body('"quantity": "export_only"', '"quantity": "net", "minimum": {"event_kwh": "9"}'), "lines"),
    "the thermal curve": (body('["20", "1"]', '["20", "0.5"]'), "lines"),
    "the currency": (body('"USD"', '"EUR"'), "lines"),
    "a body that is no JSON": (change("programs/0/body", "{"), "lines"),
    "a body of another version": (body('"version": 1', '"version": 2'), "lines"),
    "when a program counts": (
        change("programs/0/valid_from", "2026-07-09T00:00:00.000000Z"),
        "",
    ),
    "a program left out": (drop("programs/0"), "lines"),
    "temperatures": (hotter, "lines"),
    "a temperature left out": (
        lambda document: document["temperatures"]["rows"].__delitem__(slice(60, 90)),
        "lines",
    ),
    "temperatures not looked at": (change(f"{KNOWN}/temperatures", None), "lines"),
    "when an event ends": (change("events/0/ended_at", "2026-07-01T17:45:00.000000Z"), "lines"),
    "an event cancelled": (change("events/0/cancelled_at", "2026-07-01T17:45:00.000000Z"), "lines"),
    "whose event": (change("events/0/program", "other"), "lines"),
    "an event left out": (drop("events/0"), "lines"),
    "an event's document": (change("events/0/document", "aGVsbG8="), "events"),
    "no document": (change("events/0/document", ""), "events"),
    "the period": (change("runs/0/period/ended_at", "2026-07-01T17:30:00.000000Z"), "lines"),
    "the time of knowledge": (
        lambda document: (
            change("runs/0/known_at", "2026-07-01T17:30:00.000000Z")(document),
            change("known_at", "2026-07-01T17:30:00.000000Z")(document),
        ),
        "lines",
    ),
    "only other programs": (change("runs/0/programs", ["other"]), "lines"),
    "an account left out": (drop("runs/0/accounts/1"), "lines"),
    "the run left out": (
        lambda document: (drop("runs/0")(document), change("known_at", None)(document)),
        "lines",
    ),
    "a line's amount": (change(f"{BOOKED}/lines/0/amount_micros", "1625779"), "lines"),
    "a line's energy": (change(f"{BOOKED}/lines/1/energy_milliwh", "3600001"), "lines"),
    "a line's factor": (change(f"{BOOKED}/lines/1/tier_multiplier_ppm", "1300000"), "lines"),
    "a line left out": (drop(f"{BOOKED}/lines/1"), "lines"),
    "a line of another": (change(f"{BOOKED}/lines/0/settlement_id", "x"), "identity"),
    "the payable amount": (change(f"{BOOKED}/settlement/amount_minor", "402"), "lines"),
    "the sum of lines": (change(f"{BOOKED}/settlement/lines_micros", "4006383"), "lines"),
    "held": (change(f"{BOOKED}/settlement/state", "held"), "lines"),
    "a settlement left out": (drop(BOOKED), "lines"),
    "an allocation": (
        change(f"{BOOKED}/settlement/allocations/0/amount_minor", "41"),
        "money",
    ),
    "an allocation's account": (
        change(f"{BOOKED}/settlement/allocations/1/account", "mallory"),
        "money",
    ),
    "a share": (change(f"{BOOKED}/shares/0/share_ppm", "200000"), "money"),
    "a journal line": (change(f"{BOOKED}/entries/0/amount_minor", "-1"), "money"),
    "a journal line left out": (drop(f"{BOOKED}/entries/0"), "money"),
    "a journal account": (change(f"{BOOKED}/entries/1/account", "payable:owner:mallory"), "money"),
    "what was booked before": (
        change(f"{BOOKED}/before", [{"role": "owner", "account": "anna", "amount_minor": "1"}]),
        "money",
    ),
    "the adjustment": (change(f"{BOOKED}/settlement/adjustment_minor", "400"), "money"),
    "the revision before": (change(f"{BOOKED}/supersedes", "x"), "identity"),
    "the id": (
        lambda document: [
            row.update(settlement_id="00000000-0000-5000-8000-000000000000")
            for row in (
                document["bookings"][0]["settlement"],
                *document["bookings"][0]["lines"],
                *document["bookings"][0]["entries"],
            )
        ],
        "identity",
    ),
    "a settlement twice": (
        lambda document: document["bookings"].append(document["bookings"][0]),
        "identity",
    ),
    "the revision": (change(f"{BOOKED}/settlement/revision", "2"), "proofs"),
    "a version that it rests on": (change(f"{BOOKED}/settlement/contract_version", "2"), "proofs"),
    "the booking number": (change(f"{BOOKED}/settlement/booking_no", "9"), "proofs"),
    "the inclusion path": (change(f"{BOOKED}/proof/path/0", "00" * 32), "proofs"),
    "a shorter path": (drop(f"{BOOKED}/proof/path/0"), "proofs"),
    "the place of the leaf": (change(f"{BOOKED}/proof/index", "0"), "proofs"),
    "another seal": (change(f"{BOOKED}/proof/number", "2"), "proofs"),
    "the root": (change("seals/0/root", "00" * 32), "proofs"),
    "the count of leaves": (change("seals/0/leaves", "2"), "proofs"),
    "the digest of the seal": (change("seals/0/seal_digest", "00" * 32), "seals"),
    "the seal before": (change("seals/0/previous", "11" * 32), "seals"),
    "when it was sealed": (change("seals/0/sealed_at", "2026-07-05T00:00:00.000000Z"), "seals"),
    "an unpaid amount": (cell("unpaid", "would_have_been_micros", "1"), "unpaid"),
    "an unpaid energy": (cell("unpaid", "energy_milliwh", "1"), "unpaid"),
    "a reason": (cell("unpaid", "reason", "NO_CONTRACT"), "unpaid"),
    "an unpaid row left out": (drop("unpaid/rows/0"), "unpaid"),
    "an unpaid row of no run": (cell("unpaid", "run_id", "x"), "unpaid"),
}  # fmt: skip


@pytest.mark.parametrize(("apply", "name"), TAMPERED.values(), ids=TAMPERED.keys())
def test_what_was_tampered_with_is_found(
    pack: Pack, threads: Executor, apply: Change, name: str
) -> None:
    # given
    document = json.loads(write(pack))
    apply(document)
    # when
    found = verify(read(json.dumps(document).encode()), threads)
    # then
    if name:
        assert not found.stands
        assert name in broken(found)
        assert found.first_difference
    else:
        assert found.stands  # before all versions the first one is in force: it changes no money


def test_the_first_difference_has_both_figures(pack: Pack, threads: Executor) -> None:
    # given
    document = json.loads(write(pack))
    cell(f"{KNOWN}/prices", "price_micros_per_kwh", "430000")(document)
    # when
    found = verify(read(json.dumps(document).encode()), threads)
    # then
    assert found.first_difference == (
        "lines: VEHICLE-00001 in peak (example-energy): lines_micros:"
        " booked 4006382, recomputed 4045091"
    )


def test_a_pack_made_up_as_a_whole_is_found_by_the_seal_that_was_kept(
    pack: Pack, key: Key, threads: Executor
) -> None:
    # given: a higher price, and everything computed, booked and sealed anew
    prices = (Price(PROGRAM, START - HOUR, START + HOUR, 900_000, START - HOUR),)
    forged = make_pack(key=key, body=program_body(thermal=THERMAL), prices=prices)
    # when
    alone = verify(forged, threads)
    vouched = verify(forged, threads, against={1: pack.seals[0]})
    rooted = verify(forged, threads, roots=frozenset({pack.seals[0].root}))
    # then
    assert alone.stands
    assert broken(vouched) == broken(rooted) == ["seals"]


def test_kept_seals_that_are_no_chain_vouch_for_nothing(pack: Pack, threads: Executor) -> None:
    # given
    odd = replace(pack.seals[0], leaves=2)
    # when
    found = verify(pack, threads, against={1: odd})
    # then
    assert broken(found) == ["seals"]


def test_what_is_not_sealed_yet_is_said_and_not_vouched_for(pack: Pack, threads: Executor) -> None:
    # given
    (one,) = pack.bookings
    unsealed = replace(pack, bookings=(replace(one, proof=None),), seals=())
    # when
    alone, asked = verify(unsealed, threads), verify(unsealed, threads, against={})
    # then
    assert alone.stands
    assert [c.name for c in alone.checks if c.state is State.OPEN] == ["proofs"]
    assert broken(asked) == ["proofs"]


def test_a_conflict_withholds_its_energy_and_is_shown_by_both_packets(
    key: Key, threads: Executor
) -> None:
    # given: another signed content for the packet of 17:10
    packets = [signed(key, n) for n in range(-30, 60)]
    other = signed(key, 10, wh=130)
    digest = judged_digest(other)
    conflict = Conflict(EVSE, 1, 70, digest, KNOWN_AT)
    shown = tuple(
        SignedPacket(p, judged_digest(p), KNOWN_AT - HOUR, KNOWN_AT - HOUR) for p in packets
    )
    pack = make_pack(
        key=key,
        packets=packets,
        conflicts=(conflict,),
    )
    pack = booked(
        replace(pack, packets=(*shown, SignedPacket(other, digest, KNOWN_AT - HOUR, None)))
    )
    # when
    honest = verify(pack, threads)
    unshown = verify(replace(pack, packets=shown), threads)
    denied = verify(replace(pack, conflicts=()), threads)
    # then
    assert honest.stands
    assert pack.lines["energy_milliwh"].sum() == 7_200_000 - 120_000
    assert broken(unshown) == ["packets"]
    assert "lines" in broken(denied)


def judged_digest(packet: bytes) -> bytes:
    return sha256(packet.rpartition(b".")[0]).digest()


def test_the_same_packet_twice_is_found(pack: Pack, threads: Executor) -> None:
    # when
    found = verify(replace(pack, packets=(*pack.packets, pack.packets[0])), threads)
    # then
    assert "packets" in broken(found)


def test_a_settlement_whose_energy_is_gone_is_verified_as_nothing(
    pack: Pack, threads: Executor
) -> None:
    # given: the packets of the event are in doubt at the time of the run
    doubtful = replace(pack, runs=(replace(pack.runs[0], known_at=START),))
    # when
    found = verify(doubtful, threads)
    # then
    assert "contract_id: booked c-1, recomputed" in found.first_difference
    assert judged(pack, threads).readings.height == 90


def test_a_second_seal_that_does_not_follow_is_found(pack: Pack, threads: Executor) -> None:
    # given
    after = seals.seal(pack.seals[0], 4, 4, [b"x"], KNOWN_AT)
    other = seals.seal(seals.seal(None, 1, 3, [b"a", b"b", b"c"], KNOWN_AT), 4, 4, [b"x"], KNOWN_AT)
    # when
    good = verify(replace(pack, seals=(*pack.seals, after)), threads)
    bad = verify(replace(pack, seals=(*pack.seals, other)), threads)
    # then
    assert good.stands
    assert broken(bad) == ["seals"]
