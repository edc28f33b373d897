"""What can go wrong between this program, its database and its secrets.

StorageError
├── DatabaseUnavailableError   not reachable, or it refused for a reason that is not the data
├── UnusableAddressError       the database's address cannot be read
├── UnsafeDatabaseError        its settings allow a committed transaction to be lost
├── CacheUnavailableError      the cache of vehicle states does not answer, or not in our words
├── UnusableCacheAddressError  the cache's address cannot be used
└── InsecureSecretError        a file does not keep its secret, or holds none
"""

from collections.abc import Mapping
from pathlib import Path


class StorageError(Exception):
    """Something between this program and its database went wrong."""


class DatabaseUnavailableError(StorageError, ConnectionError):
    """What was to be stored is not known to be stored: keep it, and try again.

    Attributes:
        during: what was being done.
        found: what the database, or the network, said.
        sqlstate: the five characters of PostgreSQL's Appendix A; empty where nothing answered.
    """

    def __init__(self, during: str, found: str, *, sqlstate: str = "") -> None:
        code = f" (SQLSTATE {sqlstate})" if sqlstate else ""
        super().__init__(f"{during}: {found.strip()}{code}; nothing is lost, try again")
        self.during = during
        self.found = found
        self.sqlstate = sqlstate


class UnusableAddressError(StorageError):
    """The database's address is no libpq connection string. It may hold a password: it is not quoted."""

    def __init__(self) -> None:
        super().__init__(
            "the database's address cannot be read; expected a libpq connection string, such as"
            " 'host=/run/postgresql dbname=v2g' (V2G_DATABASE_URL)"
        )


class UnsafeDatabaseError(StorageError):
    """The database may forget what it has committed.

    Attributes:
        settings: the settings that must change, with the values found.
    """

    def __init__(self, settings: Mapping[str, str]) -> None:
        found = ", ".join(f"{name} = {value}" for name, value in settings.items())
        repair = ", ".join(f"{name} = on" for name in settings)
        super().__init__(
            f"the database has {found}: it can lose committed packets and money; set {repair} "
            "(in postgresql.conf, or with ALTER SYSTEM and pg_reload_conf(); also look for "
            "ALTER ROLE … SET and ALTER DATABASE … SET) and connect again"
        )
        self.settings = dict(settings)


class CacheUnavailableError(StorageError, ConnectionError):
    """The cache of vehicle states is not there. Nothing is lost: it holds nothing that counts.

    Attributes:
        place: where it should be.
        found: what it, or the network, said.
    """

    def __init__(self, place: str, found: str) -> None:
        super().__init__(
            f"{place}: {found}; no packet and no money is affected, start it or unset V2G_REDIS_URL"
        )
        self.place = place
        self.found = found


class UnusableCacheAddressError(StorageError, ValueError):
    """V2G_REDIS_URL names no place that may be used. It may hold a password: it is not quoted."""

    def __init__(self, found: str) -> None:
        super().__init__(
            f"V2G_REDIS_URL: {found}; expected rediss://[user@]host[:port][/db], redis:// on this"
            " machine's loopback, or unix:///path"
        )


class InsecureSecretError(StorageError):
    """The file does not keep the secret, or holds none.

    Attributes:
        path: the file.
        found: what is wrong with it.
        repair: the command, or the action, that puts it right.
    """

    def __init__(self, path: Path, found: str, repair: str) -> None:
        super().__init__(f"{path}: {found}; {repair}")
        self.path = path
        self.found = found
        self.repair = repair
