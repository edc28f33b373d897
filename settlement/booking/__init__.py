"""Booking: what a priced settlement adds to the books, whose it is, under ids that follow from content.

A settlement is never changed. A run whose result is the one already booked adds nothing; a run
whose result differs adds the next revision, which books the difference on the original period and
names what it supersedes. So runs may repeat, overlap and arrive in any order: the booked total of
every account is what one run with all the data would have given.

Ids are UUIDv5 over the content (the settlement, its lines, whose it is) and the superseded id: the
same content after the same history has the same id on every machine, so a unique key is all that
keeps it single.

    shares     an amount divided by a contract's shares
    movements  what changes hands, as a difference or reversed and rebooked; its double entry
    revisions  a run's result compared with the books

Errors:
    BookingError
    ├── ShareError            shares that do not divide a whole
    ├── MissingTermsError     an amount without shares, a program without a policy
    ├── TwoSettlementsError   one vehicle × event twice
    └── CurrencyChangedError  computed in another currency than booked
"""

from settlement.booking.errors import (
    BookingError,
    CurrencyChangedError,
    MissingTermsError,
    ShareError,
    TwoSettlementsError,
)
from settlement.booking.movements import Entry, Kind, Movement, payments
from settlement.booking.revisions import (
    NAMESPACE,
    Booked,
    Difference,
    Key,
    Policy,
    Revised,
    Revision,
    revisions,
    settlement_id,
)
from settlement.booking.shares import ROLES, Account, Allocation, Share, allocate

__all__ = [
    "NAMESPACE",
    "ROLES",
    "Account",
    "Allocation",
    "Booked",
    "BookingError",
    "CurrencyChangedError",
    "Difference",
    "Entry",
    "Key",
    "Kind",
    "MissingTermsError",
    "Movement",
    "Policy",
    "Revised",
    "Revision",
    "Share",
    "ShareError",
    "TwoSettlementsError",
    "allocate",
    "payments",
    "revisions",
    "settlement_id",
]
