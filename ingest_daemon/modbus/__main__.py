"""``python -m ingest_daemon.modbus``: see ``--help``."""

import argparse
import asyncio
import json
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from ingest_daemon import log
from ingest_daemon.errors import IngestError
from ingest_daemon.modbus import configuration, settings
from ingest_daemon.modbus.service import Service, once
from ingest_daemon.watching import token_in

_ABOUT = """\
Asks devices for the temperatures of batteries over Modbus TCP, by SunSpec or plain registers, and
lands every answer: raw registers, value if it may be believed, and quality. Judges nothing else.
"""
_MORE = """\
Settings are environment variables [with their defaults]:

{settings}

Exit status: 0 stopped by SIGTERM or SIGINT (a second signal ends at once, with 1) · 1 a part broke, or
what was held could not be landed in time · 2 a setting or the file is wrong · 3 the database could lose
committed samples.

Try it:  python -m simulators.plc --port 5020 &
         python -m ingest_daemon.modbus --once infra/modbus.example.yaml
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """The process: read the settings, run, return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m ingest_daemon.modbus",
        description=_ABOUT,
        epilog=_MORE.format(settings=settings.describe()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--check", action="store_true", help="check the settings and the file of devices, then end"
    )
    parser.add_argument(
        "--once",
        metavar="FILE",
        type=Path,
        help="ask each device of a file once, print what it says as JSON lines, land nothing, end",
    )
    chosen = parser.parse_args(arguments)
    try:
        if chosen.once is not None:
            return _once(configuration.load(chosen.once))
        loaded = settings.load()
        log.configure(loaded.log_level, journal="JOURNAL_STREAM" in os.environ)
        fleet = configuration.load(loaded.modbus_file)
        if chosen.check:
            token_in(loaded.metrics_token_file)
            print(f"ingest_daemon.modbus: {len(fleet.devices)} devices; the settings can be used")
            return 0
        service = Service(loaded, fleet)
    except IngestError as error:
        print(
            f"ingest_daemon.modbus cannot start:\n{error}\nsee: python -m ingest_daemon.modbus --help",
            file=sys.stderr,
        )
        return error.exit_status
    logging.captureWarnings(capture=True)
    return service.run()


def _once(fleet: configuration.Fleet) -> int:
    """A line for each sensor; 1 where a device gave none."""
    failed = False
    for device, poll in asyncio.run(once(fleet)):
        failed = failed or poll.trouble is not None
        for sample in poll.samples:
            value = sample.value_millicelsius
            shown = {
                "device": device.name,
                "evse_id": device.evse_id,
                "sensor": sample.sensor,
                "celsius": None if value is None else value / 1000,
                "quality": sample.quality,
                "battery": sample.battery,
                "registers": sample.registers.hex(),
                "detail": sample.detail,
            }
            print(json.dumps(shown, ensure_ascii=False))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
