"""The powerline: below 10 dB "Communication Timeout", without flooding the log."""

import io
import logging

import pytest

from evse_agent import log
from evse_agent.plc import Link


class Time:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def lines():
    stream = io.StringIO()
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    log.configure("INFO", journal=True, stream=stream)
    yield lambda: stream.getvalue().splitlines()
    root.handlers[:] = before
    root.setLevel(level)


def test_below_ten_decibel_the_log_says_communication_timeout_with_evse_and_value(lines):
    Link("DE*V2G*E1").measured(999)

    [line] = lines()
    assert line == (
        '<4>event=plc_low message="Communication Timeout" evse_id=DE*V2G*E1 snr_db=9.99'
        ' expected="at least 10 dB" samples=1'
    )


@pytest.mark.parametrize("value", [1000, 5000, None])
def test_ten_decibel_and_no_value_are_no_reason_for_a_line(lines, value):
    link = Link("E1")
    link.measured(value)

    assert (lines(), link.low) == ([], False)


def test_a_link_at_the_edge_is_told_once_until_it_is_good_again(lines):
    time, changes = Time(), []
    link = Link("E1", monotonic=time, changed=lambda: changes.append(link.low))

    for value in (950, 1010, 990, 1199, 900, 1200, 1100, 1001):
        link.measured(value)

    assert [line.split()[0] for line in lines()] == ["<4>event=plc_low", "<6>event=plc_good"]
    assert changes == [True, False]
    assert link.status() == {"snr_db": "10.01", "plc": "good"}


def test_a_link_that_stays_low_is_told_again_after_five_minutes(lines):
    time = Time()
    link = Link("E1", monotonic=time)
    for _ in range(61):
        link.measured(500)
        time.now += 10

    assert [line.rpartition(" ")[2] for line in lines()] == [
        "samples=1",
        "samples=30",
        "samples=30",
    ]
    assert link.status() == {"snr_db": "5.00", "plc": "Communication Timeout"}
