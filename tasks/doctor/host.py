"""The machine: how wrong its clock is, its kernel, how eagerly it swaps, and the room on its disks."""

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from evse_agent.clock import WARN_BEYOND_US, Offset
from tasks.doctor.finding import Finding, State

KERNEL_OLDEST: Final = (5, 15)
SWAPPINESS_MOST: Final = 10
SWAPPINESS_FILE: Final = "proc/sys/vm/swappiness"
DATA_FOLDERS: Final = (
    "",
    "var/lib/postgresql",
    "var/lib/mosquitto",
    "var/lib/v2g",
    "var/lib/v2g-prefect",
)
"""Where data grows, below the root of files; those that are not there are left out."""
FREE_BAD: Final = 2 * 2**30
FREE_WARN: Final = 10 * 2**30
"""Bytes. The broker may keep 2 GiB of packets while the daemon is away, and writes them all at once."""
SHARE_WARN_PERCENT: Final = 10

Room = tuple[int, int]
"""Bytes of a disk: all, and free."""


def clock(offset: Offset) -> Finding:
    """Within 50 ms of the true time, and kept there by somebody."""
    found = f"{offset.milliseconds} ms by {offset.source}"
    expected = f"synchronised, within {WARN_BEYOND_US // 1000} ms: beyond, packets are put aside"
    if not offset.synchronised:
        return Finding(
            "clock",
            State.BAD,
            f"nobody keeps the clock (at most {found})",
            expected,
            "install and start chrony: apt-get install chrony && systemctl enable --now chrony;"
            " in a container, do so on its host",
        )
    if abs(offset.microseconds) > WARN_BEYOND_US:
        return Finding(
            "clock",
            State.BAD,
            found,
            expected,
            "chronyc tracking and chronyc sources -v say why; chronyc makestep sets it at once",
        )
    return Finding("clock", State.OK, found, expected)


def kernel(release: str) -> Finding:
    """Linux 5.15 or newer.

    >>> kernel("6.1.0-28-amd64").state, kernel("5.10.0-8-amd64").state, kernel("odd").state
    (<State.OK: 'ok'>, <State.BAD: 'bad'>, <State.UNKNOWN: 'unknown'>)
    """
    expected = f"Linux {'.'.join(map(str, KERNEL_OLDEST))} or newer"
    numbers = re.match(r"(\d+)\.(\d+)", release)
    if numbers is None:
        return Finding("kernel", State.UNKNOWN, release, expected, "look at uname -r")
    if (int(numbers[1]), int(numbers[2])) >= KERNEL_OLDEST:
        return Finding("kernel", State.OK, release, expected)
    return Finding("kernel", State.BAD, release, expected, "update the distribution's kernel")


def swappiness(root: Path) -> Finding:
    """At most 10, as the host of a database wants it."""
    file = root / SWAPPINESS_FILE
    expected = f"vm.swappiness of {SWAPPINESS_MOST} or less"
    try:
        value = int(file.read_text("ascii"))
    except (OSError, ValueError) as error:
        found = f"{file}: {getattr(error, 'strerror', None) or 'no number'}"
        return Finding("swappiness", State.UNKNOWN, found, expected, "look at sysctl vm.swappiness")
    if value <= SWAPPINESS_MOST:
        return Finding("swappiness", State.OK, str(value), expected)
    repair = (
        f"echo vm.swappiness={SWAPPINESS_MOST} >/etc/sysctl.d/90-v2g.conf && sysctl --system;"
        " in a container, do so on its host"
    )
    return Finding("swappiness", State.WARN, str(value), expected, repair)


def disks(root: Path, *, room: Callable[[Path], Room]) -> Finding:
    """Room wherever data grows; the fullest decides.

    Args:
        root: of files.
        room: bytes of the disk that a folder is on, all and free. Raises OSError.
    """
    expected = f"{FREE_WARN // 2**30} GiB and {SHARE_WARN_PERCENT} % free"
    found: list[tuple[int, int, Path]] = []
    for folder in _there(root / one if one else root for one in DATA_FOLDERS):
        try:
            whole, free = room(folder)
        except OSError as error:
            return Finding(
                "disk", State.UNKNOWN, f"{folder}: {error.strerror}", expected, f"df '{folder}'"
            )
        found.append((free, whole, folder))
    free, whole, folder = min(found)
    told = f"{folder}: {free // 2**20} MiB of {whole // 2**20} MiB free"
    repair = (
        "make room, or move the data: a full disk stops the database and loses what the broker held"
    )
    if free < FREE_BAD:
        return Finding("disk", State.BAD, told, expected, repair)
    if free < FREE_WARN or free * 100 < whole * SHARE_WARN_PERCENT:
        return Finding("disk", State.WARN, told, expected, repair)
    return Finding("disk", State.OK, told, expected)


def _there(folders: Iterable[Path]) -> list[Path]:
    return [folder for folder in folders if folder.is_dir()]
