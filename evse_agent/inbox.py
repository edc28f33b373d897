"""What a receipt says (topic ``v2g/<client>/receipt``), taken apart.

    {"version":1,
     "received":[{"digest":"<hex SHA-256 of the whole packet>","state":"landed","detail":"…"}],
     "missing":[{"evse_id":"…","stream_epoch":1,"first":5,"last":7}]}

All four states are final: the other side holds these bytes, as a packet or as evidence.
"""

import json
from dataclasses import dataclass
from typing import Any, Final

from settlement.units import SEQUENCE_MAX

VERSION: Final = 1
FINAL: Final = frozenset({"landed", "already_landed", "aside", "conflict"})
ENTRIES_MAX: Final = 1000
_DIGEST_BYTES: Final = 32
_DETAIL_MAX_CHARS: Final = 300


class UnreadableReceiptError(ValueError):
    """These bytes are no receipt; nothing is deleted because of them."""


@dataclass(frozen=True, slots=True)
class Received:
    """One packet that the other side holds."""

    digest: bytes
    state: str
    detail: str


@dataclass(frozen=True, slots=True)
class Missing:
    """Sequences that the other side does not have, both ends included."""

    evse_id: str
    epoch: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Receipt:
    """What came in one message."""

    received: tuple[Received, ...]
    missing: tuple[Missing, ...]


def parse(payload: bytes) -> Receipt:
    """Take a receipt apart. Raises UnreadableReceiptError.

    An entry with a state that is not known here is left out: its packet is kept, and sent again.
    """
    try:
        fields = json.loads(payload)
        if not isinstance(fields, dict) or fields.get("version") != VERSION:
            raise UnreadableReceiptError(f"expected a JSON object of version {VERSION}")
        received, missing = fields.get("received", []), fields.get("missing", [])
        if not isinstance(received, list) or not isinstance(missing, list):
            raise UnreadableReceiptError("expected lists of received and missing")
        if len(received) > ENTRIES_MAX or len(missing) > ENTRIES_MAX:
            raise UnreadableReceiptError(f"expected at most {ENTRIES_MAX} entries")
        return Receipt(
            tuple(_received(one) for one in received if one.get("state") in FINAL),
            tuple(_missing(one) for one in missing),
        )
    except UnreadableReceiptError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise UnreadableReceiptError(f"{type(error).__name__}: {error}"[:200]) from error


def _received(one: dict[str, Any]) -> Received:
    digest = bytes.fromhex(one["digest"])
    if len(digest) != _DIGEST_BYTES:
        raise UnreadableReceiptError(f"expected a digest of {_DIGEST_BYTES} bytes")
    return Received(digest, one["state"], str(one.get("detail", ""))[:_DETAIL_MAX_CHARS])


def _missing(one: dict[str, Any]) -> Missing:
    epoch, first, last = one["stream_epoch"], one["first"], one["last"]
    for number in (epoch, first, last):
        if type(number) is not int or not 0 <= number <= SEQUENCE_MAX:
            raise UnreadableReceiptError("expected numbers from 0 to 2^53 - 1")
    return Missing(str(one["evse_id"]), epoch, first, last)
