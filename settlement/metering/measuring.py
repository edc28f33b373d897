"""Readings checked, each with its first fault, and divided over the cells of a timeline."""

from functools import reduce
from operator import mul
from typing import Final

import polars as pl

from settlement import units
from settlement.bounds import BoundExceededError
from settlement.metering import charge, continuity, division, location, order, overlaps
from settlement.metering import checks as judge
from settlement.metering.enrolment import Enrolment, enrolment
from settlement.periods import Period
from settlement.programs import Checks
from settlement.reasons import UnpaidReason

PIECES: Final = pl.Schema(
    {
        "vehicle_id": pl.String(),
        "evse_id": pl.String(),
        "interval": pl.UInt32(),
        "fault": pl.String(),
        "exported_milliwh": pl.Int64(),
        "imported_milliwh": pl.Int64(),
        "covered_us": pl.Int64(),
        "discharged_us": pl.Int64(),
        "readings": pl.Int64(),
    }
)
"""``fault``: a ``reasons.UnpaidReason``, or null. One row per vehicle, EVSE, interval and fault."""

FAULTS: Final = (
    UnpaidReason.ERR_DATA_INCONSISTENCY,
    UnpaidReason.METER_EXCHANGED,
    UnpaidReason.TWO_PLACES,
    UnpaidReason.ABOVE_RATING,
    UnpaidReason.OUTSIDE_RADIUS,
)
"""In the order of their precedence; a reading's fault is counted from 1 here, and 0 is none."""

_INCONSISTENT, _EXCHANGED, _TWO_PLACES, _ABOVE_RATING, _OUTSIDE = range(1, len(FAULTS) + 1)

_NEEDED: Final = (
    "evse_id",
    "vehicle_id",
    "started_at",
    "ended_at",
    "power_start_w",
    "power_end_w",
    "export_start_milliwh",
    "export_end_milliwh",
    "import_start_milliwh",
    "import_end_milliwh",
    "conflicted",
)
_CHARGE: Final = ("soc_start_ppm", "soc_end_ppm")
_POSITION: Final = ("latitude_microdeg", "longitude_microdeg")

_SUMS: Final = ("exported", "imported", "covered_us", "discharged_us", "readings")

_US: Final = (pl.col("ended_at") - pl.col("started_at")).dt.total_microseconds()


def measure(
    readings: pl.DataFrame,
    cells: pl.DataFrame,
    checks: Checks,
    contracts: pl.DataFrame,
    sites: pl.DataFrame | None,
    *,
    imports: bool,
    idle: bool,
    counted: Period | None = None,
) -> pl.DataFrame:
    """Check readings and divide them over a timeline.

    Args:
        readings: ``schemas.READING``, in any order, and ``conflicted`` (bool: its identity carries two
            contents). Powers, states of charge and positions may be null. No interval is empty. The
            states of charge and the positions need be there only if they are checked.
        cells: ``timeline.SCHEMA``, without gaps.
        checks: tolerances of the program.
        contracts: ``schemas.CONTRACT``, of all programs.
        sites: ``schemas.SITE``; None: positions are not checked.
        imports: keep readings that only import. All are checked, whether they are kept or not.
        idle: keep every reading, also those that moved no energy, for the time that they cover.
        counted: readings that start within it are kept; the others are there for the checks, which
            compare readings with each other. None: all are kept.

    Returns:
        ``PIECES``, unordered. Parts of a reading without energy are left out unless ``idle``; but a
        reading whose register ran backwards never is, whatever is known of its energy.
        ``covered_us``: time covered; where readings of a vehicle overlap, at whatever EVSEs, each
        moment counts once among those without a fault, and once among those of each fault.
        ``discharged_us``: time of the parts that exported. ``readings``: how many have a part in it.

    Raises:
        BoundExceededError: values outside their declared ranges, or too many names over too long a
            time for 63 bits; nothing has been computed.
    """
    if readings.is_empty():
        return pl.DataFrame(schema=PIECES)
    needed = [*_NEEDED]
    if checks.soc_tolerance_pct is not None:
        needed += _CHARGE
    if checks.site_radius_m is not None and sites is not None:
        needed += _POSITION
    ordered = order.by_evse(readings.select(needed))
    frame = ordered.frame.with_columns(
        exported=pl.col("export_end_milliwh") - pl.col("export_start_milliwh"),
        imported=pl.col("import_end_milliwh") - pl.col("import_start_milliwh"),
        cell=division.first_cell(ordered.frame["started_at"], cells),
    )
    enrolled = enrolment(ordered, contracts, sites)
    judged, shared = _judged(frame, ordered.span, cells, checks, enrolled)
    evses, vehicles = ordered.evses, ordered.vehicles
    del frame, ordered, enrolled
    division.assert_sums_fit(judged, ["exported", "imported"])
    kept = pl.col("always") | (pl.col("exported") > 0)
    if idle:
        kept = pl.lit(value=True)
    elif imports:
        kept |= pl.col("imported") > 0
    late = overlaps.covered_from(judged, shared.filter(_each(judged, shared, kept)), evses)
    if counted is not None:
        kept &= (pl.col("started_at") >= counted.started_at) & (
            pl.col("started_at") < counted.ended_at
        )
    summed = _summed(judged, cells, kept, late, idle=idle)
    return _named(summed, cells, evses, vehicles)


