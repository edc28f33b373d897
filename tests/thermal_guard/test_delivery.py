"""When a command is sent, sent again, and let be: the book of what is under way, on a clock of ours."""

import random
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from storage.throttling import Command, Numbered, Standing
from thermal_guard.delivery import Book

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)
WAY = "mqtt:E1"


@dataclass
class Clock:
    seconds: float = 1000.0
    book: Book = field(init=False)

    def __post_init__(self) -> None:
        self.book = Book(5.0, 1.0, 60.0, random.Random(7), lambda: NOON, lambda: self.seconds)

    def due(self, *, mqtt_up: bool = True) -> list[str]:
        return [one.way for one in self.book.due(mqtt_up=mqtt_up, most=100)]

    def send(self) -> None:
        for one in self.book.due(mqtt_up=True, most=100):
            assert self.book.sent(one).state == "sent"

    def answer(self, command: Command, state: str = "obeyed"):
        return self.book.answered(WAY, str(command.command_id), state, "")


def command(number: int = 1, limit_w: int | None = 0, evse: str = "E1") -> Command:
    return Command(uuid4(), evse, number, limit_w, "reason", {}, NOON, NOON)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_command_is_sent_until_it_is_obeyed_ever_more_rarely(clock):
    one = command()
    clock.book.put(one, [WAY])
    waits = []
    for _ in range(8):
        assert clock.due() == [WAY]
        clock.send()
        assert clock.due() == []
        clock.seconds += 5
        [late] = clock.book.late()
        assert (late.state, late.detail) == ("failed", "no answer within 5 s")
        since = clock.seconds
        while not clock.due():
            clock.seconds += 0.25
        waits.append(clock.seconds - since)
    assert waits[0] <= 1.25
    assert 30 <= waits[-1] <= 60.25
    clock.send()
    assert clock.answer(one).state == "obeyed"
    clock.seconds += 10**6
    assert (clock.due(), clock.book.late(), clock.book.unacknowledged) == ([], [], 0)


def test_without_a_broker_nothing_goes_over_it(clock):
    clock.book.put(command(), [WAY, "modbus:plc"])
    assert clock.due(mqtt_up=False) == ["modbus:plc"]


def test_a_refusal_is_tried_again_after_the_longest_wait(clock):
    one = command()
    clock.book.put(one, [WAY])
    clock.send()
    assert clock.answer(one, "refused").state == "refused"
    clock.seconds += 59
    assert clock.due() == []
    clock.seconds += 1
    assert clock.due() == [WAY]


def test_to_a_charger_that_is_away_it_is_sent_once_and_again_when_it_is_back(clock):
    one = command()
    clock.book.present("E1", online=False, limit=None)
    clock.book.put(one, [WAY])
    clock.send()
    clock.seconds += 5
    [late] = clock.book.late()
    assert "offline" in late.detail
    clock.seconds += 10**6
    assert clock.due() == []
    clock.book.present("E1", online=True, limit=None)
    assert clock.due() == [WAY]


def test_a_charger_that_holds_a_laxer_limit_is_told_again_and_again(clock):
    one = command()
    clock.book.put(one, [WAY])
    clock.send()
    clock.answer(one)
    waited = 0.0
    for _ in range(5):
        clock.book.present("E1", online=True, limit=None)
        since = clock.seconds
        while not clock.due():
            clock.seconds += 0.25
        waited = clock.seconds - since
        clock.send()
        clock.answer(one)
    # but not faster and faster
    assert waited >= 2


def test_a_charger_that_holds_a_stricter_limit_is_told_once_each_time_it_comes(clock):
    one = command(limit_w=None)
    clock.book.put(one, [WAY])
    clock.send()
    clock.answer(one)
    clock.book.present("E1", online=True, limit=0)
    assert clock.due() == [WAY]
    clock.send()
    clock.answer(one)
    clock.book.present("E1", online=True, limit=0)
    assert clock.due() == []
    clock.book.present("E1", online=False, limit=None)
    clock.book.present("E1", online=True, limit=0)
    assert clock.due() == [WAY]


