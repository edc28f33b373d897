"""What the registry says of a key decides over every packet that lands: attacks on a running judge."""

from datetime import UTC, datetime, timedelta

import pytest

from settlement import packets as formats
from settlement.reasons import PacketReason
from settlement.signatures import stands
from storage import keys
from storage.engine import Role, connect
from tests.packets import Key, make_key, make_packet, rfc3339
from tests.settlement.substitution import second_key
from tests.storage.judged import START, judge, land, packets
from tests.storage.keyed import Registry, record, rows

EVSE, MALLORY = "DE*V2G*E00001", "DE*V2G*E66666"
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def registry(plain_database) -> Registry:
    made = Registry(plain_database)
    made.now = START - 30 * DAY
    return made


def enrolled(registry: Registry, evse_id: str = EVSE) -> Key:
    key = make_key()
    with connect(registry.dsn, Role.REGISTRY) as conn:
        keys.enrol_keys(conn, [record(key, evse_id, registry.now)], now=registry.now)
    return key


def judged(registry: Registry) -> tuple[int, dict[PacketReason, int]]:
    summary = judge(registry.dsn, lambda: datetime.now(UTC))
    return summary.readings, summary.quarantined


def readings(registry: Registry) -> list[tuple[str, int]]:
    with connect(registry.dsn, Role.READ) as conn:
        return rows(conn, "select key_id, sequence from reading order by sequence")


def test_after_a_revocation_old_dates_help_nobody_and_what_was_received_before_stands(registry):
    # given packets that were received before and after their key was revoked
    key = enrolled(registry)
    stolen = START + HOUR
    before, after = packets(key, EVSE, range(4)), packets(key, EVSE, range(4, 10))
    registry.now = stolen
    registry.do(keys.revoke, key.key_id, by="bert", reason="stolen")
    land(registry.dsn, before, received_at=stolen - MINUTE)
    land(registry.dsn, after[:3], received_at=stolen)
    # and ones that claim a time long before it
    backdated = make_packet(
        key, evse_id=EVSE, sequence=10, started_at=rfc3339(START - DAY), ended_at=rfc3339(START - DAY + MINUTE)
    )  # fmt: skip
    land(registry.dsn, [*after[3:], backdated], received_at=stolen + DAY)
    # when the judge judges all of them afterwards
    paid, refused = judged(registry)
    # then receipt alone decides
    assert paid == 4
    assert refused == {PacketReason.KEY_NOT_VALID: 7}
    assert [sequence for _, sequence in readings(registry)] == [0, 1, 2, 3]


def test_while_keys_are_rotated_both_stand_and_afterwards_only_the_new_one(registry):
    # given a rotation at 17:01 with one minute of overlap; packets last 15 seconds
    old, new = enrolled(registry), make_key()
    registry.now = START + MINUTE
    registry.do(keys.rotate, old.key_id, record(new), overlap=MINUTE, by="anna")
    # when both sign all the time
    land(registry.dsn, packets(old, EVSE, range(12)), received_at=START + HOUR)
    land(registry.dsn, packets(new, EVSE, range(100, 112)), received_at=START + HOUR)
    starts = {n: START + n * timedelta(seconds=15) for n in range(12)}
    moved = [
        make_packet(
            new, evse_id=EVSE, stream_epoch=2, sequence=n, started_at=rfc3339(at),
            ended_at=rfc3339(at + timedelta(seconds=15)),
        )
        for n, at in starts.items()
    ]  # fmt: skip
    land(registry.dsn, moved, received_at=START + HOUR)
    judged(registry)
    # then the signed time decides: to 17:02 the old one, from 17:01 the new one
    by_key = [(key_id, sequence) for key_id, sequence in readings(registry) if sequence < 100]
    assert [sequence for key_id, sequence in by_key if key_id == old.key_id] == list(range(7))
    assert [sequence for key_id, sequence in by_key if key_id == new.key_id] == list(range(3, 12))


def test_a_second_key_that_verifies_a_victims_packet_earns_nothing_even_when_it_is_enrolled(
    registry,
):
    """Duplicate-signature key selection, with an operator who was tricked into an import."""
    # given a victim's packet and a second public key under which it verifies
    victim = enrolled(registry)
    [packet] = packets(victim, EVSE, [1])
    envelope = formats.split(packet)
    made = second_key(envelope, record(victim, valid_from=registry.now))
    assert stands(made, envelope)
    # when that key is in the registry, for the attacker's EVSE: an import asks for no proof
    for evse, enrolls in ((EVSE, False), (MALLORY, True)):
        facts = record(Key(victim.private, made.key_id, made.public_key), evse, registry.now)
        [outcome] = registry.do(keys.import_keys, [keys.Import(facts)], by="carl", source="x")
        assert (outcome is True) is enrolls
    # and the packet comes: as it is, with the attacker's key id, and with his EVSE
    _, payload, signature = packet.split(b".")
    renamed = make_packet(make_key(), header={"kid": made.key_id}).split(b".")[0]
    moved = make_packet(make_key(), evse_id=MALLORY, header={"kid": made.key_id}).split(b".")
    forged = [b".".join([renamed, payload, signature]), b".".join([moved[0], moved[1], signature])]
    land(registry.dsn, [packet, *forged], received_at=START + HOUR)
    # then the victim is paid, once, and nobody else
    assert judged(registry) == (1, {PacketReason.BAD_SIGNATURE: 2})
    assert readings(registry) == [(victim.key_id, 1)]


def test_a_key_pays_only_its_own_evse_and_a_waiting_key_nobody(registry):
    mine, waiting = enrolled(registry), make_key()
    _, token = registry.invite(MALLORY)
    registry.prove(waiting, token, MALLORY)

    land(registry.dsn, packets(mine, MALLORY, [1]), received_at=START + HOUR)
    land(registry.dsn, packets(waiting, MALLORY, [2]), received_at=START + HOUR)

    assert judged(registry) == (0, {PacketReason.WRONG_DEVICE: 1, PacketReason.UNKNOWN_KEY: 1})
