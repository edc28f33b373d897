"""S5 and S6: whoever gets a key into the registry decides what is paid; so who gets one in?"""

from datetime import timedelta

import pytest

from settlement import packets
from settlement.packets.keys import key_id_of
from settlement.possession import PossessionError
from settlement.signatures import DeviceKey, stands
from storage import enrolments, keys
from storage.engine import Role, connect
from storage.key_changes import KeyRefusedError, Refusal
from tests.packets import make_key
from tests.proofs import make_proof
from tests.settlement.substitution import second_key
from tests.storage.keyed import Registry
from tests.tasks.scene import START, Scene, now
from tests.threats.conftest import EVSE, System

MALLORY = "DE*V2G*E66666"
DAY = timedelta(days=1)


@pytest.fixture
def registry(scene: Scene) -> Registry:
    made = Registry(scene.dsn)
    made.now = now()
    return made


def test_s5_a_second_key_under_which_a_victims_packets_verify_takes_none_of_its_money(
    system: System, registry: Registry
) -> None:
    # given an hour of the victim's, and a key made from one of its packets under which it verifies
    scene = system.scene
    hour = [scene.packet(EVSE, n) for n in range(240)]
    envelope = packets.split(hour[0])
    victim = DeviceKey(scene.keys[EVSE].key_id, EVSE, scene.keys[EVSE].public_key, START - 30 * DAY)
    made = second_key(envelope, victim)
    assert stands(made, envelope)
    # when its maker, invited for an EVSE of their own, wants it enrolled without its private part
    _, token = registry.invite(MALLORY)
    nonce = registry.do(enrolments.challenge, token).nonce
    for proof in (
        hour[0],  # the one thing that verifies under it
        make_proof(make_key(), nonce, evse_id=MALLORY, invitation=token, thumbprint=made.key_id),
    ):
        with pytest.raises((PossessionError, packets.UnreadablePacketError)):
            registry.do(enrolments.prove, proof)
    # then it is no key of ours, and the packets are the victim's: under another name they are nobody's
    assert registry.ask(keys.load_keys).get(made.key_id) is None
    system.daemon.post_batch(hour)
    owed = system.judge_and_settle()
    assert list(owed) == ["payable:owner:a-VEHICLE-00001"]
    assert system.reasons() == {}


def test_s5_even_a_second_key_that_somebody_did_enrol_is_never_asked_for_a_victims_packet(
    scene: Scene,
) -> None:
    # given an operator who was fooled: the made key stands in the registry, for the attacker's EVSE
    packet = scene.packet(EVSE, 0)
    victim = DeviceKey(scene.keys[EVSE].key_id, EVSE, scene.keys[EVSE].public_key, START - 30 * DAY)
    made = second_key(packets.split(packet), victim)
    with connect(scene.dsn, Role.REGISTRY) as conn:
        keys.enrol_keys(
            conn, [DeviceKey(made.key_id, MALLORY, made.public_key, made.valid_from)], now=now()
        )
    # when the victim's packet comes
    scene.deliver([packet])
    # then it stands under the victim's key, because the signed bytes name it
    assert scene.rows("select evse_id, key_id from reading") == [(EVSE, victim.key_id)]


def test_s5_one_public_key_serves_one_evse_only(scene: Scene, registry: Registry) -> None:
    # given the victim's own key, known to everybody, which an accomplice wants for their EVSE too
    key = scene.keys[EVSE]
    with pytest.raises(KeyRefusedError) as refused, connect(scene.dsn, Role.REGISTRY) as conn:
        keys.enrol_keys(
            conn, [DeviceKey(key.key_id, MALLORY, key.public_key, START - 30 * DAY)], now=now()
        )
    assert refused.value.why is Refusal.TAKEN
    ring = registry.ask(keys.load_keys)
    assert ring[key_id_of(key.private.public_key)].evse_id == EVSE


def test_s6_a_charger_that_only_one_person_has_let_in_is_paid_nothing(
    scene: Scene, registry: Registry
) -> None:
    # given a ghost customer: contract and event stand, and the key was proven but approved by nobody
    scene.enrol(MALLORY)  # the contract; its key is replaced by the ghost's
    ghost = make_key()
    enrolment, token = registry.invite("DE*V2G*E77777", by="anna")
    registry.prove(ghost, token, "DE*V2G*E77777")
    # when whoever invited it approves it too, under any spelling of the name
    for name in ("anna", "Anna", " anna "):
        with pytest.raises(KeyRefusedError) as refused:
            registry.do(enrolments.approve, enrolment.enrolment_id, by=name)
        assert refused.value.why in (Refusal.SAME_PERSON, Refusal.INVALID)
    scene.keys["DE*V2G*E77777"] = ghost
    scene.deliver([scene.packet("DE*V2G*E77777", n, vehicle_id="VEHICLE-66666") for n in range(20)])
    # then its packets are of an unknown key, and nothing is owed
    assert scene.rows("select distinct reason from quarantine") == [("UNKNOWN_KEY",)]
    assert scene.settle().paid_milliwh == 0
    assert scene.owed() == {}


def test_s6_a_vehicle_without_a_contract_is_paid_nothing_however_well_it_is_signed(
    scene: Scene,
) -> None:
    # given an enrolled charger at which a customer who never signed up discharges
    scene.enrol(MALLORY, contract=False)
    scene.deliver([scene.packet(MALLORY, n) for n in range(240)])
    settled = scene.settle()
    # then what it would have been is listed, and nobody is paid
    assert [(one.reason, one.energy_milliwh) for one in settled.unpaid] == [
        ("NO_CONTRACT", 7_200_000)
    ]
    assert scene.owed() == {}


def test_s6_an_invitation_serves_one_device_once(registry: Registry) -> None:
    # given an invitation that was used
    _, token = registry.invite(MALLORY)
    registry.prove(make_key(), token, MALLORY)
    # when somebody who has seen it proves another key with it
    with pytest.raises(KeyRefusedError) as refused:
        registry.prove(make_key(), token, MALLORY)
    assert refused.value.why in (Refusal.STATE, Refusal.TAKEN, Refusal.UNKNOWN)
