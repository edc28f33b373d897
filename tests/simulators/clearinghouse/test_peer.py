"""The house against the poster's own signer and verifier, which share no code with it."""

import ssl
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tasks.posting.signing import Signer, Verifier
from tests.simulators.clearinghouse.caller import digest_of, posting
from tests.tasks.posting.keys import made_in


def now():
    return datetime.now(UTC)


@pytest.fixture
def both(calling, authority, tmp_path):
    """A caller that signs, of a clearinghouse over TLS that verifies and signs; and what judges it."""
    ours = made_in(tmp_path / "keys", now=now())
    theirs = ec.generate_private_key(ec.SECP256R1())
    caller = calling(
        tls=authority.server(),
        require_key=ours.place.certificate,
        sign_with=theirs,
        client={"verify": ssl.create_default_context(cafile=authority.certificate)},
    )
    return caller, Signer(ours, clock=now), Verifier(theirs.public_key(), clock=now)


def sent(caller, signer, request):
    if request.method == "POST":
        request.headers["content-digest"] = digest_of(request.content)
    signer.sign(request)
    return caller.client.send(request)


def test_each_proves_itself_to_the_other(both):
    caller, signer, verifier = both
    requests = [
        caller.request(posting()),
        caller.request(posting()),
        caller.request(posting(amount_minor="1")),
        caller.client.build_request("GET", "/v1/postings/posting-1"),
        caller.client.build_request("GET", "/v1/postings/posting-9"),
    ]
    answers = [sent(caller, signer, request) for request in requests]
    assert [answer.status_code for answer in answers] == [201, 208, 409, 200, 404]
    assert [verifier.wrong(one.request, one, one.content) for one in answers] == [""] * 5


@pytest.mark.parametrize(
    "fault", ["unsigned", "wrong_signature", "expired_signature", "other_key", "truncated", "html"]
)
def test_every_fault_of_signatures_is_found(both, fault):
    caller, signer, verifier = both
    caller.house.script.calls(fault)
    answer = sent(caller, signer, caller.request(posting()))
    assert verifier.wrong(answer.request, answer, answer.content) != ""
