"""The same computation as that of the running system, from nothing but what is in a pack."""

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

import polars as pl

from settlement import engine, programs
from settlement.engine import Computed
from settlement.facts import Facts
from settlement.meter_readings import joined
from settlement.periods import Period
from settlement.programs import Program
from settlement.schemas import READING, TEMPERATURE
from settlement.signatures import Keyring
from settlement.timeline import Window
from settlement.verdicts import (
    LandedPacket,
    Policy,
    Verdict,
    fault,
    joined_row,
    judge,
    reading_rows,
    standing_record,
)
from statements.pack import TIME, Pack, Run
from statements.texts import PackError

READINGS: Final = pl.Schema({**READING.schema, "judged_at": TIME})
_IDENTITY: Final = ["evse_id", "stream_epoch", "sequence"]


@dataclass(frozen=True)
class Judged:
    """What the packets of a pack say.

    Attributes:
        verdicts: one per packet, in their order.
        readings: ``READINGS``, of those that a run could know.
    """

    verdicts: Sequence[Verdict]
    readings: pl.DataFrame


def judged(pack: Pack, executor: Executor) -> Judged:
    """Judge the packets of a pack as the running system judges them.

    Raises:
        PackError: two records of one key.
        UnusableKeyError: a key that could never verify.
    """
    keys = Keyring(one.key for one in pack.keys)
    if len(keys) < len(pack.keys):
        raise PackError("pack.keys", "a key twice", "each key once")
    landed = [
        LandedPacket(one.packet, one.received_at, 1, one.topic_evse_id) for one in pack.packets
    ]
    verdicts = judge(landed, keys, Policy(), executor)
    known = [
        (verdict, one.judged_at)
        for one, verdict in zip(pack.packets, verdicts, strict=True)
        if verdict.reason is None and one.judged_at is not None
    ]
    rows = [
        {**row, "judged_at": judged_at}
        for verdict, judged_at in known
        for row in reading_rows(verdict)
    ]
    rows += _between(known)
    return Judged(verdicts, pl.DataFrame(rows, schema=READINGS, orient="row"))


def _between(known: Sequence[tuple[Verdict, datetime]]) -> list[dict[str, object]]:
    """The readings from one record of a meter to its next: known when both records were."""
    judged_at = {record.digest: at for verdict, at in known if (record := standing_record(verdict))}
    records = [record for verdict, _ in known if (record := standing_record(verdict))]
    return [
        {
            **joined_row(content, earlier, later),
            "judged_at": max(judged_at[earlier.digest], judged_at[later.digest]),
        }
        for content, earlier, later in joined(records)
        if fault(content) is None
    ]


def programs_of(pack: Pack, run: Run) -> dict[str, tuple[Program, ...]]:
    """The programs that a run knew, ascending by version, by name.

    Raises:
        PackError: a version is not in the pack, or its body is not what it is named.
        ProgramError: a body cannot be used.
    """
    bodies = {(one.program, one.version): one for one in pack.programs}
    found: dict[str, tuple[Program, ...]] = {}
    for name, version in sorted(run.known.programs):
        where = f"program {name}, version {version}"
        stated = bodies.get((name, version))
        if stated is None:
            raise PackError(where, "missing", "every program that a run names")
        program = parsed(stated.body, where)
        if (program.program, program.version) != (name, version):
            raise PackError(
                where, f"the body of {program.program}, version {program.version}", "its own"
            )
        dated = replace(program, valid_from=stated.valid_from)
        found[name] = (*found.get(name, ()), dated)
    return found


def parsed(body: str, where: str) -> Program:
    """A program from the text of its body.

    Raises:
        PackError: no JSON.
        ProgramError: a body that cannot be used.
    """
    try:
        data = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise PackError(where, f"a body that is no JSON ({error})", "its JSON") from error
    return programs.parse(data, where)


def windows_of(pack: Pack, run: Run) -> list[Window]:
    """The events that a run knew, by event_id.

    Raises:
        PackError: a version is not in the pack.
    """
    events = {(one.window.event_id, one.version): one.window for one in pack.events}
    missing = [key for key in run.known.events if key not in events]
    if missing:
        name, version = missing[0]
        raise PackError(f"event {name}, version {version}", "missing", "every event of a run")
    return [events[key] for key in sorted(run.known.events)]


def facts_of(pack: Pack, run: Run) -> Facts:
    """What a run knew. Raises PackError and ProgramError."""
    known, span = run.known, run.known.temperatures
    temperatures = pack.temperatures.filter(pl.col("recorded_at") <= run.known_at)
    return Facts(
        programs=programs_of(pack, run),
        windows=windows_of(pack, run),
        prices=known.prices,
        contracts=known.contracts,
        sites=known.sites,
        temperatures=TEMPERATURE.empty()
        if span is None
        else temperatures.filter(
            (pl.col("measured_at") >= span.started_at) & (pl.col("measured_at") < span.ended_at)
        ).select(TEMPERATURE.schema.names()),
        baselines=known.baselines,
        orders=known.orders,
        season_used=known.season_used,
    )


def readings_of(pack: Pack, run: Run, readings: pl.DataFrame) -> engine.Readings:
    """The readings that a run could know, as the running system gives them to the engine: those that
    overlap a period, and of each EVSE that they come from the last one before it.
    """
    conflicts = pl.DataFrame(
        [
            (one.evse_id, one.stream_epoch, one.sequence)
            for one in pack.conflicts
            if one.found_at <= run.known_at
        ],
        schema={name: READING.schema[name] for name in _IDENTITY},
        orient="row",
    ).unique()
    known = (
        readings.filter(pl.col("judged_at") <= run.known_at)
        .join(
            conflicts.with_columns(conflicted=pl.lit(value=True)),
            on=_IDENTITY,
            how="left",
            maintain_order="left",
        )
        .with_columns(pl.col("conflicted").fill_null(value=False))
        .select(*READING.schema.names(), "conflicted")
    )

    def read(period: Period) -> pl.DataFrame:
        frame = known.filter(
            (pl.col("started_at") < period.ended_at) & (pl.col("ended_at") > period.started_at)
        )
        before = (
            known.filter(
                (pl.col("ended_at") <= period.started_at)
                & pl.col("evse_id").is_in(frame["evse_id"].unique().implode())
            )
            .sort("started_at", "stream_epoch", "sequence")
            .group_by("evse_id", maintain_order=True)
            .last()
        )
        return pl.concat([frame, before.select(frame.columns)])

    return read


def computed(pack: Pack, run: Run, readings: pl.DataFrame) -> Computed:
    """What a run comes to.

    Raises:
        PackError: a reference to what is not in the pack.
        ProgramError: a program that cannot be used.
        BoundExceededError: a value out of its range.
    """
    facts = facts_of(pack, run)
    found = engine.compute(readings_of(pack, run, readings), facts, run.period, stretch=run.stretch)
    if run.programs is None:
        return found
    mine = pl.col("program").is_in(sorted(run.programs))
    return Computed(
        *(
            frame.filter(mine)
            for frame in (found.matched, found.unpaid, found.lines, found.settlements)
        )
    )


def facts_by_run(pack: Pack) -> Mapping[str, Facts]:
    """What each run knew, by its id."""
    return {run.run_id: facts_of(pack, run) for run in pack.runs}
