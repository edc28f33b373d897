"""The agent's parts together, in this process: what one part cannot do must not end another."""

import json
from datetime import timedelta

import pytest

from evse_agent import config
from evse_agent.agent import Agent
from evse_agent.errors import AgentError, StoreFullError
from tests.evse_agent.harness import BEGINS, Charger, sample
from tests.evse_agent.test_packet import record


@pytest.fixture
def agent(tmp_path):
    charger = Charger(tmp_path / "c", None)
    made = Agent(config.load(charger.config_file))
    yield made
    made._store.close()
    charger.socket_file.unlink()
    charger.socket_file.parent.rmdir()


def say(agent, content):
    return agent.line(json.dumps(content).encode())


def test_a_store_that_takes_nothing_does_not_end_the_connection_to_the_broker(
    agent, monkeypatch, caplog
):
    """On that connection come receipts, which make room, and limits."""

    def full(**_facts):
        raise StoreFullError("no room")

    monkeypatch.setattr(agent._store, "keep", full)

    agent._broker_changed(True, "")
    agent._link._client.broke()
    agent._link.mend()

    assert "store" in [record.message for record in caplog.records]
    assert agent._link._client._thread is not None  # a new client tries
    agent._link.stop()


def test_an_agent_that_is_deaf_to_its_controller_ends_so_that_it_is_started_again(agent):
    with pytest.raises(AgentError, match="controller's thread has ended"):
        agent._tick()


def test_a_session_that_no_packet_can_close_does_not_keep_the_next_one_out(agent):
    """A meter exchanged within a session: its records and the old one's are in no packet together."""

    def with_record(number, **changes):
        at = BEGINS + timedelta(seconds=number)
        serial = changes.pop("serial")
        fields = {"at": at.isoformat(), "records": [record(at, 1000 + number, serial=serial)]}
        return sample(0, **(fields | changes))

    assert say(agent, with_record(0, serial="M1"))["accepted"] is True
    assert say(agent, with_record(5, serial="M2"))["accepted"] is True

    answer = say(agent, with_record(10, serial="M2", session_id="S2", vehicle_id="V2"))

    assert answer == {"accepted": True}
    assert agent._state.last.session_id == "S2"


def test_a_sample_that_is_wrong_itself_costs_the_session_before_it_nothing(agent):
    say(agent, sample(0))
    say(agent, sample(1, at=(BEGINS + timedelta(seconds=5)).isoformat()))

    refused = say(agent, sample(2, session_id="S2", records=["OCMF|{}|{}"]))

    assert refused["accepted"] is False
    assert agent._store.depth().packets == 1
