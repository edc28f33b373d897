"""What can go wrong when a server is started.

EmbeddedError
├── DeadlineExceededError        a wait was longer than its bound
├── ChildExitedError             a process ended that should have gone on (or ended with a failure)
├── DataFolderError              the folder of a server cannot be used
│   ├── DataFolderInUseError         another process uses it
│   ├── WrongMajorVersionError       made by another major version of PostgreSQL
│   └── WrongEngineError             made with (or without) TimescaleDB
├── NoUsablePlaceError           no folder on this machine serves
├── PackageFetchError            Debian packages could not be fetched
├── TimescaleUnavailableError    TimescaleDB cannot be had on this machine
└── BrokerUnavailableError       no MQTT broker can be had on this machine
"""

from pathlib import Path


class EmbeddedError(Exception):
    """A server that should run here does not."""


class DeadlineExceededError(EmbeddedError):
    """A wait was longer than its bound."""

    def __init__(self, what: str, deadline_s: float, detail: str = "") -> None:
        self.what = what
        self.deadline_s = deadline_s
        self.detail = detail
        after = f": {detail}" if detail else ""
        super().__init__(f"waited {deadline_s:g} s in vain for {what}{after}")


class ChildExitedError(EmbeddedError):
    """A process ended that should have gone on, or ended with a failure."""

    def __init__(self, name: str, exit_status: int, log: Path, tail: str) -> None:
        self.name = name
        self.exit_status = exit_status
        self.log = log
        self.tail = tail
        how = f"by signal {-exit_status}" if exit_status < 0 else f"with exit status {exit_status}"
        last = f"; the end of its log {log}:\n{tail}" if tail else f"; its log {log} is empty"
        super().__init__(f"{name} ended {how}{last}")


class DataFolderError(EmbeddedError):
    """The folder of a server cannot be used."""

    def __init__(self, folder: Path, message: str) -> None:
        self.folder = folder
        super().__init__(f"{folder}: {message}")


class DataFolderInUseError(DataFolderError):
    """Another process uses the folder."""


class WrongMajorVersionError(DataFolderError):
    """The folder was made by another major version of PostgreSQL."""

    def __init__(self, folder: Path, found: str, expected: str) -> None:
        self.found = found
        self.expected = expected
        super().__init__(
            folder,
            f"holds data of PostgreSQL {found}, the server here is PostgreSQL {expected}. "
            f"Move the data with pg_dump of version {found}, or use another folder.",
        )


class WrongEngineError(DataFolderError):
    """The folder was made with another engine: with or without TimescaleDB, or another version."""

    def __init__(self, folder: Path, found: str, expected: str) -> None:
        self.found = found
        self.expected = expected
        super().__init__(
            folder,
            f"was made with {found}, and was to be started with {expected}. Start it with the "
            "engine that made it (`make timescale` fetches TimescaleDB), or use another folder.",
        )


class NoUsablePlaceError(EmbeddedError):
    """No folder on this machine serves the purpose."""

    def __init__(self, purpose: str, tried: list[str]) -> None:
        self.purpose = purpose
        self.tried = tried
        super().__init__(f"no folder for {purpose}; tried {'; '.join(tried)}. Set TMPDIR.")


class PackageFetchError(EmbeddedError):
    """Debian packages could not be fetched."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class TimescaleUnavailableError(EmbeddedError):
    """TimescaleDB cannot be had on this machine; the reason is in plain words."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"TimescaleDB is not available here: {reason}")


class BrokerUnavailableError(EmbeddedError):
    """No MQTT broker can be had on this machine; the reason is in plain words."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"no MQTT broker is available here: {reason}")
