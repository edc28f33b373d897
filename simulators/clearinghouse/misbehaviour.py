"""How often each fault occurs, drawn from a seed: by posting and attempt, not by who comes first."""

import json
from collections.abc import Mapping
from random import Random
from typing import Final

from simulators.clearinghouse.faults import FaultKind

WELL_AFTER: Final = 8
"""A posting sent so many times is answered well, so that a run with any misbehaviour ends."""

USUAL: Final[Mapping[FaultKind, float]] = {
    FaultKind.SLOW: 0.05,
    FaultKind.ERROR: 0.1,
    FaultKind.LOST_ACK: 0.05,
    FaultKind.TOO_MANY: 0.02,
}
"""What occurs where nothing else is said."""


def _named(shares: Mapping[str, float]) -> dict[FaultKind, float]:
    if unknown := sorted(set(shares) - set(FaultKind)):
        raise ValueError(
            f"misbehaviour: {', '.join(unknown)}; expected some of {', '.join(FaultKind)}"
        )
    return {FaultKind(name): float(share) for name, share in shares.items()}


def _told(shares: Mapping[FaultKind, float]) -> str:
    return ", ".join(f"{kind}={share}" for kind, share in shares.items())


class Misbehaviour:
    """The probability of each fault per call; at most one occurs. They sum to at most 1.

    Args:
        shares: probabilities by the fault's name; what is not named is as in ``USUAL``, or 0.

    Raises:
        ValueError: a name that is no fault, a probability below 0, or a sum above 1.
    """

    def __init__(self, **shares: float) -> None:
        self.shares = self._checked({**USUAL, **_named(shares)})

    @classmethod
    def only(cls, shares: Mapping[str, float]) -> "Misbehaviour":
        """These faults and no others. Raises ValueError, as the class does."""
        return cls(**{**dict.fromkeys((str(kind) for kind in USUAL), 0.0), **shares})

    @staticmethod
    def _checked(shares: Mapping[FaultKind, float]) -> Mapping[FaultKind, float]:
        if min(shares.values()) < 0 or sum(shares.values()) > 1:
            raise ValueError(
                f"{_told(shares)}: expected probabilities of 0 and more that sum to at most 1"
            )
        # In the order of the list, so that the same shares draw the same whoever names them.
        return {kind: shares[kind] for kind in FaultKind if shares.get(kind)}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Misbehaviour) and self.shares == other.shares

    def __hash__(self) -> int:
        return hash(tuple(self.shares.items()))

    def __repr__(self) -> str:
        return f"Misbehaviour({_told(self.shares)})"

    def as_json(self) -> dict[str, float]:
        """Every fault's probability, by name."""
        return {str(kind): self.shares.get(kind, 0.0) for kind in FaultKind}

    def draw(self, seed: int, posting_id: str, attempt: int) -> FaultKind | None:
        """The fault for this call, or None. Depends on nothing else, so not on who comes first."""
        if not self.shares or attempt > WELL_AFTER:
            return None
        point = Random(f"{seed} {posting_id} {attempt}").random()
        for kind, share in self.shares.items():
            point -= share
            if point < 0:
                return kind
        return None


WELL_BEHAVED: Final = Misbehaviour.only({})


def parse_misbehaviour(text: bytes) -> Misbehaviour:
    """A misbehaviour from JSON; what it does not name does not occur. Raises ValueError."""
    try:
        named = json.loads(text)
    except RecursionError as error:
        raise ValueError("misbehaviour: nested too deeply; expected an object") from error
    return shares_of(named)


def shares_of(named: object) -> Misbehaviour:
    """A misbehaviour from a mapping out of a file. Raises ValueError."""
    if not isinstance(named, dict) or not all(type(one) in {int, float} for one in named.values()):
        raise ValueError("misbehaviour: expected an object with the probabilities of some faults")
    return Misbehaviour.only({str(name): float(share) for name, share in named.items()})
