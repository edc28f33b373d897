"""What can be wrong with a destination for notices, as one tree.

NoticeError
├── DestinationRefusedError   what was asked for is no destination; ``where``, ``found``, ``expected``
├── TestFailedError           the new destination did not take the test call; nothing has changed
├── AllowFileError            the file of hosts cannot be used
├── SealError                 the sealing key cannot be used, or is another one
└── NoDestinationError        nobody has said yet where notices go

None of them holds a token, a secret, or a URL as it was given: that may hold a password.
"""

from pathlib import Path


class NoticeError(Exception):
    """Root of what goes wrong with notices."""


class DestinationRefusedError(NoticeError):
    """What was asked for is no destination. Nothing was called.

    Attributes:
        where: the field.
        found: what is wrong with it, in words.
        expected: what would be right.
    """

    def __init__(self, where: str, found: str, expected: str) -> None:
        super().__init__(f"{where}: {found}; expected {expected}")
        self.where = where
        self.found = found
        self.expected = expected


class TestFailedError(NoticeError):
    """The test call did not succeed: the destination before it, if any, stays in force.

    Attributes:
        found: what the call came to.
    """

    __test__ = False  # the name is no test's

    def __init__(self, found: str) -> None:
        super().__init__(
            f"test call: {found}; expected 2xx within the deadline; the destination before stays"
        )
        self.found = found


class AllowFileError(NoticeError):
    """The file of hosts cannot be used; ``path``, ``found`` and ``expected``."""

    def __init__(self, path: Path, found: str, expected: str) -> None:
        super().__init__(f"{path}: {found}; expected {expected}")
        self.path = path
        self.found = found
        self.expected = expected


class SealError(NoticeError):
    """Token and secret cannot be sealed, or not be opened; ``found`` and ``repair``."""

    def __init__(self, found: str, repair: str) -> None:
        super().__init__(f"{found}; {repair}")
        self.found = found
        self.repair = repair


class NoDestinationError(NoticeError):
    """Nobody has said yet where notices go."""

    def __init__(self) -> None:
        super().__init__(
            "no destination for notices; expected one: `v2g webhook set`, or POST /config/webhook"
        )
