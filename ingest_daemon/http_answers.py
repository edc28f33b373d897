"""What an uploader is told about one packet: the status and the body that goes with it.

200 landed now · 208 had landed before (RFC 5842 §7.1) · 409 another content stands under its
identity · 400 cannot be read. All of them are final: the packet is stored, as a packet or as
evidence, and need not be sent again. Only 503 asks for that.
"""

from collections.abc import Mapping
from typing import Any, Final

from ingest_daemon.states import State, state_of
from settlement import packets
from settlement.packets import UnreadablePacketError
from storage.arrivals import Outcome

Answer = tuple[int, dict[str, Any]]
"""Status and body."""

LANDED: Final = 200
ALREADY_LANDED: Final = 208
BAD: Final = 400
CONFLICT: Final = 409

_SIGNED_TIME: Final = {"jws": "payload.ended_at", "ocmf": "payload.RD, TM of the last reading"}
"""Where each format has the time that a packet is kept under."""


def problem(error: str, *, where: str, found: str, expected: str, do: str) -> dict[str, str]:
    """The body of every refusal: what is wrong, where, what was expected, and what to do."""
    return {"error": error, "where": where, "found": found, "expected": expected, "do": do}


def answer(packet: bytes, outcome: Outcome, *, conflict: bool) -> Answer:
    """The answer for one packet whose transaction has committed."""
    digest = {} if outcome.digest is None else {"digest": outcome.digest.hex()}
    if conflict and outcome.identity is not None:
        identity = outcome.identity
        return CONFLICT, {
            "state": State.CONFLICT.value,
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
    state = state_of(outcome, conflict=False)
    if state is not State.ASIDE:
        return LANDED if state is State.LANDED else ALREADY_LANDED, {"state": state.value, **digest}
    kind, _, detail = outcome.detail.partition(": ")
    return BAD, {"state": state.value, **digest, **_why_aside(packet, kind, detail)}


def _why_aside(packet: bytes, kind: str, detail: str) -> Mapping[str, str]:
    do = (
        "correct the cause, and sign anew what can be signed anew; these bytes are kept as evidence"
        " and need not be sent again"
    )
    try:
        envelope = packets.split(packet)
        packets.identify(envelope)
    except UnreadablePacketError as error:
        return problem(kind, where=error.where, found=error.found, expected=error.expected, do=do)
    found, _, expected = detail.partition("; expected ")
    where = _SIGNED_TIME.get(envelope.format, "payload")
    return problem(kind, where=where, found=found, expected=expected, do=do)
