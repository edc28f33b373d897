"""Routes for devices: a nonce for an invitation, and the proof that the key is theirs.

The invitation is all the authority that a device has here, and it stands in the body, as does the proof
that is signed with the very key. Both requests may be repeated.
"""

from collections.abc import Mapping
from typing import Final

from starlette.responses import Response

from api.fields import Text
from api.operation import Answer, Asked, Handler, Operation, Raw, Who
from api.problems import as_json
from api.service import Service
from api.shapes import TEXT, TIME, object_of, properties_of
from settlement.possession import PROOF_MAX_BYTES
from storage import enrolments
from storage.enrolment_records import Enrolment
from storage.key_changes import plain

JOSE: Final = "application/jose"  # RFC 7515 §9.2.1
NONCE: Final = ("nonce", "expires_at", "evse_id", "curve")
PROVEN: Final = ("enrolment_id", "state", "evse_id", "key_id", "proven_at")
_PROVEN: Final = object_of(properties_of(Enrolment, only=PROVEN))

OPERATIONS: Final = (
    Operation(
        name="challenge",
        method="POST",
        path="/v1/enrolments/challenge",
        who=Who.INVITED,
        summary="A nonce for an invitation, to be signed with the key that is to be enrolled.",
        repeats="Gives another nonce; the ones before stay good until they expire. After five open"
        " ones 409.",
        body=(
            Text("invitation", "The token that an operator gave out.", required=True, private=True),
        ),
        answers={
            201: Answer(
                "A new nonce.", object_of(dict.fromkeys(NONCE, TEXT) | {"expires_at": TIME})
            )
        },
        refusals={404: "no such invitation", 409: "it is used up, over, or has five nonces open"},
    ),
    Operation(
        name="prove",
        method="POST",
        path="/v1/enrolments",
        who=Who.INVITED,
        summary="The proof that the key is the device's: a JWS over the nonce, signed with it.",
        repeats="The same proof changes nothing: 202 while it waits for a person, 200 once decided."
        " Another proof for a used nonce is 409.",
        raw=Raw(JOSE, PROOF_MAX_BYTES, "Compact JWS; its header holds the public key as a JWK."),
        answers={
            200: Answer("Approved or rejected by a person.", _PROVEN),
            202: Answer("Proven; waits for a second person.", _PROVEN),
        },
        refusals={
            404: "no such nonce or invitation",
            409: "the nonce is used or over, or the key is another's",
        },
    ),
)


def handlers(service: Service) -> Mapping[str, Handler]:
    """What answers the operations of devices, by their names."""

    async def challenge(asked: Asked) -> Response:
        invitation = asked.given["invitation"]
        given = await service.work(
            lambda conn: enrolments.challenge(conn, invitation, clock=service.clock)
        )
        return as_json(201, plain({name: getattr(given, name) for name in NONCE}))

    async def prove(asked: Asked) -> Response:
        proof = asked.content.strip()
        enrolment = await service.work(
            lambda conn: enrolments.prove(conn, proof, clock=service.clock)
        )
        shown = plain({name: getattr(enrolment, name) for name in PROVEN})
        return as_json(202 if enrolment.state == "pending" else 200, shown)

    return {"challenge": challenge, "prove": prove}
