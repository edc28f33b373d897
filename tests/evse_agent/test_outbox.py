"""What is sent next: new packets always find room, whatever waits; nothing goes twice without need."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evse_agent.intervals import State
from evse_agent.outbox import Outbox
from evse_agent.store import Store

WINDOW = 8


class Side:
    """Store, outbox, and a connection that notes what it is given."""

    def __init__(self, folder, *, takes=10**9) -> None:
        self.now = 0.0
        self.sent: list[int] = []
        self.takes = takes
        self.store = Store(folder / "store.db", bytes_max=10**7)
        self.outbox = Outbox(
            self.store, self.publish, window=WINDOW, receipt_timeout=60, monotonic=lambda: self.now
        )
        self.outbox.connected()

    def publish(self, packet: bytes) -> bool:
        if self.takes == 0:
            return False
        self.takes -= 1
        self.sent.append(int(packet))
        return True

    def add(self, count=1):
        stored = self.store.add([lambda _epoch, n: b"%d" % n] * count, State())
        self.outbox.stored(stored)
        return stored

    def receipt(self, *sequences):
        here = {one.sequence: one for one in self.store.oldest(10**6)}
        keys = self.store.settle([here[number].digest for number in sequences if number in here])
        self.outbox.settled(keys)


@pytest.fixture
def side(tmp_path):
    made = Side(tmp_path)
    yield made
    made.store.close()


def waiting(side, count):
    """So many packets from before."""
    side.outbox.disconnected()
    side.add(count)
    side.outbox.connected()


def test_new_packets_go_at_once_and_only_once_while_their_receipt_is_awaited(side):
    side.add(3)

    assert (side.outbox.send(waiting_too=True), side.sent) == (3, [0, 1, 2])
    side.now = 59
    assert side.outbox.send(waiting_too=True) == 0


def test_without_a_receipt_they_go_again_after_the_time_and_not_after_the_receipt(side):
    side.add(2)
    side.outbox.send(waiting_too=True)
    side.receipt(0)
    side.now = 61

    side.outbox.send(waiting_too=True)

    assert side.sent == [0, 1, 1]


def test_what_waits_takes_half_the_window_and_a_new_packet_finds_room(side):
    waiting(side, 100)

    side.outbox.send(waiting_too=True)
    assert side.sent == [0, 1, 2, 3]
    side.add(1)
    side.outbox.send(waiting_too=True)
    assert side.sent[-1] == 100

    side.receipt(0, 1)
    side.outbox.send(waiting_too=True)
    assert side.sent[-2:] == [4, 5]


def test_while_batches_are_uploaded_only_new_packets_go_over_the_broker(side):
    waiting(side, 100)
    batch = side.outbox.for_upload(50, bytes_max=10**6)
    side.add(1)

    side.outbox.send(waiting_too=False)

    assert side.sent == [100]
    assert [one.sequence for one in batch] == list(range(50))


def test_what_is_uploaded_is_not_published_meanwhile_and_what_is_published_not_uploaded(side):
    waiting(side, 10)
    side.outbox.send(waiting_too=True)

    batch = side.outbox.for_upload(100, bytes_max=10**6)
    side.outbox.send(waiting_too=True)

    assert side.sent == [0, 1, 2, 3]
    assert [one.sequence for one in batch] == [4, 5, 6, 7, 8, 9]


def test_an_upload_is_bounded_in_bytes_too(side):
    waiting(side, 20)

    # Their numbers are their bytes: ten of one digit, then of two.
    assert len(side.outbox.for_upload(100, bytes_max=15)) == 12


def test_without_a_connection_everything_may_be_uploaded(side):
    side.add(3)
    side.outbox.send(waiting_too=True)
    side.outbox.disconnected()
    side.add(2)

    assert side.outbox.waiting() == 5
    assert [one.sequence for one in side.outbox.for_upload(100, bytes_max=10**6)] == [0, 1, 2, 3, 4]


def test_what_the_other_side_misses_is_sent_next_if_it_is_here(side):
    waiting(side, 100)
    side.outbox.send(waiting_too=True)
    side.receipt(0, 1, 2, 3)
    [one, *_] = side.store.between(side.store.epoch, 50, 50, 1)

    assert side.outbox.missing(one.epoch, 50, 51) == 2
    assert side.outbox.missing(one.epoch, 0, 3) == 0
    side.outbox.send(waiting_too=True)

    assert side.sent[4:6] == [50, 51]


def test_a_missing_packet_that_was_just_sent_is_not_sent_at_once_again(side):
    side.add(1)
    side.outbox.send(waiting_too=True)
    epoch = side.store.epoch

    side.outbox.missing(epoch, 0, 0)
    side.outbox.send(waiting_too=True)
    assert side.sent == [0]

    side.now = 16
    side.outbox.missing(epoch, 0, 0)
    side.outbox.send(waiting_too=True)
    assert side.sent == [0, 0]


def test_a_connection_that_takes_nothing_loses_nothing(side):
    side.takes = 1
    side.add(3)
    assert side.outbox.send(waiting_too=True) == 1

    side.takes = 10
    side.outbox.send(waiting_too=True)

    assert side.sent == [0, 1, 2]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.sampled_from(["add", "send", "receipt", "down", "up", "late", "upload"]), max_size=60
    )
)
def test_whatever_happens_never_more_than_a_window_is_under_way_and_in_the_end_all_is_sent(
    tmp_path_factory, events
):
    side = Side(tmp_path_factory.mktemp("outbox"))
    up = True
    for event in events:
        before = len(side.sent)
        if event == "add":
            side.add(2)
        elif event == "send" and up:
            side.outbox.send(waiting_too=True)
        elif event == "receipt":
            side.receipt(*side.sent[-3:])
        elif event == "late":
            side.now += 61
        elif event == "upload":
            side.outbox.for_upload(3, bytes_max=10**6)
            side.outbox.uploaded()
        elif event in {"down", "up"}:
            up = event == "up"
            (side.outbox.connected if up else side.outbox.disconnected)()
        assert len(side.sent) - before <= WINDOW
    side.outbox.connected()
    for _ in range(200):
        side.now += 61
        side.outbox.send(waiting_too=True)
        side.receipt(*side.sent)
    assert side.store.depth().packets == 0
    side.store.close()
