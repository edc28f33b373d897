"""Our signatures and the simulated clearinghouse's, each written for itself, over real connections."""

import asyncio
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from settlement.posting import Outcome
from simulators.clearinghouse import ClearingHouse
from tasks.posting.call import Call, send
from tasks.posting.clearinghouse import Clearinghouse, open_client
from tasks.posting.signing import Signer, Verifier
from tests.postings import posting
from tests.tasks.posting.keys import made_in

HOUSE = ec.generate_private_key(ec.SECP256R1())


def now() -> datetime:
    return datetime.now(UTC)


def call(house: ClearingHouse, signer: Signer | None, *, doubtful: bool = False) -> Call:
    partner = Clearinghouse(
        house.url, "token", signer=signer, verifier=Verifier(HOUSE.public_key(), clock=now)
    )

    async def once() -> Call:
        async with open_client(partner, connections=1) as client:
            return await send(client, partner, posting(), doubtful=doubtful)

    return asyncio.run(once())


@pytest.fixture(scope="module")
def key(tmp_path_factory):
    return made_in(tmp_path_factory.mktemp("key"), now=now())


@pytest.fixture
def house(key):
    public = key.place.certificate.with_name("settlement_public.pem")
    with ClearingHouse(token="token", require_key=public, sign_with=HOUSE) as one:
        yield one


@pytest.mark.parametrize("rsa_too", [False, True])
def test_both_sides_stand_before_each_other_for_a_posting_and_for_a_question(tmp_path, rsa_too):
    key = made_in(tmp_path, now=now(), rsa_too=rsa_too)
    public = tmp_path / "settlement_public.pem"
    with ClearingHouse(token="token", require_key=public, sign_with=HOUSE) as house:
        sent = call(house, Signer(key, clock=now))
        asked = call(house, Signer(key, clock=now), doubtful=True)

    assert (sent.outcome, sent.http_status) == (Outcome.ACKNOWLEDGED, 201)
    assert (asked.outcome, asked.http_status) == (Outcome.ACKNOWLEDGED, 200)
    assert asked.detail.startswith("status query")


@pytest.mark.parametrize("fault", ["unsigned", "wrong_signature", "expired_signature", "other_key"])
def test_an_answer_that_is_not_the_houses_acknowledges_nothing(house, key, fault):
    house.script.calls(fault)
    assert call(house, Signer(key, clock=now)).outcome is Outcome.SIGNATURE_WRONG


def test_the_house_refuses_what_is_unsigned_or_signed_by_another(house, tmp_path):
    other = made_in(tmp_path, now=now())
    for signer in (None, Signer(other, clock=now)):
        refused = call(house, signer)
        assert (refused.outcome, refused.http_status) == (Outcome.NOT_SERVED, 401)


def test_the_house_refuses_a_request_that_it_has_seen(house, key):
    signer = Signer(key, clock=now, nonce=lambda: "always-the-same-nonce")
    assert call(house, signer).outcome is Outcome.ACKNOWLEDGED
    assert "nonce" in call(house, signer).detail
