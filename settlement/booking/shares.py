"""Whose an amount is: divided by the shares of a contract, to the last minor unit."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from settlement import units
from settlement.booking.errors import ShareError

Account = tuple[str, str]
"""(role, account)."""

ROLES: Final = ("aggregator", "owner", "site_host")


@dataclass(frozen=True, slots=True)
class Share:
    """What part of a contract's money an account gets; those of one contract sum to 1,000,000 ppm.

    Attributes:
        role: owner, site_host or aggregator.
        account: whose money it is, at the clearinghouse.
    """

    role: str
    account: str
    share_ppm: int


@dataclass(frozen=True, slots=True)
class Allocation:
    """What an account gets of a settlement, in minor units."""

    role: str
    account: str
    amount_minor: int


def allocate(amount_minor: int, shares: Sequence[Share]) -> tuple[Allocation, ...]:
    """Divide an amount by largest remainder; ties go by role, then account.

    A negative amount is divided as its absolute value, so that what is taken back mirrors what was
    given. Each part is within one minor unit of its exact share.

    Returns:
        One per share, in the order of role and account; their sum is the amount.

    Raises:
        ShareError: the shares do not sum to one, or one is negative, or an account has two in one
            role, or a role is not known.

    >>> [
    ...     one.amount_minor
    ...     for one in allocate(
    ...         -100, [Share("owner", name, 333_333 + (name == "c")) for name in "abc"]
    ...     )
    ... ]
    [-33, -33, -34]
    """
    _require_whole(shares)
    weights = {(share.role, share.account): share.share_ppm for share in shares}
    return allocations(divide(amount_minor, weights))


def allocations(amounts: Mapping[Account, int]) -> tuple[Allocation, ...]:
    """The same as records, in the order of role and account."""
    return tuple(Allocation(*key, amounts[key]) for key in sorted(amounts))


def divide(amount_minor: int, weights: Mapping[Account, int]) -> dict[Account, int]:
    """Divide an amount in proportion to weights, none negative and one positive at least."""
    whole = sum(weights.values())
    size, sign = abs(amount_minor), -1 if amount_minor < 0 else 1
    parts = {key: size * weight // whole for key, weight in weights.items()}
    most_left = sorted(weights, key=lambda key: (-(size * weights[key] % whole), key))
    for key in most_left[: size - sum(parts.values())]:
        parts[key] += 1
    return {key: sign * part for key, part in parts.items()}


def _require_whole(shares: Iterable[Share]) -> None:
    given = list(shares)
    for share in given:
        if share.role not in ROLES:
            raise ShareError(f"a role {share.role!r}", f"one of {', '.join(ROLES)}")
        if not 0 <= share.share_ppm <= units.PPM:
            raise ShareError(
                f"{share.share_ppm} ppm for {share.role} {share.account}", f"0 to {units.PPM} ppm"
            )
    if len({(share.role, share.account) for share in given}) < len(given):
        raise ShareError("an account twice in one role", "one share for each")
    total = sum(share.share_ppm for share in given)
    if total != units.PPM:
        raise ShareError(f"a sum of {total} ppm", f"{units.PPM} ppm")
