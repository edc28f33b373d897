"""What can be wrong with the service itself, as one tree.

ApiError
├── SettingsError     a setting is missing or wrong     exit status 2
└── TokenFileError    the file of tokens cannot be used  exit status 2
"""

from pathlib import Path
from typing import ClassVar


class ApiError(Exception):
    """The service cannot run. ``exit_status`` is what its process returns."""

    exit_status: ClassVar[int] = 2


class SettingsError(ApiError):
    """One or more settings are missing or wrong; all of them are listed, one per line."""

    def __init__(self, *wrong: str) -> None:
        super().__init__("\n".join(wrong))
        self.wrong = wrong


class TokenFileError(ApiError):
    """The file of tokens cannot be used.

    Attributes:
        path: the file.
        found: what is wrong.
        expected: what would be right.
    """

    def __init__(self, path: Path, found: str, expected: str) -> None:
        super().__init__(f"{path}: {found}; expected {expected}")
        self.path = path
        self.found = found
        self.expected = expected
