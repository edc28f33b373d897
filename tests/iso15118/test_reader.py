"""What a session's messages bring: samples, an end, or the reason for nothing."""

from dataclasses import replace
from typing import Any

import pytest

from iso15118_bridge.reader import SessionReader
from iso15118_bridge.samples import Ended, Note, Reason, Registers, Sample
from tests.iso15118.sessions import SESSION, VEHICLE, at, begun, loop, message


def read(*messages, reader=None):
    """Every event of some messages, a second apart."""
    reader = reader or SessionReader()
    return [
        event
        for second, one in enumerate(messages)
        for event in reader.read(one, at=at(second))
    ]  # fmt: skip


def reasons(events):
    return [event.reason for event in events if isinstance(event, Note)]


def samples(events):
    return [event for event in events if isinstance(event, Sample)]


@pytest.mark.parametrize("service", [5, 6])
def test_a_charge_loop_under_a_bidirectional_service_is_a_sample(service):
    # when a session under AC_BPT or DC_BPT reaches its second loop
    events = read(*begun(service), *loop(100), *loop(102, soc=79))

    # then each loop is a sample, with discharge positive and all digits as text
    first, second = samples(events)
    assert first.line() == {
        "at": "2026-07-01T17:00:07.000+00:00",
        "vehicle_id": VEHICLE,
        "session_id": SESSION,
        "export_wh": "100.000",
        "import_wh": "7.000",
        "power_w": "8000",
        "soc_pct": "80",
    }
    assert (second.registers.export_milliwh, second.soc_percent) == (102_000, 79)
    assert reasons(events) == []


@pytest.mark.parametrize("service", [1, 2, 4, 0, 7])
def test_any_other_service_gives_no_sample_and_says_why_once(service):
    events = read(*begun(service), *loop(100), *loop(102))
    assert samples(events) == []
    assert reasons(events) == [Reason.NOT_BIDIRECTIONAL]
    assert f"ServiceID {service} " in next(e.detail for e in events if isinstance(e, Note))


def test_a_meter_without_the_discharged_register_gives_the_session_up():
    # given a library that loses the register on the way: it is there, then it is not
    events = read(*begun(), *loop(100), *loop(None), *loop(105))

    # then no sample follows, not even of a later message that has it again
    assert len(samples(events)) == 1
    assert reasons(events) == [Reason.REGISTER_LOST]
    assert "BPT_DischargedEnergyReadingWh" in next(e.detail for e in events if isinstance(e, Note))


@pytest.mark.parametrize("stated", [True, -1, "100", 10**13, 1.5])
def test_a_register_that_is_no_count_gives_the_session_up(stated):
    assert reasons(read(*begun(), *loop(stated))) == [Reason.REGISTER_LOST]


def test_a_register_that_falls_gives_the_session_up():
    events = read(*begun(), *loop(100), *loop(99), *loop(101))
    assert len(samples(events)) == 1
    assert reasons(events) == [Reason.REGISTER_FELL]


def test_a_message_of_another_session_gives_the_session_up():
    stranger = message("DC_ChargeLoopReq", "00000000000000FF", MeterInfoRequested=True)
    events = read(*begun(), *loop(100), stranger, *loop(101))
    assert len(samples(events)) == 1
    assert reasons(events) == [Reason.MIXED_SESSIONS]


def test_a_meter_whose_clock_is_another_gives_the_session_up():
    good = int(at(7).timestamp())
    events = read(*begun(), *loop(100, MeterTimestamp=good), *loop(101, MeterTimestamp=good - 60))
    assert len(samples(events)) == 1
    assert reasons(events) == [Reason.METER_CLOCK]


def test_without_a_meter_there_is_no_sample_and_a_note():
    without = message("DC_ChargeLoopRes")
    assert reasons(read(*begun(), without, without)) == [Reason.NO_METER]


def test_the_end_is_told_once_by_the_message_or_by_the_broken_connection():
    # given a session that was stopped
    reader = SessionReader()
    stop = message("SessionStopRes", ResponseCode="OK")
    events = read(*begun(), *loop(100), stop, reader=reader)

    # when its connection is gone as well
    again = reader.end()

    # then it has ended once
    assert [event for event in events if isinstance(event, Ended)] == [Ended(SESSION)]
    assert again == []


