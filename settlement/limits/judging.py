"""Postings against limits, one after the other: what is clear, what breaks a limit, what waits.

Totals count what was found clear or waits for approval, without its sign: nobody gets room back by
taking money back. A posting that breaks a limit counts nowhere, and from then on nothing more is
judged for its account. So whether an account is held by a limit on itself does not depend on the order
in which its postings come; which of them are clear before that does. Of a vehicle that several accounts
share, it depends on the order which of them is held.
"""

from collections.abc import Iterable, Iterator, MutableMapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Final

from settlement import units
from settlement.limits.model import CurrencyLimits, Limits
from settlement.metering.checks import RATING_MARGIN_PCT, REGISTER_STEP_MILLIWH

MILLIWH_PLACES: Final = 6
"""Decimal places that make kWh of mWh."""
MICROS_PLACES: Final = 6
W_PER_KW: Final = 1_000


class Limit(StrEnum):
    """Every limit, by the name of its key."""

    CURRENCY = "currencies"
    LINE = "line_minor"
    POWER = "unrated_kw"
    POSTING = "posting_minor"
    VEHICLE_DAY = "vehicle_day_minor"
    VEHICLE_DAY_ENERGY = "vehicle_day_kwh"
    ACCOUNT_DAY = "account_day_minor"
    ACCOUNT_DAY_POSTINGS = "account_day_postings"
    ACCOUNT_MONTH = "account_month_minor"
    APPROVAL = "approval_above_minor"


class Verdict(StrEnum):
    """What becomes of a posting."""

    CLEAR = "clear"
    BREACH = "breach"
    """It breaks a limit: it is parked, and its account is held."""
    APPROVAL = "approval"
    """It is large: it waits for a named approver, and its account goes on."""


class Scope(StrEnum):
    """What totals are kept for."""

    VEHICLE_DAY = "vehicle_day"
    ACCOUNT_DAY = "account_day"
    ACCOUNT_MONTH = "account_month"


Key = tuple[Scope, str, str, date]
"""A total's scope, whose it is, its currency, and its first day."""


@dataclass(frozen=True, slots=True)
class Total:
    """What counts so far: money without its sign, in minor units, and postings."""

    amount_minor: int = 0
    postings: int = 0


@dataclass(frozen=True, slots=True)
class Candidate:
    """A posting to be judged, with what is known of its settlement.

    Attributes:
        day: the local day, in the program's zone, on which its period begins.
        line_micros: the largest line of its settlement, without its sign.
        line_milliwh: energy of the line with the most power; 0 where the contract names a rated power.
        line_us: how long that line is.
        line_readings: how many readings it rests on.
        day_milliwh: the energy that the books hold for the vehicle, over all settlements, on the day
            with the most of those that the posting's settlement touches; 0 where that is surely allowed.
    """

    posting_id: str
    account: str
    vehicle_id: str
    currency: str
    amount_minor: int
    day: date
    line_micros: int = 0
    line_milliwh: int = 0
    line_us: int = 0
    line_readings: int = 0
    day_milliwh: int = 0


@dataclass(frozen=True, slots=True)
class Finding:
    """A limit that does not let a posting pass.

    Attributes:
        limit: which one.
        of: whose: an account, a vehicle, with the day or month.
        found: in units of 10^-places of ``unit``.
        allowed: the most that passes, likewise.
        unit: a currency, kWh, or postings.
    """

    limit: Limit
    of: str
    found: int
    allowed: int
    unit: str
    places: int

    def __str__(self) -> str:
        found, allowed = (
            f"{Decimal(n).scaleb(-self.places):f} {self.unit}" for n in (self.found, self.allowed)
        )
        return f"{self.limit}: {found} {self.of}, {allowed} allowed"


@dataclass(frozen=True, slots=True)
class Judged:
    """A posting and its verdict; None where it was not judged, as its account is held."""

    candidate: Candidate
    verdict: Verdict | None
    findings: tuple[Finding, ...] = ()

    @property
    def detail(self) -> str:
        """Why it is parked, on one line; empty where it is not."""
        if self.verdict is None:
            return f"ACCOUNT_HELD: account {self.candidate.account} is held"
        told = "; ".join(map(str, self.findings))
        return f"{_PARKED_AS[self.verdict]}: {told}" if told else ""


_PARKED_AS: Final = {Verdict.BREACH: "LIMIT", Verdict.APPROVAL: "APPROVAL"}


