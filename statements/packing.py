"""A pack as bytes, and back. The same pack gives the same bytes; what is odd in a file is refused by name.

One JSON document (RFC 8259) in UTF-8, names sorted, without any number: see ``statements.texts``.
"""

import json
from typing import Final, NoReturn

from statements import packing_books as books
from statements import packing_evidence as evidence
from statements import packing_runs as runs
from statements.pack import FORM, TEMPERATURE_SCHEMA, UNPAID_SCHEMA, Pack, Subject
from statements.texts import Fields, PackError, frame_of, frame_text, time_text

PACK_MAX_BYTES: Final = 512 * 1024 * 1024
"""A larger file is no pack."""


def write(pack: Pack) -> bytes:
    """The pack as one JSON document."""
    document = {
        "form": FORM,
        "made_at": time_text(pack.made_at),
        "made_by": pack.made_by,
        "known_at": time_text(pack.known_at),
        "subject": _subject_text(pack.subject),
        "bookings": [books.booking_text(one) for one in pack.bookings],
        "seals": [books.seal_text(one) for one in pack.seals],
        "unpaid": frame_text(pack.unpaid),
        "runs": [runs.run_text(one) for one in pack.runs],
        "programs": [evidence.program_text(one) for one in pack.programs],
        "events": [evidence.event_text(one) for one in pack.events],
        "temperatures": frame_text(pack.temperatures),
        "packets": [evidence.packet_text(one) for one in pack.packets],
        "conflicts": [evidence.conflict_text(one) for one in pack.conflicts],
        "keys": [evidence.key_text(one) for one in pack.keys],
    }
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode() + b"\n"


def read(data: bytes) -> Pack:
    """The pack of a file.

    Raises:
        PackError: it is none, or cannot be read as one.
    """
    if len(data) > PACK_MAX_BYTES:
        raise PackError("file", f"{len(data)} bytes", f"at most {PACK_MAX_BYTES}")
    document = _document(data)
    if not isinstance(document, dict) or document.get("form") != FORM:
        raise PackError("form", "another document", f"an evidence pack, {FORM}")
    top = Fields(document, "pack", _NAMES)
    pack = Pack(
        made_at=top.time("made_at"),
        made_by=top.text("made_by"),
        subject=_subject(top.raw("subject")),
        bookings=tuple(books.booking(*item) for item in top.items("bookings")),
        seals=tuple(books.seal(*item) for item in top.items("seals")),
        unpaid=frame_of(top.raw("unpaid"), UNPAID_SCHEMA, "pack.unpaid"),
        runs=tuple(runs.run(*item) for item in top.items("runs")),
        programs=tuple(evidence.program(*item) for item in top.items("programs")),
        events=tuple(evidence.event(*item) for item in top.items("events")),
        temperatures=frame_of(top.raw("temperatures"), TEMPERATURE_SCHEMA, "pack.temperatures"),
        packets=tuple(evidence.packet(*item) for item in top.items("packets")),
        conflicts=tuple(evidence.conflict(*item) for item in top.items("conflicts")),
        keys=tuple(evidence.key(*item) for item in top.items("keys")),
    )
    if top.time_or_none("known_at") != pack.known_at:
        raise PackError("pack.known_at", "another time", "that of its latest run")
    return pack


_NAMES: Final = (
    "form", "made_at", "made_by", "known_at", "subject", "bookings", "seals", "unpaid", "runs",
    "programs", "events", "temperatures", "packets", "conflicts", "keys",
)  # fmt: skip


def _document(data: bytes) -> object:
    try:
        return json.loads(
            data,
            object_pairs_hook=_once,
            parse_int=_no_number,
            parse_float=_no_number,
            parse_constant=_no_number,
        )
    except PackError:
        raise
    except (ValueError, RecursionError) as error:
        raise PackError("file", f"no JSON ({error})", f"an evidence pack, {FORM}") from error


def _no_number(digits: str) -> NoReturn:
    raise PackError("file", f"the number {digits[:40]}", "numbers as text")


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise PackError("file", "a name twice in one object", "each name once")
    return fields


def _subject_text(subject: Subject) -> dict[str, object]:
    return {
        "vehicle_id": subject.vehicle_id,
        "event_id": subject.event_id,
        "account": subject.account,
        "period": runs.period_text(subject.period),
    }


def _subject(value: object) -> Subject:
    fields = Fields(value, "subject", ("vehicle_id", "event_id", "account", "period"))
    return Subject(
        fields.text("vehicle_id"),
        fields.text("event_id"),
        fields.text("account"),
        runs.period_or_none(fields.raw("period"), "subject.period"),
    )
