"""Commands and what became of them: stored once, in order, and found again after anything."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import psycopg
import pytest

from settlement.signatures import DeviceKey
from storage import thermal_terms, throttling
from storage.engine import Role, connect
from storage.keys import enrol_keys
from storage.registry import Contract, put_contracts
from storage.thermal_samples import Sample, put_samples
from storage.throttling import Command, Outcome
from tests.packets import make_key

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def command(evse: str = "E1", number: int = 1, limit_w: int | None = 0, **changes) -> Command:
    at = NOON + number * SECOND
    made = Command(uuid4(), evse, number, limit_w, "THERMAL_LIMIT_REACHED", {"a": 1}, at, at)
    return replace(made, **changes)


def outcome(of: Command, state: str, way: str = "mqtt:E1") -> Outcome:
    return Outcome(of.command_id, state, way, "", of.recorded_at)


@pytest.fixture
def guard(database):
    with connect(database, Role.GUARD) as conn:
        yield conn


def states(conn, of: Command) -> list[str]:
    [found] = [said for one, said in throttling.audit(conn) if one == of]
    return [one.state for one in found]


def test_what_is_ordered_is_found_again_with_all_that_became_of_it(guard):
    one = command()
    assert throttling.order(guard, [one]) == [one]
    throttling.tell(guard, [outcome(one, "sent"), outcome(one, "failed"), outcome(one, "sent")])
    throttling.tell(guard, [outcome(one, "obeyed")])
    guard.commit()

    standing = throttling.standing(guard)["E1"]
    assert standing.command == one
    assert standing.said["mqtt:E1"].state == "obeyed"
    assert standing.acknowledged
    assert states(guard, one) == ["sent", "failed", "sent", "obeyed"]


def test_a_command_that_is_sent_again_is_not_acknowledged_until_it_is_obeyed_again(guard):
    one = command()
    throttling.order(guard, [one])
    assert not throttling.standing(guard)["E1"].acknowledged
    throttling.tell(guard, [outcome(one, "sent"), outcome(one, "obeyed"), outcome(one, "sent")])
    assert not throttling.standing(guard)["E1"].acknowledged
    # nor while one of its ways is not
    throttling.tell(guard, [outcome(one, "obeyed"), outcome(one, "sent", "modbus:plc")])
    assert not throttling.standing(guard)["E1"].acknowledged
    throttling.tell(guard, [outcome(one, "obeyed", "modbus:plc")])
    assert throttling.standing(guard)["E1"].acknowledged


def test_a_newer_command_replaces_one_that_nobody_obeyed(guard):
    first, second, third = command(number=1), command(number=2, limit_w=None), command(number=3)
    throttling.order(guard, [first])
    throttling.tell(guard, [outcome(first, "sent")])
    throttling.order(guard, [second])
    throttling.tell(guard, [outcome(second, "sent"), outcome(second, "obeyed")])
    throttling.order(guard, [third])

    assert states(guard, first) == ["sent", "replaced"]
    assert states(guard, second) == ["sent", "obeyed"]
    assert throttling.standing(guard)["E1"].command == third
    assert throttling.standing(guard, until=NOON + 2 * SECOND)["E1"].command == second
    assert throttling.standing(guard, evses=["E2"]) == {}


def test_of_two_guards_that_decide_at_once_one_stores_its_command(database):
    mine, theirs = command(number=1), command(number=1, limit_w=None)
    with connect(database, Role.GUARD) as one, connect(database, Role.GUARD) as other:
        assert throttling.order(one, [mine]) == [mine]
        one.commit()
        assert throttling.order(other, [theirs]) == []
        other.commit()
        assert throttling.standing(other)["E1"].command == mine


def test_one_guard_holds_the_lock_until_its_connection_ends(database):
    with connect(database, Role.GUARD) as one:
        assert throttling.hold(one)
        # its end is noticed by the server, also where the network goes away without a word
        assert one.execute(
            "select count(*) from pg_settings where source = 'session'"
            " and name in ('tcp_user_timeout', 'tcp_keepalives_idle')"
        ).fetchone() == (2,)
        with connect(database, Role.GUARD) as other:
            assert not throttling.hold(other)
            one.close()
            # PostgreSQL gives it up a moment after the connection is closed
            for _ in range(1000):
                if throttling.hold(other):
                    break
            else:
                pytest.fail("the lock outlived its connection")


@pytest.mark.parametrize(
    "change",
    [
        "update throttle_command set limit_w = null",
        "delete from throttle_outcome",
        "update throttle_outcome set state = 'obeyed'",
    ],
)
def test_what_was_commanded_is_never_changed(database, change):
    with (
        psycopg.connect(database, user="v2g") as conn,
        pytest.raises(psycopg.errors.RestrictViolation),
    ):
        conn.execute(change)


def test_the_audit_is_the_newest_first_of_one_evse_since_a_time(guard):
    made = [command(evse, number) for evse in ("E1", "E2") for number in (1, 2, 3)]
    throttling.order(guard, made)
    found = [one for one, _ in throttling.audit(guard, evse_id="E1", since=NOON + 2 * SECOND)]
    assert [(one.evse_id, one.number) for one in found] == [("E1", 3), ("E1", 2)]
    assert len(throttling.audit(guard, most=4)) == 4


def test_an_evse_is_spoken_for_by_the_client_of_its_key_that_is_valid_now(database, guard):
    def key(evse: str, client: str, **changes) -> DeviceKey:
        made = make_key()
        base = DeviceKey(made.key_id, evse, made.public_key, NOON, client_id=client)
        return replace(base, **changes)

    with connect(database, Role.REGISTRY) as conn:
        for number, one in enumerate(
            [
                key("E1", "old", valid_to=NOON + SECOND),
                key("E1", "new", valid_from=NOON + SECOND),
                key("E2", ""),
                key("E3", "over", valid_to=NOON + SECOND),
            ]
        ):
            enrol_keys(conn, [one], now=NOON + number * timedelta(microseconds=1))
    assert thermal_terms.clients(guard, now=NOON + 2 * SECOND) == {"E1": "new", "E2": "E2"}


def test_enrolments_in_force_come_with_their_programs_terms(database, guard):
    with connect(database, Role.SETTLE) as conn:
        put_contracts(
            conn,
            [
                Contract("c1", "car-1", "unknown", 1, "a", NOON, evse_id="E1"),
                Contract("c2", "car-2", "unknown", 1, "a", NOON, NOON + SECOND, evse_id="E2"),
                Contract("c3", "car-3", "unknown", 1, "a", NOON + 2 * SECOND, evse_id="E3"),
            ],
            now=NOON,
        )
    found = thermal_terms.enrolled(guard, now=NOON + SECOND)
    assert [(one.evse_id, one.vehicle_id, one.thermal) for one in found] == [("E1", "car-1", None)]


def test_every_evse_with_samples_is_found_and_who_was_asked_last(database, guard):
    def sample(evse: str, device: str, second: int, **changes) -> Sample:
        at = NOON + second * SECOND
        base = Sample(device, "s", evse, "", at, b"", 30_000, "good")
        return replace(base, **changes)

    with connect(database, Role.INGEST) as conn:
        put_samples(
            conn,
            [
                *(sample(f"E{number:03}", "d", number) for number in range(200)),
                sample("E000", "other", 1000),
                sample("E000", "cabinet", 1001, battery=False),
                sample("E000", "absent", 1001, value_millicelsius=None, quality="not_implemented"),
                sample("E000", "silent", 990, value_millicelsius=None, quality="no_answer"),
            ],
            now=NOON,
        )
    assert thermal_terms.measured(guard, since=NOON) == [f"E{number:03}" for number in range(200)]
    assert thermal_terms.measured(guard, since=NOON + 999 * SECOND) == ["E000"]
    assert thermal_terms.measured(guard, since=NOON + 9999 * SECOND) == []
    found = thermal_terms.last_asked(
        guard,
        ["E000", "E001", "none"],
        since=NOON,
        until=NOON + 2000 * SECOND,
        within=timedelta(minutes=5),
    )
    assert [(one.evse_id, one.device_id) for one in found] == [
        ("E000", "other"),
        ("E000", "silent"),
        ("E001", "d"),
    ]
