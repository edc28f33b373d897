"""``python -m ingest_daemon``: see ``--help``."""

import argparse
import logging
import os
import sys
from collections.abc import Sequence

from ingest_daemon import log, settings
from ingest_daemon.daemon import Daemon
from ingest_daemon.errors import IngestError

_ABOUT = """\
Lands signed packets from the MQTT broker and from HTTP uploads in the database, each exactly once.
Judges nothing. Acknowledges a packet only after its transaction has committed.
"""
_MORE = """\
Settings are environment variables [with their defaults]:

{settings}

Exit status: 0 stopped by SIGTERM or SIGINT (a second signal ends at once, with 1) · 1 a part broke ·
2 a setting is wrong · 3 the database could lose committed packets.

Try it:  curl -i --data-binary @packet.jws -H 'Content-Type: application/jose' \\
             -H "Authorization: Bearer $(cat TOKEN_FILE)" http://127.0.0.1:8090/v1/packets
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """The process: read the settings, run, return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m ingest_daemon",
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
        daemon = Daemon(loaded)
    except IngestError as error:
        print(
            f"ingest_daemon cannot start:\n{error}\nsee: python -m ingest_daemon --help",
            file=sys.stderr,
        )
        return error.exit_status
    if chosen.check:
        print("ingest_daemon: the settings can be used")
        return 0
    logging.captureWarnings(capture=True)
    return daemon.run()


if __name__ == "__main__":
    sys.exit(main())
