"""Clock, kernel, swappiness and disks: each good and bad."""

from pathlib import Path

import pytest

from evse_agent.clock import Offset, ask_kernel
from tasks.doctor import host
from tasks.doctor.finding import State

GIB = 2**30


@pytest.mark.parametrize(
    ("offset", "state"),
    [
        (Offset(50_000, "chrony", synchronised=True), State.OK),
        (Offset(-50_000, "chrony", synchronised=True), State.OK),
        (Offset(50_001, "chrony", synchronised=True), State.BAD),
        (Offset(-50_001, "kernel", synchronised=True), State.BAD),
        (Offset(0, "kernel", synchronised=False), State.BAD),
    ],
)
def test_a_clock_serves_within_fifty_milliseconds_when_somebody_keeps_it(offset, state):
    found = host.clock(offset)

    assert found.state is state
    assert bool(found.repair) is (state is State.BAD)


def test_the_kernel_of_this_machine_can_be_asked():
    assert host.clock(ask_kernel()).found


@pytest.mark.parametrize(
    ("release", "state"),
    [("5.15.0", State.OK), ("6.1.0-28-amd64", State.OK), ("5.14.9", State.BAD), ("4.19", State.BAD), ("x", State.UNKNOWN)],
)  # fmt: skip
def test_a_kernel_serves_from_5_15_on(release, state):
    assert host.kernel(release).state is state


@pytest.mark.parametrize(
    ("text", "state"),
    [("10\n", State.OK), ("0\n", State.OK), ("60\n", State.WARN), ("sixty", State.UNKNOWN), (None, State.UNKNOWN)],
)  # fmt: skip
def test_swapping_is_for_hosts_that_hold_no_money(tmp_path, text, state):
    # given a root with the kernel's word
    file = tmp_path / host.SWAPPINESS_FILE
    file.parent.mkdir(parents=True)
    if text is not None:
        file.write_text(text)

    assert host.swappiness(tmp_path).state is state


@pytest.mark.parametrize(
    ("whole", "free", "state"),
    [
        (100 * GIB, 50 * GIB, State.OK),
        (100 * GIB, 9 * GIB, State.WARN),
        (500 * GIB, 20 * GIB, State.WARN),
        (500 * GIB, 1 * GIB, State.BAD),
    ],
)
def test_the_fullest_disk_on_which_data_grows_decides(tmp_path, whole, free, state):
    # given a disk of its own for the database
    database = tmp_path / "var" / "lib" / "postgresql"
    database.mkdir(parents=True)

    def room(folder: Path) -> host.Room:
        return (whole, free) if folder == database else (900 * GIB, 900 * GIB)

    # when disks are looked at
    found = host.disks(tmp_path, room=room)

    # then it is the one that is told
    assert found.state is state
    assert str(database) in found.found


def test_a_disk_that_cannot_be_asked_is_not_called_empty(tmp_path):
    def room(folder: Path) -> host.Room:
        raise PermissionError(13, "Permission denied")

    assert host.disks(tmp_path, room=room).state is State.UNKNOWN
