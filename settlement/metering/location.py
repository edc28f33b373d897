"""Where the vehicle was: no further from its site than the program's radius.

Distances are great circles on a sphere of the mean radius of WGS 84, (2a + b) / 3; the ellipsoid
differs from that by less than 0.6 %, far below what a radius in a tariff means. Floats serve here:
a distance is neither energy nor money.
"""

from math import pi
from typing import Final

import polars as pl

from settlement.metering.checks import ROWS
from settlement.metering.enrolment import Enrolment

EARTH_RADIUS_M: Final = 6_371_008.8

_RADIAN_PER_MICRODEG: Final = pi / 180 / 1e6
_PLACE: Final = ("stretch", "latitude_microdeg", "longitude_microdeg")


def outside(frame: pl.DataFrame, enrolled: Enrolment, radius_m: int) -> pl.Series:
    """Rows further from every site of their vehicle's contracts than the radius.

    A reading without a position, or whose contracts name no site of known position, is not judged.

    Args:
        frame: latitude_microdeg, longitude_microdeg.
        enrolled: contracts of each row.
        radius_m: at exactly this distance a vehicle is still within.
    """
    if enrolled.positions.is_empty():
        return ROWS
    places = pl.DataFrame(
        [enrolled.stretch.alias("stretch"), *(frame[name] for name in _PLACE[1:])]
    )
    # A parked car says the same position again and again: each run of it is looked at once.
    moved = places.select(
        pl.any_horizontal(pl.col(name).ne_missing(pl.col(name).shift(1)) for name in _PLACE)
    ).to_series()
    heads = moved.arg_true()
    far = (
        places.select(pl.all().gather(heads))
        .with_row_index("run")
        .join(enrolled.positions, on="stretch")
        .group_by("run")
        .agg(distance=_distance_m().min())
        .filter(pl.col("distance") > radius_m)["run"]
    )
    if far.is_empty():
        return ROWS
    is_far = pl.repeat(value=False, n=len(heads), dtype=pl.Boolean, eager=True)
    run = moved.cast(pl.UInt32).cum_sum() - 1
    return is_far.scatter(far, values=True).gather(run).arg_true().cast(pl.UInt32)


def _distance_m() -> pl.Expr:
    """Haversine, which keeps its digits over short distances."""
    latitude, longitude, site_latitude, site_longitude = (
        pl.col(name) * _RADIAN_PER_MICRODEG
        for name in ("latitude_microdeg", "longitude_microdeg", "site_latitude", "site_longitude")
    )
    across = ((latitude - site_latitude) / 2).sin() ** 2
    along = ((longitude - site_longitude) / 2).sin() ** 2
    chord = across + latitude.cos() * site_latitude.cos() * along
    return 2 * EARTH_RADIUS_M * chord.sqrt().clip(upper_bound=1.0).arcsin()
