"""Writing: what a case comes to, as tables that two runs of it write alike, byte for byte.

Every number is written from its integer, exactly, with as many decimals as it is counted in. Text
that a spreadsheet would take for a formula gets an apostrophe in front of it.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import polars as pl

from cases.read import OUTPUTS, Case
from settlement.engine import Computed
from settlement.programs import Program, TierMode
from settlement.rounding import RoundingMode, divide

SETTLEMENT_COLUMNS: Final = (
    "vehicle_id",
    "event_id",
    "program",
    "currency",
    "energy_kwh",
    "amount",
    "lines_total",
    "rounding_difference",
    "status",
)
LINE_COLUMNS: Final = (
    "vehicle_id",
    "event_id",
    "started_at",
    "ended_at",
    "energy_kwh",
    "avg_kw",
    "price_per_kwh",
    "incentive_rate",
    "tier_multiplier",
    "thermal_factor",
    "amount",
    "term",
    "price_per_kw",
    "over_hours",
)
UNPAID_COLUMNS: Final = (
    "vehicle_id",
    "event_id",
    "started_at",
    "ended_at",
    "energy_kwh",
    "reason",
    "would_have_been",
)

_MICROS_PLACES: Final = 6
_WATT_PLACES: Final = 3
_MEAN_PLACES: Final = 12
_US_PER_MICROHOUR: Final = 3600
_FORMULA: Final = "^[=+\\-@\t\r\n＝＋－＠]"
_KEY: Final = ("program", "event_id", "vehicle_id")


class OutputExistsError(FileExistsError):
    """Output stands there already, and nobody asked to replace it: ``path``."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"{path} exists; expected a folder without results, or --force to replace them"
        )
        self.path = path


def write(
    out: Path, computed: Computed, case: Case, *, statement: Iterable[str], force: bool = False
) -> None:
    """Write ``OUTPUTS`` into a folder, which is made if need be.

    All files are written beside their places first and then put there one by one, so that none is
    ever half written.

    Args:
        out: the folder.
        computed: what the engine decided.
        case: what it decided on.
        statement: the page ``statement.html``, in pieces.
        force: replace results that are there.

    Raises:
        OutputExistsError: results, or something that is no folder, are there; nothing was written.
        OSError: the folder cannot be written to.
    """
    require_free(out, force=force)
    out.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".replay-", dir=out) as beside:
        place = Path(beside)
        _write_table(place / "settlements.csv", settlement_table(computed, case))
        _write_table(place / "lines.csv", line_table(computed, case))
        _write_table(place / "unpaid.csv", unpaid_table(computed, case))
        with (place / "statement.html").open("w", encoding="utf-8", newline="\n") as page:
            page.writelines(statement)
        for name in OUTPUTS:
            (place / name).replace(out / name)


def require_free(out: Path, *, force: bool) -> None:
    """Raise OutputExistsError unless results can be written there."""
    if out.exists() and not out.is_dir():
        raise OutputExistsError(out)
    for name in OUTPUTS:
        if not force and (out / name).exists():
            raise OutputExistsError(out / name)


def settlement_table(computed: Computed, case: Case) -> pl.DataFrame:
    """``SETTLEMENT_COLUMNS`` as text, by vehicle and event."""
    settlements = computed.settlements.join(_terms(case.facts.programs), on=_VERSION, how="left")
    amount = pl.lit(None, pl.String())
    for places in settlements["minor_units"].unique().drop_nulls().sort():
        amount = (
            pl.when(pl.col("minor_units") == places)
            .then(decimals(pl.col("amount_minor"), places))
            .otherwise(amount)
        )
    held = pl.col("state") == "held"
    return (
        settlements.with_columns(
            energy_kwh=decimals(pl.col("energy_milliwh"), _MICROS_PLACES),
            amount=amount,
            lines_total=decimals(pl.col("lines_micros"), _MICROS_PLACES),
            rounding_difference=decimals(pl.col("rounding_difference_micros"), _MICROS_PLACES),
            status=pl.when(held)
            .then(pl.lit("held: ") + pl.col("reason"))
            .otherwise(pl.col("state")),
        )
        .sort("vehicle_id", "event_id", "program")
        .select(*map(safe, SETTLEMENT_COLUMNS[:4]), *SETTLEMENT_COLUMNS[4:])
    )


def line_table(computed: Computed, case: Case) -> pl.DataFrame:
    """``LINE_COLUMNS`` as text, by vehicle, event, start and term."""
    lines = computed.lines.join(
        computed.settlements.select(*_KEY, "program_version"), on=list(_KEY), how="left"
    ).join(_terms(case.facts.programs), on=_VERSION, how="left")
    # The exact mean: of slab tiers it is the multiplier itself.
    mean = divide(
        pl.col("tiered_nanowh").cast(pl.Int128).abs() * 10**_MICROS_PLACES,
        pl.col("energy_milliwh").abs(),
        RoundingMode.HALF_EVEN,
    )
    return (
        lines.with_columns(
            started_at=moment(pl.col("started_at")),
            ended_at=moment(pl.col("ended_at")),
            energy_kwh=decimals(pl.col("energy_milliwh"), _MICROS_PLACES),
            avg_kw=decimals(pl.col("avg_w"), _WATT_PLACES),
            price_per_kwh=decimals(pl.col("price_micros_per_kwh"), _MICROS_PLACES),
            incentive_rate=decimals(pl.col("incentive_rate_ppm"), _MICROS_PLACES),
            tier_multiplier=pl.when(pl.col("graduated"))
            .then(decimals(mean, _MEAN_PLACES))
            .otherwise(decimals(pl.col("tier_multiplier_ppm"), _MICROS_PLACES)),
            thermal_factor=decimals(pl.col("thermal_factor_ppm"), _MICROS_PLACES),
            amount=decimals(pl.col("amount_micros"), _MICROS_PLACES),
            price_per_kw=decimals(pl.col("price_micros_per_kw"), _MICROS_PLACES),
            over_hours=decimals(
                divide(pl.col("over_us"), _US_PER_MICROHOUR, RoundingMode.HALF_EVEN), _MICROS_PLACES
            ),
        )
        .sort("vehicle_id", "event_id", "started_at", "term", "program")
        .select(*map(safe, LINE_COLUMNS[:2]), *LINE_COLUMNS[2:])
    )


