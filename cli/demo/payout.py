"""Getting paid, in the demonstration: limits, an approver, and the partner's statement."""

from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from rich.table import Table

from cli.demo.checks import Check
from cli.demo.clearing import LEFT_OUT
from cli.output import console
from settlement.limits import DEFAULTS, Limits, parse
from settlement.periods import Period
from settlement.reconciling import Kind
from storage import approvals, limits, payouts, reports
from storage.approvals import PayoutRefusedError, Refusal
from storage.engine import Role, connect
from storage.reconciliations import Difference
from tasks.posting.instructions import PARTNER
from tasks.reconciling.importing import import_statement

RISK: Final = "the risk desk"
APPROVER: Final = "the treasurer"
LARGE: Final = 3
"""So many of the evening's payouts are to be found large."""


@dataclass(frozen=True, slots=True)
class Approved:
    """What waited for a person.

    Attributes:
        payouts: how many.
        amounts: their sums, in minor units by currency.
        refused: how often whoever set the limits was refused the approval.
    """

    payouts: int
    amounts: Mapping[str, int]
    refused: int

    def __str__(self) -> str:
        return f"{self.payouts} payouts, {_money(self.amounts)}; not by {RISK}, who set the limits"


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What comparing with the partner's statement found.

    Attributes:
        matched: postings that stand there as here.
        differences: everything else.
    """

    matched: int
    differences: tuple[Difference, ...]


def limit(dsn: str) -> str:
    """Set limits by which the largest of what is booked waits for a person."""
    with closing(connect(dsn, Role.OPERATOR)) as conn, conn.transaction():
        amounts = sorted(abs(one) for one in reports.posted_amounts(conn).values())
        above = amounts[-LARGE - 1]
        put = limits.put(
            conn, _above(above), by=RISK, why="large payouts wait", now=datetime.now(UTC)
        )
    return f"version {put.version}: above {above} minor units somebody else approves"


def _above(minor: int) -> Limits:
    document = asdict(DEFAULTS)
    for one in document["currencies"].values():
        one["approval_above_minor"] = minor
    return parse(document, "demonstration")


def approve(dsn: str) -> Approved:
    """Let go what waits: whoever set the limits tries in vain, then somebody else does it."""
    amounts: dict[str, int] = {}
    refused = 0
    with closing(connect(dsn, Role.OPERATOR)) as conn:
        waiting = payouts.listed(conn, awaiting=True)
        conn.rollback()
        for one in waiting:
            for name in (RISK, APPROVER):
                try:
                    approvals.approve(
                        conn, one.posting_id, by=name, why="looked at", now=datetime.now(UTC)
                    )
                except PayoutRefusedError as error:
                    refused += error.why is Refusal.TWO_PEOPLE
            amounts[one.currency] = amounts.get(one.currency, 0) + one.amount_minor
    return Approved(len(waiting), amounts, refused)


def reconcile(dsn: str, statement: bytes, *, since: datetime) -> Reconciled:
    """Import the partner's statement, and compare."""
    now = datetime.now(UTC)
    minute = timedelta(minutes=1)
    imported = import_statement(
        dsn,
        "statement.csv",
        statement,
        partner=PARTNER,
        by=APPROVER,
        clock=lambda: datetime.now(UTC),
        tolerance=timedelta(0),
        period=Period(since - minute, now + minute),
    )
    found = imported.compared
    matched = sum(one.postings for one in found.reconciliation.totals if one.kind is Kind.MATCHED)
    return Reconciled(matched, tuple(found.differences))


def show(found: Reconciled) -> None:
    """The differences, each with its money."""
    table = Table(title="What the clearinghouse's statement says otherwise", title_justify="left")
    for name in ("kind", "account", "posted", "paid", "at stake"):
        table.add_column(name, justify="left" if name in {"kind", "account"} else "right")
    for one in found.differences:
        table.add_row(
            one.kind.value,
            one.account,
            f"{one.ours_minor} {one.currency}",
            f"{one.theirs_minor}",
            f"{one.at_stake_minor}",
        )
    console.print(table)


def check(approved: Approved, found: Reconciled, paid: Mapping[str, int]) -> list[Check]:
    """Whether large payouts waited for a second person, and the one omission was found.

    Args:
        approved: what waited.
        found: what the comparison found.
        paid: what the clearinghouse really paid, by posting.
    """
    missing = [one for one in found.differences if one.kind is Kind.MISSING_AT_PARTNER]
    return [
        Check(
            "large payouts waited for somebody who did not set the limits",
            approved.payouts >= LARGE and approved.refused == approved.payouts,
            str(approved),
        ),
        Check(
            f"the statement agrees, but for the one payment that it leaves out ({LEFT_OUT})",
            found.matched == len(paid) - 1
            and len(found.differences) == len(missing) == 1
            and missing[0].at_stake_minor == paid[missing[0].posting_id],
            f"{found.matched} matched, {len(found.differences)} differences,"
            f" {sum(one.at_stake_minor for one in missing)} minor units at stake",
        ),
    ]


def _money(amounts: Mapping[str, int]) -> str:
    return ", ".join(f"{minor} minor units of {currency}" for currency, minor in amounts.items())
