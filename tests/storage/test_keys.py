"""Keys in the registry: whose they are, how long they stand, and that every change is on record."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from settlement.packets.keys import der_of, key_id_of
from settlement.signatures import DeviceKey
from storage import keys
from storage.engine import Role, connect
from storage.key_changes import KeyRefusedError, Refusal, history
from storage.migrate import downgrade, migrate
from tests.packets import make_key
from tests.storage.keyed import DAY, EVSE, MINUTE, NOW, Registry, record, rows

OTHER = "DE*V2G*E00002"


@pytest.fixture
def registry(plain_database) -> Registry:
    return Registry(plain_database)


def refused(why: Refusal, step, *values, **facts) -> KeyRefusedError:
    with pytest.raises(KeyRefusedError) as error:
        step(*values, **facts)
    assert error.value.why is why, str(error.value)
    return error.value


def enrol(registry: Registry, *records: DeviceKey) -> int:
    with connect(registry.dsn, Role.REGISTRY) as conn:
        return keys.enrol_keys(conn, records, now=registry.now, by="anna")


def meter_key(curve: ec.EllipticCurve, meter_id: str) -> DeviceKey:
    key = ec.generate_private_key(curve).public_key()
    algorithm = "ES256" if curve.name == "secp256r1" else f"ECDSA-{curve.name}-SHA256"
    return DeviceKey(
        key_id_of(key), EVSE, der_of(key), NOW - DAY, algorithm=algorithm, meter_id=meter_id
    )


def test_keys_are_kept_whole_and_found_by_id_and_by_meter(database):
    registry = Registry(database)
    packet_key = record(make_key(), client_id="controller", valid_to=NOW + DAY)
    of_meter = meter_key(ec.SECP256K1(), "1EMH001")

    assert enrol(registry, packet_key, of_meter) == 2
    assert enrol(registry, packet_key) == 0

    ring = registry.ask(keys.load_keys)
    assert (len(ring), ring[packet_key.key_id], ring[of_meter.key_id]) == (2, packet_key, of_meter)
    assert list(ring.of_meter("1EMH001")) == [of_meter]
    assert [r.key for r in registry.ask(keys.listed, meter_id="1EMH001")] == [of_meter]
    assert [r.enrolled_at for r in registry.ask(keys.listed, limit=1)] == [NOW]
    after = min(packet_key.key_id, of_meter.key_id)
    assert len(registry.ask(keys.listed, after=after)) == 1


def test_a_key_that_could_never_verify_or_has_another_name_is_refused(registry):
    key = make_key()
    brainpool = meter_key(ec.BrainpoolP256R1(), "M")
    for wrong in (
        DeviceKey(key.key_id, EVSE, b"der", NOW),
        DeviceKey("name", EVSE, key.public_key, NOW),
        DeviceKey(make_key().key_id, EVSE, key.public_key, NOW),
        record(key, algorithm="ECDSA-secp256k1-SHA256"),
        record(key, algorithm="none"),
        DeviceKey(brainpool.key_id, EVSE, brainpool.public_key, NOW),
        record(key, valid_to=NOW - DAY),
        record(key, valid_from=NOW.replace(tzinfo=None)),
        record(key, evse_id="a\0"),
    ):
        refused(Refusal.INVALID, enrol, registry, wrong)
    assert len(registry.ask(keys.load_keys)) == 0


def test_of_several_keys_none_is_enrolled_where_one_cannot_be(registry):
    good, bad = record(make_key()), record(make_key(), OTHER, valid_to=NOW - DAY)

    refused(Refusal.INVALID, enrol, registry, good, bad)
    assert registry.ask(keys.listed) == registry.ask(history) == []


def test_a_public_key_belongs_to_one_evse_for_ever(registry):
    key = make_key()
    enrol(registry, record(key))
    registry.do(keys.revoke, key.key_id, by="anna", reason="stolen")

    assert refused(Refusal.TAKEN, enrol, registry, record(key, OTHER)).found.endswith(EVSE)
    refused(Refusal.TAKEN, enrol, registry, record(key, meter_id="M"))
    around = (
        "insert into device_key select 'x', 'B', algorithm, public_key || 'x', valid_from, valid_to,"
        " revoked_at, enrolled_at, '', '' from device_key"
    )
    with connect(registry.dsn, Role.REGISTRY) as conn:
        with pytest.raises(psycopg.errors.ForeignKeyViolation):
            conn.execute(around)
        conn.rollback()


def test_an_evse_has_one_key_at_a_time_and_a_meter_is_at_one_place(registry):
    first = record(make_key(), valid_to=NOW + DAY)
    enrol(registry, first, record(make_key(), meter_id="M-1"))

    refused(Refusal.TAKEN, enrol, registry, record(make_key()))
    refused(Refusal.TAKEN, enrol, registry, record(make_key(), meter_id="M-1"))
    refused(Refusal.TAKEN, enrol, registry, record(make_key(), OTHER, meter_id="M-1"))
    assert enrol(registry, record(make_key(), valid_from=NOW + DAY)) == 1
    assert enrol(registry, record(make_key(), meter_id="M-2")) == 1


def test_a_meter_that_moves_was_never_at_two_places(registry):
    old = make_key()
    enrol(registry, record(old, meter_id="M-1"))
    registry.do(keys.revoke, old.key_id, by="anna", reason="exchanged")
    registry.now += DAY

    # backdated, a new key could claim what the meter recorded at its old place
    refused(Refusal.TAKEN, enrol, registry, record(make_key(), OTHER, meter_id="M-1"))
    moved = record(make_key(), OTHER, meter_id="M-1", valid_from=NOW)
    assert enrol(registry, moved) == 1


def test_of_many_keys_imported_a_bad_one_never_stops_the_good_ones(registry):
    shared = make_key()
    batch = [
        record(make_key()), record(make_key(), OTHER, valid_to=NOW - DAY), record(make_key()),
        record(shared, "DE*V2G*E3"), record(shared, "DE*V2G*E4"), record(shared, "DE*V2G*E3"),
    ]  # fmt: skip

    outcomes = registry.do(
        keys.import_keys, [keys.Import(one) for one in batch], by="anna", source="fleet.csv"
    )

    plain = [o.why if isinstance(o, KeyRefusedError) else o for o in outcomes]
    assert plain == [True, Refusal.INVALID, Refusal.TAKEN, True, Refusal.TAKEN, False]
    assert len(registry.ask(keys.load_keys)) == 2
    assert {(c.change, c.reason) for c in registry.ask(history)} == {("imported", "fleet.csv")}
    again = registry.do(keys.import_keys, [keys.Import(batch[0])], by="anna", source="fleet.csv")
    assert again == [False]
    [differs] = registry.do(
        keys.import_keys, [keys.Import(DeviceKey(batch[0].key_id, EVSE, batch[0].public_key, NOW))], by="a", source="s"
    )  # fmt: skip
    assert isinstance(differs, KeyRefusedError)


def test_both_keys_of_a_rotation_stand_while_they_overlap(registry):
    old, new = make_key(), make_key()
    enrol(registry, record(old, client_id="c"))
    change = {"overlap": 7 * DAY, "by": "anna"}

    assert registry.do(keys.rotate, old.key_id, record(new, "ignored"), **change)
    assert not registry.do(keys.rotate, old.key_id, record(new, "ignored"), **change)

    ring = registry.ask(keys.load_keys)
    assert ring[old.key_id] == record(old, client_id="c", valid_to=NOW + 7 * DAY)
    assert ring[new.key_id] == record(new, client_id="c", valid_from=NOW)
    moments = (NOW - MINUTE, NOW, NOW + 7 * DAY - MINUTE, NOW + 7 * DAY)
    assert [[ring[k.key_id].valid_for(at, at) for k in (old, new)] for at in moments] == [
        [True, False], [True, True], [True, True], [False, True],
    ]  # fmt: skip
    told = registry.ask(history, key_id=old.key_id)
    assert [(c.change, c.reason) for c in told] == [
        ("rotated", f"replaced by {new.key_id}"),
        ("enrolled", ""),
    ]
    assert told[0].before is not None
    assert (told[0].before["valid_to"], told[0].after["valid_to"]) == (None, "2026-07-08T12:00:00Z")


def test_only_a_key_that_stands_can_be_rotated_and_only_to_a_key_of_its_own(registry):
    old, gone, others = make_key(), make_key(), make_key()
    enrol(registry, record(old), record(gone, OTHER), record(others, "DE*V2G*E3"))
    registry.do(keys.revoke, gone.key_id, by="anna", reason="lost")
    change = {"overlap": DAY, "by": "anna"}

    refused(Refusal.STATE, registry.do, keys.rotate, gone.key_id, record(make_key()), **change)
    for unknown in ("none", "", "a\0b"):
        refused(Refusal.UNKNOWN, registry.do, keys.rotate, unknown, record(make_key()), **change)
    refused(Refusal.TAKEN, registry.do, keys.rotate, old.key_id, record(others), **change)
    for overlap in (-DAY, keys.OVERLAP_MAX + MINUTE):
        refused(
            Refusal.INVALID, registry.do, keys.rotate, old.key_id, record(make_key()), overlap=overlap, by="a"
        )  # fmt: skip


def test_a_rotation_never_makes_the_old_keys_time_longer(registry):
    old, new = make_key(), make_key()
    enrol(registry, record(old, valid_to=NOW + DAY))

    registry.do(keys.rotate, old.key_id, record(new), overlap=7 * DAY, by="anna")

    assert registry.ask(keys.find, old.key_id).key.valid_to == NOW + DAY


def test_a_revoked_key_refuses_what_is_received_from_then_on_and_leaves_what_was_before(registry):
    key = make_key()
    enrol(registry, record(key))
    step = {"by": "bert", "reason": "stolen"}

    assert registry.do(keys.revoke, key.key_id, **step)

    stored = registry.ask(keys.find, key.key_id)
    long_before = NOW - timedelta(hours=5)
    assert stored.key.valid_for(long_before, NOW - MINUTE)
    assert not stored.key.valid_for(long_before, NOW)
    assert (stored.state(NOW - MINUTE), stored.state(NOW)) == ("valid", "revoked")
    registry.now += DAY
    assert not registry.do(keys.revoke, key.key_id, **step)
    assert registry.ask(keys.find, key.key_id).key.revoked_at == NOW


def test_a_revocation_can_come_earlier_but_neither_later_nor_in_the_past(registry):
    key = make_key()
    enrol(registry, record(key))
    step = {"by": "bert", "reason": "the device is taken down"}

    refused(Refusal.INVALID, registry.do, keys.revoke, key.key_id, revoked_at=NOW - MINUTE, **step)
    registry.do(keys.revoke, key.key_id, revoked_at=NOW + 7 * DAY, **step)
    assert not registry.do(keys.revoke, key.key_id, revoked_at=NOW + 8 * DAY, **step)
    assert registry.do(keys.revoke, key.key_id, revoked_at=NOW + DAY, **step)
    assert registry.ask(keys.find, key.key_id).key.revoked_at == NOW + DAY
    refused(Refusal.INVALID, registry.do, keys.revoke, key.key_id, by="bert", reason=" ")
    refused(Refusal.UNKNOWN, registry.do, keys.revoke, "none", **step)


def test_a_keys_time_can_be_made_shorter_only(registry):
    key = make_key()
    enrol(registry, record(key))
    step = {"by": "bert", "reason": "contract ends"}

    assert registry.do(keys.shorten, key.key_id, to=NOW + 9 * DAY, **step)
    assert not registry.do(keys.shorten, key.key_id, to=NOW + 9 * DAY, **step)
    assert registry.do(keys.shorten, key.key_id, to=NOW + 5 * DAY, **step)
    for to in (NOW + 6 * DAY, NOW - MINUTE):
        refused(Refusal.INVALID, registry.do, keys.shorten, key.key_id, to=to, **step)
    registry.do(keys.revoke, key.key_id, revoked_at=NOW + DAY, **step)
    refused(Refusal.INVALID, registry.do, keys.shorten, key.key_id, to=NOW + 2 * DAY, **step)


@pytest.mark.parametrize(
    "longer",
    [
        "revoked_at = null",
        "revoked_at = revoked_at + interval '1 second'",
        "valid_to = null",
        "valid_to = valid_to + interval '1 second'",
    ],
)
def test_the_database_itself_brings_no_key_back(registry, longer):
    key = make_key()
    enrol(registry, record(key, valid_to=NOW + DAY, revoked_at=NOW))

    with (
        pytest.raises(psycopg.errors.RestrictViolation, match="never made longer"),
        connect(registry.dsn, Role.REGISTRY) as conn,
    ):
        conn.execute(f"update device_key set {longer}".encode())

    assert registry.ask(keys.find, key.key_id).key.revoked_at == NOW


def test_a_change_and_its_record_stand_or_fall_together(registry):
    key = make_key()
    enrol(registry, record(key))

    with connect(registry.dsn, Role.REGISTRY) as conn:
        keys.revoke(conn, key.key_id, by="bert", reason="stolen", clock=registry.clock)
        conn.rollback()

    assert registry.ask(keys.find, key.key_id).key.revoked_at is None
    assert [c.change for c in registry.ask(history)] == ["enrolled"]


def test_a_judge_that_reads_keys_holds_up_a_revocation_and_the_other_way_round(registry):
    key = make_key()
    enrol(registry, record(key))
    waiting = "select count(*) from pg_locks where locktype = 'advisory' and not granted"
    with (
        ThreadPoolExecutor(1) as pool,
        connect(registry.dsn, Role.SETTLE) as judge,
        psycopg.connect(registry.dsn, user="v2g", autocommit=True) as looker,
    ):
        keys.load_keys(judge)
        revoking = pool.submit(registry.do, keys.revoke, key.key_id, by="bert", reason="stolen")
        while rows(looker, waiting) != [(1,)]:
            assert not revoking.done()
        # the clock is read when nobody judges with the old keys any more
        registry.now += MINUTE
        judge.rollback()
        assert revoking.result(30)
        assert keys.load_keys(judge)[key.key_id].revoked_at == NOW + MINUTE


def test_keys_that_were_there_before_keep_their_place_and_get_a_history(database):
    key = make_key()
    downgrade(database, "0008")
    with psycopg.connect(database, user="v2g") as conn:
        conn.execute(
            "insert into device_key values (%s, %s, 'ES256', %s, %s, null, null, %s)",
            [key.key_id, EVSE, key.public_key, NOW - DAY, NOW],
        )
    migrate(database)
    registry = Registry(database)

    assert registry.ask(keys.find, key.key_id).key == record(key)
    assert [(c.change, c.changed_at) for c in registry.ask(history)] == [("enrolled", NOW)]
    refused(Refusal.TAKEN, enrol, registry, record(key, OTHER))
    downgrade(database, "0008")
    with psycopg.connect(database, user="v2g") as conn:
        assert rows(conn, "select key_id, evse_id from device_key") == [(key.key_id, EVSE)]
    migrate(database)
