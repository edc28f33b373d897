"""An answer may repeat what it was sent: our token is written down nowhere."""

import asyncio
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from settlement.posting import Outcome
from tasks.posting.call import Call, send
from tasks.posting.clearinghouse import Clearinghouse, open_client
from tasks.posting.signing import Verifier
from tests.postings import posting
from tests.tasks.posting.scripted import ScriptedServer, answers, response

TOKEN = "canary-of-ours"
HOUSE = ec.generate_private_key(ec.SECP256R1()).public_key()


def call_of(script, *, token=TOKEN, signs=False) -> Call:
    verifier = Verifier(HOUSE, clock=lambda: datetime.now(UTC)) if signs else None

    async def once(url: str) -> Call:
        partner = Clearinghouse(url, token, verifier=verifier)
        async with open_client(partner, connections=1) as client:
            return await send(client, partner, posting())

    with ScriptedServer(script) as server:
        return asyncio.run(once(server.url))


@pytest.mark.parametrize("signs", [False, True])
@pytest.mark.parametrize(
    "said",
    [
        response(401, b'{"found": "Bearer canary-of-ours"}'),
        response(302, headers={"location": "/?token=canary-of-ours"}),
        response(200, b"canary-of-ours", headers={"content_type": "canary-of-ours"}),
        response(400, b"x" * 285 + b"canary-of-ours"),
        b"HTTP/1.1 Bearer canary-of-ours\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncanary-of-ours\r\n\r\n",
    ],
)
def test_a_token_that_an_answer_repeats_stands_in_no_receipt(said, signs):
    came = call_of(lambda _, connection: connection.sendall(said), signs=signs)
    assert "canary" not in came.detail


def test_a_token_that_the_right_echo_happens_to_hold_changes_nothing():
    assert call_of(answers(201), token="accepted").outcome is Outcome.ACKNOWLEDGED
