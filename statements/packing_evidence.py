"""What the runs of a pack refer to, as text, and back: programs, events, packets, conflicts, keys."""

from datetime import datetime
from typing import Final

from settlement.signatures import DeviceKey
from settlement.timeline import Window
from statements.pack import Conflict, EnrolledKey, EventVersion, ProgramVersion, SignedPacket
from statements.texts import Fields, bytes_text, time_text


def program_text(one: ProgramVersion) -> dict[str, object]:
    """A version of a program as text."""
    return {
        "program": one.program,
        "version": str(one.version),
        "valid_from": time_text(one.valid_from),
        "body": one.body,
    }


def program(value: object, where: str) -> ProgramVersion:
    fields = Fields(value, where, ("program", "version", "valid_from", "body"))
    return ProgramVersion(
        fields.text("program"),
        fields.integer("version"),
        fields.time_or_none("valid_from"),
        fields.text("body"),
    )


_EVENT: Final = (
    "event_id", "program", "started_at", "ended_at", "created_at", "primacy", "group",
    "cancelled_at", "version", "status", "received_at", "digest", "document",
)  # fmt: skip


_EVENT_WHERE_STATED: Final = (
    "modes", "randomize_start_s", "randomize_duration_s", "superseded_for_good",
    "cancelled_randomly", "noticed_at", "first_created_at",
)  # fmt: skip
"""Left out where an event says nothing of it, as in packs that were made before it could."""


def event_text(one: EventVersion) -> dict[str, object]:
    window = one.window
    stated = {
        "modes": " ".join(window.modes),
        "randomize_start_s": str(window.randomize_start_s or ""),
        "randomize_duration_s": str(window.randomize_duration_s or ""),
        "superseded_for_good": "" if window.resumes else "1",
        "cancelled_randomly": "1" if window.cancelled_randomly else "",
        "noticed_at": time_text(window.noticed_at),
        "first_created_at": time_text(window.first_created_at),
    }
    return {
        "event_id": window.event_id,
        "program": window.program,
        "started_at": time_text(window.started_at),
        "ended_at": time_text(window.ended_at),
        "created_at": time_text(window.created_at),
        "primacy": str(window.primacy),
        "group": window.group,
        "cancelled_at": time_text(window.cancelled_at),
        "version": str(one.version),
        "status": one.status,
        "received_at": time_text(one.received_at),
        "digest": one.digest.hex(),
        "document": bytes_text(one.document),
        **{name: said for name, said in stated.items() if said},
    }


def event(value: object, where: str) -> EventVersion:
    stated = [name for name in _EVENT_WHERE_STATED if isinstance(value, dict) and name in value]
    fields = Fields(value, where, (*_EVENT, *stated))

    def said(name: str) -> int:
        return fields.integer(name) if name in stated else 0

    def when(name: str) -> datetime | None:
        return fields.time(name) if name in stated else None

    return EventVersion(
        window=Window(
            event_id=fields.text("event_id"),
            program=fields.text("program"),
            started_at=fields.time("started_at"),
            ended_at=fields.time("ended_at"),
            created_at=fields.time("created_at"),
            primacy=fields.integer("primacy"),
            group=fields.text("group"),
            cancelled_at=fields.time_or_none("cancelled_at"),
            modes=tuple(fields.text("modes").split()) if "modes" in stated else (),
            randomize_start_s=said("randomize_start_s"),
            randomize_duration_s=said("randomize_duration_s"),
            resumes=not said("superseded_for_good"),
            cancelled_randomly=bool(said("cancelled_randomly")),
            noticed_at=when("noticed_at"),
            first_created_at=when("first_created_at"),
        ),
        version=fields.integer("version"),
        status=fields.text("status"),
        received_at=fields.time("received_at"),
        digest=fields.digest("digest"),
        document=fields.bytes("document"),
    )


def packet_text(one: SignedPacket) -> dict[str, object]:
    """A packet as text."""
    return {
        "packet": bytes_text(one.packet),
        "digest": one.digest.hex(),
        "received_at": time_text(one.received_at),
        "judged_at": time_text(one.judged_at),
        "topic_evse_id": one.topic_evse_id,
    }


def packet(value: object, where: str) -> SignedPacket:
    fields = Fields(value, where, ("packet", "digest", "received_at", "judged_at", "topic_evse_id"))
    return SignedPacket(
        fields.bytes("packet"),
        fields.digest("digest"),
        fields.time("received_at"),
        fields.time_or_none("judged_at"),
        fields.text_or_none("topic_evse_id"),
    )


def conflict_text(one: Conflict) -> dict[str, object]:
    """A conflict as text."""
    return {
        "evse_id": one.evse_id,
        "stream_epoch": str(one.stream_epoch),
        "sequence": str(one.sequence),
        "digest": one.digest.hex(),
        "found_at": time_text(one.found_at),
    }


def conflict(value: object, where: str) -> Conflict:
    fields = Fields(value, where, ("evse_id", "stream_epoch", "sequence", "digest", "found_at"))
    return Conflict(
        fields.text("evse_id"),
        fields.integer("stream_epoch"),
        fields.integer("sequence"),
        fields.digest("digest"),
        fields.time("found_at"),
    )


_KEY: Final = (
    "key_id", "evse_id", "algorithm", "public_key", "valid_from", "valid_to", "revoked_at",
    "enrolled_at",
)  # fmt: skip
_KEY_WHERE_STATED: Final = ("meter_id", "client_id")
"""Left out where empty, as in packs that were made before there were keys of meters."""


def key_text(one: EnrolledKey) -> dict[str, object]:
    key = one.key
    return {
        "key_id": key.key_id,
        "evse_id": key.evse_id,
        "algorithm": key.algorithm,
        "public_key": bytes_text(key.public_key),
        "valid_from": time_text(key.valid_from),
        "valid_to": time_text(key.valid_to),
        "revoked_at": time_text(key.revoked_at),
        "enrolled_at": time_text(one.enrolled_at),
        **{name: said for name in _KEY_WHERE_STATED if (said := getattr(key, name))},
    }


def key(value: object, where: str) -> EnrolledKey:
    stated = [name for name in _KEY_WHERE_STATED if isinstance(value, dict) and name in value]
    fields = Fields(value, where, (*_KEY, *stated))
    key = DeviceKey(
        key_id=fields.text("key_id"),
        evse_id=fields.text("evse_id"),
        public_key=fields.bytes("public_key"),
        valid_from=fields.time("valid_from"),
        valid_to=fields.time_or_none("valid_to"),
        revoked_at=fields.time_or_none("revoked_at"),
        algorithm=fields.text("algorithm"),
        **{name: fields.text(name) for name in stated},
    )
    return EnrolledKey(key, fields.time("enrolled_at"))
