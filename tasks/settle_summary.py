"""What one settling run came to, as it is shown, stored and read back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from settlement.booking import Difference, Revision
from settlement.programs import Program, in_force
from tasks.computing import Computed
from tasks.second_opinion import Opinion


@dataclass(frozen=True)
class ReasonTotal:
    """Energy of one reason and the money it would have been; ``packets`` only where it is quarantine."""

    reason: str
    energy_milliwh: int
    would_have_been_micros: int
    packets: int = 0


@dataclass(frozen=True)
class SettleSummary:
    """What one run computed and booked. Amounts of all programs of the run are in one currency.

    Attributes:
        state: settled, held, dry_run, or replayed.
        reason: why it is held, or why a person released it.
        vehicles: vehicles with energy in the period.
        discharged_milliwh: verified energy in the run's reach: paid plus unpaid.
        paid_milliwh: energy of the settlements that are not held.
        amount_minor: payable for the period, whether booked now or before.
        booked_minor: booked by this run: the difference to what was booked before. Of a dry run, what
            would be.
        revisions: how many settlements are new or changed; of a dry run, would be.
        held: how many settlements are held.
        unpaid: verified energy that earned nothing, by reason.
        quarantined: what packets claimed that are no reading, by reason.
        kind: manual, scheduled, or the name of a run of the calendar.
        deferred: how many settlements wait for the first run of their program's calendar.
        differences: how many settlements differ from the books and are only reported.
        second_opinion: what the oracle came to; None where it was not asked.
        outputs_digest: Merkle root over what was computed, in hexadecimal (``tasks.digests``).
    """

    run_id: str
    period: str
    state: str
    reason: str
    currency: str
    minor_units: int
    vehicles: int
    discharged_milliwh: int
    paid_milliwh: int
    amount_minor: int
    booked_minor: int
    revisions: int
    held: int
    unpaid: list[ReasonTotal]
    quarantined: list[ReasonTotal]
    kind: str = "manual"
    deferred: int = 0
    differences: int = 0
    outputs_digest: str = ""
    second_opinion: Opinion | None = None


def summary_of(stored: Mapping[str, Any]) -> SettleSummary:
    """A summary from what ``settlement_run`` keeps of it, with its run_id and period."""
    totals: dict[str, Any] = {
        name: [ReasonTotal(**one) for one in stored[name]] for name in ("unpaid", "quarantined")
    }
    if stored.get("second_opinion"):
        totals["second_opinion"] = Opinion(**stored["second_opinion"])
    return SettleSummary(**{**stored, **totals})


@dataclass(frozen=True)
class Outcome:
    """What a run does with what it computed.

    Attributes:
        state: see ``SettleSummary``.
        revisions: that it books, or would.
        deferred: how many settlements it leaves to the calendar.
    """

    run_id: str
    kind: str
    state: str
    reason: str
    revisions: Sequence[Revision]
    differences: Sequence[Difference]
    deferred: int
    second_opinion: Opinion | None = None


def summarise(computed: Computed, outcome: Outcome) -> SettleSummary:
    """The summary of a run."""
    paid = computed.settlements.filter(pl.col("state") == "booked")
    unpaid = computed.unpaid.group_by("reason").agg(
        pl.col("energy_milliwh").sum(), pl.col("would_have_been_micros").sum()
    )
    program = _first_program(computed)
    return SettleSummary(
        run_id=outcome.run_id,
        period=str(computed.period),
        state=outcome.state,
        reason=outcome.reason,
        currency=program.currency if program else "",
        minor_units=program.minor_units if program else 2,
        vehicles=computed.vehicles,
        discharged_milliwh=computed.discharged_milliwh,
        paid_milliwh=int(paid["energy_milliwh"].sum()),
        amount_minor=int(paid["amount_minor"].sum()),
        booked_minor=sum(one.adjustment_minor for one in outcome.revisions),
        revisions=len(outcome.revisions),
        held=computed.settlements.height - paid.height,
        unpaid=[ReasonTotal(**row) for row in unpaid.sort("reason").iter_rows(named=True)],
        quarantined=[ReasonTotal(**row) for row in computed.claimed.iter_rows(named=True)],
        kind=outcome.kind,
        deferred=outcome.deferred,
        differences=len(outcome.differences),
        outputs_digest=computed.outputs.all.hex(),
        second_opinion=outcome.second_opinion,
    )


def _first_program(computed: Computed) -> Program | None:
    paying = computed.settlements["program"].unique().sort().to_list()
    names = paying or sorted(computed.facts.programs)
    if not names:
        return None
    return in_force(computed.facts.programs[names[0]], computed.period.started_at)
