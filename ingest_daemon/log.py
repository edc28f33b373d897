"""One line per event on stderr, in the style ``event=landed rows=512 seconds=0.018``.

Under systemd the line carries its priority (sd-daemon(3)) and no time, which the journal has;
elsewhere it begins with the time in UTC. Values that come from outside are quoted as JSON, so that
no sender can forge a line. Packets and secrets are never logged.
"""

import json
import logging
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, TextIO

_FIELDS: Final = "fields"
_VALUE_MAX_CHARS: Final = 300
_PRIORITIES: Final = (
    (logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6), (logging.DEBUG, 7),
)  # fmt: skip


def say(logger: logging.Logger, level: int, event: str, **fields: object) -> None:
    """Log one event with its fields. ``event`` is a word, without spaces."""
    if logger.isEnabledFor(level):
        logger.log(level, event, extra={_FIELDS: fields})


def quoted(value: object) -> str:
    r"""A value as it stands in a line: bare when it is plain, else as a JSON string.

    >>> quoted(12), quoted("a b"), quoted("x\nevent=forged")
    ('12', '"a b"', '"x\\nevent=forged"')
    """
    if isinstance(value, float):
        return f"{value:.6g}"
    text = str(value)
    if len(text) > _VALUE_MAX_CHARS:
        text = text[: _VALUE_MAX_CHARS - 1] + "…"
    plain = text.isprintable() and text and not any(c in ' "=\\' for c in text)
    return text if plain else json.dumps(text, ensure_ascii=not text.isprintable())


class KeyValue(logging.Formatter):
    """Formats records of ``say``, and those of other libraries as ``event=log``."""

    def __init__(self, *, journal: bool) -> None:
        super().__init__()
        self._journal = journal

    def format(self, record: logging.LogRecord) -> str:
        fields: Mapping[str, object] | None = getattr(record, _FIELDS, None)
        if fields is None:
            pairs: dict[str, object] = {
                "event": "log",
                "logger": record.name,
                "message": record.getMessage(),
            }
        else:
            pairs = {"event": record.msg, **fields}
        if record.exc_info:
            # Folded into the line: an event is one line, whatever it has to say.
            pairs["traceback"] = ""
        line = " ".join(f"{name}={quoted(value)}" for name, value in pairs.items())
        if record.exc_info:
            line = line.removesuffix('""') + json.dumps(self.formatException(record.exc_info))
        if self._journal:
            priority = next(
                number
                for level, number in _PRIORITIES
                if record.levelno >= level or level == logging.DEBUG
            )
            return f"<{priority}>{line}"
        at = datetime.fromtimestamp(record.created, tz=UTC).isoformat(timespec="milliseconds")
        return f"{at.removesuffix('+00:00')}Z level={record.levelname.lower()} {line}"


def configure(level: str, *, journal: bool, stream: TextIO | None = None) -> None:
    """Send every logger's lines to ``stream``, by default stderr. Called once, by the program."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(KeyValue(journal=journal))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