def test_a_charger_that_holds_what_it_was_told_is_let_be(clock):
    one = command()
    clock.book.put(one, [WAY])
    clock.send()
    clock.answer(one)
    clock.book.present("E1", online=True, limit=0)
    assert clock.due() == []


def test_a_newer_command_takes_the_place_of_the_one_before(clock):
    first, second = command(1), command(2, None)
    clock.book.put(first, [WAY])
    clock.send()
    clock.book.put(second, [WAY])
    # an answer to the one before is recorded as such, and changes nothing
    assert clock.answer(first).command_id == first.command_id
    assert clock.due() == [WAY]
    clock.send()
    clock.answer(second)
    assert clock.due() == []
    # but where it comes after that of the newer one, the charger follows the wrong one
    clock.answer(first)
    assert clock.due() == [WAY]


def test_an_answer_to_no_command_of_ours_is_none(clock):
    clock.book.put(command(), [WAY])
    assert clock.answer(command()) is None
    assert clock.book.answered("mqtt:E2", "nonsense", "obeyed", "") is None


def test_what_the_tables_say_is_taken_up_and_never_overtaken_by_older(clock):
    one, newer = command(1), command(2, None)
    said = Numbered(one.command_id, 2, "obeyed", WAY, "", NOON)
    clock.book.take(Standing(one, {WAY: said}))
    assert clock.book.unacknowledged == 0
    clock.book.take(Standing(newer, {}))
    clock.book.route("E1", [WAY])
    assert clock.due() == [WAY]
    clock.book.take(Standing(one, {WAY: said}))
    assert clock.book.command("E1") == newer
    # one that was sent and not obeyed is due
    last = replace(said, state="sent", command_id=newer.command_id)
    fresh = Clock()
    fresh.book.take(Standing(newer, {WAY: last}))
    assert fresh.due() == [WAY]


def test_another_way_is_due_and_one_that_is_gone_goes(clock):
    one = command()
    clock.book.put(one, [WAY])
    clock.send()
    clock.answer(one)
    clock.book.route("E1", [WAY])
    assert clock.due() == []
    clock.book.route("E1", ["mqtt:E1-new"])
    assert clock.due() == ["mqtt:E1-new"]
    assert clock.answer(one) is None


def test_a_register_that_forgot_is_due_again(clock):
    one = command()
    clock.book.put(one, ["modbus:plc"])
    clock.send()
    # whoever writes it says how it ended, however long it takes
    clock.seconds += 10**6
    assert clock.book.late() == []
    clock.book.answered("modbus:plc", str(one.command_id), "obeyed", "")
    assert [d.way for d in clock.book.obeyed("modbus:")] == ["modbus:plc"]
    clock.book.drifted("modbus:plc")
    assert clock.due() == ["modbus:plc"]


def test_at_a_client_that_speaks_for_several_evse_the_strictest_limit_counts(clock):
    book = clock.book
    hot, cool = command(evse="E1"), command(evse="E2")
    book.put(hot, [WAY])
    book.put(cool, [WAY])
    clock.send()
    for one in (hot, cool):
        clock.answer(one)
    # when one of its batteries may discharge again, and the other may not
    free = command(2, None, evse="E2")
    book.put(free, [WAY])
    [due] = book.due(mqtt_up=True, most=10)
    assert (due.command, book.limit_of(due)) == (free, 0)
    clock.send()
    clock.answer(free)
    # then a client that holds the limit is let be, and one that lost it is told again
    book.present("E1", online=True, limit=0)
    assert clock.due() == []
    book.present("E1", online=True, limit=None)
    assert clock.due() == [WAY] * 2
    clock.send()
    for one in (hot, free):
        clock.answer(one)
    # and once both may, it is released
    book.put(command(2, None), [WAY])
    [due] = book.due(mqtt_up=True, most=10)
    assert book.limit_of(due) is None


def test_an_answer_that_is_said_twice_is_recorded_once(clock):
    one = command()
    clock.book.put(one, [WAY])
    clock.send()
    assert clock.answer(one)
    assert clock.answer(one) is None
