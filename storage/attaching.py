"""Samples become temperatures of vehicles: whose battery was it, at that EVSE, at that moment?

The device says it, or else the contract that names the EVSE. What has no vehicle yet stays a sample,
waits by day, and is looked at again when there is a new version of a contract that names its EVSE.
Only what is new is looked at: landing leaves a mark for it (``thermal_pending``), and a mark goes in
the transaction that has done what it asks for.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import polars as pl

from settlement.schemas import TEMPERATURE
from storage.engine import Connection
from storage.temperatures import put_temperatures
from storage.thermal_samples import battery_moments

SAMPLES_PER_STEP: Final = 50_000
"""Samples that one step looks at, about; at least one mark."""
MARKS_PER_STEP: Final = 5_000
DAYS_PER_STEP: Final = 10
"""Days of an EVSE, of those that wait, that one step looks at again."""

_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Attached:
    """What one step of ``attach`` did.

    Attributes:
        temperatures: rows of ``temperature`` that are new.
        unknown: moments looked at whose vehicle is not known; they wait for a contract.
        more: whether there may be more to do at once.
    """

    temperatures: int = 0
    unknown: int = 0
    more: bool = False


def attach(conn: Connection, *, now: datetime) -> Attached:
    """Make temperatures of vehicles from some of the samples that were not looked at, and commit.

    The vehicle is the sample's own, else that of the contract which names the EVSE and is in force
    at ``measured_at``; where contracts name several vehicles, none is known. A contract that comes
    later is reason to look again. Doing a step again, or two at once, changes nothing.

    Args:
        conn: as ``v2g_settle``, with nothing under way.
        now: when the temperatures became known; see ``storage.fence.writing``.
    """
    marks = conn.execute(_MARKS, [MARKS_PER_STEP, SAMPLES_PER_STEP]).fetchall()
    # Counted before the contracts are read: one that comes between is looked for again, in vain.
    days = conn.execute(_DUE, [DAYS_PER_STEP]).fetchall()
    spans = [(evse, first, last) for _, evse, first, last in marks]
    spans += [(evse, day, day + _DAY - timedelta(microseconds=1)) for evse, day, _ in days]
    if not spans:
        conn.rollback()
        return Attached()
    counted: dict[str, int] = dict(
        conn.execute(_VERSIONS, [sorted({evse for evse, *_ in spans})]).fetchall()
    )
    moments = _with_vehicles(conn, battery_moments(conn, spans))
    known = moments.filter(pl.col("vehicle_id") != "")
    unknown = moments.filter(pl.col("vehicle_id") == "")
    written = put_temperatures(conn, _temperatures(known), now=now) if len(known) else 0
    waiting = {
        (evse, day)
        for evse, day in unknown.select(
            "evse_id", pl.col("measured_at").dt.truncate("1d")
        ).iter_rows()
    }
    conn.execute(
        "delete from thermal_pending where mark_id = any(%s)", [[mark for mark, *_ in marks]]
    )
    for evse, day, versions in days:
        if (evse, day) in waiting:
            conn.execute(
                "update thermal_waiting set contracts = %s where evse_id = %s and day = %s",
                [versions, evse, day],
            )
        else:
            conn.execute("delete from thermal_waiting where evse_id = %s and day = %s", [evse, day])
    for evse, day in sorted(waiting):
        conn.execute(
            "insert into thermal_waiting (evse_id, day, contracts) values (%s, %s, %s)"
            " on conflict do nothing",
            [evse, day, counted.get(evse, 0)],
        )
    conn.commit()
    return Attached(written, len(unknown), more=True)


def _with_vehicles(conn: Connection, moments: pl.DataFrame) -> pl.DataFrame:
    """The moments, with the vehicle by contract where they have none."""
    evses = moments.filter(pl.col("vehicle_id") == "")["evse_id"].unique().to_list()
    rows = conn.execute(_CONTRACTS, [evses]).fetchall() if evses else []
    contracts = pl.DataFrame(rows, schema=_CONTRACT, orient="row")
    by_contract = (
        moments.select("evse_id", "measured_at")
        .unique()
        .join(contracts, on="evse_id")
        .filter(
            (pl.col("valid_from") <= pl.col("measured_at"))
            & (pl.col("valid_to").is_null() | (pl.col("measured_at") < pl.col("valid_to")))
        )
        .group_by("evse_id", "measured_at")
        .agg(pl.col("by_contract").unique())
        .filter(pl.col("by_contract").list.len() == 1)
        .with_columns(pl.col("by_contract").list.first())
    )
    return (
        moments.join(by_contract, on=["evse_id", "measured_at"], how="left")
        .with_columns(
            pl.when(pl.col("vehicle_id") == "")
            .then(pl.col("by_contract").fill_null(""))
            .otherwise(pl.col("vehicle_id"))
            .alias("vehicle_id")
        )
        .drop("by_contract")
    )


def _temperatures(moments: pl.DataFrame) -> pl.DataFrame:
    """``schemas.TEMPERATURE``: of two devices that speak of one moment, the higher counts."""
    return (
        moments.group_by("evse_id", "vehicle_id", "measured_at")
        .agg(pl.col("battery_millicelsius").max(), pl.col("received_at").max())
        .select(TEMPERATURE.schema.names())
    )


_CONTRACT: Final = pl.Schema(
    {
        "evse_id": pl.String(),
        "by_contract": pl.String(),
        "valid_from": pl.Datetime("us", "UTC"),
        "valid_to": pl.Datetime("us", "UTC"),
    }
)

_MARKS: Final = """
    select mark_id, evse_id, first_measured_at, last_measured_at from (
        select *, sum(samples) over places as so_far, row_number() over places as place
        from (select * from thermal_pending limit %s) chosen
        window places as (order by first_measured_at, mark_id)
    ) marks where so_far <= %s or place = 1
"""
_NAMING: Final = """
    select named.evse_id, count(*) as versions
    from (select distinct evse_id, contract_id from contract_version where evse_id <> '') named
    join contract_version using (contract_id)
    group by named.evse_id
"""
_DUE: Final = f"""
    select waiting.evse_id, waiting.day, naming.versions
    from thermal_waiting waiting join ({_NAMING}) naming using (evse_id)
    where naming.versions > waiting.contracts
    order by waiting.day desc, waiting.evse_id limit %s
"""
_VERSIONS: Final = f"select evse_id, versions from ({_NAMING}) naming where evse_id = any(%s)"
_CONTRACTS: Final = """
    select evse_id, vehicle_id, valid_from, valid_to from (
        select distinct on (contract_id) * from contract_version order by contract_id, version desc
    ) latest where evse_id = any(%s)
"""
