"""Several landers and the same packets: every packet once, however they meet."""

import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import psycopg
import pytest

from storage.landing import Fate, Lander
from tests.storage.made import arrival, arrivals, packet

LANDERS = 4


def land_together(dsn, plans):
    """Each plan is the batches of one lander; all begin at once. The outcomes of all, by packet."""
    start = Barrier(len(plans))

    def run(batches):
        lander = Lander(dsn)
        start.wait(30)
        try:
            return [
                (sent.packet, outcome.fate)
                for batch in batches
                for sent, outcome in zip(batch, lander.land(batch).outcomes, strict=True)
            ]
        finally:
            lander.close()

    with ThreadPoolExecutor(len(plans)) as pool:
        return [pair for pairs in pool.map(run, plans) for pair in pairs]


@pytest.mark.parametrize("seed", range(3))
def test_overlapping_shuffled_batches_store_each_packet_once(database, seed):
    rng = random.Random(seed)
    everything = arrivals(8, 25)
    plans = []
    for _ in range(LANDERS):
        mine = rng.sample(everything, 150) + rng.choices(everything, k=50)
        rng.shuffle(mine)
        plans.append([mine[start : start + 40] for start in range(0, len(mine), 40)])

    told = land_together(database, plans)

    offered = {sent.packet for plan in plans for batch in plan for sent in batch}
    new = Counter(sent for sent, fate in told if fate is Fate.NEW)
    assert new == Counter(offered)
    with psycopg.connect(database, user="v2g") as conn:
        assert {stored for (stored,) in conn.execute("select packet from raw_packet")} == offered
        assert conn.execute("select count(*) from raw_packet").fetchone() == (len(offered),)
        counts = "select sum(rows_new), sum(rows_duplicate), sum(rows_aside) from landing_batch"
        assert conn.execute(counts).fetchone() == (len(offered), len(told) - len(offered), 0)


def test_batches_in_opposite_orders_do_not_lock_each_other_out(database):
    everything = arrivals(20, 20)
    plans = [[everything], [list(reversed(everything))], [everything], [list(reversed(everything))]]

    told = land_together(database, plans)

    assert Counter(fate for _, fate in told) == {Fate.NEW: 400, Fate.DUPLICATE: 1200}


def test_two_signatures_of_one_reading_at_once_leave_one_in_and_one_aside(database):
    signatures = [bytes([n]) * 64 for n in range(1, 1 + LANDERS)]
    plans = [
        [[arrival(packet("A", n, signature=signature)) for n in range(50)]]
        for signature in signatures
    ]

    told = land_together(database, plans)

    assert Counter(fate for _, fate in told) == {Fate.NEW: 50, Fate.ASIDE: 150}
    with psycopg.connect(database, user="v2g") as conn:
        assert conn.execute("select count(*) from raw_packet").fetchone() == (50,)
        assert conn.execute("select count(distinct packet) from packet_aside").fetchone() == (150,)


def test_unreadable_bytes_at_once_are_kept_once(database):
    noise = [
        [[arrival(f"noise {n}".encode()) for n in rng]]
        for rng in (range(60), range(59, -1, -1), range(30))
    ]

    told = land_together(database, noise)

    assert Counter(fate for _, fate in told) == {Fate.ASIDE: 60, Fate.DUPLICATE: 90}
