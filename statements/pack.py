"""An evidence pack: what was booked, everything that it was computed from, and what it was sealed in.

Whoever holds the pack can recompute each amount from the signed packets without the system that made
it (``statements.verify``). What is in it:

    bookings      the latest revision of each settlement: its row, lines and journal lines, exactly as
                  they are sealed (``settlement.seals``), whose money it is, and the way to its seal
    seals         the seals that cover them
    unpaid        what earned nothing, with the reason and what it would have been
    runs          the computations that these come from: period, time of knowledge, facts as known then
    programs, events, temperatures, packets, conflicts, keys
                  what the runs refer to, each once
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, Final

import polars as pl

from settlement.booking import Allocation, Key, Share
from settlement.facts import SEASON_USED
from settlement.periods import Period
from settlement.schemas import (
    BASELINE,
    CONTRACT,
    LINE,
    ORDER,
    SETTLEMENT,
    SITE,
    TEMPERATURE,
    UNPAID,
)
from settlement.seals import Seal
from settlement.signatures import DeviceKey
from settlement.timeline import Price, Window
from statements.texts import rows_typed

FORM: Final = "v2g-statement/1"
"""Stands in every pack."""

TIME: Final = pl.Datetime("us", "UTC")
UNPAID_SCHEMA: Final = pl.Schema({"run_id": pl.String(), **UNPAID.schema})
TEMPERATURE_SCHEMA: Final = pl.Schema({**TEMPERATURE.schema, "recorded_at": TIME})
PRICE_SCHEMA: Final = pl.Schema(
    {
        "program": pl.String(),
        "started_at": TIME,
        "ended_at": TIME,
        "price_micros_per_kwh": pl.Int64(),
        "received_at": TIME,
    }
)
_SHARED: Final = ("program", "event_id", "vehicle_id")


@dataclass(frozen=True, slots=True)
class Subject:
    """What a statement is about; what is left out does not narrow it.

    Attributes:
        account: whose money it is: an owner's, a site host's or an aggregator's.
        period: that its events overlap.
    """

    vehicle_id: str = ""
    event_id: str = ""
    account: str = ""
    period: Period | None = None

    def __str__(self) -> str:
        parts = [
            f"{what} {value}"
            for what, value in (
                ("vehicle", self.vehicle_id),
                ("event", self.event_id),
                ("account", self.account),
            )
            if value
        ]
        if self.period is not None:
            parts.append(f"from {self.period.started_at:%FT%TZ} to {self.period.ended_at:%FT%TZ}")
        return ", ".join(parts)


@dataclass(frozen=True, slots=True)
class Proof:
    """That a booking stands at ``index`` under seal ``number``: the inclusion path (RFC 9162 §2.1.3)."""

    number: int
    index: int
    path: tuple[bytes, ...]


@dataclass(frozen=True)
class Booking:
    """One booked settlement.

    Attributes:
        settlement: its row as sealed: names to text or null, and ``allocations``.
        lines: the same.
        entries: the same.
        supersedes: the revision before, if any.
        before: what had been booked before this revision, by role and account.
        shares: of its contract as the run knew them; None where it knew none.
        proof: None where it is not sealed yet.
    """

    settlement: Mapping[str, Any]
    lines: tuple[Mapping[str, Any], ...]
    entries: tuple[Mapping[str, Any], ...]
    supersedes: str | None
    before: tuple[Allocation, ...]
    shares: tuple[Share, ...] | None
    proof: Proof | None

    @property
    def settlement_id(self) -> str:
        return str(self.settlement["settlement_id"])

    @property
    def key(self) -> Key:
        """(program, event_id, vehicle_id)."""
        program, event, vehicle = (str(self.settlement[name]) for name in _SHARED)
        return program, event, vehicle

    @property
    def run_id(self) -> str:
        return str(self.settlement["run_id"])

    @cached_property
    def row(self) -> pl.DataFrame:
        """``schemas.SETTLEMENT``: one row."""
        return self._typed([self.settlement], SETTLEMENT.schema, "settlement")

    @cached_property
    def line_rows(self) -> pl.DataFrame:
        """``schemas.LINE``, by time and term."""
        shared = {name: self.settlement[name] for name in _SHARED}
        return self._typed([{**line, **shared} for line in self.lines], LINE.schema, "lines").sort(
            "started_at", "term"
        )

    def _typed(self, rows: list[Mapping[str, Any]], schema: pl.Schema, what: str) -> pl.DataFrame:
        texts = pl.DataFrame(
            [[row.get(name) for name in schema] for row in rows],
            schema=dict.fromkeys(schema, pl.String()),
            orient="row",
        )
        return rows_typed(texts, schema, f"settlement {self.settlement_id}: {what}")


@dataclass(frozen=True, slots=True)
class ProgramVersion:
    """A version of a program: its body as JSON text, and from when it counts."""

    program: str
    version: int
    valid_from: datetime | None
    body: str


@dataclass(frozen=True, slots=True)
class EventVersion:
    """A version of an event: as it was used, and the document that said it.

    Attributes:
        window: ``cancelled_at`` is filled in where a status alone cancelled it.
        version: counts from 1.
        status: as the server had it.
        received_at: when the system first held it.
        digest: SHA-256 of the document.
        document: empty where no settlement of the pack rests on this event.
    """

    window: Window
    version: int
    status: str
    received_at: datetime
    digest: bytes
    document: bytes


@dataclass(frozen=True, slots=True)
class SignedPacket:
    """A packet as received.

    Attributes:
        digest: SHA-256 of its signed bytes.
        received_at: when the system first held it.
        judged_at: from when a run could know it; None for one that only shows a conflict.
        topic_evse_id: the EVSE on whose topic it came; None where it came without one.
    """

    packet: bytes
    digest: bytes
    received_at: datetime
    judged_at: datetime | None
    topic_evse_id: str | None = None


@dataclass(frozen=True, slots=True, order=True)
class Conflict:
    """Another content of an identity, and since when it was known."""

    evse_id: str
    stream_epoch: int
    sequence: int
    digest: bytes
    found_at: datetime


@dataclass(frozen=True, slots=True)
class EnrolledKey:
    """A device's key, and when the system was told of it."""

    key: DeviceKey
    enrolled_at: datetime


