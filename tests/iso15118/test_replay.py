"""Recordings as samples: the field's, and one of our own; and that the agent takes every line."""

import json
import subprocess
import sys
import threading
from datetime import timedelta
from pathlib import Path

import pytest

from evse_agent.intake import Intake
from evse_agent.intervals import Interval, State, take
from evse_agent.samples import parse
from iso15118_bridge.replay import RecordingError, main, replay
from iso15118_bridge.samples import Ended, Sample
from tests.iso15118.sessions import FIELD, OWN, at, begun, loop, message

ROOT = Path(__file__).parents[2]
RECORDINGS = [
    pytest.param(
        FIELD, 10, 25,
        marks=pytest.mark.skipif(not FIELD.exists(), reason="the shared recordings are not here"),
        id="field",
    ),
    pytest.param(OWN, 5, 22, id="own"),
]  # fmt: skip


@pytest.mark.parametrize(("file", "count", "moved_wh"), RECORDINGS)
def test_a_recorded_session_is_samples_and_an_end(file, count, moved_wh):
    # when a recording is replayed
    with file.open() as lines:
        *told, end = list(replay(lines))
    samples = [one for one in told if isinstance(one, Sample)]

    # then there is a sample per charge loop, with registers that rise, and the session's end
    assert len(samples) == len(told) == count
    exports = [one.registers.export_milliwh for one in samples]
    assert exports == sorted(exports)
    assert exports[-1] - exports[0] == moved_wh * 1000
    assert end == Ended(samples[0].session_id)


@pytest.mark.parametrize(("file", "count", "moved_wh"), RECORDINGS)
def test_the_agent_takes_every_line_and_makes_intervals_of_all_the_energy(file, count, moved_wh):
    # given the lines of a recording
    with file.open() as lines:
        told = [event.line() for event in replay(lines) if isinstance(event, Sample | Ended)]

    # when the agent's own rules take them
    state, intervals = State(), list[Interval]()
    for one in told:
        step = take(state, parse(json.dumps(one).encode()), timedelta(seconds=2), lambda _: ())
        state = step.state
        intervals += step.intervals
        assert step.uncovered is None

    # then the intervals touch and cover what the meter counted
    moved = sum(one.end.export_milliwh - one.start.export_milliwh for one in intervals)
    assert moved == moved_wh * 1000
    assert (state.edge, state.last) == (None, None)


def test_a_recording_goes_to_a_listening_agent(tmp_path):
    # given the agent's socket
    heard = []
    done = threading.Event()

    def handle(line):
        heard.append(json.loads(line))
        if "end" in heard[-1]:
            done.set()
        return {"accepted": True}

    intake = Intake(
        tmp_path / "agent.socket", handle, greeting=lambda: {"limit_w": None, "command_id": "c"}
    )
    intake.start()

    # when a recording is replayed to it
    status = main([str(OWN), "--to", str(tmp_path / "agent.socket")])
    heard_all = done.wait(10)
    intake.stop(timeout_s=5)

    # then it has heard every line
    assert (status, heard_all, len(heard)) == (0, True, 6)


def test_a_line_that_the_agent_refuses_is_told(tmp_path, capsys):
    intake = Intake(
        tmp_path / "agent.socket",
        lambda _: {"accepted": False, "where": "at", "found": "x", "expected": "y"},
        greeting=lambda: None,
    )
    intake.start()
    status = main([str(OWN), "--to", str(tmp_path / "agent.socket")])
    intake.stop(timeout_s=5)
    assert status == 1
    assert "the agent refused a line" in capsys.readouterr().err


def test_without_an_agent_it_says_what_it_expected(tmp_path, capsys):
    assert main([str(OWN), "--to", str(tmp_path / "nobody")]) == 1
    assert "expected the socket of a running agent" in capsys.readouterr().err


def test_a_session_that_was_cut_off_is_ended():
    lines = [
        json.dumps({"t": at(place).timestamp(), "msg": one})
        for place, one in enumerate([*begun(), *loop(100)])
    ]
    assert [type(event) for event in replay(lines)] == [Sample, Ended]


@pytest.mark.parametrize(
    "line",
    ["no JSON", "[]", '{"t": 1}', '{"t": "x", "msg": {}}', '{"t": 1, "msg": []}', '{"t": 1e400, "msg": {}}',
     '{"t": NaN, "msg": {}}', "[" * 5000],
)  # fmt: skip
def test_a_line_that_is_no_message_is_named_by_its_place(line):
    good = json.dumps({"t": 1, "msg": message("SessionSetupReq")})
    with pytest.raises(RecordingError, match="line 2: "):
        list(replay([good, line]))


def test_as_a_command_it_prints_lines_and_says_why_there_are_none(tmp_path):
    # given a unidirectional session as a recording
    file = tmp_path / "dc.jsonl"
    lines = [{"t": 1, "msg": one} for one in [*begun(2), *loop(100)]]
    file.write_text("\n".join(map(json.dumps, lines)))

    # when it and a good one are replayed by the command
    def replayed(path):
        return subprocess.run(
            [sys.executable, "-m", "iso15118_bridge.replay", path],
            cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    none, good, missing = replayed(file), replayed(OWN), replayed(tmp_path / "nothing")

    # then the exit says how it went, and what is printed why
    assert (none.returncode, none.stdout) == (1, "")
    assert none.stderr.startswith("NOT_BIDIRECTIONAL: ")
    assert good.returncode == 0
    assert len(good.stdout.splitlines()) == 6
    assert missing.returncode == 2
    assert "nothing" in missing.stderr
