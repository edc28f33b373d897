"""The hand-over: bounded, in order, and room is given back only by landing."""

import threading
from collections.abc import Sequence
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from ingest_daemon.buffer import Buffer, Held, Room
from storage.landing import Arrival

NOW = datetime(2026, 7, 1, tzinfo=UTC)


class Silent:
    asks_conflicts = False

    def landed(self, batch):
        pass

    def answer(self, answers):
        pass


SENDER = Silent()


def held(room: Room, *packets: bytes) -> list[Held]:
    return [
        Held(Arrival(packet, NOW, "test"), SENDER, token, room)
        for token, packet in enumerate(packets)
    ]


def take(
    buffer: Buffer, rows_max: int = 10, *, linger_s: float = 0, idle_s: float = 0
) -> Sequence[Held]:
    batch = buffer.take(rows_max, linger_s=linger_s, idle_s=idle_s)
    assert batch is not None
    return batch


def test_a_full_room_takes_nothing_of_what_does_not_fit_whole():
    buffer, room = Buffer(), Room("http", packets_max=3, bytes_max=100)

    assert buffer.offer(held(room, b"a", b"b"), room)
    assert not buffer.offer(held(room, b"c", b"d"), room)
    assert buffer.offer(held(room, b"c"), room)

    assert (room.packets, room.bytes) == (3, 3)


def test_bytes_are_bounded_as_well():
    buffer, room = Buffer(), Room("http", packets_max=100, bytes_max=10)

    assert buffer.offer(held(room, b"x" * 10), room)
    assert not buffer.offer(held(room, b"x"), room)


def test_a_full_room_does_not_keep_others_out():
    buffer, http, mqtt = (
        Buffer(),
        Room("http", packets_max=1, bytes_max=10),
        Room("mqtt", packets_max=1, bytes_max=10),
    )

    assert buffer.offer(held(http, b"h"), http)
    assert buffer.offer(held(mqtt, b"m"), mqtt)
    assert buffer.depth().packets == 2


def test_what_is_being_landed_still_takes_room():
    buffer, room = Buffer(), Room("http", packets_max=1, bytes_max=10)
    buffer.offer(held(room, b"a"), room)

    batch = take(buffer)

    assert not buffer.offer(held(room, b"b"), room)
    assert buffer.depth().oldest_received_at == NOW
    buffer.release(batch)
    assert buffer.offer(held(room, b"b"), room)


def test_nothing_to_take_is_an_empty_batch_and_after_closing_none():
    buffer, room = Buffer(), Room("http", packets_max=9, bytes_max=90)

    assert buffer.take(10, linger_s=1, idle_s=0) == ()
    buffer.offer(held(room, b"a"), room)
    buffer.close()
    assert not buffer.offer(held(room, b"b"), room)
    batch = take(buffer, linger_s=60, idle_s=60)
    assert [one.arrival.packet for one in batch] == [b"a"]
    buffer.release(batch)
    assert buffer.take(10, linger_s=60, idle_s=60) is None


def test_a_batch_that_fills_while_it_waits_is_taken_at_once():
    buffer, room = Buffer(), Room("mqtt", packets_max=9, bytes_max=90)
    buffer.offer(held(room, b"a"), room)
    taken: list[int] = []
    taker = threading.Thread(
        target=lambda: taken.append(len(take(buffer, 3, linger_s=60, idle_s=60)))
    )

    taker.start()
    buffer.offer(held(room, b"b", b"c", b"d"), room)
    taker.join(20)

    assert taken == [3]


def test_waiting_for_an_empty_room_ends_when_the_last_of_it_has_landed():
    buffer, mqtt, http = (
        Buffer(),
        Room("mqtt", packets_max=9, bytes_max=90),
        Room("http", packets_max=9, bytes_max=90),
    )
    buffer.offer(held(mqtt, b"a"), mqtt)

    assert not buffer.wait_empty(mqtt, timeout_s=0)
    batch = take(buffer)
    assert not buffer.wait_empty(mqtt, timeout_s=0)
    buffer.offer(held(http, b"h"), http)
    buffer.release(batch)

    assert buffer.wait_empty(mqtt, timeout_s=0)


@given(st.lists(st.lists(st.binary(max_size=5), max_size=6), max_size=8), st.integers(1, 7))
def test_whatever_is_taken_in_whatever_portions_comes_out_in_order_and_frees_its_room(
    offers, rows_max
):
    buffer, room = Buffer(), Room("mqtt", packets_max=1000, bytes_max=10_000)
    for offer in offers:
        assert buffer.offer(held(room, *offer), room)
    out: list[bytes] = []

    while batch := take(buffer, rows_max):
        assert len(batch) <= rows_max
        out += [one.arrival.packet for one in batch]
        buffer.release(batch)

    assert out == [packet for offer in offers for packet in offer]
    assert (room.packets, room.bytes, buffer.depth().oldest_received_at) == (0, 0, None)
