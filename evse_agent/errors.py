"""What can be wrong with the agent itself, as one tree.

    AgentError
    ├── ConfigError          the configuration file cannot be used         exit status 2
    ├── AuthExpiredError     a key, certificate or secret cannot be used   exit status 3
    ├── StoreError           the store cannot be used                      exit status 4
    │   ├── StoreFullError       no room for another packet; none was thrown away
    │   └── StoreDamagedError    the file is no store, or a damaged one
    └── EnrolmentError       the registry refuses, or does not answer      exit status 5

Trouble that passes (the broker or the intake is away) is no error of the agent: it is waited out.
"""

from dataclasses import dataclass
from typing import ClassVar

AUTH_EXPIRED = "ERR_AUTH_EXPIRED"


class AgentError(Exception):
    """The agent cannot do it. ``exit_status`` is what its process returns."""

    exit_status: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class WrongKey:
    """One key of the configuration file: its name, what was found there, what was expected."""

    name: str
    found: str
    expected: str

    def __str__(self) -> str:
        return f"{self.name}: found {self.found}; expected {self.expected}"


class ConfigError(AgentError):
    """One or more keys are missing or wrong; all of them are listed."""

    exit_status = 2

    def __init__(self, *wrong: WrongKey) -> None:
        super().__init__("\n".join(str(one) for one in wrong))
        self.wrong = wrong


class AuthExpiredError(AgentError):
    """A key, certificate or secret that cannot be used: expired, not yet valid, for another host,
    unreadable, open to others, or somebody else's. Its first word is ERR_AUTH_EXPIRED.
    """

    exit_status = 3

    def __init__(self, where: str, found: str, do: str) -> None:
        super().__init__(f"{AUTH_EXPIRED} {where}: {found}; {do}")
        self.where = where
        self.found = found
        self.do = do


class StoreError(AgentError):
    """The store cannot be used."""

    exit_status = 4


class StoreFullError(StoreError):
    """No room for another packet, in the store's own bound or on the disk. Nothing was thrown away."""


class StoreDamagedError(StoreError):
    """The file is no store of ours, or damaged. It was not touched."""


class EnrolmentError(AgentError):
    """The registry refuses, or does not answer. ``status``: of its answer; 0 where there is none."""

    exit_status = 5
    status = 0
