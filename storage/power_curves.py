"""The power of a program's fleet over time, from the registers of its readings. Reads only."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from psycopg.rows import class_row

from settlement import units
from settlement.periods import Period
from storage.engine import Connection

BUCKETS_MAX: Final = 1_500
"""Of one curve. More would be no wrong answer, only more than a picture can show."""

_MICROSECOND: Final = timedelta(microseconds=1)


class TooManyBucketsError(ValueError):
    """A curve finer than ``BUCKETS_MAX`` buckets."""

    def __init__(self, period: Period, step: timedelta) -> None:
        super().__init__(
            f"{period} in steps of {step}: expected at most {BUCKETS_MAX} steps; take longer ones"
        )


@dataclass(frozen=True, slots=True)
class Bucket:
    """The mean power of a fleet from ``started_at`` on, for one step; discharge is positive.

    Attributes:
        power_w: the energy in the bucket over its whole length, rounded to the watt.
    """

    started_at: datetime
    power_w: int


def power_curve(
    conn: Connection, program: str, period: Period, step: timedelta, *, known_at: datetime
) -> list[Bucket]:
    """What the vehicles of a program delivered, less what they drew, bucket by bucket.

    A reading's energy is spread evenly over its interval. Its vehicles are those that were ever under
    contract in the program, by what was known then. A bucket without any reading is left out: nothing
    is known of it.

    Args:
        conn: any role that may read.
        program: whose fleet.
        period: half-open; the first bucket starts with it.
        step: length of a bucket.
        known_at: only readings and contracts that were known by then.

    Raises:
        TooManyBucketsError: more than ``BUCKETS_MAX``.
    """
    if (period.ended_at - period.started_at) > step * BUCKETS_MAX:
        raise TooManyBucketsError(period, step)
    with conn.cursor(row_factory=class_row(Bucket)) as cursor:
        # Times as microseconds since the period's start, so that all of it is exact. 1 mWh in 1 µs
        # are 3.6e6 W. Readings alike in both ends, as of a whole fleet at one beat, are summed first.
        cursor.execute(
            """
            with metered as (
                select (extract(epoch from started_at - %(started_at)s) * 1000000)::bigint as began,
                       (extract(epoch from ended_at - %(started_at)s) * 1000000)::bigint as ended,
                       sum(export_end_milliwh - export_start_milliwh
                           - import_end_milliwh + import_start_milliwh) as milliwh
                from reading
                where started_at >= %(first)s and started_at < %(ended_at)s
                  and ended_at > %(started_at)s and judged_at <= %(known_at)s
                  and vehicle_id in (select vehicle_id from contract_version
                                     where program = %(program)s and recorded_at <= %(known_at)s)
                group by started_at, ended_at
            ), pieces as (
                select bucket, milliwh, ended - began as length,
                       least(ended, (bucket + 1) * %(step_us)s) - greatest(began, bucket * %(step_us)s)
                           as part
                from metered cross join lateral generate_series(
                    greatest(began, 0) / %(step_us)s,
                    (least(ended, %(span_us)s) - 1) / %(step_us)s) as bucket
            )
            select %(started_at)s + bucket * %(step)s as started_at,
                   round(sum(milliwh * part / length) * 3600000 / %(step_us)s)::bigint as power_w
            from pieces group by bucket order by bucket
            """,
            {
                "program": program,
                "started_at": period.started_at,
                "ended_at": period.ended_at,
                "first": period.started_at - units.INTERVAL_MAX,
                "known_at": known_at,
                "step": step,
                "step_us": step // _MICROSECOND,
                "span_us": (period.ended_at - period.started_at) // _MICROSECOND,
            },
        )
        return cursor.fetchall()