def test_a_session_that_gave_nothing_has_nothing_to_end():
    reader = SessionReader()
    assert read(*begun(2), *loop(100), message("SessionStopRes"), reader=reader)[1:] == []


def test_a_new_car_starts_anew_after_one_that_was_given_up():
    reader = SessionReader()
    read(*begun(), *loop(None), reader=reader)
    assert len(samples(read(*begun(), *loop(5), reader=reader))) == 1


def test_the_car_can_lower_what_it_allows_and_never_raise_it():
    # given a car that allowed 11 kW
    reader = SessionReader()
    read(*begun(limit_w=11_000), reader=reader)
    mode = "BPT_Dynamic_DC_CLReqControlMode"

    # when it says 300 kW in a loop, as the package's does, and then 4 kW
    for value in (300, 4):
        limit = {"EVMaximumDischargePower": {"Exponent": 3, "Value": value}}
        said: dict[str, Any] = {mode: limit}
        reader.read(message("DC_ChargeLoopReq", MeterInfoRequested=True, **said), at=at(9))

    # then the lowest holds
    assert reader.agreed.ev_discharge_w == 4_000


def test_the_message_must_bear_what_the_meter_shows():
    # given a meter that shows 100.9 Wh, of which a message can hold 100
    reader = SessionReader()
    read(*begun(), reader=reader)
    shown = Registers(at(10), export_milliwh=100_900, import_milliwh=7_000, power_w=5)
    asked, answered = loop(100)
    reader.read(asked, at=at(10))

    # when the message says so, the sample has the meter's own digits
    (sample,) = reader.read(answered, at=at(10), meter=shown)
    assert isinstance(sample, Sample)
    assert sample.line()["export_wh"] == "100.900"

    # when it says something else, the session is given up
    later = replace(shown, at=at(11), export_milliwh=102_000)
    (note,) = reader.read(answered, at=at(11), meter=later)
    assert isinstance(note, Note)
    assert (note.reason, note.gives_up) == (Reason.REGISTER_DIFFERS, True)


def test_a_car_that_never_asks_for_the_meter_is_sampled_from_the_charger_s_own():
    reader = SessionReader()
    read(*begun(), reader=reader)
    shown = Registers(at(10), 100_900, 7_000, 5)
    note, sample = reader.read(message("DC_ChargeLoopRes"), at=at(10), meter=shown)
    assert isinstance(note, Note)
    assert isinstance(sample, Sample)
    assert (note.reason, note.gives_up) == (Reason.METER_NOT_REQUESTED, False)
    assert sample.registers == shown


def test_a_step_of_power_ends_an_interval_and_begins_one_with_the_same_registers():
    # given a session with a sample
    reader = SessionReader()
    read(*begun(), *loop(100), reader=reader)

    # when the power falls from 8 kW to nothing
    before = Registers(at(20), 128_888, 7_000, 8_000)
    last, cut, first = reader.step(before, 0)
    assert isinstance(last, Sample)
    assert isinstance(first, Sample)

    # then both sides of the step have the registers, each with its own power
    assert (last.registers, cut) == (before, Ended(SESSION))
    assert first.registers == replace(before, power_w=0)


def test_a_step_before_anything_is_agreed_says_nothing():
    assert SessionReader().step(Registers(at(0), 0, 0, 0), 100) == []


def test_where_no_power_is_stated_it_is_what_the_registers_say():
    # given loops of an AC session without a present power: 2 Wh in 2 s
    ask, answer = loop(100)
    quiet = [{"AC_ChargeLoopRes": {"MeterInfo": one["DC_ChargeLoopRes"]["MeterInfo"]}}
             for one in (answer, loop(102)[1])]  # fmt: skip
    events = read(*begun(5), ask, quiet[0], ask, quiet[1])

    # then
    assert [sample.registers.power_w for sample in samples(events)] == [0, 3600]


@pytest.mark.parametrize("junk", [{}, {"a": 1, "b": 2}, {"SessionSetupReq": None}, {"X": []}])
def test_what_is_no_message_changes_nothing(junk):
    reader = SessionReader()
    read(*begun(), reader=reader)
    before = replace(reader.agreed)
    assert reader.read(junk, at=at(1)) == []
    assert reader.agreed == before
