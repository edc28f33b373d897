"""A recorded session as samples, as the agent would have been given them.

    python -m iso15118_bridge.replay FILE [--to SOCKET]

FILE holds one message per line: {"t": seconds since 1970, "msg": {...}}; `dir`, `ns` and the rest
are not looked at. Prints one JSON line per sample and end, the notes on standard error. With --to
the lines go to the agent's socket instead. Exit 0; 1 when the session gave no sample or was given
up; 2 when the file cannot be read, with the line.
"""

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from iso15118_bridge.reader import SessionReader
from iso15118_bridge.samples import Ended, Event, Note, Sample

LONGEST_LINE: Final = 1 << 20
MOST_LINES: Final = 1_000_000


class RecordingError(ValueError):
    """A line of the recording that cannot be read: where, what was found, what was expected."""


def replay(lines: Iterable[str]) -> Iterator[Event]:
    """What a recording brings, in order, and the end of a session that was cut off.

    Raises:
        RecordingError: a line is no recorded message.
    """
    reader = SessionReader()
    for place, line in enumerate(lines, start=1):
        if place > MOST_LINES:
            raise RecordingError(f"line {place}: a recording has at most {MOST_LINES} lines")
        if line.strip():
            at, message = _recorded(line, place)
            yield from reader.read(message, at=at)
    yield from reader.end()


def _recorded(line: str, place: int) -> tuple[datetime, dict[str, Any]]:
    if len(line) > LONGEST_LINE:
        raise RecordingError(
            f"line {place}: {len(line)} characters, expected at most {LONGEST_LINE}"
        )
    try:
        record = json.loads(line, parse_float=Decimal)
        moment, message = record["t"], record["msg"]
        at = datetime.fromtimestamp(int(moment * 1000) // 1000, UTC)
        at = at.replace(microsecond=int(moment * 1000) % 1000 * 1000)
    except (ValueError, KeyError, TypeError, ArithmeticError, OSError, RecursionError) as error:
        raise RecordingError(
            f'line {place}: found {line[:60]!r}, expected {{"t": seconds, "msg": {{...}}}} ({error})'
        ) from error
    if not isinstance(message, dict):
        raise RecordingError(f"line {place}: msg is {type(message).__name__}, expected an object")
    return at, message


def main(arguments: list[str] | None = None) -> int:
    """See above."""
    parser = argparse.ArgumentParser(
        prog="python -m iso15118_bridge.replay",
        description="Turn a recorded ISO 15118-20 session into the samples the agent is given.",
        epilog="Exit 0; 1 when no sample came of it or the session was given up; 2 for a bad file.",
    )
    parser.add_argument("file", type=Path, help="one JSON line per message: t, msg")
    parser.add_argument("--to", type=Path, metavar="SOCKET", help="the agent's Unix socket")
    chosen = parser.parse_args(arguments)
    samples, given_up, out = 0, False, []
    try:
        with chosen.file.open(encoding="utf-8") as lines:
            for event in replay(lines):
                match event:
                    case Note(reason=reason, detail=detail):
                        print(f"{reason.name}: {reason}; {detail}", file=sys.stderr)
                        given_up = given_up or event.gives_up
                    case Sample() | Ended():
                        samples += isinstance(event, Sample)
                        out.append(event.line())
    except (OSError, UnicodeDecodeError, RecordingError) as error:
        print(f"{chosen.file}: {error}", file=sys.stderr)
        return 2
    if chosen.to is None:
        for line in out:
            print(json.dumps(line))
    else:
        from iso15118_bridge.agent_link import hand_over

        try:
            refused = hand_over(chosen.to, out)
        except OSError as error:
            print(f"{chosen.to}: {error}; expected the socket of a running agent", file=sys.stderr)
            return 1
        for answer in refused:
            print(f"the agent refused a line: {answer}", file=sys.stderr)
        given_up = given_up or bool(refused)
    return 0 if samples and not given_up else 1


if __name__ == "__main__":
    sys.exit(main())
