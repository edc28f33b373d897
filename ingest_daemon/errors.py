"""What can be wrong with the daemon itself, as one tree.

    IngestError
    ├── SettingsError          a setting is missing or wrong          exit status 2
    └── UnsafeStartError       the database would not keep its word   exit status 3

Trouble that passes (the broker or the database is away) is no error of the daemon: it is waited out.
"""

from dataclasses import dataclass
from typing import ClassVar


class IngestError(Exception):
    """The daemon cannot run. ``exit_status`` is what its process returns."""

    exit_status: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class WrongSetting:
    """One setting: the variable, what was found in it, what was expected instead.

    ``error`` is a name that operators look for, such as ERR_AUTH_EXPIRED; the message begins with it.
    """

    variable: str
    found: str
    expected: str
    error: str = ""

    def __str__(self) -> str:
        words = f"{self.variable}: found {self.found}; expected {self.expected}"
        return f"{self.error}: {words}" if self.error else words


class SettingsError(IngestError):
    """One or more settings are missing or wrong; all of them are listed."""

    exit_status = 2

    def __init__(self, *wrong: WrongSetting) -> None:
        super().__init__("\n".join(str(one) for one in wrong))
        self.wrong = wrong


class UnsafeStartError(IngestError):
    """The database is configured so that a commit may be lost; acknowledging would be a lie."""

    exit_status = 3
