"""Look over a fleet for what no reading shows by itself. Reads only; nothing is held by it."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from settlement import collusion
from settlement.collusion import Suspicion
from settlement.periods import Period
from storage.books import reading
from storage.readings import load_readings
from storage.registry import load_contracts, load_shares

LONGEST: Final = timedelta(days=7)
"""Of the period: its readings are held in memory at once."""


class PeriodTooLongError(ValueError):
    """A period whose readings would not fit."""

    def __init__(self, period: Period) -> None:
        super().__init__(
            f"{period} is {period.ended_at - period.started_at} long; expected at most {LONGEST},"
            " ask for one week after the other"
        )


@dataclass(frozen=True, slots=True)
class Suspicions:
    """What was looked at, and what was found."""

    period: str
    vehicles: int
    readings: int
    found: list[Suspicion]


def find_suspicions(
    dsn: str,
    period: Period,
    *,
    now: datetime,
    account_vehicles: int = collusion.ACCOUNT_VEHICLES,
) -> Suspicions:
    """Everything suspicious in a period, as known by now.

    Args:
        dsn: the database.
        period: half-open, at most ``LONGEST``.
        now: UTC.
        account_vehicles: one account may be paid for so many vehicles.

    Raises:
        PeriodTooLongError: ask for a shorter one.
        DatabaseUnavailableError: no connection.
    """
    if period.ended_at - period.started_at > LONGEST:
        raise PeriodTooLongError(period)
    with reading(dsn) as conn:
        frame = load_readings(conn, dsn, period, known_at=now)
        contracts = load_contracts(conn, known_at=now)
        shares = load_shares(conn, known_at=now)
    accounts: dict[str, list[str]] = {}
    for contract, vehicle in contracts.select("contract_id", "vehicle_id").iter_rows():
        names = (share.account for share in shares.get(contract, ()))
        accounts[vehicle] = sorted({*accounts.get(vehicle, ()), *names})
    return Suspicions(
        str(period),
        frame["vehicle_id"].n_unique(),
        frame.height,
        collusion.suspicions(frame, accounts, account_vehicles=account_vehicles),
    )
