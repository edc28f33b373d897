"""Receipts: only what is surely one deletes anything."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evse_agent.inbox import Missing, Received, UnreadableReceiptError, parse

DIGEST = "ab" * 32


def receipt(**changes) -> bytes:
    fields = {"version": 1, "received": [{"digest": DIGEST, "state": "landed"}]} | changes
    return json.dumps(fields).encode()


def test_the_four_states_are_final_and_another_is_passed_over():
    states = ["landed", "already_landed", "aside", "conflict", "perhaps", 7]
    entries = [{"digest": DIGEST, "state": state} for state in states]

    read = parse(receipt(received=entries))

    assert [one.state for one in read.received] == states[:4]
    assert read.received[0] == Received(bytes.fromhex(DIGEST), "landed", "")


def test_missing_may_come_alone():
    gap = {"evse_id": "E1", "stream_epoch": 3, "first": 5, "last": 7}

    read = parse(json.dumps({"version": 1, "missing": [gap]}).encode())

    assert (read.received, read.missing) == ((), (Missing("E1", 3, 5, 7),))


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{}",
        b"[" * 50_000,
        receipt(version=2),
        receipt(received={}),
        receipt(received=[{"digest": "ab", "state": "landed"}]),
        receipt(received=[{"digest": "zz" * 32, "state": "landed"}]),
        receipt(received=[{"state": "landed"}]),
        receipt(received=["landed"]),
        receipt(missing=[{"evse_id": "E1", "stream_epoch": 1, "first": "5", "last": 7}]),
        receipt(missing=[{"evse_id": "E1", "stream_epoch": 1, "first": -5, "last": 7}]),
        receipt(missing=[{}] * 1001),
    ],
    ids=lambda value: str(value)[:60],
)
def test_what_is_no_receipt_is_refused(payload):
    with pytest.raises(UnreadableReceiptError):
        parse(payload)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_receipt_or_refused(payload):
    try:
        parse(payload)
    except UnreadableReceiptError:
        return
