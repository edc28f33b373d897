"""What the database refuses for itself stops nothing else."""

import asyncio
import random

import pytest

from ingest_daemon.backoff import Backoff
from ingest_daemon.health import Health
from ingest_daemon.modbus.landing import Landing
from ingest_daemon.modbus.metrics import Metrics
from ingest_daemon.modbus.outbox import LOST_SENSOR, Outbox
from storage.engine import Role, connect
from storage.errors import DatabaseUnavailableError
from storage.sample_store import SamplesRefusedError, SampleStore
from storage.thermal_samples import samples_since
from tests.ingest_daemon.modbus.polled import now
from tests.storage.made import NOON
from tests.storage.test_thermal_samples import sample


def test_a_poll_that_the_database_refuses_is_lost_and_said_and_the_others_land(plain_database):
    box = Outbox(samples_max=1000)
    box.put([sample(0)])
    box.put([sample(1, 200.0), sample(1, sensor="other")])
    box.put([sample(2)])

    async def work():
        landing = Landing(
            box,
            SampleStore(plain_database, now=now),
            health=Health("database"),
            metrics=Metrics(box, now=now),
            backoff=Backoff(first_s=0.01, longest_s=0.1, rng=random.Random(1)),
        )
        ended = asyncio.create_task(landing.run())
        while box.dropped == 0 or len(box):
            assert not ended.done(), ended
            await asyncio.sleep(0.01)
        box.put([sample(3)])
        landing.end()
        await ended

    asyncio.run(work())

    with connect(plain_database, Role.READ) as conn:
        kept = samples_since(conn, "EVSE-1", NOON)
    word = [one for one in kept if one.sensor == LOST_SENSOR]
    assert len(kept) == 4
    assert [one.detail.partition(" samples")[0] for one in word] == ["2"]
    assert (box.samples, box.dropped) == (0, 2)


def test_the_store_says_whether_trying_again_helps(plain_database):
    store = SampleStore(plain_database, now=now)
    with pytest.raises(SamplesRefusedError):
        store.land([sample(0, 200.0)])
    assert store.land([sample(0)]) == 1
    assert store.land([sample(0)]) == 0
    store.close()
    with pytest.raises(DatabaseUnavailableError):
        SampleStore("host=/nowhere dbname=x", now=now).land([sample(0)])
