"""Times and spans of time as people type them on a command line."""

import re
from datetime import datetime, timedelta
from typing import Final

from cli.output import fail

_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_SPAN: Final = re.compile(r"([0-9]{1,6})([smhd])")


def span(option: str, text: str) -> timedelta:
    """A span of time, such as 90m, 12h or 7d; ends the command with status 2 where it is none.

    >>> span("--overlap", "7d"), span("--overlap", "90m")
    (datetime.timedelta(days=7), datetime.timedelta(seconds=5400))
    """
    found = _SPAN.fullmatch(text.strip())
    if found is None:
        raise fail(f"{option}: {text!r}; expected a span of time, such as 90m, 12h or 7d", status=2)
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def moment_option(option: str, text: str) -> datetime | None:
    """A time with its zone; None where nothing is given; ends the command where it is none."""
    from tasks.key_files import moment

    try:
        return moment(text) if text else None
    except ValueError as error:
        raise fail(f"{option}: {text!r}; expected {error}", status=2) from error
