"""How often it misbehaves: drawn from the seed, by posting and attempt, and never for ever."""

import pytest

from simulators.clearinghouse import WELL_AFTER, FaultKind, Misbehaviour
from simulators.clearinghouse.misbehaviour import parse_misbehaviour
from tests.simulators.clearinghouse.caller import posting


def test_whatever_it_does_a_posting_repeated_often_enough_is_answered_well(calling):
    caller = calling(Misbehaviour.only({"error": 1.0}))
    statuses = [caller.post(posting()).status_code for _ in range(WELL_AFTER + 1)]
    assert statuses == [500] * WELL_AFTER + [201]


def test_the_seed_decides_the_faults_and_not_the_order_of_calls():
    misbehaviour = Misbehaviour(slow=0.2, error=0.2, lost_ack=0.2, too_many=0.2)
    calls = [(f"posting-{i}", attempt) for i in range(50) for attempt in (1, 2)]
    forwards = {call: misbehaviour.draw(7, *call) for call in calls}
    backwards = {call: misbehaviour.draw(7, *call) for call in reversed(calls)}
    assert forwards == backwards
    assert set(forwards.values()) == {None, "slow", "error", "lost_ack", "too_many"}
    assert forwards != {call: misbehaviour.draw(8, *call) for call in calls}


def test_faults_occur_about_as_often_as_asked():
    misbehaviour = Misbehaviour(slow=0.05, error=0.1, lost_ack=0.05, too_many=0.02)
    drawn = [misbehaviour.draw(7, f"posting-{i}", 1) for i in range(5_000)]
    assert 0.08 < drawn.count(FaultKind.ERROR) / 5_000 < 0.12
    assert 0.75 < drawn.count(None) / 5_000 < 0.81


@pytest.mark.parametrize("shares", [{"error": -0.1}, {"error": 0.9, "html": 0.2}])
def test_probabilities_that_cannot_be_are_refused(shares):
    with pytest.raises(ValueError, match="sum to at most 1"):
        Misbehaviour(**shares)


def test_what_a_seed_drew_it_draws_though_the_shares_are_named_in_another_order():
    one = Misbehaviour(reset=0.2, conflict=0.2, vast=0.1)
    other = Misbehaviour(vast=0.1, conflict=0.2, reset=0.2)
    assert [one.draw(7, f"posting-{i}", 1) for i in range(200)] == [
        other.draw(7, f"posting-{i}", 1) for i in range(200)
    ]
    assert one == other


def test_by_default_it_misbehaves_as_a_partner_does():
    assert Misbehaviour().shares == {"slow": 0.05, "error": 0.1, "lost_ack": 0.05, "too_many": 0.02}


@pytest.mark.parametrize("kind", FaultKind)
def test_every_fault_can_be_drawn(kind):
    assert Misbehaviour.only({kind: 1.0}).draw(1, "posting-1", 1) is kind


@pytest.mark.parametrize(
    "text", [b"[]", b'{"rude": 1}', b'{"error": "1"}', b'{"error": true}', b"{", b"[" * 100_000]
)
def test_shares_that_cannot_be_read_are_refused(text):
    with pytest.raises(ValueError):
        parse_misbehaviour(text)


@pytest.mark.parametrize("kind", ["forgets", "unsigned"])
def test_a_share_that_could_do_nothing_is_refused(calling, kind):
    with pytest.raises(ValueError, match=f"fault {kind}"):
        calling(Misbehaviour.only({kind: 0.5}))


def test_status_queries_have_shares_of_their_own(calling):
    # given a clearinghouse that forgets half of what it is asked for
    caller = calling(status_misbehaviour=Misbehaviour.only({"forgets": 0.5}), seed=3)
    for number in range(20):
        caller.post(posting(number))

    # when each is asked for once
    statuses = {caller.ask(f"posting-{number}").status_code for number in range(20)}

    # then some are known, some not, and all took effect
    assert statuses == {200, 404}
    assert len(caller.house.truth().postings) == 20
    assert sum(caller.house.truth().queries.values()) == 20
