"""The operations on keys, for operators: what each is called, takes and answers.

``keys:read`` looks, ``keys:write`` changes, ``keys:import`` brings in a key without its holder's proof.
"""

from datetime import timedelta
from typing import Any, Final

from api.fields import Choice, Number, Seconds, Text, Time
from api.operation import Answer, Operation, Raw, Who
from api.shapes import NUMBER, TEXT, TIME, YES_NO, list_of, object_of, properties_of
from api.tokens import IMPORT, READ, WRITE
from settlement.signatures import DeviceKey
from storage import enrolments, key_changes, keys
from storage.enrolment_records import STATES, Enrolment
from storage.key_changes import Change
from tasks import key_files
from tasks.keys import RowOutcome

CSV: Final = "text/csv"
IMPORT_MAX_BYTES: Final = 2 * 1024 * 1024
_ALREADY: Final = "Changes nothing once it is done: 200 again, with `changed` false."

_KEY: Final = {
    **properties_of(DeviceKey),
    "enrolled_at": TIME,
    "state": {"type": "string", "enum": ["valid", "not yet valid", "expired", "revoked"]},
}
_CHANGED: Final = {200: Answer("The key as it is since.", object_of({"changed": YES_NO, **_KEY}))}
_ENROLMENT: Final = object_of(properties_of(Enrolment))
_UNKNOWN: Final = {404: "no such key"}
_NO_ENROLMENT: Final = {404: "no such enrolment", 409: "it is not in a state for that"}
_ID: Final = (Text("key_id", "The key's thumbprint.", required=True),)
_ENROLMENT_ID: Final = (
    Text("enrolment_id", "As the invitation's answer names it.", required=True),
)
_REASON: Final = Text("reason", "Why; it stands in the history.", required=True)
_OVERLAP: Final = Seconds(
    "overlap_s", "How long the key before stands beside it.", keys.OVERLAP_MAX, timedelta(0)
)


def _look(name: str, path: str, summary: str, shape: dict[str, Any], **more: Any) -> Operation:
    return Operation(
        name=name, method="GET", path=path, who=Who.TOKEN, scope=READ, summary=summary,
        repeats="Changes nothing.", answers={200: Answer("What there is.", shape)}, **more,
    )  # fmt: skip


def _change(name: str, path: str, scope: str, summary: str, **more: Any) -> Operation:
    return Operation(
        name=name, method="POST", path=path, who=Who.TOKEN, scope=scope, summary=summary, **more
    )


OPERATIONS: Final = (
    _look(
        "keys", "/v1/keys", "Enrolled keys, in the order of their ids; `after` asks for the next page.",
        object_of({"keys": list_of(object_of(_KEY))}, optional={"after": TEXT}),
        query=(
            Text("evse_id", "Only keys of this EVSE."),
            Text("meter_id", "Only keys of this meter."),
            Text("after", "The last key_id of the page before."),
            Number("limit", "At most so many.", 1, keys.PAGE_MAX, keys.PAGE_MAX),
        ),
    ),
    _look(
        "changes", "/v1/keys/changes", "Who did what, the latest first.",
        object_of({"changes": list_of(object_of(properties_of(Change)))}),
        query=(
            Text("key_id", "Only of this key."),
            Text("evse_id", "Only of this EVSE."),
            Number("limit", "At most so many.", 1, key_changes.HISTORY_MAX, 100),
        ),
    ),
    _look(
        "enrolments", "/v1/keys/enrolments", "Invitations and what became of them.",
        object_of({"enrolments": list_of(_ENROLMENT)}),
        query=(Choice("state", "Only in this state; empty for all.", ("", *STATES)),),
    ),
    _look(
        "key", "/v1/keys/{key_id}", "One key.", object_of(_KEY), place=_ID, refusals=_UNKNOWN
    ),
    _change(
        "invite", "/v1/keys/invitations", WRITE, "Invite an EVSE to enrol a key.",
        repeats="Makes another invitation, up to five open ones per EVSE; then 409. The token is"
        " shown once: where the answer was lost, reject that enrolment and invite again.",
        body=(
            Text("evse_id", "The EVSE.", required=True),
            Text("client_id", "The MQTT identity that brings its packets."),
            Text("meter_id", "The meter whose records it signs."),
            Text("replaces", "A key that it takes the place of."),
            Text("curve", "The curve that is allowed.", default=key_files.DEFAULT_CURVE),
            _OVERLAP,
            Seconds(
                "valid_for_s", "How long the invitation stands.", enrolments.INVITATION_MAX,
                enrolments.INVITATION_FOR,
            ),
        ),
        answers={
            201: Answer(
                "Invited. `invitation` is the token, shown only now.",
                object_of({**properties_of(Enrolment), "invitation": TEXT}),
            )
        },
        refusals={404: "no such key to replace", 409: "too many are open, or another's meter or key"},
    ),
    _change(
        "approve", "/v1/keys/enrolments/{enrolment_id}/approve", WRITE,
        "Approve a proven key; a second person's word.",
        repeats="Changes nothing once it is approved: 200 again.",
        place=_ENROLMENT_ID,
        body=(Text("key_id", "The thumbprint that one was told by another way; checked."),),
        answers={200: Answer("Approved.", _ENROLMENT)}, refusals=_NO_ENROLMENT,
    ),
    _change(
        "reject", "/v1/keys/enrolments/{enrolment_id}/reject", WRITE,
        "Reject an enrolment, or take an invitation back.",
        repeats="Changes nothing once it is rejected: 200 again.",
        place=_ENROLMENT_ID, body=(_REASON,),
        answers={200: Answer("Rejected.", _ENROLMENT)}, refusals=_NO_ENROLMENT,
    ),
    _change(
        "shorten", "/v1/keys/{key_id}/shorten", WRITE, "Let a key end at a time.", repeats=_ALREADY,
        place=_ID, body=(Time("to", "From when it is refused.", required=True), _REASON),
        answers=_CHANGED, refusals=_UNKNOWN | {409: "it is revoked"},
    ),
    _change(
        "revoke", "/v1/keys/{key_id}/revoke", WRITE, "Refuse for ever what is received from now on.",
        repeats=_ALREADY, place=_ID, body=(Time("at", "From when; default: now."), _REASON),
        answers=_CHANGED, refusals=_UNKNOWN | {409: "it is revoked from an earlier time"},
    ),
    _change(
        "import", "/v1/keys/import", IMPORT, "Bring in keys from a table; an outcome per row.",
        repeats="A row that stands already with the same facts is `already`; with others, refused.",
        raw=Raw(CSV, IMPORT_MAX_BYTES, "A header with evse_id and public_key, one key per line."),
        query=(Choice("dry_run", "Say what would happen, change nothing.", ("false", "true")),),
        answers={
            200: Answer(
                "What became of each row; a bad one stops no good one.",
                object_of(
                    {
                        "dry_run": YES_NO, "new": NUMBER, "already": NUMBER, "refused": NUMBER,
                        "rows": list_of(object_of(properties_of(RowOutcome))),
                    }
                ),
            )
        },
        refusals={409: "another change is under way"},
    ),
    _change(
        "rotate", "/v1/keys/{key_id}/rotate", IMPORT, "Put a new key in place of one.",
        repeats=_ALREADY, place=_ID,
        body=(
            Text("public_key", "PEM, DER in hexadecimal or base64, or a JWK.", required=True),
            _OVERLAP, Time("valid_to", "Until when the new one stands."),
            Text("curve", "Allow a curve beside secp256r1."),
        ),
        answers=_CHANGED, refusals=_UNKNOWN | {409: "the old one has ended, or the new one is another's"},
    ),
)  # fmt: skip
