"""End to end, with a real broker, the real daemon and PostgreSQL: whatever is away or killed, each
packet of the charger stands in the database exactly once, and the store empties.
"""

import random
import threading
import time
from functools import partial

import pytest

from embedded.processes import wait_until
from settlement import packets
from tests.evse_agent.harness import (
    EVSE_ID,
    Charger,
    assert_covers,
    deliver,
    identities,
    sample,
)
from tests.ingest_daemon.harness import TOKEN, Daemon, count, rows, secret_file

SEED = 20260701


def landed(database: str) -> list[bytes]:
    return [
        bytes(packet)
        for (packet,) in rows(database, "select packet from raw_packet where evse_id = %s", EVSE_ID)
    ]


def assert_all_landed_once(database: str, first: int, last: int, *, number: int | None = None):
    held = landed(database)
    assert len(held) == len(set(held)), "a packet stands twice"
    assert_covers(held, first, last)
    assert count(database, "packet_aside") == 0
    if number is not None:
        assert len(held) == number
    by_epoch: dict[int, list[int]] = {}
    for epoch, sequence in identities(held):
        by_epoch.setdefault(epoch, []).append(sequence)
    for sequences in by_epoch.values():
        assert sorted(sequences) == list(range(len(sequences))), "a sequence is missing"


def test_packets_go_over_the_broker_are_committed_receipted_and_deleted(
    plain_database, broker, tmp_path
):
    with (
        Daemon(tmp_path, plain_database, broker=broker),
        Charger(tmp_path / "c", broker) as charger,
    ):
        deliver(charger, [sample(n) for n in range(21)])
        charger.wait_waiting(0)

        assert_all_landed_once(plain_database, 0, 20, number=20)
        assert "event=no_receipt" not in charger.log


@pytest.mark.slow
def test_agent_daemon_and_broker_are_killed_at_random_and_each_packet_stands_once(
    plain_database, broker, tmp_path
):
    rng = random.Random(SEED)
    total = 300
    daemon = Daemon(tmp_path, plain_database, broker=broker)
    charger = Charger(tmp_path / "c", broker, ReceiptTimeout=2)
    kills = {"agent": 0, "daemon": 0, "broker": 0}
    samples = [sample(n) for n in range(total)]
    delivered, killed_enough = threading.Event(), threading.Event()

    def controller() -> None:
        # A few at a time, so that the kills fall between, and into, all that happens to a sample.
        for begin in range(0, total, 10):
            if begin == total - 10:
                killed_enough.wait(60)
            deliver(charger, samples[begin : begin + 10])
            time.sleep(0.05)
        delivered.set()

    with daemon, charger:
        charger.wait_up()  # before its first subscription a broker has nobody to keep packets for
        feeding = threading.Thread(target=controller)
        feeding.start()
        give_up_at = time.monotonic() + 90
        while not delivered.is_set() and time.monotonic() < give_up_at:
            time.sleep(rng.uniform(0, 0.25))
            victim = rng.choice(["agent", "agent", "agent", "daemon", "broker"])
            kills[victim] += 1
            if victim == "agent":
                charger.process.kill()
                charger.start()
            elif victim == "daemon":
                daemon.process.kill()
                daemon.start(ready=False)
            else:
                broker.kill()
                broker.start()
            if kills["agent"] >= 5 and kills["daemon"] + kills["broker"] >= 2:
                killed_enough.set()
        feeding.join(60)
        assert delivered.is_set()
        daemon.wait_ready()
        charger.wait_waiting(0, deadline_s=60)

        assert killed_enough.is_set()
        assert_all_landed_once(plain_database, 0, total - 1)
        assert charger.log.count("event=started") == kills["agent"] + 1


@pytest.mark.slow
def test_after_an_outage_batches_drain_over_http_and_live_packets_are_not_starved(
    plain_database, broker, tmp_path
):
    behind = 1500
    with Daemon(tmp_path, plain_database, broker=broker) as daemon:
        charger = Charger(
            tmp_path / "c",
            broker,
            UploadUrl=daemon.url,
            UploadTokenFile=str(secret_file(tmp_path / "upload-token", TOKEN)),
            UploadThreshold=50,
            UploadPause=0.2,
            UploadAfter=3600,
        )
        with charger:
            charger.wait_up()
            broker.stop()
            url = daemon.url
            daemon.process.stop()
            deliver(charger, [sample(n) for n in range(behind + 1)])
            assert charger.status()["waiting"] == behind
            charger.process.kill()  # a power cut in the outage

            broker.start()
            daemon.start()
            charger.content["UploadUrl"] = daemon.url
            charger.write()
            assert url
            charger.start(up=True)
            began = time.monotonic()
            number, latencies = behind + 1, []
            while charger.status()["waiting"] > 0 or number < behind + 6:
                assert time.monotonic() - began < 45
                deliver(charger, [sample(number)])
                number += 1
                newest = f'"export_end_wh":"{sample(number - 1)["export_wh"]}"'.encode()
                said = time.monotonic()
                wait_until(
                    partial(has_landed, plain_database, newest),
                    deadline_s=10,
                    what="the live packet, in the middle of the drain",
                )
                latencies.append(time.monotonic() - said)
            seconds = time.monotonic() - began
            assert charger.rss_bytes() < 64 * 1024 * 1024

        assert_all_landed_once(plain_database, 0, number - 1, number=number - 1)
        by_way = dict(
            rows(plain_database, "select source, count(*) from raw_packet group by source")
        )
        assert by_way["http"] >= behind - 100, by_way
        assert by_way["mqtt"] >= 5
        assert max(latencies) < 5
        # Ten times real time or better: 1,500 packets are 6.25 hours.
        assert behind * 15 / seconds > 10
        assert "event=drain_ends" in charger.log


@pytest.mark.slow
def test_without_any_broker_the_uploads_carry_everything(plain_database, tmp_path):
    with Daemon(tmp_path, plain_database) as daemon:
        charger = Charger(
            tmp_path / "c",
            None,
            UploadUrl=daemon.url,
            UploadTokenFile=str(secret_file(tmp_path / "upload-token", TOKEN)),
            UploadAfter=0,
        )
        with charger:
            deliver(charger, [sample(n) for n in range(6)])
            charger.wait_waiting(0)

        assert_all_landed_once(plain_database, 0, 5, number=5)


def has_landed(database: str, words: bytes) -> bool:
    """Whether one of the newest packets says this."""
    newest = rows(
        database,
        "select packet from raw_packet where evse_id = %s order by signed_at desc limit 3",
        EVSE_ID,
    )
    return any(words in packets.split(bytes(packet)).payload for (packet,) in newest)
