"""Verdicts on packets that carry meters' records: the meter pays, the charger's signature binds."""

from dataclasses import replace

import pytest

from settlement.reasons import PacketReason
from settlement.signatures import DeviceKey
from settlement.verdicts import reading_rows
from tests.ocmf import make_record, point
from tests.packets import EVSE_ID, evening, make_key, make_packet, make_packet_2
from tests.settlement.metered import (
    CHARGER,
    CHARGERS_KEY,
    KEBA,
    METER,
    POINTS,
    key,
    tampered,
    verdict,
)


def test_a_packet_around_a_record_is_paid_by_the_record() -> None:
    # given a packet whose state of charge and session the charger signs, and whose energy the meter
    packet = make_packet_2(CHARGER, [make_record(METER)])
    # when
    found = verdict(packet, CHARGERS_KEY, key(METER))
    # then
    assert found.reason is None, found.detail
    (row,) = reading_rows(found)
    assert (row["export_start_milliwh"], row["export_end_milliwh"]) == (
        1_000_000_000,
        1_000_030_000,
    )
    assert (row["session_id"], row["soc_start_ppm"]) == ("SESSION-1", 800_000)
    assert row["key_id"] == CHARGER.key_id


CARRYING: dict[str, tuple[bytes, list[DeviceKey], PacketReason | None]] = {
    "on another curve, allowed": (
        make_packet_2(CHARGER, [make_record(KEBA)]),
        [CHARGERS_KEY, key(KEBA)],
        None,
    ),
    "of an unknown meter": (
        make_packet_2(CHARGER, [make_record(METER)]),
        [CHARGERS_KEY],
        PacketReason.UNKNOWN_KEY,
    ),
    "of an unknown meter, under a charger's key that has expired": (
        make_packet_2(CHARGER, [make_record(METER)]),
        [replace(CHARGERS_KEY, valid_to=evening())],
        PacketReason.UNKNOWN_KEY,
    ),
    "of a meter whose key has expired": (
        make_packet_2(CHARGER, [make_record(METER)]),
        [CHARGERS_KEY, key(METER, valid_to=evening())],
        PacketReason.KEY_NOT_VALID,
    ),
    "on a curve that is not allowed": (
        make_packet_2(CHARGER, [make_record(KEBA)]),
        [CHARGERS_KEY, replace(key(METER), meter_id=KEBA.meter_id)],
        PacketReason.WRONG_ALGORITHM,
    ),
    "tampered inside, signed by the charger": (
        make_packet_2(CHARGER, [tampered(make_record(METER))]),
        [CHARGERS_KEY, key(METER)],
        PacketReason.BAD_SIGNATURE,
    ),
    "one of two tampered": (
        make_packet_2(
            CHARGER,
            [make_record(METER, POINTS[:1]), tampered(make_record(METER, POINTS[1:], 2))],
        ),
        [CHARGERS_KEY, key(METER)],
        PacketReason.BAD_SIGNATURE,
    ),
    "whole inside, signed by nobody we know": (
        make_packet_2(make_key(), [make_record(METER)], header={"kid": CHARGER.key_id}),
        [CHARGERS_KEY, key(METER)],
        PacketReason.BAD_SIGNATURE,
    ),
    "of another EVSE's meter": (
        make_packet_2(CHARGER, [make_record(METER)]),
        [CHARGERS_KEY, key(METER, evse_id="DE*V2G*E00666")],
        PacketReason.WRONG_DEVICE,
    ),
    "with an error flag": (
        make_packet_2(
            CHARGER, [make_record(METER, [POINTS[0], point(15, export_kwh="1000.030", EF="E")])]
        ),
        [CHARGERS_KEY, key(METER)],
        PacketReason.NOT_BILLABLE,
    ),
    "at other times than the packet says": (
        make_packet_2(CHARGER, [make_record(METER)], sequence=1),
        [CHARGERS_KEY, key(METER)],
        PacketReason.UNREADABLE,
    ),
}


@pytest.mark.parametrize(("packet", "keys", "reason"), CARRYING.values(), ids=CARRYING)
def test_a_packet_stands_only_if_what_it_carries_does(
    packet: bytes, keys: list[DeviceKey], reason: PacketReason | None
) -> None:
    found = verdict(packet, *keys)
    assert found.reason == reason, found.detail


def test_a_packet_that_states_no_more_than_it_must_is_read() -> None:
    found = verdict(make_packet_2(CHARGER, bare=True), CHARGERS_KEY)
    assert found.reason is None, found.detail
    (row,) = reading_rows(found)
    assert row["power_start_w"] is row["soc_end_ppm"] is row["latitude_microdeg"] is None


def test_no_charger_speaks_in_a_meters_name() -> None:
    # given a key that is enrolled for a meter's records
    enrolled = replace(CHARGERS_KEY, meter_id=METER.meter_id)
    # then a packet under it is a stranger's
    assert verdict(make_packet(CHARGER), enrolled).reason is PacketReason.UNKNOWN_KEY


def test_a_packet_comes_on_the_topic_of_the_client_that_its_key_names() -> None:
    gateway = replace(CHARGERS_KEY, client_id="gateway-1")
    found = [
        verdict(make_packet(CHARGER), gateway, topic=topic).reason
        for topic in ("gateway-1", EVSE_ID, None)
    ]
    assert found == [None, PacketReason.WRONG_TOPIC, None]
