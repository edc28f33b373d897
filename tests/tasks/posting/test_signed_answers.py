"""Answers of a partner that signs: what counts as its word to this request, and what does not."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from settlement.posting import Outcome
from tasks.posting.algorithms import thumbprint
from tasks.posting.call import Call, headers_of, send
from tasks.posting.clearinghouse import Clearinghouse, open_client
from tasks.posting.signing import Verifier
from tests.postings import echo, posting
from tests.tasks.posting.keys import NOW
from tests.tasks.posting.rfc9421 import sign_answer
from tests.tasks.posting.scripted import ScriptedServer, answers, response, right

URL = "https://house.example/v1/postings"
PARTNER = ec.generate_private_key(ec.SECP256R1())
PARTNER_ID = thumbprint(PARTNER.public_key())
OTHER = ec.generate_private_key(ec.SECP256R1())


def request(method: str) -> httpx.Request:
    if method == "GET":
        return httpx.Request("GET", f"{URL}/1")
    return httpx.Request("POST", URL, content=posting().body, headers=dict(headers_of(posting())))


def verifier(*, now: datetime = NOW) -> Verifier:
    return Verifier(PARTNER.public_key(), clock=lambda: now)


def answer(*, to: str = "POST", status: int = 201, body: bytes = b"", by=PARTNER, **changes):
    """A rightly signed answer and the request that it answers; ``changes`` go into the signature."""
    sent = request(to)
    body = body or echo(posting())
    name, value = "@target-uri", str(sent.url)
    if to == "POST":
        name, value = "idempotency-key", sent.headers["idempotency-key"]
    options: dict[str, Any] = {
        "key_id": PARTNER_ID,
        "created": int(NOW.timestamp()),
        "request_name": name,
        "request_value": value,
    } | changes
    fields = sign_answer(by, status=status, body=body, **options)
    return sent, httpx.Response(status, headers=fields), body


@pytest.mark.parametrize("to", ["POST", "GET"])
@pytest.mark.parametrize("status", [200, 201, 208, 404, 409])
def test_a_rightly_signed_answer_counts(to, status):
    assert verifier().wrong(*answer(to=to, status=status)) == ""


@pytest.mark.parametrize("seconds", [-30, 0, 300])
def test_an_answer_counts_for_five_minutes_and_half_a_minute_of_clocks(seconds):
    later = verifier(now=NOW.replace(microsecond=0) + timedelta(seconds=seconds))
    assert later.wrong(*answer()) == ""


@pytest.mark.parametrize(
    ("seconds", "said"), [(-31, "in the future"), (301, "s ago; expected at most 300")]
)
def test_an_old_answer_is_a_replay_and_one_from_the_future_is_none(seconds, said):
    assert said in verifier(now=NOW + timedelta(seconds=seconds)).wrong(*answer())


def test_an_answer_that_says_when_it_ends_ends_then():
    given = answer(more=f";expires={int(NOW.timestamp()) + 10}")
    assert verifier().wrong(*given) == ""
    assert "expired" in verifier(now=NOW + timedelta(seconds=20)).wrong(*given)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"by": OTHER}, "not by the key"),
        ({"by": OTHER, "key_id": thumbprint(OTHER.public_key())}, "resolve"),
        ({"tag": "v2g-posting"}, "tag"),
        ({"tag": ""}, "tag"),
        ({"more": ';alg="rsa-v1_5-sha256"'}, "algorithm"),
        ({"more": ';alg="hmac-sha256"'}, "algorithm"),
        ({"more": ';alg="none"'}, "algorithm"),
        ({"more": ";unheard-of"}, "unheard-of"),
        ({"created": "never"}, ""),
        ({"created": 10**12}, "in the future"),
        ({"request_name": "date"}, ""),
        ({"request_value": '"another"'}, "not by the key"),
    ],
    ids=[
        "another key", "another key and its name", "our own tag", "no tag", "alg rsa", "alg hmac",
        "alg none", "an unheard-of parameter", "created never", "created late", "another component",
        "another request",
    ],
)  # fmt: skip
def test_an_answer_that_is_signed_otherwise_does_not_count(changes, said):
    wrong = verifier().wrong(*answer(**changes))
    assert wrong
    assert said in wrong


def test_an_answer_to_another_posting_does_not_count():
    sent, came, body = answer()
    sent.headers["idempotency-key"] = '"another"'
    assert verifier().wrong(sent, came, body)


def test_an_answer_to_another_question_does_not_count():
    _, came, body = answer(to="GET")
    assert verifier().wrong(httpx.Request("GET", f"{URL}/2"), came, body)


@pytest.mark.parametrize(
    "change",
    [
        lambda came: came.headers.pop("signature"),
        lambda came: came.headers.pop("signature-input"),
        lambda came: came.headers.pop("content-digest"),
        lambda came: came.headers.update({"signature": "sig=:AAAA:"}),
        lambda came: came.headers.update({"signature": f"sig=:{'A' * 86}==:"}),
        lambda came: came.headers.update({"signature": "sig"}),
        lambda came: came.headers.update({"signature-input": "sig=(((("}),
        lambda came: came.headers.update({"signature-input": 'sig=("@status")'}),
        lambda came: came.headers.update(
            {"signature-input": "other" + came.headers["signature-input"]}
        ),
        lambda came: came.headers.update({"content-type": "text/html"}),
        lambda came: came.headers.update({"content-digest": "sha-256=:AAAA:"}),
        lambda came: setattr(came, "status_code", 200),
    ],
)
def test_an_answer_whose_fields_were_changed_does_not_count(change):
    sent, came, body = answer()
    change(came)
    assert verifier().wrong(sent, came, body)


def test_the_digest_is_checked_against_the_bytes_that_came():
    sent, came, body = answer()
    assert "Content-Digest" in verifier().wrong(sent, came, body + b" ")
    assert verifier().wrong(sent, came, b"")


def test_a_signature_that_leaves_something_out_does_not_count():
    sent, came, body = answer()
    stripped = came.headers["signature-input"].replace(' "content-digest"', "")
    came.headers["signature-input"] = stripped
    assert verifier().wrong(sent, came, body)


def test_a_second_signature_beside_the_partners_is_let_stand():
    sent, came, body = answer()
    came.headers["signature-input"] += ', gateway=("@status");created=1;keyid="g";tag="gateway"'
    came.headers["signature"] += ", gateway=:AAAA:"
    assert verifier().wrong(sent, came, body) == ""


def test_what_a_partner_writes_into_its_fields_is_shown_harmless_and_short():
    sent, came, body = answer(key_id="x" * 5000)
    wrong = verifier().wrong(sent, came, body)
    assert len(wrong) <= 300
    assert wrong.isprintable()


def test_over_a_real_connection_a_signed_answer_acknowledges_and_an_unsigned_one_does_not():
    # given
    def signs(came, connection):
        body = right(came)
        fields = sign_answer(
            PARTNER,
            status=201,
            body=body,
            key_id=PARTNER_ID,
            created=int(NOW.timestamp()),
            request_name="idempotency-key",
            request_value=came.headers["idempotency-key"],
        )
        connection.sendall(response(201, body, headers=fields))

    def outcome(script) -> Outcome:
        with ScriptedServer(script) as server:
            house = Clearinghouse(server.url, "", verifier=verifier(), asks_status=False)

            async def once() -> Call:
                async with open_client(house, connections=1) as client:
                    return await send(client, house, posting(), doubtful=False)

            return asyncio.run(once()).outcome

    # then
    assert outcome(signs) is Outcome.ACKNOWLEDGED
    assert outcome(answers(201)) is Outcome.SIGNATURE_WRONG
    assert outcome(answers(503, b"")) is Outcome.REFUSED_TEMPORARILY
