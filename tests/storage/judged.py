"""Readings in a database: packets that are really signed, landed and judged."""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any

from settlement.signatures import DeviceKey
from storage.engine import Role, connect
from storage.keys import enrol_keys
from storage.landing import Arrival, Lander
from tasks.judge import JudgeSummary, judge_packets
from tests.packets import Key, evening, make_key, make_packet

START = evening()
"""17:00 UTC of yesterday."""


def charger(dsn: str, evse_id: str) -> Key:
    """A key that is enrolled for an EVSE."""
    key = make_key()
    enrolled = DeviceKey(key.key_id, evse_id, key.public_key, START - timedelta(days=30))
    with connect(dsn, Role.REGISTRY) as conn:
        enrol_keys(conn, [enrolled], now=START)
    return key


def packets(key: Key, evse_id: str, sequences: Iterable[int], **fields: Any) -> list[bytes]:
    """Packets of 15 s each, from 17:00 on."""
    return [make_packet(key, evse_id=evse_id, sequence=n, **fields) for n in sequences]


def land(dsn: str, arrived: Iterable[bytes], *, received_at: datetime) -> None:
    lander = Lander(dsn)
    try:
        lander.land([Arrival(packet, received_at, "mqtt", None) for packet in arrived])
    finally:
        lander.close()


def judge(dsn: str, clock: Callable[[], datetime]) -> JudgeSummary:
    return judge_packets(dsn, clock=clock, threads=2)
