"""Receipts as they wait for the broker: bounded in every direction, and nothing is told twice."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256

import pytest

from ingest_daemon import receipts
from ingest_daemon.buffer import Answered, Held, Room
from ingest_daemon.receipts import (
    ENTRIES_MAX,
    MESSAGE_MAX_BYTES,
    MISSING_MAX,
    WINDOW_MAX,
    Receipts,
)
from settlement.packets import Identity
from storage.landing import Arrival, Fate, Outcome
from storage.streams import Gap

NOW = datetime(2026, 7, 1, tzinfo=UTC)


class Nobody:
    """A sender that is told nothing."""

    asks_conflicts = False

    def landed(self, batch: Sequence[Held]) -> None:
        raise AssertionError

    def answer(self, answers: Sequence[Answered]) -> None:
        raise AssertionError


ROOM = Room("test", packets_max=1, bytes_max=1)
WHO = Identity("E1", 1, 1, NOW)


def answered(packet: bytes, client="E1", fate=Fate.NEW, detail="", *, conflict=False) -> Answered:
    arrival = Arrival(packet, NOW, "mqtt", client)
    return Answered(
        Held(arrival, Nobody(), 0, ROOM), Outcome(fate, b"signed", WHO, detail), conflict
    )


def gap(first: int) -> Gap:
    return Gap("E1", 1, first, first + 1, 1, NOW)


class Scene:
    def __init__(self, *, entries_max=1000, window=0xFFFF, wanted=True) -> None:
        self.lost = 0
        self.receipts = Receipts(wanted=wanted, entries_max=entries_max, dropped=self._dropped)
        self.receipts.connected(receive_maximum=window)

    def _dropped(self, entries):
        self.lost += entries

    def sent(self):
        """(client, content) of each message that may go now."""
        found = []
        for message in self.receipts.messages():
            v2g, client, kind = message.topic.split("/")
            assert (v2g, kind) == ("v2g", "receipt")
            content = json.loads(message.payload)
            assert content.pop("version") == 1
            found.append((client, content))
        return found


@pytest.mark.parametrize(
    ("one", "said"),
    [
        pytest.param(answered(b"p"), {"state": "landed"}, id="landed"),
        pytest.param(answered(b"p", fate=Fate.DUPLICATE), {"state": "already_landed"}, id="again"),
        pytest.param(
            answered(b"p", fate=Fate.ASIDE, detail='odd_time: "x"'),
            {"state": "aside", "detail": 'odd_time: "x"'},
            id="aside",
        ),
        pytest.param(
            answered(b"p", fate=Fate.DUPLICATE, detail="unreadable: \0é\ud800"),
            {"state": "aside", "detail": "unreadable: \0é\ud800"},
            id="aside again, with words from outside",
        ),
        pytest.param(
            answered(b"p", fate=Fate.ASIDE, detail="other_signature: …"),
            {"state": "already_landed"},
            id="another signature over what has landed",
        ),
        pytest.param(answered(b"p", conflict=True), {"state": "conflict"}, id="conflict"),
        pytest.param(answered(b"p", conflict=None), {"state": "landed"}, id="conflict not asked"),
    ],
)
def test_each_fate_has_its_word(one, said):
    scene = Scene()

    scene.receipts.offer([one])

    digest = sha256(b"p").hexdigest()
    assert scene.sent() == [("E1", {"received": [{"digest": digest, **said}]})]


def test_packets_of_one_client_share_messages_and_clients_do_not():
    scene = Scene()
    scene.receipts.offer([answered(b"%d" % n, client=f"E{n % 3}") for n in range(9)])

    told = scene.sent()

    assert [(client, len(content["received"])) for client, content in told] == [
        ("E0", 3),
        ("E1", 3),
        ("E2", 3),
    ]
    assert scene.sent() == []


def test_a_message_holds_so_many_packets_and_bytes_and_a_long_list_waits_behind_the_others():
    scene = Scene()
    scene.receipts.offer([answered(b"%d" % n, client="E1") for n in range(ENTRIES_MAX + 5)])
    scene.receipts.offer([answered(b"x", client="E2")])
    scene.receipts.offer(
        [answered(b"a%d" % n, "E3", Fate.ASIDE, "unreadable: " + "\0" * 400) for n in range(50)]
    )

    messages = list(scene.receipts.messages())

    assert [message.topic.split("/")[1] for message in messages][:4] == ["E1", "E2", "E3", "E1"]
    assert max(message.entries for message in messages) == ENTRIES_MAX
    assert max(len(message.payload) for message in messages) < MESSAGE_MAX_BYTES + 2000
    assert sum(message.entries for message in messages) == ENTRIES_MAX + 5 + 1 + 50


@pytest.mark.parametrize("window", [1, 7, 0xFFFF])
def test_no_more_is_under_way_than_the_broker_takes(window):
    scene = Scene(window=window)
    scene.receipts.offer([answered(b"%d" % n, client=f"E{n}") for n in range(600)])

    first = list(scene.receipts.messages())
    assert len(first) == min(window, WINDOW_MAX)
    assert scene.sent() == []

    assert not scene.receipts.confirmed(first[0].mid, 0)
    assert len(scene.sent()) == 1


def test_no_two_messages_under_way_have_one_number():
    scene = Scene()
    scene.receipts.offer([answered(b"stays", client="E0")])
    [stays] = scene.receipts.messages()
    for n in range(0x10001):
        scene.receipts.offer([answered(b"p", client="E1")])
        [message] = scene.receipts.messages()
        assert message.mid not in {0, stays.mid}, n
        scene.receipts.confirmed(message.mid, 0)


def test_what_finds_no_room_is_dropped_and_counted():
    scene = Scene(entries_max=10, window=1)
    scene.receipts.offer([answered(b"%d" % n, client=f"E{n}") for n in range(8)])
    scene.sent()
    scene.receipts.offer([answered(b"%d" % n, client=f"E{n}") for n in range(8)])
    scene.sent()

    # One was sent, so 7 waited, and there was room for 3 of the 8.
    assert scene.lost == 5
    for _ in range(5):
        scene.receipts.offer([answered(b"%d" % n, client=f"F{n}") for n in range(8)])
        scene.sent()
    assert scene.lost == 5 + 5 * 8


def test_without_a_connection_nothing_is_kept_and_what_waited_is_told_later():
    scene = Scene(window=1)
    scene.receipts.offer([answered(b"a", client="E1"), answered(b"b", client="E2")])
    scene.sent()
    scene.receipts.lost()

    assert not scene.receipts.offer([answered(b"c", client="E3")])
    assert not scene.receipts.offer_missing("E3", [gap(5)])
    assert (scene.sent(), scene.lost) == ([], 1)
    scene.receipts.connected(receive_maximum=1)
    assert [client for client, _ in scene.sent()] == ["E2"]


def test_who_wants_no_receipts_gets_none_and_counts_nothing():
    scene = Scene(wanted=False)

    assert not scene.receipts.offer([answered(b"a")])
    assert (scene.sent(), scene.lost) == ([], 0)


def test_a_packet_without_a_client_is_told_to_nobody():
    scene = Scene()
    scene.receipts.offer([answered(b"a", client=""), answered(b"a", client=None)])

    assert scene.sent() == []


def test_what_is_missing_is_told_after_what_has_come():
    scene = Scene()
    assert scene.receipts.offer_missing("E1", [gap(n) for n in range(ENTRIES_MAX + 1)])
    scene.receipts.offer([answered(b"a")])

    [came, first, second] = scene.sent()

    assert "received" in came[1]
    assert len(first[1]["missing"]) == ENTRIES_MAX
    assert second == (
        "E1",
        {"missing": [{"evse_id": "E1", "stream_epoch": 1, "first": 100, "last": 101}]},
    )


def test_so_many_messages_about_gaps_wait_and_no_more():
    scene = Scene(window=1)

    told = [scene.receipts.offer_missing(f"E{n}", [gap(1)]) for n in range(MISSING_MAX + 10)]

    assert told.count(False) == 10


def test_where_receipts_are_refused_nothing_more_is_sent_and_what_waits_is_dropped():
    scene = Scene(window=1)
    scene.receipts.offer([answered(b"%d" % n, client=f"E{n}") for n in range(5)])
    [(first)] = scene.receipts.messages()

    refused = [scene.receipts.confirmed(first.mid, code) for code in (0, 0x10, 0x87, 0x87)]

    assert refused == [False, False, True, False]
    assert (scene.sent(), scene.lost) == ([], 4)
    scene.receipts.connected(receive_maximum=10)
    assert not scene.receipts.offer([answered(b"a")])


def test_a_broker_that_refused_receipts_is_asked_again_later(monkeypatch):
    monkeypatch.setattr(receipts, "SILENT_S", 0.0)
    scene = Scene()
    scene.receipts.confirmed(1, 0x87)

    assert scene.receipts.offer([answered(b"a")])
    assert len(scene.sent()) == 1
