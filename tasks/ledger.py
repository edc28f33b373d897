"""Close periods of the ledger, and verify it: against its own seals, or against a copy kept elsewhere."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from storage import audit, books, ledger
from storage.audit import Audit
from storage.engine import Role, connect
from storage.ledger import Balance, Progress, Trial
from tasks import seal_file
from tasks.seal_file import SealFile


@dataclass(frozen=True)
class LedgerBalance:
    """Balances of all accounts, and the trial balance; ``stands`` where each currency sums to zero."""

    accounts: list[Balance]
    trial: list[Trial]

    @property
    def stands(self) -> bool:
        return not any(one.balance_minor for one in self.trial)


@dataclass(frozen=True)
class Closed:
    """What closing came to.

    Attributes:
        seals: how many are new.
        bookings: how many they cover.
        last: number of the last seal, None where there has never been a booking.
        seal_digest: of that seal, in hexadecimal: who keeps it elsewhere can prove everything before.
        written: how many seals were added to the file.
        unsealed: bookings left, which were known later.
    """

    seals: int
    bookings: int
    last: int | None
    seal_digest: str
    written: int
    unsealed: int


def _quiet(_more: int) -> None:
    """For who does not want to know how far it has come."""


def balance(dsn: str) -> LedgerBalance:
    """The balances as they are now."""
    with connect(dsn, Role.READ) as conn:
        return LedgerBalance(ledger.balances(conn), ledger.trial_balance(conn))


def close_period(
    dsn: str,
    *,
    clock: Callable[[], datetime],
    until: datetime | None = None,
    out: Path | None = None,
    progress: Progress = _quiet,
) -> Closed:
    """Seal what was booked since the last seal.

    Args:
        dsn: the database.
        clock: gives now.
        until: bookings up to the first one of a run that knew more than this; now, unless given.
        out: a file to which all seals are added that it does not have yet, so that one that missed
            some catches up.
        progress: told how many further bookings have been sealed.

    Raises:
        ConcurrentRunError: a run is settling; close when it has ended.
        SealFileError: the file holds something else than seals. Nothing was sealed.
        OSError: the file cannot be read or written; what was sealed stays sealed.
    """
    kept = SealFile(out).seals if out is not None and out.exists() else {}
    with books.settling(dsn) as conn:
        now = clock()
        made = ledger.close(conn, until=until or now, now=now, progress=progress)
    with connect(dsn, Role.READ) as conn:
        seals = ledger.load_seals(conn)
        missing = [one for one in seals if one.number not in kept] if out is not None else []
        for one in missing:
            assert out is not None
            seal_file.append(out, one, ledger.load_leaves(conn, one))
        left = ledger.unsealed(conn)
    return Closed(
        seals=len(made),
        bookings=sum(one.leaves for one in made),
        last=seals[-1].number if seals else None,
        seal_digest=seals[-1].seal_digest.hex() if seals else "",
        written=len(missing),
        unsealed=left,
    )


def verify_ledger(dsn: str, *, against: Path | None = None, progress: Progress = _quiet) -> Audit:
    """Hash every sealed booking again and name the first change.

    Args:
        dsn: the database.
        against: seals kept elsewhere (``tasks.seal_file``); without them a superuser who has changed
            the seals as well is not found.
        progress: told how many further bookings have been looked at.

    Raises:
        SealFileError: the file holds something else than seals.
        OSError: the file cannot be read.
    """
    kept = SealFile(against) if against is not None else audit.NOTHING
    with books.reading(dsn) as conn:
        return audit.verify(conn, kept, progress=progress)
