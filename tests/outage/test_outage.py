"""Three days without broker and daemon, a hundred chargers, agents killed: each packet is paid once."""

import pytest

from embedded.processes import wait_until
from tests.ingest_daemon.harness import rows
from tests.outage.plan import Plan
from tests.outage.proof import Proof
from tests.outage.story import outage_and_drain, pay

SEED = 20260701


@pytest.mark.slow
def test_after_three_days_and_three_kills_each_packet_is_paid_once_and_live_ones_are_not_starved(
    plain_database, broker, tmp_path, stores
):
    plan = Plan.recent(chargers=100, hours=72, interval=1800, seed=SEED)
    with Proof(
        tmp_path, plain_database, broker, plan, stores=stores, say=print, UploadSpread=2
    ) as proof:
        outage_and_drain(proof, kills=3)
        assert proof.fleet.kills == 3
    pay(proof)


@pytest.mark.slow
def test_killed_while_it_drains_and_sent_by_both_ways_each_packet_is_paid_once(
    plain_database, broker, tmp_path, stores
):
    plan = Plan.recent(chargers=25, hours=48, interval=600, seed=SEED)
    with Proof(
        tmp_path, plain_database, broker, plan, stores=stores, say=print, UploadSpread=0
    ) as proof:
        proof.normally()
        proof.outage(kills=1)
        chosen = proof.some_of_the_backlog(every=3)

        # when the drain is cut by a kill, and a part of what waits comes over the broker as well
        proof.back()
        wait_until(
            lambda: proof.backlog_landed() > 0, deadline_s=120, what="the first of the backlog"
        )
        proof.fleet.kill()
        assert proof.fleet.waiting() > 0, "the kill came too late to cut the drain"
        proof.publish(chosen)
        proof.fleet.start()
        proof.drain(live=False)

        # and over HTTP, once all of it stands
        packets = [packet for _, packet in chosen]
        for begin in range(0, len(packets), 1000):
            part = packets[begin : begin + 1000]
            items = proof.daemon.post_batch(part).json()["items"]
            assert [item["status"] for item in items] == [208] * len(part)
    # then what came again has changed nothing
    [(again,)] = rows(plain_database, "select sum(rows_duplicate)::int from landing_batch")
    assert again >= len(chosen) >= plan.backlog // 3 - plan.chargers
    pay(proof)
