"""A device's key comes in by its own proof and two people's word, and in no other way."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import psycopg
import pytest
from joserfc.jwk import ECKey

from settlement import packets
from settlement.packets import UnreadablePacketError
from settlement.possession import PossessionError
from settlement.signatures import stands
from storage import enrolment_records, enrolments, keys
from storage.engine import Role, connect
from storage.key_changes import KeyRefusedError, Refusal, history
from tests.packets import make_key, make_packet
from tests.proofs import jwk_of, make_proof
from tests.settlement.substitution import second_key
from tests.storage.keyed import DAY, EVSE, MINUTE, NOW, Registry, record


@pytest.fixture
def registry(plain_database) -> Registry:
    return Registry(plain_database)


def refused(why: Refusal, step, *values, **facts) -> KeyRefusedError:
    with pytest.raises(KeyRefusedError) as error:
        step(*values, **facts)
    assert error.value.why is why, str(error.value)
    return error.value


def test_a_key_is_enrolled_from_its_proof_on_after_a_second_person_approved(database):
    registry, key = Registry(database), make_key()
    enrolment, token = registry.invite(client_id="controller-7")
    registry.now += MINUTE
    proven = registry.prove(key, token)
    assert (proven.state, proven.key_id, proven.proven_at) == ("pending", key.key_id, NOW + MINUTE)
    assert len(registry.ask(keys.load_keys)) == 0

    registry.now += DAY
    approved = registry.do(enrolments.approve, enrolment.enrolment_id, by="bert", key_id=key.key_id)

    stored = registry.ask(keys.find, key.key_id)
    assert approved.state == "approved"
    assert stored.key == record(key, valid_from=NOW + MINUTE, client_id="controller-7")
    assert stored.key.brought_by == "controller-7"
    told = [(c.change, c.changed_by, c.changed_at) for c in registry.ask(history, evse_id=EVSE)]
    assert told == [
        ("approved", "bert", NOW + MINUTE + DAY),
        ("enrolled", "bert", NOW + MINUTE + DAY),
        ("proven", f"EVSE {EVSE}", NOW + MINUTE),
        ("invited", "anna", NOW),
    ]


def test_who_invited_cannot_approve(registry):
    enrolment, token = registry.invite(by="anna")
    registry.prove(make_key(), token)

    for name in ("anna", "Anna", " ANNA "):
        refused(
            Refusal.SAME_PERSON, registry.do, enrolments.approve, enrolment.enrolment_id, by=name
        )
    assert len(registry.ask(keys.load_keys)) == 0


def test_the_database_itself_keeps_two_people_apart(registry):
    enrolment, token = registry.invite(by="anna")
    registry.prove(make_key(), token)

    with connect(registry.dsn, Role.REGISTRY) as conn, pytest.raises(psycopg.errors.CheckViolation):
        conn.execute(
            "update key_enrolment set state = 'approved', decided_by = 'Anna', decided_at = now()"
            " where enrolment_id = %s",
            [enrolment.enrolment_id],
        )


def test_every_step_can_be_repeated(registry):
    key = make_key()
    enrolment, token = registry.invite()
    proof = registry.proof(key, token)
    first, again = (registry.do(enrolments.prove, proof) for _ in range(2))
    approved = [
        registry.do(enrolments.approve, enrolment.enrolment_id, by="bert") for _ in range(2)
    ]

    assert first == again
    assert approved[0] == approved[1]
    assert registry.do(enrolments.prove, proof).state == "approved"
    assert len(registry.ask(history)) == 4


def test_a_nonce_is_signed_once(registry):
    enrolment, token = registry.invite()
    proof = registry.proof(make_key(), token)
    nonce = registry.do(enrolments.challenge, token).nonce
    registry.do(enrolments.prove, proof)
    registry.do(enrolments.reject, enrolment.enrolment_id, by="anna", reason="a trial")
    _, other = registry.invite("DE*V2G*E00002")

    # a nonce of another invitation, one that was never given out, and one that is too old
    for stolen in (nonce, "x" * 43):
        sent = make_proof(make_key(), stolen, evse_id="DE*V2G*E00002", invitation=other)
        assert (
            refused(Refusal.UNKNOWN, registry.do, enrolments.prove, sent).where == "payload.nonce"
        )
    late = registry.proof(make_key(), other, "DE*V2G*E00002")
    registry.now += enrolments.NONCE_FOR
    assert refused(Refusal.UNKNOWN, registry.do, enrolments.prove, late).where == "payload.nonce"


def test_a_nonce_is_used_up_by_the_key_that_signed_it_first(registry):
    _, token = registry.invite()
    nonce = registry.do(enrolments.challenge, token).nonce
    first, second = (
        make_proof(make_key(), nonce, evse_id=EVSE, invitation=token) for _ in range(2)
    )
    registry.do(enrolments.prove, first)

    assert refused(Refusal.STATE, registry.do, enrolments.prove, second).where == "invitation"


def test_an_invitation_ends(registry):
    _, token = registry.invite()
    proof = registry.proof(make_key(), token)
    registry.now += enrolments.INVITATION_FOR

    refused(Refusal.STATE, registry.do, enrolments.challenge, token)
    refused(Refusal.STATE, registry.do, enrolments.prove, proof)


def test_nonces_and_invitations_are_bounded(registry):
    _, token = registry.invite()
    given = 0
    with connect(registry.dsn, Role.REGISTRY) as conn:
        for _ in range(enrolments.NONCES_MAX // enrolments.NONCES_OPEN_MAX):
            for _ in range(enrolments.NONCES_OPEN_MAX):
                enrolments.challenge(conn, token, clock=registry.clock)
                given += 1
            refused(Refusal.STATE, enrolments.challenge, conn, token, clock=registry.clock)
            registry.now += enrolments.NONCE_FOR
        assert given == enrolments.NONCES_MAX
        refused(Refusal.STATE, enrolments.challenge, conn, token, clock=registry.clock)
    for _ in range(enrolments.INVITATIONS_OPEN_MAX - 1):
        registry.invite()
    refused(Refusal.STATE, registry.invite)


def test_an_unknown_invitation_is_not_repeated_in_the_answer(registry):
    error = refused(Refusal.UNKNOWN, registry.do, enrolments.challenge, "secret-of-somebody")
    assert "secret" not in str(error)


def test_a_stranger_holds_up_nobody(registry):
    _, token = registry.invite()
    with psycopg.connect(registry.dsn, user="v2g") as holder:
        # given that changes have to wait
        holder.execute("select pg_advisory_xact_lock(%s)", [0x7632_675F_6B65])
        # then whoever has no invitation is answered at once
        refused(Refusal.UNKNOWN, registry.do, enrolments.challenge, "x" * 43)
        sent = make_proof(make_key(), "n", evse_id=EVSE, invitation="x" * 43)
        refused(Refusal.UNKNOWN, registry.do, enrolments.prove, sent)
    assert registry.do(enrolments.challenge, token).evse_id == EVSE


def test_tokens_and_nonces_are_kept_nowhere(registry):
    _, token = registry.invite()
    nonce = registry.do(enrolments.challenge, token).nonce
    with psycopg.connect(registry.dsn, user="v2g") as conn:
        for table in ("key_enrolment", "key_challenge", "key_change"):
            text = str(conn.execute(f"select t::text from {table} t".encode()).fetchall())
            assert token not in text
            assert nonce not in text


def test_a_key_of_another_evse_or_curve_than_invited_is_refused(registry):
    _, token = registry.invite()
    wrong = registry.proof(make_key(), token, "DE*V2G*E00002")
    other_curve = registry.proof(ECKey.generate_key("secp256k1", private=True), token)

    assert refused(Refusal.INVALID, registry.do, enrolments.prove, wrong).where == "payload.evse_id"
    assert (
        refused(Refusal.INVALID, registry.do, enrolments.prove, other_curve).where == "header.jwk"
    )


def test_another_curve_comes_in_where_it_was_allowed(registry):
    key = ECKey.generate_key("secp256k1", private=True)

    registry.enrol(key, curve="secp256k1", meter_id="1EMH001")

    stored = registry.ask(keys.load_keys)[key.thumbprint()]
    assert stored.algorithm == "ECDSA-secp256k1-SHA256"
    assert stored.meter_id == "1EMH001"
    refused(Refusal.INVALID, registry.invite, "DE*V2G*E2", curve="brainpoolP256r1")
    refused(Refusal.INVALID, registry.invite, "DE*V2G*E2", curve="secp256r2")


def test_a_public_key_is_unique_over_pending_and_enrolled_ones(registry):
    key = make_key()
    first, token = registry.invite()
    registry.prove(key, token)
    _, second = registry.invite()
    _, elsewhere = registry.invite("DE*V2G*E00002")

    refused(Refusal.TAKEN, registry.prove, key, second)
    refused(Refusal.TAKEN, registry.prove, key, elsewhere, "DE*V2G*E00002")
    for thief in (record(key), record(key, "DE*V2G*E00003")):
        outcome = registry.do(keys.import_keys, [keys.Import(thief)], by="carl", source="x.csv")[0]
        assert isinstance(outcome, KeyRefusedError)
    registry.do(enrolments.reject, first.enrolment_id, by="anna", reason="wrong device")
    refused(Refusal.TAKEN, registry.prove, key, elsewhere, "DE*V2G*E00002")
    assert registry.prove(key, second).state == "pending"


def test_two_devices_with_one_key_at_the_same_moment_give_one_enrolment(registry):
    key = make_key()
    evses = [f"DE*V2G*E{n}" for n in range(6)]
    proofs = [registry.proof(key, registry.invite(evse)[1], evse) for evse in evses]

    def prove(proof: bytes) -> bool:
        try:
            return bool(registry.do(enrolments.prove, proof).state == "pending")
        except KeyRefusedError as error:
            return bool(error.why is not Refusal.TAKEN)

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(prove, proofs)) == 1


def test_two_approvers_at_the_same_moment_give_one_key(registry):
    enrolment, token = registry.invite()
    registry.prove(make_key(), token)

    def approve(name: str) -> str:
        try:
            registry.do(enrolments.approve, enrolment.enrolment_id, by=name)
        except KeyRefusedError as error:
            return error.why
        return "approved"

    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(approve, ["bert", "carl", "dora", "emil"]))
    assert sorted(outcomes) == ["approved", "state", "state", "state"]
    assert len(registry.ask(keys.load_keys)) == 1


def test_what_is_decided_is_not_decided_otherwise(registry):
    key, (enrolment, token) = make_key(), registry.invite()
    refused(Refusal.STATE, registry.do, enrolments.approve, enrolment.enrolment_id, by="bert")
    registry.prove(key, token)
    other = make_key().key_id
    refused(
        Refusal.INVALID,
        registry.do,
        enrolments.approve,
        enrolment.enrolment_id,
        by="bert",
        key_id=other,
    )
    registry.do(enrolments.approve, enrolment.enrolment_id, by="bert")
    refused(Refusal.STATE, registry.do, enrolments.approve, enrolment.enrolment_id, by="carl")
    refused(
        Refusal.STATE,
        registry.do,
        enrolments.reject,
        enrolment.enrolment_id,
        by="bert",
        reason="no",
    )
    refused(Refusal.UNKNOWN, registry.do, enrolments.approve, "nothing", by="bert")
    assert [e.state for e in registry.ask(enrolment_records.listed)] == ["approved"]
    assert registry.ask(enrolment_records.listed, state="pending") == []


def test_an_evse_has_one_key_to_sign_packets_and_one_per_meter(registry):
    registry.enrol(make_key())
    registry.enrol(make_key(), meter_id="M-1")
    registry.enrol(make_key(), meter_id="M-2")
    second, token = registry.invite()
    registry.prove(make_key(), token)

    refused(Refusal.TAKEN, registry.do, enrolments.approve, second.enrolment_id, by="bert")


def test_a_key_can_be_rotated_by_an_enrolment(registry):
    old, new = make_key(), make_key()
    registry.enrol(old, client_id="controller-7")
    registry.now += DAY

    registry.enrol(new, replaces=old.key_id, overlap=7 * DAY)

    ring = registry.ask(keys.load_keys)
    assert ring[old.key_id].valid_to == NOW + 8 * DAY
    assert ring[new.key_id].valid_from == NOW + DAY
    assert ring[new.key_id].client_id == "controller-7"
    refused(Refusal.INVALID, registry.invite, "DE*V2G*E00002", replaces=new.key_id)


def test_a_second_key_that_verifies_a_packet_of_another_is_not_enrolled(registry):
    """Duplicate-signature key selection: the attacker has a public key, and no private one."""
    # given a victim, and a key under which the victim's packet verifies as well
    victim = make_key()
    registry.enrol(victim)
    packet = make_packet(victim, evse_id=EVSE)
    envelope = packets.split(packet)
    made = second_key(envelope, record(victim))
    assert stands(made, envelope)
    # when the attacker, invited for an EVSE of his own, wants that key enrolled
    mallory = "DE*V2G*E66666"
    _, token = registry.invite(mallory)
    nonce = registry.do(enrolments.challenge, token).nonce
    claims = make_proof(
        make_key(), nonce, evse_id=mallory, invitation=token, header={"jwk": jwk_of(made.public_key)}, thumbprint=made.key_id
    )  # fmt: skip
    # then he is refused, and nothing of it is kept
    with pytest.raises(PossessionError, match="signature"):
        registry.do(enrolments.prove, claims)
    with pytest.raises((PossessionError, UnreadablePacketError)):
        registry.do(enrolments.prove, packet)
    assert len(registry.ask(keys.load_keys)) == 1
    # and the packet names its key inside the signed bytes: no other key ever comes into question
    assert registry.ask(keys.load_keys).get(made.key_id) is None
    assert envelope.key_id == victim.key_id


def test_names_and_times_out_of_bounds_are_refused(registry):
    for facts in (
        {"evse_id": ""}, {"evse_id": "a\nb"}, {"evse_id": "x" * 65}, {"evse_id": "a/b"}, {"evse_id": " a"},
        {"client_id": "a/#"}, {"by": " "}, {"by": "a\0"}, {"meter_id": "m" * 65},
        {"valid_for": timedelta(days=31)}, {"valid_for": timedelta(0)}, {"overlap": timedelta(days=-1)},
    ):  # fmt: skip
        refused(Refusal.INVALID, registry.invite, **facts)
    assert registry.ask(enrolment_records.listed) == []