def _judged(
    frame: pl.DataFrame,
    span: order.Span,
    cells: pl.DataFrame,
    checks: Checks,
    enrolled: Enrolment,
) -> tuple[pl.DataFrame, pl.Series]:
    """Every reading with its first fault.

    Returns:
        evse, vehicle, cell, started_at, ended_at, exported, imported (mWh, not negative), fault
        (number), always (bool: to be kept though it may have no energy); and the rows that share time
        with another of their EVSE or vehicle.
    """
    backwards = judge.backwards(frame, enrolled)
    at_one_evse = overlaps.at_one_evse(frame, span)
    disagreeing = judge.disagreeing(frame, checks.register_tolerance_pct)
    inconsistent = [
        frame["conflicted"].arg_true().cast(pl.UInt32),
        at_one_evse,
        disagreeing.filter(~disagreeing.is_in(backwards["row"].implode())),
    ]
    by_itself = pl.concat([*inconsistent, backwards["row"]]).unique()
    broken = continuity.broken(frame, enrolled, by_itself)
    inconsistent += [broken, backwards.filter(~pl.col("exchanged"))["row"]]
    if checks.soc_tolerance_pct is not None:
        doubted = pl.concat([by_itself, broken]).unique()
        inconsistent.append(
            charge.contradicting(frame, cells, enrolled, doubted, checks.soc_tolerance_pct)
        )
    elsewhere = overlaps.between_stays(frame, span)
    found = {
        _TWO_PLACES: overlaps.in_two_places(frame, elsewhere),
        _ABOVE_RATING: judge.above_rating(frame, enrolled),
        _EXCHANGED: backwards.filter("exchanged")["row"],
        _INCONSISTENT: pl.concat(inconsistent).unique(),
    }
    if checks.site_radius_m is not None and _POSITION[0] in frame.columns:
        found[_OUTSIDE] = location.outside(frame, enrolled, checks.site_radius_m)
    fault = pl.zeros(frame.height, pl.UInt8, eager=True).alias("fault")
    # The last one written stands: the first in precedence.
    for number in sorted(found, reverse=True):
        fault = fault.scatter(found[number], number)
    always = pl.repeat(value=False, n=frame.height, dtype=pl.Boolean, eager=True)
    return (
        frame.select(
            "evse",
            "vehicle",
            "cell",
            "started_at",
            "ended_at",
            frame["exported"].scatter(backwards["row"], backwards["exported"]),
            frame["imported"].scatter(backwards["row"], backwards["imported"]),
            fault,
            always=always.scatter(backwards["row"], values=True),
        ),
        pl.concat([at_one_evse, elsewhere]).unique(),
    )


