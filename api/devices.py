"""Routes for devices: a nonce for an invitation, and the proof that the key is theirs.

    POST /v1/enrolments/challenge   {"invitation": TOKEN}      201 nonce, expires_at, evse_id, curve
    POST /v1/enrolments             application/jose, proof    202 pending · 200 approved or rejected

The invitation is all the authority that a device has here; both requests may be repeated.
"""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api.problems import as_json
from api.requests import body, json_fields, require_type
from api.service import Service
from settlement.possession import PROOF_MAX_BYTES
from storage import enrolments
from storage.key_changes import plain

JOSE = "application/jose"  # RFC 7515 §9.2.1


def routes(service: Service) -> list[Route]:
    """The routes of devices."""

    async def challenge(request: Request) -> Response:
        fields = await json_fields(request)
        invitation = fields.text("invitation")
        fields.nothing_else()
        given = await service.work(
            lambda conn: enrolments.challenge(conn, invitation, clock=service.clock)
        )
        shown = {name: getattr(given, name) for name in ("nonce", "expires_at", "evse_id", "curve")}
        return as_json(201, plain(shown))

    async def prove(request: Request) -> Response:
        require_type(request, JOSE)
        proof = (await body(request, bytes_max=PROOF_MAX_BYTES)).strip()

        enrolment = await service.work(
            lambda conn: enrolments.prove(conn, proof, clock=service.clock)
        )
        shown = {
            name: getattr(enrolment, name)
            for name in ("enrolment_id", "state", "evse_id", "key_id", "proven_at")
        }
        return as_json(202 if enrolment.state == "pending" else 200, plain(shown))

    return [
        Route("/v1/enrolments/challenge", service.open(challenge), methods=["POST"]),
        Route("/v1/enrolments", service.open(prove), methods=["POST"]),
    ]
