"""The clock's error: what chrony and the kernel say, with the right sign, and what is warned of."""

import logging

import pytest

from evse_agent import clock
from evse_agent.clock import Clock, Offset, of_chrony, of_kernel

TRACKING = "A29FC801,162.159.200.1,4,1782925215.123456789,{},0.0000054,0.000012,-7.123,0.001,0.010,0.014,0.0005,64.5,{}\n"


@pytest.mark.parametrize(
    ("system_time", "leap", "expected"),
    [
        ("0.000012345", "Normal", Offset(-12, "chrony", True)),
        ("-0.051000000", "Normal", Offset(51_000, "chrony", True)),
        ("0.000000000", "Insert second", Offset(0, "chrony", True)),
        ("0.000000000", "Not synchronised", Offset(0, "chrony", False)),
        ("1e9", "Normal", Offset(-86_400_000_000, "chrony", True)),
    ],
)
def test_chrony_says_what_must_be_added_so_the_error_is_its_opposite(system_time, leap, expected):
    assert of_chrony(TRACKING.format(system_time, leap)) == expected


@pytest.mark.parametrize("answer", ["", "506 Cannot talk to daemon", TRACKING.format("x", "Normal"), TRACKING.format("nan", "Normal")])  # fmt: skip
def test_an_answer_that_cannot_be_read_is_none(answer):
    assert of_chrony(answer) is None


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"offset": -1_500_000, "status": 0x2001}, Offset(1_520, "kernel", True)),
        ({"offset": 1_500, "status": 0x0001}, Offset(1_520, "kernel", True)),
        ({"status": 0x2041}, Offset(16_000_000, "kernel", False)),
        ({"status": 0x2001, "answer": 5}, Offset(16_000_000, "kernel", False)),
    ],
)
def test_the_kernel_is_believed_when_synchronised_and_else_its_largest_error_is_stated(
    fields, expected
):
    given = {"offset": 0, "maxerror": 16_000_000, "esterror": 20, "status": 0, "answer": 0}

    assert of_kernel(**(given | fields)) == expected


def test_the_kernel_of_this_machine_answers():
    found = clock.ask_kernel()

    assert found.source == "kernel"
    assert 0 <= found.microseconds <= 86_400_000_000


def test_chrony_is_asked_first_and_the_kernel_when_it_does_not_know(tmp_path, monkeypatch):
    program = tmp_path / "chronyc"
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert (clock.ask_chrony() or clock.ask_kernel()).source in {"chrony", "kernel"}
    for answer, expected in (
        (TRACKING.format("0.000100", "Normal"), Offset(-100, "chrony", True)),
        (TRACKING.format("0.000100", "Not synchronised"), None),
    ):
        program.write_text(f"#!/bin/sh\n[ \"$*\" = '-c tracking' ] && printf '%s' '{answer}'\n")
        program.chmod(0o755)
        assert clock.ask_chrony() == expected
    program.write_text("#!/bin/sh\nexit 1\n")
    assert clock.ask_chrony() is None


def test_beyond_fifty_milliseconds_it_is_warned_of_once_and_its_end_is_said(caplog):
    caplog.set_level(logging.INFO)
    answers = iter([Offset(us, "chrony", True) for us in (0, 51_000, 60_000, -50_000)])

    watched = Clock(lambda: next(answers))
    for _ in range(3):
        watched.refresh()

    assert [record.message for record in caplog.records] == ["clock_off", "clock_good"]
    assert caplog.records[0].levelname == "WARNING"