def keys_of(candidate: Candidate) -> tuple[Key, Key, Key]:
    """The totals that a posting counts in: its vehicle's day, its account's day and month."""
    month = candidate.day.replace(day=1)
    return (
        (Scope.VEHICLE_DAY, candidate.vehicle_id, candidate.currency, candidate.day),
        (Scope.ACCOUNT_DAY, candidate.account, candidate.currency, candidate.day),
        (Scope.ACCOUNT_MONTH, candidate.account, candidate.currency, month),
    )


def judge(
    candidates: Iterable[Candidate],
    limits: Limits,
    totals: MutableMapping[Key, Total],
    held: set[str],
) -> list[Judged]:
    """Judge postings in the order given.

    Args:
        candidates: each once.
        limits: the version in force.
        totals: what counts so far; raised by what is found clear or waits for approval.
        held: accounts that are held; those that break a limit are added.
    """
    judged: list[Judged] = []
    for one in candidates:
        if one.account in held:
            judged.append(Judged(one, None))
            continue
        before = tuple((key, totals.get(key, _NOTHING)) for key in keys_of(one))
        findings = tuple(_findings(one, limits, *(total for _, total in before)))
        if any(finding.limit is not Limit.APPROVAL for finding in findings):
            held.add(one.account)
            judged.append(Judged(one, Verdict.BREACH, findings))
            continue
        amount = abs(one.amount_minor)
        for key, total in before:
            totals[key] = Total(total.amount_minor + amount, total.postings + 1)
        judged.append(Judged(one, Verdict.APPROVAL if findings else Verdict.CLEAR, findings))
    return judged


_NOTHING: Final = Total()


def _findings(
    one: Candidate, limits: Limits, vehicle_day: Total, account_day: Total, account_month: Total
) -> Iterator[Finding]:
    yield from _physical(one, limits)
    money = limits.currencies.get(one.currency)
    if money is None:
        yield Finding(
            Limit.CURRENCY,
            "in a currency without limits",
            abs(one.amount_minor),
            0,
            one.currency,
            0,
        )
        return
    yield from _monetary(one, money, vehicle_day, account_day, account_month)
    postings = account_day.postings + 1
    if postings > limits.account_day_postings:
        of = f"to account {one.account} for {one.day}"
        most = limits.account_day_postings
        yield Finding(Limit.ACCOUNT_DAY_POSTINGS, of, postings, most, "postings", 0)


def _monetary(
    one: Candidate,
    money: CurrencyLimits,
    vehicle_day: Total,
    account_day: Total,
    account_month: Total,
) -> Iterator[Finding]:
    amount = abs(one.amount_minor)
    line_micros = money.line_minor * 10 ** (MICROS_PLACES - money.minor_units)
    if one.line_micros > line_micros:
        yield Finding(
            Limit.LINE, "in one line", one.line_micros, line_micros, one.currency, MICROS_PLACES
        )
    for limit, before, allowed in (
        (Limit.POSTING, 0, money.posting_minor),
        (Limit.VEHICLE_DAY, vehicle_day.amount_minor, money.vehicle_day_minor),
        (Limit.ACCOUNT_DAY, account_day.amount_minor, money.account_day_minor),
        (Limit.ACCOUNT_MONTH, account_month.amount_minor, money.account_month_minor),
        (Limit.APPROVAL, 0, money.approval_above_minor),
    ):
        if before + amount > allowed:
            yield Finding(
                limit, _of(limit, one), before + amount, allowed, one.currency, money.minor_units
            )


def _of(limit: Limit, one: Candidate) -> str:
    match limit:
        case Limit.VEHICLE_DAY:
            return f"for vehicle {one.vehicle_id} on {one.day}"
        case Limit.ACCOUNT_DAY:
            return f"to account {one.account} for {one.day}"
        case Limit.ACCOUNT_MONTH:
            return f"to account {one.account} for {one.day:%Y-%m}"
        case _:
            return "in one posting"


def _physical(one: Candidate, limits: Limits) -> Iterator[Finding]:
    # As metering bounds a reading, and a step of the meter's register for each reading.
    flowed = limits.unrated_kw * W_PER_KW * one.line_us * RATING_MARGIN_PCT
    line = flowed // (100 * units.W_US_PER_MILLIWH) + one.line_readings * REGISTER_STEP_MILLIWH
    if one.line_milliwh > line:
        of = f"in one line of {one.line_us // 1_000_000} s"
        yield Finding(Limit.POWER, of, one.line_milliwh, line, "kWh", MILLIWH_PLACES)
    day = limits.vehicle_day_kwh * units.MILLIWH_PER_KWH
    if one.day_milliwh > day:
        of = f"for vehicle {one.vehicle_id} on one day"
        yield Finding(Limit.VEHICLE_DAY_ENERGY, of, one.day_milliwh, day, "kWh", MILLIWH_PLACES)
