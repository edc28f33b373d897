"""What became of a packet, as its sender is told: one word, the same over HTTP and over MQTT.

All four are final: the bytes are stored, as a packet or as evidence, and need not be sent again.
"""

from enum import StrEnum

from storage.arrivals import Fate, Outcome


class State(StrEnum):
    """The word."""

    LANDED = "landed"
    """Committed now."""
    ALREADY_LANDED = "already_landed"
    """These signed bytes had landed before."""
    ASIDE = "aside"
    """Kept as evidence, and as no packet of the stream."""
    CONFLICT = "conflict"
    """Another content was verified under this identity before; both are kept."""


def state_of(outcome: Outcome, *, conflict: bool) -> State:
    """The word for one packet whose transaction has committed.

    >>> state_of(Outcome(Fate.ASIDE, None, None, "unreadable: packet"), conflict=False)
    <State.ASIDE: 'aside'>
    """
    if conflict and outcome.identity is not None:
        return State.CONFLICT
    if outcome.fate is Fate.NEW:
        return State.LANDED
    kind = outcome.detail.partition(": ")[0]
    # Another signature over the same signed bytes: what counts of them has landed.
    return State.ALREADY_LANDED if kind in {"", "other_signature"} else State.ASIDE
