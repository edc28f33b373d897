"""Signatures of requests and answers, against a partner that was written from the RFC's text."""

import asyncio
import logging
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from settlement.posting import Outcome
from tasks.posting.algorithms import thumbprint
from tasks.posting.call import headers_of, send
from tasks.posting.clearinghouse import Clearinghouse, open_client
from tasks.posting.settlement_key import SettlementKeyError
from tasks.posting.signing import Signer
from tests.postings import posting
from tests.tasks.posting.keys import NOW, made_in, place_in
from tests.tasks.posting.rfc9421 import verified
from tests.tasks.posting.scripted import ScriptedServer, answers

URL = "https://house.example/v1/postings"
PARTNER = ec.generate_private_key(ec.SECP256R1())
PARTNER_ID = thumbprint(PARTNER.public_key())


@pytest.fixture(scope="module")
def key(tmp_path_factory):
    return made_in(tmp_path_factory.mktemp("key"))


def signer(key, *, now: datetime = NOW) -> Signer:
    return Signer(key, clock=lambda: now, nonce=lambda: "nonce-of-the-test")


def request(method: str = "POST", url: str = URL) -> httpx.Request:
    if method == "GET":
        return httpx.Request("GET", f"{url}/1")
    return httpx.Request("POST", url, content=posting().body, headers=dict(headers_of(posting())))


# --- requests --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rsa_too", "algorithm"),
    [(False, "ecdsa-p256-sha256"), (True, "rsa-v1_5-sha256"), (True, "rsa-pss-sha512")],
)
def test_what_is_sent_stands_before_a_partner_who_has_read_the_rfc_only(
    tmp_path, rsa_too, algorithm
):
    # given
    key = made_in(
        tmp_path, rsa_too=rsa_too, rsa_algorithm=algorithm if rsa_too else "rsa-v1_5-sha256"
    )

    # when
    with ScriptedServer(answers(201)) as server:
        url = server.url
        clearinghouse = Clearinghouse(url, "secret", signer=signer(key), asks_status=False)

        async def once():
            async with open_client(clearinghouse, connections=1) as client:
                return await send(client, clearinghouse, posting(), doubtful=False)

        assert asyncio.run(once()).outcome is Outcome.ACKNOWLEDGED

    # then
    [came] = server.requests
    stands = verified(
        key.public,
        method="POST",
        uri=f"{url}/v1/postings",
        headers=came.headers,
        body=came.body,
        algorithm=algorithm,
    )
    assert stands == {
        "created": str(int(NOW.timestamp())),
        "expires": str(int(NOW.timestamp()) + 300),
        "keyid": key.thumbprint,
        "nonce": "nonce-of-the-test",
        "tag": "v2g-posting",
        "covers": '"@method" "@target-uri" "content-type" "content-digest" "idempotency-key" "date"',
    }
    assert parsedate_to_datetime(came.headers["date"]) == NOW.replace(microsecond=0)


def test_a_question_is_signed_too(key):
    asked = request("GET")
    signer(key).sign(asked)

    stands = verified(key.public, method="GET", uri=f"{URL}/1", headers=asked.headers, body=b"")
    assert stands["covers"] == '"@method" "@target-uri" "date"'


@pytest.mark.parametrize(
    "change",
    [
        {"method": "PUT"},
        {"uri": "https://house.example/v1/refunds"},
        {"uri": "https://elsewhere.example/v1/postings"},
        {"uri": "http://house.example/v1/postings"},
        {"body": posting(2).body},
        {"idempotency-key": '"another"'},
        {"date": "Wed, 01 Jul 2026 12:00:01 GMT"},
        {"content-type": "text/plain"},
        {"content-digest": headers_of(posting(2))["content-digest"]},
        {"signature-input": ("created=", "created=1")},
        {"signature-input": ("expires=", "expires=9")},
        {"signature-input": ("nonce-of", "nonce-in")},
        {"signature-input": ("v2g-posting", "v2g-refunds")},
        {"signature-input": (' "date"', "")},
    ],
    ids=str,
)
def test_whatever_is_changed_on_the_way_the_signature_falls(key, change):
    # given
    sent = request()
    signer(key).sign(sent)
    given: dict[str, Any] = {
        "method": "POST",
        "uri": URL,
        "body": sent.content,
        "headers": dict(sent.headers),
    }
    assert verified(key.public, **given)

    # when
    [(name, value)] = change.items()
    if isinstance(value, tuple):
        value = given["headers"][name].replace(*value)
    if name in given:
        given[name] = value
    else:
        assert given["headers"][name] != value
        given["headers"][name] = value

    # then
    assert not verified(key.public, **given)


def test_another_key_does_not_stand(key):
    sent = request()
    signer(key).sign(sent)
    assert not verified(
        PARTNER.public_key(), method="POST", uri=URL, headers=sent.headers, body=sent.content
    )


def test_two_signatures_of_one_second_differ_so_that_a_copy_is_told_from_a_retry(key):
    first, again = request(), request()
    for one in (first, again):
        Signer(key, clock=lambda: NOW).sign(one)

    assert first.headers["date"] == again.headers["date"]
    assert first.headers["signature-input"] != again.headers["signature-input"]


@pytest.mark.parametrize("days", [-1, 400])
def test_nothing_is_signed_before_or_after_the_certificates_time(key, days):
    sent = request()
    late = signer(key, now=NOW + timedelta(days=days))

    for refused in (late.check, lambda: late.sign(sent)):
        with pytest.raises(SettlementKeyError, match=r"^ERR_AUTH_EXPIRED V2G_SETTLEMENT_CERT_FILE"):
            refused()
    assert "signature" not in sent.headers


@pytest.mark.parametrize("missing", ["content-digest", "idempotency-key", "content-type"])
def test_a_request_without_what_is_covered_is_not_signed(key, missing):
    sent = request()
    del sent.headers[missing]
    with pytest.raises(ValueError, match="cannot be signed"):
        signer(key).sign(sent)
    assert "signature" not in sent.headers


def test_a_method_that_we_do_not_use_is_not_signed(key):
    with pytest.raises(ValueError, match="method DELETE"):
        signer(key).sign(httpx.Request("DELETE", URL))


def test_no_word_and_no_traceback_shows_the_key(tmp_path, caplog):
    """S21."""
    # given
    key = made_in(tmp_path)
    secret = key.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    assert isinstance(key.private, ec.EllipticCurvePrivateKey)
    scalar = key.private.private_numbers().private_value
    sign = signer(key, now=NOW + timedelta(days=500))

    # when
    caplog.set_level(logging.DEBUG)
    try:
        sign.sign(request())
    except SettlementKeyError:
        logging.getLogger("posting").exception("not signed: %r %r", sign, key)

    # then
    said = caplog.text + repr(sign) + repr(key) + str(key) + repr(place_in(tmp_path))
    assert "ERR_AUTH_EXPIRED" in said
    for line in secret.splitlines()[1:-1]:
        assert line not in said
    assert str(scalar) not in said
    assert f"{scalar:x}" not in said