def clipped(unpaid: pl.DataFrame, case: Case) -> pl.DataFrame:
    """``schemas.UNPAID`` whose times outside of every event reach no further than the readings."""
    first, last = case.readings["started_at"].min(), case.readings["ended_at"].max()
    outside = pl.col("event_id") == ""
    return unpaid.with_columns(
        started_at=pl.when(outside)
        .then(pl.max_horizontal("started_at", pl.lit(first, _TIME)))
        .otherwise("started_at"),
        ended_at=pl.when(outside)
        .then(pl.min_horizontal("ended_at", pl.lit(last, _TIME)))
        .otherwise("ended_at"),
    )


def unpaid_table(computed: Computed, case: Case) -> pl.DataFrame:
    """``UNPAID_COLUMNS`` as text, by vehicle, event (none first), start and reason.

    One row for a vehicle, event, interval and reason, whatever the number of EVSEs; what it would
    have been is unknown as soon as it is of one of them. Outside of every event an interval reaches
    no further than the readings of the case.
    """
    return (
        clipped(computed.unpaid, case)
        .group_by("vehicle_id", "event_id", "started_at", "ended_at", "reason")
        .agg(
            pl.col("energy_milliwh").sum(),
            pl.when(pl.col("would_have_been_micros").is_not_null().all())
            .then(pl.col("would_have_been_micros").sum())
            .alias("would_have_been_micros"),
        )
        .sort("vehicle_id", "event_id", "started_at", "reason", "ended_at")
        .with_columns(
            # An empty cell, not a quoted one.
            event_id=pl.when(pl.col("event_id") != "").then("event_id"),
            started_at=moment(pl.col("started_at")),
            ended_at=moment(pl.col("ended_at")),
            energy_kwh=decimals(pl.col("energy_milliwh"), _MICROS_PLACES),
            would_have_been=decimals(pl.col("would_have_been_micros"), _MICROS_PLACES),
        )
        .select(*map(safe, UNPAID_COLUMNS[:2]), *UNPAID_COLUMNS[2:])
    )


_TIME: Final = pl.Datetime("us", "UTC")
_VERSION: Final = ["program", "program_version"]


def decimals(value: pl.Expr, places: int) -> pl.Expr:
    """An integer count of 10^-places as decimal text with exactly so many places; zero has no sign.

    >>> frame = pl.DataFrame({"a": [-1_500, 0, 12, None]})
    >>> frame.select(decimals(pl.col("a"), 3)).to_series().to_list()
    ['-1.500', '0.000', '0.012', None]
    """
    digits = value.abs().cast(pl.String()).str.pad_start(places + 1, "0")
    sign = pl.when(value < 0).then(pl.lit("-")).otherwise(pl.lit(""))
    if places == 0:
        return sign + digits
    whole, fraction = digits.str.head(-places), digits.str.tail(places)
    return sign + whole + pl.lit(".") + fraction


def moment(value: pl.Expr) -> pl.Expr:
    """A time as ``2026-07-01T17:00:00Z``, with microseconds only where there are any.

    >>> from datetime import UTC, datetime
    >>> frame = pl.DataFrame({"at": [datetime(2026, 7, 1, 17, 0, 0, 250_000, UTC)]})
    >>> frame.select(moment(pl.col("at"))).item()
    '2026-07-01T17:00:00.250000Z'
    """
    return (
        pl.when(value.dt.microsecond() == 0)
        .then(value.dt.strftime("%Y-%m-%dT%H:%M:%SZ"))
        .otherwise(value.dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ"))
    )


def safe(name: str) -> pl.Expr:
    """A column of text as a spreadsheet may open it: an apostrophe before what looks like a formula."""
    column = pl.col(name)
    return (
        pl.when(column.str.contains(_FORMULA)).then(pl.lit("'") + column).otherwise(column)
    ).alias(name)


def _terms(programs: Mapping[str, Sequence[Program]]) -> pl.DataFrame:
    return pl.DataFrame(
        [
            (name, version.version, version.minor_units, version.tier_mode is TierMode.GRADUATED)
            for name, versions in programs.items()
            for version in versions
        ],
        schema={
            "program": pl.String(),
            "program_version": pl.Int64(),
            "minor_units": pl.Int64(),
            "graduated": pl.Boolean(),
        },
        orient="row",
    )


def _write_table(path: Path, table: pl.DataFrame) -> None:
    table.write_csv(path, include_header=True, line_terminator="\n", quote_style="necessary")
