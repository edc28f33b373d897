"""The store: nothing is accepted that is not on disk, nothing is deleted without a receipt."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from evse_agent.errors import StoreDamagedError, StoreError, StoreFullError
from evse_agent.intervals import State
from evse_agent.samples import Sample, parse
from evse_agent.store import Store
from tests.evse_agent.harness import sample

ROOT = Path(__file__).parents[2]
ROOM = 10**6


def opened(path, **changes) -> Store:
    return Store(path, **({"bytes_max": ROOM} | changes))


def fill(store, count, *, size=100):
    return [
        store.add([lambda epoch, number: f"{epoch}.{number}.".encode().ljust(size, b"x")], State())[
            0
        ]
        for _ in range(count)
    ]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "store.db"


def test_a_packet_stays_until_its_digest_is_receipted(path):
    with opened(path) as store:
        first, second = fill(store, 2)

        assert store.settle([b"\0" * 32]) == []
        assert store.settle([second.digest]) == [(second.epoch, 1)]
        assert store.settle([second.digest]) == []

        assert store.oldest(10) == [first]
        assert (store.depth().packets, store.depth().bytes) == (1, 100)


def test_where_the_session_stands_and_which_have_ended_is_seen_again_after_a_restart(path):
    begun = parse(json.dumps(sample(0)).encode())
    assert isinstance(begun, Sample)
    state = State(begun, begun, (("S-0", datetime(2026, 7, 1, 17, tzinfo=UTC)),))
    with opened(path) as store:
        assert store.state() == State()
        store.add([], state)
    with opened(path) as store:
        assert store.state() == state


def test_it_is_private_and_sees_everything_again_after_a_restart(path):
    with opened(path) as store:
        held = fill(store, 3)
    with opened(path) as store:
        assert store.oldest(10) == held
        assert fill(store, 1)[0].sequence == 3
        assert store.depth().bytes == 400
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.with_name("store.db.epoch").stat().st_mode & 0o777 == 0o600


def test_a_packet_that_cannot_be_made_takes_no_sequence(path):
    def broken(_epoch, _number):
        raise RuntimeError("the token is away")

    with opened(path) as store:
        fill(store, 1)
        with pytest.raises(RuntimeError):
            store.add([lambda _epoch, _number: b"a", broken], State())

        assert store.depth().packets == 1
        assert fill(store, 1)[0].sequence == 1


def test_a_full_store_refuses_the_new_and_keeps_the_old(path):
    with opened(path, bytes_max=250) as store:
        held = fill(store, 2)

        with pytest.raises(
            StoreFullError, match=r"found 2 packets, 200 bytes; expected room for 100"
        ):
            fill(store, 1)

        assert store.oldest(10) == held
        store.settle([held[0].digest])
        assert fill(store, 1)[0].sequence == 2


def test_a_full_disk_refuses_the_new_and_keeps_the_old(path):
    # The real limit of a file's size stands for the disk: writes beyond it fail as on a full one.
    script = f"""
import resource, signal, sys
from pathlib import Path
sys.path.insert(0, {str(ROOT)!r})
from evse_agent.errors import StoreFullError
from evse_agent.store import Store
from evse_agent.intervals import State
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
store = Store(Path({str(path)!r}), bytes_max=10**9)
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))
count = 0
try:
    while True:
        store.add([lambda epoch, number: bytes(str(number), "ascii").ljust(4000)], State())
        count += 1
except StoreFullError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
[after] = store.add([lambda epoch, number: b"after"], State())
print(count, after.sequence, store.depth().packets)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    said, numbers = done.stdout.strip().rsplit("\n", 1)
    count, sequence, packets = map(int, numbers.split())
    assert "found a disk that takes nothing more" in said
    assert count > 10
    assert (sequence, packets) == (count, count + 1)


@pytest.mark.parametrize("where", ["header", "middle", "all"])
def test_a_damaged_file_is_named_and_left_as_it_is(path, where):
    with opened(path) as store:
        fill(store, 300)
    content = bytearray(path.read_bytes())
    if where == "header":
        content[:16] = b"\xff" * 16
    elif where == "middle":
        for begin in range(4096, len(content) - 4096, 4096):
            content[begin : begin + 64] = b"\xff" * 64
    else:
        content = bytearray(b"\xff" * len(content))
    path.write_bytes(content)

    with pytest.raises(StoreDamagedError, match="It was not touched"):
        opened(path)

    assert path.read_bytes() == bytes(content)


def test_a_packet_whose_bytes_have_changed_on_disk_is_kept_and_not_sent(path):
    with opened(path) as store:
        first, second = fill(store, 2)
    with sqlite3.connect(path) as db:
        db.execute("update packet set bytes = x'6f74686572' where sequence = 0")
    with opened(path) as store:
        assert store.oldest(10) == [second]
        assert store.rotten == {(first.epoch, first.sequence)}
        assert store.depth().packets == 2


def test_a_new_store_begins_a_higher_epoch_even_when_the_clock_went_back(path):
    noon = datetime(2026, 7, 1, 12, tzinfo=UTC)
    with opened(path, now=lambda: noon) as store:
        first = store.epoch
    for lost in path.parent.glob("store.db*"):
        if not lost.name.endswith(".epoch"):
            lost.unlink()
    with opened(path, now=lambda: noon - timedelta(days=300)) as store:
        assert store.epoch == first + 1
        assert fill(store, 1)[0].sequence == 0


def test_without_the_time_of_day_no_stream_begins(path):
    with pytest.raises(StoreError, match="set the clock first"):
        opened(path, now=lambda: datetime(1970, 1, 1, tzinfo=UTC))


def test_only_one_agent_has_it(path):
    with opened(path), pytest.raises(StoreError, match="another agent that has it"):
        opened(path)
    opened(path).close()


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(StoreError, match=r"nowhere/store\.db: found a folder that cannot be used"):
        opened(tmp_path / "nowhere" / "store.db")


def test_another_format_is_left_to_its_own_agent(path):
    with opened(path) as store:
        fill(store, 1)
    with sqlite3.connect(path) as db:
        db.execute("update fact set value = '9' where name = 'format'")

    with pytest.raises(StoreDamagedError, match="found format 9; expected 1"):
        opened(path)


def test_killed_while_it_writes_what_it_said_is_there_and_no_sequence_twice(path):
    script = f"""
import sys
from pathlib import Path
sys.path.insert(0, {str(ROOT)!r})
from evse_agent.store import Store
from evse_agent.intervals import State
store = Store(Path({str(path)!r}), bytes_max=10**9)
while True:
    [one] = store.add([lambda epoch, number: f"{{epoch}}.{{number}}".encode()], State())
    print(one.sequence, flush=True)
"""
    said: list[int] = []
    for kill in range(6):
        process = subprocess.Popen(
            [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        said.append(int(process.stdout.readline()))
        give_up_at = time.monotonic() + 0.05 + 0.03 * kill
        while time.monotonic() < give_up_at:
            said.append(int(process.stdout.readline()))
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        said += [int(line) for line in process.stdout if line.endswith("\n")]

    assert len(said) == len(set(said))
    with opened(path) as store:
        stored = [one.sequence for one in store.oldest(10**6)]
    # What was stored but not said yet may be there too: it was never told to anybody.
    assert set(said) <= set(stored)
    assert stored == list(range(len(stored)))
    assert len(stored) - len(said) <= 6