@dataclass(frozen=True)
class Known:
    """What a run knew of the vehicles of the pack: ``settlement.facts.Facts``, by reference.

    Attributes:
        programs: (program, version).
        events: (event_id, version).
        prices: those of the programs that concern the vehicles.
        sites: None where nobody had declared any.
        temperatures: the time over which they were known; None where no program asked for them.
        baselines: provided or computed, as used.
    """

    programs: tuple[tuple[str, int], ...] = ()
    events: tuple[tuple[str, int], ...] = ()
    prices: tuple[Price, ...] = ()
    contracts: pl.DataFrame = field(default_factory=CONTRACT.empty)
    sites: pl.DataFrame | None = None
    temperatures: Period | None = None
    baselines: pl.DataFrame = field(default_factory=BASELINE.empty)
    orders: pl.DataFrame = field(default_factory=ORDER.empty)
    season_used: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=SEASON_USED))


KNOWN_FRAMES: Final = {
    "contracts": CONTRACT.schema,
    "sites": SITE.schema,
    "baselines": BASELINE.schema,
    "orders": ORDER.schema,
    "season_used": SEASON_USED,
}


@dataclass(frozen=True)
class Run:
    """One computation that something in the pack comes from.

    Attributes:
        period: half-open.
        known_at: what was known by then counted.
        programs: only these were settled; None for all.
        stretch: about how much time was measured at once; None for all of it.
        accounts: (program, event_id, vehicle_id) whose money or lack of it comes from this run; the
            event is empty for what was discharged outside of every one.
    """

    run_id: str
    period: Period
    known_at: datetime
    programs: frozenset[str] | None
    stretch: timedelta | None
    accounts: tuple[Key, ...]
    known: Known = field(default_factory=Known)


@dataclass(frozen=True)
class Pack:
    """See the module.

    Attributes:
        made_at: when.
        made_by: name and version of the software.
        known_at: the latest time of knowledge in it; None where it holds nothing.
        unpaid: ``UNPAID_SCHEMA``.
        temperatures: ``TEMPERATURE_SCHEMA``.
    """

    made_at: datetime
    made_by: str
    subject: Subject
    bookings: tuple[Booking, ...] = ()
    seals: tuple[Seal, ...] = ()
    unpaid: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=UNPAID_SCHEMA))
    runs: tuple[Run, ...] = ()
    programs: tuple[ProgramVersion, ...] = ()
    events: tuple[EventVersion, ...] = ()
    temperatures: pl.DataFrame = field(
        default_factory=lambda: pl.DataFrame(schema=TEMPERATURE_SCHEMA)
    )
    packets: tuple[SignedPacket, ...] = ()
    conflicts: tuple[Conflict, ...] = ()
    keys: tuple[EnrolledKey, ...] = ()

    @property
    def known_at(self) -> datetime | None:
        return max((run.known_at for run in self.runs), default=None)

    @property
    def settlements(self) -> pl.DataFrame:
        """``schemas.SETTLEMENT`` of all bookings."""
        return pl.concat([SETTLEMENT.empty(), *(one.row for one in self.bookings)])

    @property
    def lines(self) -> pl.DataFrame:
        """``schemas.LINE`` of all bookings."""
        return pl.concat([LINE.empty(), *(one.line_rows for one in self.bookings)])
