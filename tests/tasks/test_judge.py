"""Judging what has landed, in a real database: each packet once, each identity once."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from settlement.reasons import PacketReason
from settlement.signatures import DeviceKey
from simulators.signing import twin
from storage.engine import Role, connect
from storage.keys import enrol_keys
from storage.landing import Fate
from tests.packets import make_key, make_packet
from tests.tasks.scene import HOUR, PERIOD, START, Scene, now, rfc3339

EVSE = "DE*V2G*E00001"


@pytest.fixture
def scene(database: str) -> Scene:
    made = Scene(database)
    made.set_up(EVSE)
    return made


def test_what_has_landed_is_judged_once(scene: Scene) -> None:
    # given a batch of good packets
    scene.land(scene.packet(EVSE, n) for n in range(100))
    # when it is judged twice
    first, second = scene.judge(), scene.judge()
    # then
    assert (first.packets, first.readings) == (100, 100)
    assert (second.packets, second.readings) == (0, 0)
    assert scene.one("select count(*) from reading") == 100


def test_every_landed_packet_is_a_reading_or_is_quarantined(scene: Scene) -> None:
    # given good packets, garbage, and one under an unknown key
    scene.land([scene.packet(EVSE, 1), b"garbage", b"", b"\0\xff" * 30])
    scene.land([scene.packet(EVSE, 2, header={"kid": "nobody"})])
    # when
    judged = scene.judge()
    # then
    assert judged.packets == judged.readings + sum(judged.quarantined.values())
    assert judged.quarantined == {PacketReason.UNREADABLE: 3, PacketReason.UNKNOWN_KEY: 1}


def test_another_signature_of_the_same_content_is_a_duplicate(scene: Scene) -> None:
    # given a packet and the twin of its signature
    packet = scene.packet(EVSE, 1)
    assert scene.land([packet]) == [Fate.NEW]
    assert scene.land([twin(packet)]) == [Fate.ASIDE]
    # when
    judged = scene.judge()
    # then
    assert judged.readings == 1
    assert judged.quarantined == {PacketReason.DUPLICATE_CONTENT: 1}


@pytest.mark.parametrize(
    "together", [True, False], ids=["judged together", "judged one after the other"]
)
def test_a_forged_signature_that_lands_first_does_not_keep_the_true_one_out(
    scene: Scene, *, together: bool
) -> None:
    # given the signed bytes of a packet, landed first under a signature that does not stand
    packet = scene.packet(EVSE, 1)
    signed, _, _ = packet.rpartition(b".")
    forged = signed + b"." + b"A" * 85 + b"Q"
    scene.land([forged])
    if not together:
        scene.judge()
    # when the true packet comes
    scene.land([packet])
    scene.judge()
    # then it is the reading, and the forgery is quarantined
    assert scene.one("select count(*) from reading") == 1
    assert scene.rows("select reason from quarantine") == [("BAD_SIGNATURE",)]


def test_a_true_packet_that_was_first_misused_on_a_foreign_topic_still_becomes_a_reading(
    scene: Scene,
) -> None:
    # given somebody who publishes a packet on another topic, and its signed bytes under a forgery
    packet = scene.packet(EVSE, 1)
    scene.land([packet], topic="DE*V2G*E00666")
    signed, _, _ = packet.rpartition(b".")
    scene.land([signed + b"." + b"A" * 85 + b"Q"])
    # when the charger itself delivers it
    scene.land([packet])
    judged = scene.judge()
    # then it is the reading
    assert judged.readings == 1
    assert judged.quarantined == {PacketReason.BAD_SIGNATURE: 1, PacketReason.WRONG_TOPIC: 1}


def test_what_a_client_brings_for_an_evse_is_judged_as_what_came_on_its_topic(scene: Scene) -> None:
    # given an EVSE whose packets a gateway is enrolled to bring
    evse, key = "DE*V2G*E00077", make_key()
    enrolled = DeviceKey(key.key_id, evse, key.public_key, START - 24 * HOUR, client_id="gateway-1")
    with connect(scene.dsn, Role.REGISTRY) as conn:
        enrol_keys(conn, [enrolled], now=now())
    # when the gateway brings one, and a stranger another
    own, strange = (make_packet(key, evse_id=evse, sequence=n) for n in (1, 2))
    assert scene.land([own], topic="gateway-1") == [Fate.NEW]
    assert scene.land([strange], topic=EVSE) == [Fate.ASIDE]
    judged = scene.judge()
    # then
    assert judged.readings == 1
    assert judged.quarantined == {PacketReason.WRONG_TOPIC: 1}


def test_a_second_content_for_an_identity_is_a_conflict_and_both_are_kept(scene: Scene) -> None:
    # given a packet, and another content under the same identity, at another time
    scene.deliver([scene.packet(EVSE, 7)])
    # when
    scene.deliver(
        [
            scene.packet(
                EVSE, 7, started_at=rfc3339(START - HOUR), ended_at=rfc3339(START - HOUR + PERIOD)
            )
        ]
    )
    # then
    assert scene.rows("select reason from quarantine") == [("CONFLICTING_CONTENT",)]
    assert scene.one("select count(*) from packet_conflict") == 1
    assert scene.one("select count(*) from raw_packet") == 2


def test_what_is_not_validly_signed_cannot_cause_a_conflict(scene: Scene) -> None:
    # given a reading
    scene.deliver([scene.packet(EVSE, 7)])
    # when a stranger claims its identity with other content
    key_id, scene.keys[EVSE] = scene.keys[EVSE].key_id, make_key()
    scene.deliver([scene.packet(EVSE, 7, export_end_wh="9999999.000", header={"kid": key_id})])
    # then nothing stands against the reading
    assert scene.one("select count(*) from packet_conflict") == 0
    assert scene.rows("select reason from quarantine") == [("BAD_SIGNATURE",)]


def test_two_judges_at_once_judge_everything_once(scene: Scene) -> None:
    # given many small batches
    for start in range(0, 400, 20):
        scene.land(scene.packet(EVSE, n) for n in range(start, start + 20))
    barrier = threading.Barrier(2)

    def judge() -> tuple[int, bool]:
        barrier.wait()
        summary = scene.judge()
        return summary.packets, summary.busy

    # when two judges start together
    with ThreadPoolExecutor(2) as threads:
        results = list(threads.map(lambda _: judge(), range(2)))
    # then each packet was judged by one of them
    assert sum(packets for packets, _ in results) == 400
    assert scene.one("select count(*) from reading") == 400
    assert scene.one("select count(*) from judged_batch") == 20
