"""``python -m thermal_guard``: see ``--help``."""

import argparse
import logging
import os
import sys
from collections.abc import Sequence

from ingest_daemon import log
from ingest_daemon.errors import IngestError
from thermal_guard import settings
from thermal_guard.guard import Guard

_ABOUT = """\
Throttles batteries: commands 0 kW where a battery's temperature reaches the limit of its program, or
where a device gives no temperature for too long; releases it when its filtered temperature is back
within the release band. Decides on what has landed in the database, with the rules that settle it.
"""
_MORE = """\
Settings are environment variables [with their defaults]:

{settings}

Exit status: 0 stopped by SIGTERM or SIGINT · 1 a part broke · 2 a setting or the file of devices is
wrong · 3 the database could lose what is committed. Limits stand while no guard runs.

See:  v2g thermal status     who is limited now, and why
      v2g thermal limits     what was commanded, and what chargers answered
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """The process: read the settings, run, return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m thermal_guard",
        description=_ABOUT,
        epilog=_MORE.format(settings=settings.describe()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--check", action="store_true", help="check the settings and the files they name, then end"
    )
    chosen = parser.parse_args(arguments)
    try:
        loaded = settings.load()
        log.configure(loaded.log_level, journal="JOURNAL_STREAM" in os.environ)
        guard = Guard(loaded)
        if chosen.check:
            print("thermal_guard: the settings can be used")
            return 0
        logging.captureWarnings(capture=True)
        return guard.run()
    except IngestError as error:
        print(
            f"thermal_guard cannot run:\n{error}\nsee: python -m thermal_guard --help",
            file=sys.stderr,
        )
        return error.exit_status


if __name__ == "__main__":
    sys.exit(main())
