"""What waits for the database is bounded, and what is lost is said."""

from ingest_daemon.modbus.outbox import LOST_SENSOR, Outbox
from tests.storage.made import NOON, STEP
from tests.storage.test_thermal_samples import sample


def poll(step: int, sensors: int = 2, device: str = "plc"):
    return [sample(step, sensor=f"s{number}", device_id=device) for number in range(sensors)]


def test_polls_leave_in_order_and_whole():
    box = Outbox(samples_max=100)
    for step in range(5):
        assert box.put(poll(step)) == 0

    taken = box.take(3)

    assert [one[0].measured_at for one in taken] == [NOON, NOON + STEP]
    assert box.take(0) == taken
    assert (box.samples, len(box), box.oldest) == (10, 5, NOON)
    box.landed()
    assert (box.samples, len(box), box.oldest) == (6, 3, NOON + 2 * STEP)


def test_when_there_is_no_room_the_oldest_go_and_the_next_batch_says_which():
    box = Outbox(samples_max=6)
    for step in range(3):
        box.put(poll(step))
    box.put(poll(3, device="other"))
    box.put(poll(4))

    assert (box.dropped, box.samples) == (4, 6)
    taken = [one for polls in box.take(100) for one in polls]
    said = taken[-1]
    assert (said.device_id, said.sensor, said.quality) == ("plc", LOST_SENSOR, "no_answer")
    assert (said.value_millicelsius, said.battery, said.measured_at) == (None, False, NOON + STEP)
    assert said.detail.startswith("4 samples from 2026-07-01T12:00:00+00:00 to 2026-07-01T12:00:15")
    box.landed()
    assert (box.samples, len(box)) == (0, 0)
    box.put(poll(5))
    assert len(box.take(100)) == 1


def test_what_is_being_landed_counts_and_does_not_go():
    box = Outbox(samples_max=4)
    box.put(poll(0))
    taken = list(box.take(1))
    for step in range(1, 4):
        box.put(poll(step))
    assert box.dropped == 4
    assert taken[0][0].measured_at == NOON
    box.landed()
    assert box.oldest == NOON + 3 * STEP


def test_a_word_that_something_was_lost_is_not_itself_counted_as_lost():
    box = Outbox(samples_max=4)
    for step in range(4):
        box.put(poll(step))
    word = box.take(10)[-1]
    box.give_up(word)
    box.landed()
    box.put(poll(9))
    assert len(box.take(10)) == 1
    assert box.dropped == 4 + 1


def test_one_poll_larger_than_all_room_is_lost_and_said():
    box = Outbox(samples_max=1)
    assert box.put(poll(0)) == 2
    assert len(box) == 0
    box.put(poll(1, sensors=1))
    assert box.take(1)[-1][0].detail.startswith("2 samples")
    assert box.oldest == NOON + STEP
