"""Fetch what this machine lacks, while the fleet drives: each part by a process of its own.

    python -m cli.demo.fetch timescale|broker CACHE

What cannot be had is said by whoever needs it, so this always exits with 0.
"""

import contextlib
import sys
from pathlib import Path
from typing import Final

from embedded import mosquitto, timescale
from embedded.errors import BrokerUnavailableError, TimescaleUnavailableError
from embedded.places import server_user

TIMESCALE: Final = "timescale"
BROKER: Final = "broker"
PARTS: Final = (TIMESCALE, BROKER)

TIMESCALE_DEADLINE_S: Final = 90.0


def main(part: str, cache: Path) -> int:
    """Fetch one of ``PARTS`` into the cache, unless it is there."""
    with contextlib.suppress(TimescaleUnavailableError, BrokerUnavailableError):
        if part == TIMESCALE:
            timescale.fetch(cache, deadline_s=TIMESCALE_DEADLINE_S, report=lambda _: None)
        else:
            mosquitto.find(cache, user=server_user())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
