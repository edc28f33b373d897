"""What two keys may not say together."""

from typing import Any, Final

from settlement import units
from settlement.programs import counting, keys, paying
from settlement.programs.errors import Found
from settlement.programs.key import Fields, Key
from settlement.programs.model import (
    BaselineMethod,
    Bracket,
    Minimum,
    NegativePrice,
    Product,
    Program,
    Quantity,
    Thermal,
)

_NO_TIERS: Final = (Bracket(0, units.PPM),)
_NO_MINIMUM: Final = Minimum(0, 0, 0)

_LIKE: Final[tuple[Key[Any], ...]] = (
    counting.BASELINE_DAYS,
    counting.BASELINE_LIKE,
    counting.BASELINE_SEARCH_DAYS,
    counting.BASELINE_EXCLUDE_EVENT_DAYS,
    counting.BASELINE_ABSENT,
)
_METHOD_KEYS: Final[dict[BaselineMethod, tuple[Key[Any], ...]]] = {
    BaselineMethod.PROVIDED: (),
    BaselineMethod.LIKE_DAYS: _LIKE,
    BaselineMethod.HIGHEST_DAYS: (*_LIKE, counting.BASELINE_OF),
    BaselineMethod.BEFORE_EVENT: (counting.BASELINE_BEFORE_MIN,),
}
"""Which keys each method has a use for."""


_RESERVED: Final = frozenset({"manual", "scheduled", "replay"})
"""Kinds of runs that are none of the calendar."""


def require_consistent(program: Program, fields: Fields) -> None:
    """Refuse a program whose keys contradict each other, or of which one would be ignored.

    A key that does not apply to the product may still say what holds anyway, so that a program
    written out in full stays readable.

    Args:
        program: as read.
        fields: what it was read from, for messages.

    Raises:
        ProgramError: with the key that must change.
    """
    _product(program, fields)
    _price(program, fields)
    _tiers(program, fields)
    if program.thermal is not None:
        _release(program.thermal, fields)
    _baseline(program, fields)
    names = [run.name for run in program.runs]
    if len(set(names)) < len(names):
        raise fields.error(paying.RUNS, "runs of which no two have the same name")
    if reserved := sorted(_RESERVED.intersection(names)):
        raise fields.error(
            paying.RUNS,
            f"runs with other names than {', '.join(reserved)}: those are not of a calendar",
        )


def _product(program: Program, fields: Fields) -> None:
    product = program.product
    for section, of, part in (
        (keys.CAPACITY, Product.CAPACITY, paying.PER_AVG_KW),
        (keys.ORDER, Product.ORDER, paying.ORDER_PRICE),
    ):
        given = fields.given(section)
        if product is of and not given:
            raise fields.place.part(section.path).error(
                Found.MISSING, f"a section with {part.path.partition('.')[2]}: the product is {of}"
            )
        if given and product is not of:
            raise fields.error(section, f"no such section: the product is {product}, not {of}")
    if product is not Product.ENERGY:
        _not_energy(program, fields)


def _not_energy(program: Program, fields: Fields) -> None:
    """What capacity and orders have no use for."""
    reason = f"with the product {program.product}"
    if program.power_tiers != _NO_TIERS or program.duration_tiers != _NO_TIERS:
        raise fields.error(keys.TIERS, f"no multiplier but 1 {reason}")
    if program.thermal is not None:
        raise fields.error(keys.THERMAL, f"no such section {reason}")
    if program.fixed_price_micros_per_kwh is not None:
        raise fields.error(paying.PRICE_PER_KWH, f"no price per kWh {reason}")
    if program.negative_price is not NegativePrice.ZERO:
        raise fields.error(paying.NEGATIVE_PRICE, f"zero {reason}, which has no price per kWh")
    if program.product is Product.ORDER and program.minimum != _NO_MINIMUM:
        raise fields.error(keys.MINIMUM, f"no minimum {reason}")
    if program.product is Product.ORDER:
        _not_for_orders(program, fields)
    if program.product is Product.ORDER and program.quantity is Quantity.EXPORT_ONLY:
        raise fields.error(
            paying.QUANTITY, f"against_baseline {reason}, which always is measured so"
        )


def _not_for_orders(program: Program, fields: Fields) -> None:
    reason = "with the product order, which settles each order by itself"
    if program.checks.lookback_us or program.checks.lookahead_us:
        raise fields.error(counting.LOOKBACK_MIN, f"no look-back and no look-ahead {reason}")
    if program.caps.event_milliwh is not None or program.caps.season_milliwh is not None:
        raise fields.error(counting.CAP_EVENT_KWH, f"no cap on energy {reason}")


def _price(program: Program, fields: Fields) -> None:
    fixed = fields.read(paying.PRICE_SOURCE) is paying.PriceSource.FIXED
    if fixed and program.fixed_price_micros_per_kwh is None:
        raise fields.error(
            paying.PRICE_PER_KWH, f"{paying.FIXED_PRICE.permitted}: the price's source is fixed"
        )
    if not fixed and program.fixed_price_micros_per_kwh is not None:
        raise fields.error(paying.PRICE_PER_KWH, "no price here: the price's source is rtp")


def _tiers(program: Program, fields: Fields) -> None:
    power, duration = (
        max(bracket.multiplier_ppm for bracket in brackets)
        for brackets in (program.power_tiers, program.duration_tiers)
    )
    if power * duration > units.FACTOR_MAX_PPM * units.PPM:
        raise fields.error(
            keys.TIERS,
            "multipliers of power and duration with products of at most"
            f" {units.FACTOR_MAX_PPM // units.PPM}",
        )


def _release(thermal: Thermal, fields: Fields) -> None:
    """Where the curve is 0 within the band, the limit would be reached and released at once."""
    low, high = thermal.release_low_millicelsius, thermal.release_high_millicelsius
    zero_inside = any(not factor for at, factor in thermal.curve if low <= at <= high)
    if zero_inside or _is_zero(thermal.curve, low) or _is_zero(thermal.curve, high):
        raise fields.error(
            paying.RELEASE_C, "a band in which curve_c is above 0; state one that fits the curve"
        )


def _is_zero(curve: tuple[tuple[int, int], ...], at: int) -> bool:
    """Whether the curve gives 0 at a temperature."""
    if at > curve[-1][0]:
        return True
    below = [factor for point, factor in curve if point <= at] or [curve[0][1]]
    above = [factor for point, factor in curve if point >= at]
    return below[-1] == 0 and above[0] == 0


def _baseline(program: Program, fields: Fields) -> None:
    terms = program.baseline
    method = terms.method
    if method is not BaselineMethod.PROVIDED and not program.needs_baseline:
        raise fields.error(
            counting.BASELINE_METHOD,
            "no method: only quantity against_baseline and product order need a baseline",
        )
    used = {key.path for key in _METHOD_KEYS[method]}
    for key in dict.fromkeys(key for some in _METHOD_KEYS.values() for key in some):
        if key.path not in used and fields.stated(key):
            raise fields.error(key, f"no such key with method {method}")
    if method is BaselineMethod.HIGHEST_DAYS and terms.of < terms.days:
        raise fields.error(counting.BASELINE_OF, f"not fewer than the {terms.days} of days")
    needed = terms.of if method is BaselineMethod.HIGHEST_DAYS else terms.days
    if method in {BaselineMethod.LIKE_DAYS, BaselineMethod.HIGHEST_DAYS} and (
        terms.search_days < needed
    ):
        raise fields.error(
            counting.BASELINE_SEARCH_DAYS, f"not fewer than the {needed} days that are needed"
        )