def _each(frame: pl.DataFrame, rows: pl.Series, holds: pl.Expr) -> pl.Series:
    """Whether a condition holds for each of some rows."""
    few = frame.select(pl.all().gather(rows))
    return few.with_columns(holds=holds)["holds"]


def _summed(
    judged: pl.DataFrame, cells: pl.DataFrame, kept: pl.Expr, late: pl.DataFrame, *, idle: bool
) -> pl.DataFrame:
    """Evse, vehicle, cell, fault (numbers) and the sums of what readings have in each."""
    divided = division.beyond(judged["ended_at"], judged["cell"], cells).scatter(
        late["row"], values=True
    )
    names = ("evse", "vehicle", "cell", "fault")
    known = [int(judged.select(pl.col(name).max()).item()) + 1 for name in names[:2]]
    sizes = [*known, cells.height, len(FAULTS) + 1]
    if (reach := reduce(mul, sizes)) > order.INT64_MAX:
        raise BoundExceededError(names, reach, order.INT64_MAX)
    # One integer is grouped by much faster than four columns.
    key = pl.lit(0, dtype=pl.Int64)
    for name, size in zip(names, sizes, strict=True):
        key = key * size + pl.col(name)
    discharged = pl.when(pl.col("exported") > 0).then("part_us").otherwise(0)
    sums = [
        pl.col("exported", "imported", "covered_us").sum(),
        discharged.sum().alias("discharged_us"),
        pl.len().cast(pl.Int64).alias("readings"),
    ]
    whole = (
        judged.lazy()
        .filter(kept & ~divided)
        .select("exported", "imported", key=key, part_us=_US, covered_us=_US)
        .group_by("key")
        .agg(sums)
        .collect()
    )
    parts = division.split(
        judged.with_row_index("row")
        .filter(kept & divided)
        .join(late, on="row", how="left", maintain_order="left")
        .with_columns(pl.coalesce("covered_from", "started_at").alias("covered_from")),
        cells,
        ("exported", "imported"),
    )
    if not idle:
        parts = parts.filter(pl.col("always") | (pl.col("exported") > 0) | (pl.col("imported") > 0))
    both = [whole, parts.with_columns(key=key).group_by("key").agg(sums)]
    summed = pl.concat(both).group_by("key").agg(pl.col(_SUMS).sum())
    return summed.select(
        *(
            (pl.col("key") // reduce(mul, sizes[place + 1 :], 1) % sizes[place]).alias(name)
            for place, name in enumerate(names)
        ),
        *_SUMS,
    )


def _named(
    summed: pl.DataFrame, cells: pl.DataFrame, evses: pl.Series, vehicles: pl.Series
) -> pl.DataFrame:
    """``PIECES``. More energy than a piece can hold is a fault, whatever it is a sum of."""
    too_much = pl.max_horizontal("exported", "imported") > units.PIECE_MAX_MILLIWH
    fault = pl.when(too_much).then(_INCONSISTENT).otherwise(pl.col("fault"))
    if summed.select(too_much.any()).item():
        summed = (
            summed.with_columns(fault=fault)
            .group_by("evse", "vehicle", "cell", "fault")
            .agg(pl.col(_SUMS).sum())
        )
    names = pl.Series("fault", [None, *(reason.value for reason in FAULTS)], dtype=pl.String)
    return summed.select(
        vehicles.gather(summed["vehicle"]).alias("vehicle_id"),
        evses.gather(summed["evse"]).alias("evse_id"),
        cells["interval"].gather(summed["cell"]),
        names.gather(summed["fault"]),
        exported_milliwh="exported",
        imported_milliwh="imported",
        covered_us="covered_us",
        discharged_us="discharged_us",
        readings="readings",
    ).cast(PIECES)
