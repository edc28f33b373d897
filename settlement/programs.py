"""Programs: a tariff's rules as data, checked when they are read and frozen afterwards.

``parse`` takes what a YAML or JSON reader gives and returns a ``Program``; whatever it does not
understand it refuses by name, because a rule that is silently ignored is money that is silently
wrong. ``programs/*.yaml`` are examples.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise, product
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from settlement import units
from settlement.decimals import decimal_text
from settlement.rounding import RoundingMode


class ProgramError(ValueError):
    """A program that cannot be used: which ``key``, what was ``found``, what is ``expected``."""

    def __init__(self, source: str, key: str, found: object, expected: str) -> None:
        super().__init__(f"{source}: {key}: {found!r}; expected {expected}")
        self.source = source
        self.key = key
        self.found = found
        self.expected = expected


class RoundingStage(StrEnum):
    """Where money is rounded to minor units."""

    SETTLEMENT = "settlement"
    LINE = "line"


class NegativePrice(StrEnum):
    """What a negative price does to a line."""

    ZERO = "zero"
    PASS_THROUGH = "pass_through"


@dataclass(frozen=True, slots=True)
class Bracket:
    """One half-open bracket of a tier table: from ``start`` on (W, or µs), this multiplier."""

    start: int
    multiplier_ppm: int


@dataclass(frozen=True, slots=True)
class Program:
    """One version of a tariff.

    Attributes:
        program: its name.
        version: rises with every change.
        currency: ISO 4217.
        minor_units: decimal places of the payable amount.
        timezone: local time of its calendar.
        negative_price: what a negative price does.
        power_tiers: multiplier by average discharge rate over the settlement interval (start in W).
        duration_tiers: multiplier by total duration discharged in the event (start in µs).
        register_tolerance_pct: how far registers and powers may differ.
        rounding_mode: see ``settlement.rounding``.
        rounding_stage: see ``RoundingStage``.
    """

    program: str
    version: int
    currency: str
    minor_units: int
    timezone: ZoneInfo
    negative_price: NegativePrice
    power_tiers: tuple[Bracket, ...]
    duration_tiers: tuple[Bracket, ...]
    register_tolerance_pct: int
    rounding_mode: RoundingMode
    rounding_stage: RoundingStage


REGISTER_TOLERANCE_PCT: Final = 5
"""How far registers and powers may differ where a program does not say."""

_NO_TIERS: Final = [{"from": "0", "multiplier": "1"}]
_DEFAULTS: Final[Mapping[str, object]] = {
    "minor_units": 2,
    "timezone": "UTC",
    "quantity": "export_only",
    "price": {"source": "rtp"},
    "negative_price": "zero",
    "tiers": {},
    "checks": {},
    "rounding": {},
}
_REQUIRED: Final = ("program", "version", "currency", "product")
_MULTIPLIER_PLACES: Final = 3
_US_PER_MINUTE: Final = 60_000_000


def parse(body: Mapping[str, object], source: str) -> Program:
    """A program from its data.

    Args:
        body: as a YAML or JSON reader gives it; decimals as text.
        source: the file or table it came from, for messages.

    Raises:
        ProgramError: a key is missing, unknown, of the wrong type or not permitted.
    """
    reader = _Reader(source, "", dict(_DEFAULTS) | dict(body))
    reader.only(*_REQUIRED, *_DEFAULTS)
    reader.choice("product", "energy")
    reader.choice("quantity", "export_only")
    reader.section("price", "source").choice("source", "rtp", default="rtp")
    tiers = reader.section("tiers", "mode", "power_kw", "duration_min")
    tiers.choice("mode", "slab", default="slab")
    checks = reader.section("checks", "register_vs_power_pct")
    rounding = reader.section("rounding", "mode", "stage")
    power_tiers = tiers.brackets("power_kw", places=3, scale=1, high=units.POWER_MAX_W)
    duration_tiers = tiers.brackets("duration_min", places=0, scale=_US_PER_MINUTE, high=2**53)
    for power, duration in product(power_tiers, duration_tiers):
        if power.multiplier_ppm * duration.multiplier_ppm > units.FACTOR_MAX_PPM * units.PPM:
            raise ProgramError(
                source,
                "tiers",
                "multipliers",
                f"products of at most {units.FACTOR_MAX_PPM // units.PPM}",
            )
    return Program(
        program=reader.text("program", units.ID_MAX_CHARS),
        version=reader.whole("version", 1, 2**31 - 1),
        currency=reader.text("currency", 3),
        minor_units=reader.whole("minor_units", 0, 6),
        timezone=reader.zone("timezone"),
        negative_price=NegativePrice(reader.choice("negative_price", *NegativePrice)),
        power_tiers=power_tiers,
        duration_tiers=duration_tiers,
        register_tolerance_pct=checks.whole(
            "register_vs_power_pct", 0, 100, default=REGISTER_TOLERANCE_PCT
        ),
        rounding_mode=RoundingMode(rounding.choice("mode", *RoundingMode, default="half_away")),
        rounding_stage=RoundingStage(
            rounding.choice("stage", *RoundingStage, default="settlement")
        ),
    )


class _Reader:
    """Typed access to one section of a program, with errors that name source and key."""

    def __init__(self, source: str, prefix: str, body: Mapping[str, object]) -> None:
        self.source = source
        self.prefix = prefix
        self.body = body

    def error(self, key: str, expected: str) -> ProgramError:
        return ProgramError(self.source, self.prefix + key, self.body.get(key, "missing"), expected)

    def only(self, *keys: str) -> None:
        for key in self.body:
            if key not in keys:
                raise self.error(str(key), f"one of the keys {', '.join(keys)}")

    def section(self, key: str, *keys: str) -> "_Reader":
        body = self.body.get(key)
        if not isinstance(body, Mapping):
            raise self.error(key, f"a section with {', '.join(keys)}")
        section = _Reader(self.source, f"{self.prefix}{key}.", body)
        section.only(*keys)
        return section

    def text(self, key: str, longest: int) -> str:
        value = self.body.get(key)
        if not isinstance(value, str) or not 0 < len(value) <= longest or not value.isprintable():
            raise self.error(key, f"text of 1 to {longest} characters")
        return value

    def whole(self, key: str, low: int, high: int, *, default: int | None = None) -> int:
        value = self.body.get(key, default)
        if type(value) is not int or not low <= value <= high:
            raise self.error(key, f"a whole number from {low} to {high}")
        return value

    def choice(self, key: str, *choices: str, default: str | None = None) -> str:
        value = self.body.get(key, default)
        if value not in choices:
            raise self.error(key, f"one of {', '.join(choices)}")
        return str(value)

    def zone(self, key: str) -> ZoneInfo:
        try:
            return ZoneInfo(self.text(key, units.ID_MAX_CHARS))
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise self.error(
                key, "a zone of the IANA time zone database, such as America/Los_Angeles"
            ) from error

    def brackets(self, key: str, *, places: int, scale: int, high: int) -> tuple[Bracket, ...]:
        rows = self.body.get(key, _NO_TIERS)
        expected = 'rows of {from: "0", multiplier: "1.00"}, ascending, the first from 0'
        if not isinstance(rows, list) or not rows:
            raise self.error(key, expected)
        brackets = []
        for number, row in enumerate(rows):
            if not isinstance(row, Mapping):
                raise self.error(key, expected)
            one = _Reader(self.source, f"{self.prefix}{key}[{number}].", row)
            one.only("from", "multiplier")
            # Three places each: two multipliers then have a product of six, exact in millionths.
            multiplier = (
                one.decimal("multiplier", _MULTIPLIER_PLACES, units.FACTOR_MAX_PPM // 1000) * 1000
            )
            brackets.append(Bracket(one.decimal("from", places, high // scale) * scale, multiplier))
        if brackets[0].start != 0 or any(a.start >= b.start for a, b in pairwise(brackets)):
            raise self.error(key, expected)
        return tuple(brackets)

    def decimal(self, key: str, places: int, high: int) -> int:
        value = self.body.get(key)
        expected = f'a decimal as text, such as "1", with at most {places} places'
        if not isinstance(value, str):
            raise self.error(key, expected)
        try:
            number = decimal_text(value, places)
        except ValueError as error:
            raise self.error(key, expected) from error
        if not 0 <= number <= high:
            raise self.error(
                key, f"{expected}, not negative, not above {high} units of the last place"
            )
        return number
