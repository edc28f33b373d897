"""What must be true at the end: the system's books against what the simulators know."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cli.demo.statement import Told
from cli.demo.troubles import KINDS, Trouble
from simulators.evening import Evening
from storage import reports, troubles
from storage.engine import Connection
from tasks import ledger
from tasks.settle import SettleSummary
from tasks.verify_run import verify_run


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
        adjusted: vehicle, event, start and end of the period of every adjustment.
        adjusted_minor: their sum.
        twice: settlements that were paid more than once.
        effects: how often each posting id took effect.
        totals: minor units by currency.
        calls: how many calls it took, faults included.
    """

    amounts: Mapping[str, int]
    settlements: Mapping[str, str]
    adjusted: Sequence[tuple[str, str, datetime, datetime]]
    adjusted_minor: int
    twice: Sequence[str]
    effects: Mapping[str, int]
    totals: Mapping[str, int]
    calls: int

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> "Paid":
        """From the answer of ``GET /v1/ledger``."""
        postings = answer["postings"]
        adjustments = [one for one in postings.values() if one["kind"] == "adjustment"]
        return cls(
            amounts={one: int(facts["amount_minor"]) for one, facts in postings.items()},
            settlements={one: facts["settlement_id"] for one, facts in postings.items()},
            adjusted=[
                (
                    facts["vehicle_id"],
                    facts["event_id"],
                    datetime.fromisoformat(facts["period_started_at"]),
                    datetime.fromisoformat(facts["period_ended_at"]),
                )
                for facts in adjustments
            ],
            adjusted_minor=sum(int(facts["amount_minor"]) for facts in adjustments),
            twice=answer["settlements_paid_twice"],
            effects={one: facts["effects"] for one, facts in postings.items()},
            totals={currency: int(total) for currency, total in answer["totals_minor"].items()},
            calls=sum(facts["attempts"] for facts in postings.values()),
        )


def check(conn: Connection, evening: Evening, paid: Paid) -> list[Check]:
    """Every check of the books, in the order of the data's way."""
    truth, sent = evening.truth, len(evening.deliveries)
    landed = reports.landed(conn)
    readings = reports.readings(conn)
    refused = reports.quarantined(conn)
    kept = landed.new + landed.aside
    distinct = truth.readings + sum(truth.refused.values())
    paid_energy = reports.paid_by_event(conn)
    unpaid = reports.unpaid_by_reason(conn)
    owed = reports.owed(conn)
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
        _adjusted(conn, evening, paid),
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
            paid.amounts == posted and set(paid.effects.values()) <= {1} and not paid.twice,
            f"{len(paid.amounts)} payouts to {len(set(paid.settlements.values()))} settlements,"
            f" {sum(paid.effects.values())} effects, {paid.calls} calls",
        ),
    ]


def _adjusted(conn: Connection, evening: Evening, paid: Paid) -> Check:
    """What came days later was booked on the period it belongs to, with postings of its own."""
    first, last = evening.truth_in_time.paid_cents, evening.truth.paid_cents
    meant = {
        key: last.get(key, 0) - first.get(key, 0)
        for key in first.keys() | last.keys()
        if last.get(key, 0) != first.get(key, 0)
    }
    periods = {one.event_id: (one.started_at, one.ended_at) for one in evening.events}
    posted = {(vehicle, event): (start, end) for vehicle, event, start, end in paid.adjusted}
    return Check(
        "what came days later was adjusted on its own period, to the cent, and nothing else was",
        troubles.adjustments(conn) == meant
        and posted == {key: periods[key[1]] for key in meant}
        and paid.adjusted_minor == sum(meant.values()),
        f"{sum(meant.values())} minor units in {len(meant)} settlements,"
        f" {paid.adjusted_minor} in {len(paid.adjusted)} postings",
    )


def check_troubles(found: Sequence[Trouble]) -> Check:
    """Whether each trouble cost what the simulators know it to have cost, and each kind occurred."""
    wrong = [
        f"{one.what}: {one.found} instead of {one.meant}" for one in found if one.found != one.meant
    ]
    return Check(
        "each trouble cost what it must have, to the thousandth of a watt-hour and the cent",
        not wrong
        and {one.what for one in found} == KINDS
        and all(one.found.energy_milliwh for one in found),
        "; ".join(wrong) or f"{len(found)} troubles of {len(KINDS)} kinds",
    )


def check_ledger(dsn: str, seals: Path) -> list[Check]:
    """Seal the ledger, and whether it stands: as it was sealed, and balanced."""
    closed = ledger.close_period(dsn, clock=lambda: datetime.now(UTC), out=seals)
    audit = ledger.verify_ledger(dsn, against=seals)
    balance = ledger.balance(dsn)
    trial = ", ".join(
        f"{one.currency} {one.debit_minor} debit, {one.credit_minor} credit"
        for one in balance.trial
    )
    return [
        Check(
            "the ledger is sealed, and every booking hashes to its seal",
            audit.finding is None and audit.bookings == closed.bookings and audit.unsealed == 0,
            f"{audit.bookings} bookings, seal {closed.last}, digest {closed.seal_digest[:16]}…",
        ),
        Check("the trial balance is zero", balance.stands, trial),
    ]


def check_replay(dsn: str, run_id: str) -> Check:
    """Whether a run comes to the same again, though more has become known since."""
    found = verify_run(dsn, run_id)
    return Check(
        "the first run comes to the same again, bit for bit",
        found.stands,
        f"digest of its outputs {found.replayed[:16]}…",
    )


def check_opinion(summary: SettleSummary) -> Check:
    """Whether the oracle has settled every vehicle of the evening again, and found no difference."""
    opinion = summary.second_opinion
    return Check(
        "a second opinion comes to the same, line by line",
        opinion is not None and opinion.vehicles >= summary.vehicles and not opinion.differences,
        f"{opinion.vehicles} vehicles, {opinion.lines} lines, {opinion.differences} differences"
        if opinion
        else "not asked",
    )


def check_statement(told: Told) -> Check:
    """Whether an owner can recompute every amount from the signed packets, without this system."""
    return Check(
        "one vehicle's evidence recomputes to what was booked and sealed, without the database",
        told.settlements > 0 and told.verified.stands,
        told.verified.first_difference
        or f"{told.settlements} settlements from {told.packets} signed packets",
    )


def _difference(found: Mapping[str, int], expected: Mapping[str, int]) -> str:
    return ", ".join(
        f"{key}: {found.get(key, 0)} instead of {expected.get(key, 0)}"
        for key in sorted(found.keys() | expected.keys())
        if found.get(key, 0) != expected.get(key, 0)
    )
