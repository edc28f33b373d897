"""Commands: obeyed, kept, told to each controller, acknowledged; what is no command changes nothing."""

import json
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evse_agent.errors import StoreFullError
from evse_agent.store import Store
from evse_agent.throttle import Throttle


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "store.db", bytes_max=10**6) as made:
        yield made


def throttle(store, told=None, *, bidirectional=True, monotonic=lambda: 0.0):
    def tell(line):
        if told is None:
            return False
        told.append(line)
        return True

    return Throttle(store, tell, bidirectional=bidirectional, monotonic=monotonic)


def command(**changes) -> bytes:
    fields = {
        "version": 1,
        "command_id": "c-1",
        "kind": "limit",
        "limit_w": 0,
        "reason": "THERMAL_LIMIT_REACHED",
    } | changes
    return json.dumps(fields).encode()


def test_a_limit_is_told_kept_and_acknowledged_and_a_release_ends_it(store):
    told: list[object] = []
    first = throttle(store, told)

    assert first.command(command()) == {"version": 1, "command_id": "c-1", "state": "obeyed"}
    assert told == [{"limit_w": 0, "command_id": "c-1", "reason": "THERMAL_LIMIT_REACHED"}]
    again = throttle(store, told)
    assert (again.limit_w, again.line()["command_id"]) == (0, "c-1")

    assert again.command(command(command_id="c-2", limit_w=None))["state"] == "obeyed"
    assert throttle(store).limit_w is None


def test_without_a_controller_it_is_kept_and_said_so(store):
    answer = throttle(store).command(command(limit_w=3000))

    assert answer["state"] == "obeyed"
    assert "no controller is connected" in str(answer["detail"])
    assert throttle(store).limit_w == 3000


@pytest.mark.parametrize(
    ("payload", "command_id"),
    [
        (b"", ""),
        (b"[]", ""),
        (b"[" * 50_000, ""),
        (command(version=2), ""),
        (command(kind="reboot"), "c-1"),
        (command(limit_w=-1), "c-1"),
        (command(limit_w="0"), "c-1"),
        (command(limit_w=True), "c-1"),
        (command(limit_w=0.5), "c-1"),
        (command(command_id=""), ""),
        (command(command_id="a\nb"), ""),
        (command(reason=5), "c-1"),
        (json.dumps({"version": 1, "command_id": "c-1", "kind": "limit"}).encode(), "c-1"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_what_is_no_command_is_refused_with_a_reason_and_changes_nothing(
    store, payload, command_id
):
    told: list[object] = []
    watched = throttle(store, told)
    watched.command(command(command_id="before", limit_w=5000))

    answer = watched.command(payload)

    assert (answer["state"], answer["command_id"]) == ("refused", command_id)
    assert answer["detail"]
    assert (watched.limit_w, len(told)) == (5000, 1)


@given(st.binary(max_size=200))
def test_any_bytes_are_answered(payload):
    class Kept:
        def kept(self, _name):
            return None

        def keep(self, **_facts):
            pass

    assert throttle(Kept()).command(payload)["state"] in {"obeyed", "refused"}


def test_a_charger_that_may_not_discharge_has_the_limit_zero_whatever_is_commanded(store):
    watched = throttle(store, bidirectional=False)
    watched.command(command(limit_w=None))

    assert watched.line()["limit_w"] == 0
    assert watched.line()["reason"] == "BidirectionalEnabled is false"


def test_a_controller_that_goes_on_discharging_is_reported_once(store, caplog):
    caplog.set_level(logging.ERROR)
    now = [0.0]
    watched = throttle(store, [], monotonic=lambda: now[0])
    watched.command(command(limit_w=1000))

    watched.measured(7200)
    now[0] = 11.0
    watched.measured(1020)
    assert caplog.records == []
    watched.measured(1021)
    watched.measured(7200)

    assert [record.message for record in caplog.records] == ["limit_not_followed"]


def test_a_limit_is_obeyed_even_when_it_cannot_be_stored():
    class Full:
        def kept(self, _name):
            return None

        def keep(self, **_facts):
            raise StoreFullError("no room")

    told: list[object] = []
    watched = throttle(Full(), told)

    answer = watched.command(command())

    assert (watched.limit_w, len(told), answer["state"]) == (0, 1, "obeyed")
    assert "could not be stored: no room" in str(answer["detail"])


def test_what_could_not_be_stored_is_stored_as_soon_as_there_is_room_and_outlives_a_restart(store):
    keep, full = store.keep, [True]

    def refuses(**facts):
        if full:
            raise StoreFullError("no room")
        keep(**facts)

    store.keep = refuses
    watched = throttle(store, [])
    watched.command(command(limit_w=0))
    watched.keep()
    assert throttle(store).limit_w is None

    full.clear()
    watched.keep()

    assert throttle(store).limit_w == 0


def test_a_controller_that_was_away_when_a_limit_was_released_is_told_when_it_connects(store):
    watched = throttle(store)
    assert watched.greeting() is None  # a store that was lost releases nothing

    watched.command(command(limit_w=0))
    watched.command(command(command_id="c-2", limit_w=None, reason=""))

    assert watched.greeting() == {"limit_w": None, "command_id": "c-2", "reason": ""}
