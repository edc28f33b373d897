"""What an uploader is told about one packet: the status and the body that goes with it.

200 landed now · 208 had landed before (RFC 5842 §7.1) · 409 another content stands under its
identity · 400 cannot be read. All of them are final: the packet is stored, as a packet or as
evidence, and need not be sent again. Only 503 asks for that.
"""

from collections.abc import Mapping
from typing import Any, Final

from settlement import packets
from settlement.packets import UnreadablePacketError
from storage.landing import Fate, Outcome

Answer = tuple[int, dict[str, Any]]
"""Status and body."""

LANDED: Final = 200
ALREADY_LANDED: Final = 208
BAD: Final = 400
CONFLICT: Final = 409


def problem(error: str, *, where: str, found: str, expected: str, do: str) -> dict[str, str]:
    """The body of every refusal: what is wrong, where, what was expected, and what to do."""
    return {"error": error, "where": where, "found": found, "expected": expected, "do": do}


def answer(packet: bytes, outcome: Outcome, *, conflict: bool) -> Answer:
    """The answer for one packet whose transaction has committed."""
    digest = {} if outcome.digest is None else {"digest": outcome.digest.hex()}
    if conflict and outcome.identity is not None:
        identity = outcome.identity
        return CONFLICT, {
            "state": "conflict",
            **digest,
            **problem(
                "ERR_DATA_INCONSISTENCY",
                where=f"evse_id {identity.evse_id}, stream_epoch {identity.stream_epoch},"
                f" sequence {identity.sequence}",
                found="another content",
                expected="the content that was verified under this identity before, or a new sequence",
                do="do not send it again: both contents are kept, and an operator resolves which one counts",
            ),
        }
    if outcome.fate is Fate.NEW:
        return LANDED, {"state": "landed", **digest}
    kind, _, detail = outcome.detail.partition(": ")
    if not kind or kind == "other_signature":
        return ALREADY_LANDED, {"state": "already_landed", **digest}
    return BAD, {"state": "aside", **digest, **_why_aside(packet, kind, detail)}


def _why_aside(packet: bytes, kind: str, detail: str) -> Mapping[str, str]:
    do = "correct it and sign it anew; these bytes are kept as evidence and need not be sent again"
    try:
        packets.identify(packets.split(packet))
    except UnreadablePacketError as error:
        return problem(kind, where=error.where, found=error.found, expected=error.expected, do=do)
    found, _, expected = detail.partition("; expected ")
    return problem(kind, where="payload.ended_at", found=found, expected=expected, do=do)
