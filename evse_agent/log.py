"""One line per event on stderr: ``event=stored sequence=12 bytes=734``.

Under systemd the line begins with its priority (sd-daemon(3)); elsewhere with the time in UTC.
Values that come from outside are quoted as JSON, so that nobody can forge a line. Packets and
secrets are never logged.
"""

import json
import logging
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, TextIO

_FIELDS: Final = "fields"
_VALUE_MAX_CHARS: Final = 400
_PRIORITY: Final = {"CRITICAL": 2, "ERROR": 3, "WARNING": 4, "INFO": 6, "DEBUG": 7}


def say(logger: logging.Logger, level: int, event: str, **fields: object) -> None:
    """Log one event with its fields. ``event`` is a word, without spaces."""
    if logger.isEnabledFor(level):
        logger.log(level, event, extra={_FIELDS: fields})


def quoted(value: object) -> str:
    r"""A value as it stands in a line: bare when it is plain, else as a JSON string.

    >>> quoted(12), quoted("a b"), quoted("x\nevent=forged")
    ('12', '"a b"', '"x\\nevent=forged"')
    """
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
            fields = {"logger": record.name, "message": record.getMessage()}
            event = "log"
        else:
            event = str(record.msg)
        line = " ".join(
            f"{name}={quoted(value)}" for name, value in {"event": event, **fields}.items()
        )
        if record.exc_info:
            line += f" traceback={json.dumps(self.formatException(record.exc_info))}"
        if self._journal:
            return f"<{_PRIORITY.get(record.levelname, 6)}>{line}"
        at = datetime.fromtimestamp(record.created, tz=UTC).isoformat(timespec="milliseconds")
        return f"{at.removesuffix('+00:00')}Z level={record.levelname.lower()} {line}"


def configure(level: str, *, journal: bool, stream: TextIO | None = None) -> None:
    """Send every logger's lines to ``stream``, by default stderr. Called once, by the program."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(KeyValue(journal=journal))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
