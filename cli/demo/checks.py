"""What must be true at the end: the system's books against what the simulators know."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from simulators.truth import Truth
from storage import reports
from storage.engine import Connection


@dataclass(frozen=True, slots=True)
class Check:
    """One statement, whether it holds, and the figures behind it."""

    says: str
    holds: bool
    figures: str


@dataclass(frozen=True, slots=True)
class Paid:
    """What the clearinghouse says it did.

    Attributes:
        amounts: minor units by posting id.
        settlements: settlement id by posting id.
        effects: how often each posting id took effect.
        totals: minor units by currency.
        calls: how many calls it took, faults included.
    """

    amounts: Mapping[str, int]
    settlements: Mapping[str, str]
    effects: Mapping[str, int]
    totals: Mapping[str, int]
    calls: int

    @classmethod
    def of(cls, ledger: Mapping[str, Any]) -> "Paid":
        """From the answer of ``GET /v1/ledger``."""
        postings = ledger["postings"]
        return cls(
            amounts={one: int(facts["amount_minor"]) for one, facts in postings.items()},
            settlements={one: facts["settlement_id"] for one, facts in postings.items()},
            effects={one: facts["effects"] for one, facts in postings.items()},
            totals={currency: int(total) for currency, total in ledger["totals_minor"].items()},
            calls=sum(facts["attempts"] for facts in postings.values()),
        )


def check(conn: Connection, truth: Truth, sent: int, paid: Paid) -> list[Check]:
    """Every check, in the order of the data's way."""
    landed = reports.landed(conn)
    readings = reports.readings(conn)
    refused = reports.quarantined(conn)
    kept = landed.new + landed.aside
    distinct = truth.readings + sum(truth.refused.values())
    paid_energy = reports.paid_by_event(conn)
    unpaid = reports.unpaid_by_reason(conn)
    owed = reports.owed_to_vehicles(conn)
    posted = reports.posted_amounts(conn)
    states = reports.postings_by_state(conn)
    return [
        Check(
            "every packet sent has landed once",
            kept == distinct,
            f"{sent} sent, {distinct} different, {kept} kept",
        ),
        Check(
            "every repetition was recognised",
            landed.duplicates >= truth.already_landed,
            f"{truth.already_landed} sent, {landed.duplicates} recognised (the broker may repeat too)",
        ),
        Check(
            "every good packet is a reading",
            readings == truth.readings,
            f"{truth.readings} sent, {readings} readings",
        ),
        Check(
            "every bad packet was caught, for the right reason",
            refused == dict(truth.refused),
            _difference(refused, truth.refused)
            or f"{sum(refused.values())} in {len(refused)} reasons",
        ),
        Check(
            "every good kWh is paid, to the thousandth of a watt-hour",
            paid_energy == dict(truth.paid),
            f"{sum(paid_energy.values())} mWh of {sum(truth.paid.values())} mWh,"
            f" in {len(paid_energy)} settlements",
        ),
        Check(
            "every unpaid kWh has the right reason",
            unpaid == truth.unpaid_by_reason,
            _difference(unpaid, truth.unpaid_by_reason)
            or f"{sum(unpaid.values())} mWh in {len(unpaid)} reasons",
        ),
        Check(
            "every journal entry sums to zero",
            reports.ledger_imbalance(conn) == 0,
            f"{len(posted)} entries",
        ),
        Check(
            "the clearinghouse has paid what the ledger owes",
            dict(paid.totals) == owed and states.keys() <= {"acknowledged"},
            f"ledger {owed}, clearinghouse {dict(paid.totals)}, postings {states}",
        ),
        Check(
            "nothing was paid twice",
            paid.amounts == posted
            and set(paid.effects.values()) <= {1}
            and len(set(paid.settlements.values())) == len(paid.settlements),
            f"{len(paid.amounts)} payouts, {sum(paid.effects.values())} effects, {paid.calls} calls",
        ),
    ]


def _difference(found: Mapping[str, int], expected: Mapping[str, int]) -> str:
    return ", ".join(
        f"{key}: {found.get(key, 0)} instead of {expected.get(key, 0)}"
        for key in sorted(found.keys() | expected.keys())
        if found.get(key, 0) != expected.get(key, 0)
    )
