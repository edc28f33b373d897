"""Payouts that wait for a person: what a step, a flow and the command line do about them alike."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from settlement.limits import Limits
from settlement.posting import State
from storage import approvals, limits, payouts
from storage.engine import Role, connect
from storage.payouts import Payout

__all__ = ["Choice", "Payout", "Waiting", "decide", "waiting"]

WAITING_MAX: Final = 100


class Choice(StrEnum):
    """What a person may decide about a payout."""

    APPROVE = "approve"
    RELEASE = "release"
    REFUSE = "refuse"


_DECIDES: Final = {
    Choice.APPROVE: approvals.approve,
    Choice.RELEASE: approvals.release,
    Choice.REFUSE: approvals.refuse,
}


@dataclass(frozen=True, slots=True)
class Waiting:
    """Large payouts that wait for a named approver, the longest first, and the limits in force."""

    payouts: tuple[Payout, ...]
    limits: Limits


def waiting(dsn: str) -> Waiting:
    """Up to ``WAITING_MAX`` payouts that wait for approval. Raises DatabaseUnavailableError."""
    with closing(connect(dsn, Role.OPERATOR)) as conn:
        found = payouts.listed(conn, awaiting=True, limit=WAITING_MAX)
        return Waiting(tuple(found), limits.in_force(conn).limits)


def decide(
    dsn: str,
    posting_id: str,
    choice: Choice,
    *,
    by: str,
    why: str,
    clock: Callable[[], datetime],
) -> State:
    """Decide about a parked payout; its state afterwards.

    Args:
        dsn: libpq connection string; connects as the operator's role.
        posting_id: which.
        choice: see ``storage.approvals``.
        by: who decides.
        why: kept with the decision.
        clock: gives now, with its zone.

    Raises:
        PayoutRefusedError: it does not wait for this, or not for this person.
        DatabaseUnavailableError: nothing is known to be decided; try again.
    """
    with closing(connect(dsn, Role.OPERATOR)) as conn:
        return _DECIDES[choice](conn, posting_id, by=by, why=why, now=clock())
