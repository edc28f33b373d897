"""Signatures both ways, against a signer and a verifier written here from RFC 9421 itself."""

import base64
import json
import re
import time
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from types import SimpleNamespace

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)

from simulators.clearinghouse.signatures import thumbprint
from tests.simulators.clearinghouse.caller import digest_of, posting

POST = ("@method", "@target-uri", "content-type", "content-digest", "idempotency-key", "date")
GET = ("@method", "@target-uri", "date")


def b64(value):
    return base64.b64encode(value).decode()


def pem(public_key):
    return public_key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def sign_ec(key, base):
    r, s = decode_dss_signature(key.sign(base, ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(32) + s.to_bytes(32)


def sign_rsa(key, base):
    return key.sign(base, padding.PKCS1v15(), hashes.SHA256())


def sign_pss(key, base):
    pss = padding.PSS(mgf=padding.MGF1(hashes.SHA512()), salt_length=64)
    return key.sign(base, pss, hashes.SHA512())


class Client:
    """Signs requests by hand, well unless told otherwise."""

    def __init__(self, key, make=sign_ec):
        self.key, self.make = key, make
        self.nonces = 0

    def sign(self, request, covered=POST, created=0, expires=300, tag="v2g-posting", **other):
        self.nonces += 1
        now = int(time.time())
        request.headers["date"] = formatdate(now, usegmt=True)
        if request.method == "POST":
            request.headers["content-digest"] = digest_of(request.content)
        parameters = {
            "created": now + created,
            "expires": None if expires is None else now + created + expires,
            "keyid": thumbprint(self.key.public_key()),
            "nonce": f"nonce-{self.nonces}",
            "tag": tag,
        } | other
        values = {"@method": request.method, "@target-uri": str(request.url)}
        names = " ".join(f'"{name}"' for name in covered)
        said = ";".join(
            f"{name}={value}" if isinstance(value, int) else f'{name}="{value}"'
            for name, value in parameters.items()
            if value is not None
        )
        lines = [f'"{name}": {values.get(name) or request.headers[name]}' for name in covered]
        base = "\n".join([*lines, f'"@signature-params": ({names});{said}'])
        request.headers["signature-input"] = f"sig=({names});{said}"
        request.headers["signature"] = f"sig=:{b64(self.make(self.key, base.encode()))}:"
        return request


@pytest.fixture(scope="module")
def ours():
    return Client(ec.generate_private_key(ec.SECP256R1()))


@pytest.fixture
def required(calling, ours, tmp_path):
    """A caller of a clearinghouse that wants our signature."""
    file = tmp_path / "settlement.pub"
    file.write_bytes(pem(ours.key.public_key()))
    return calling(require_key=file)


def refused(answer):
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.json()["reason"]


def test_what_we_signed_is_taken_and_told(required, ours):
    taken = required.client.send(ours.sign(required.request(posting())))
    told = required.client.send(
        ours.sign(required.client.build_request("GET", "/v1/postings/posting-1"), GET)
    )
    assert (taken.status_code, told.status_code) == (201, 200)


def test_what_nobody_signed_is_refused_and_not_paid(required):
    assert refused(required.post(posting())) == "signature_missing"
    assert refused(required.ask("posting-1")) == "signature_missing"
    assert required.house.truth().postings == {}
    assert required.house.truth().answers == {"401": 1}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"created": -400, "expires": 900}, "signature_expired"),
        ({"created": -100, "expires": 50}, "signature_expired"),
        ({"created": 60}, "signature_wrong"),
        ({"tag": "another"}, "signature_wrong"),
        ({"keyid": "another"}, "key_unknown"),
        ({"expires": None}, "signature_wrong"),
        ({"covered": POST[:3] + POST[4:]}, "signature_wrong"),
        ({"covered": tuple(one for one in POST if one != "idempotency-key")}, "signature_wrong"),
    ],
)
def test_a_signature_that_says_too_little_or_the_wrong_thing_is_refused(
    required, ours, changes, reason
):
    request = ours.sign(required.request(posting()), **changes)
    assert refused(required.client.send(request)) == reason
    assert required.house.truth().postings == {}


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("idempotency-key", '"posting-2"'),
        ("date", "Wed, 01 Jul 2026 17:00:00 GMT"),
        ("content-type", "text/plain"),
        ("signature", "sig=:AAAA:"),
        ("signature", "garbage"),
        ("signature-input", "sig=()"),
    ],
)
def test_what_was_changed_on_the_way_is_refused(required, ours, header, value):
    request = ours.sign(required.request(posting()))
    request.headers[header] = value
    assert refused(required.client.send(request)) == "signature_wrong"


def test_another_body_under_a_good_signature_is_refused(required, ours):
    # given a signed request, and the same with another body of the same length
    signed = ours.sign(required.request(posting()))
    other = required.request(posting(amount_minor="999"))
    other.headers.update(signed.headers)

    # when it comes
    answer = required.client.send(other)

    # then the digest does not fit
    assert refused(answer) == "digest_wrong"


def test_a_nonce_is_good_once(required, ours):
    request = ours.sign(required.request(posting()))
    assert required.client.send(request).status_code == 201
    assert refused(required.client.send(request)) == "nonce_repeated"


def test_without_a_nonce_a_request_may_come_again(required, ours):
    request = ours.sign(required.request(posting()), nonce=None)
    assert [required.client.send(request).status_code for _ in range(2)] == [201, 208]


@pytest.mark.parametrize("make", [sign_rsa, sign_pss])
def test_an_rsa_key_signs_by_either_algorithm(calling, tmp_path, make):
    ours = Client(rsa.generate_private_key(public_exponent=65537, key_size=2048), make)
    (tmp_path / "our.pub").write_bytes(pem(ours.key.public_key()))
    caller = calling(require_key=tmp_path / "our.pub")
    assert caller.client.send(ours.sign(caller.request(posting()))).status_code == 201


@pytest.mark.parametrize(("days", "status"), [(1, 201), (-1, 401)])
def test_a_key_ends_with_its_certificate(calling, ours, tmp_path, days, status):
    # given our key as a certificate
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "settlement")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(ours.key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=9))
        .not_valid_after(now + timedelta(days=days))
        .sign(ours.key, hashes.SHA256())
    )
    (tmp_path / "our.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    # when a well signed posting comes
    caller = calling(require_key=tmp_path / "our.pem")
    answer = caller.client.send(ours.sign(caller.request(posting())))

    # then it is taken until the certificate ends
    assert answer.status_code == status
    assert status == 201 or refused(answer) == "key_expired"


@pytest.mark.parametrize("text", [b"", b"-----BEGIN CERTIFICATE-----\n"])
def test_a_key_file_that_holds_no_key_is_refused(calling, tmp_path, text):
    (tmp_path / "our.pub").write_bytes(text)
    with pytest.raises(ValueError, match=r"our\.pub"):
        calling(require_key=tmp_path / "our.pub")


def test_a_key_on_another_curve_is_refused(calling, tmp_path):
    (tmp_path / "our.pub").write_bytes(pem(ec.generate_private_key(ec.SECP384R1()).public_key()))
    with pytest.raises(ValueError, match="P-256"):
        calling(require_key=tmp_path / "our.pub")


HOUSE_KEY = ec.generate_private_key(ec.SECP256R1())


def verified(answer):
    """The parameters of an answer's signature by the house, once it is proven right."""
    given, said = re.fullmatch(r"sig=(\(.*?\));(.*)", answer.headers["signature-input"]).groups()  # type: ignore[union-attr]
    values = {
        '"@status"': str(answer.status_code),
        '"content-type"': answer.headers["content-type"],
        '"content-digest"': answer.headers["content-digest"],
        '"idempotency-key";req': answer.request.headers.get("idempotency-key"),
        '"@target-uri";req': str(answer.request.url),
    }
    covered = given.strip("()").split(" ")
    lines = [f"{name}: {values[name]}" for name in covered]
    base = "\n".join([*lines, f'"@signature-params": {given};{said}']).encode()
    raw = base64.b64decode(answer.headers["signature"].removeprefix("sig=:").removesuffix(":"))
    signature = encode_dss_signature(int.from_bytes(raw[:32]), int.from_bytes(raw[32:]))
    HOUSE_KEY.public_key().verify(signature, base, ec.ECDSA(hashes.SHA256()))
    assert answer.headers["content-digest"] == digest_of(answer.content)
    parameters = dict(one.split("=", 1) for one in said.split(";"))
    return SimpleNamespace(covered=covered, **parameters)


@pytest.fixture
def signing(calling):
    return calling(sign_with=HOUSE_KEY)


def test_every_answer_of_the_house_is_signed_and_bound_to_its_request(signing):
    # given a paid posting
    first = signing.post(posting())

    # when it comes again, comes with another body, comes malformed, and is asked for
    others = [
        signing.post(posting()),
        signing.post(posting(amount_minor="1")),
        signing.post(posting(2, account="")),
    ]
    asked = [signing.ask("posting-1"), signing.ask("posting-9")]

    # then each answer proves whose it is, and to what
    assert [one.status_code for one in (first, *others, *asked)] == [201, 208, 409, 400, 200, 404]
    for answer in (first, *others):
        assert verified(answer).covered == [
            '"@status"', '"content-type"', '"content-digest"', '"idempotency-key";req',
        ]  # fmt: skip
    for answer in asked:
        assert verified(answer).covered[3] == '"@target-uri";req'
    said = verified(first)
    assert said.keyid == f'"{thumbprint(HOUSE_KEY.public_key())}"'
    assert said.tag == '"v2g-answer"'
    assert abs(int(said.created) - time.time()) < 60


def test_a_refusal_of_our_signature_is_signed_too(calling, ours, tmp_path):
    (tmp_path / "our.pub").write_bytes(pem(ours.key.public_key()))
    answer = calling(sign_with=HOUSE_KEY, require_key=tmp_path / "our.pub").post(posting())
    assert refused(answer) == "signature_missing"
    verified(answer)


@pytest.mark.parametrize("fault", ["wrong_echo", "other_already", "conflict", "forbidden"])
def test_what_the_house_says_wrongly_it_signs(signing, fault):
    signing.house.script.calls(fault)
    verified(signing.post(posting()))


@pytest.mark.parametrize("fault", ["error", "too_many", "html", "redirect", "accepted"])
def test_what_a_gateway_says_nobody_signs(signing, fault):
    signing.house.script.calls(fault)
    assert "signature" not in signing.post(posting()).headers


@pytest.mark.parametrize("fault", ["wrong_signature", "other_key"])
def test_a_signature_that_is_wrong_looks_like_a_right_one(signing, fault):
    # given an answer under a wrong signature
    signing.house.script.calls(fault)
    answer = signing.post(posting())

    # when it is verified
    with pytest.raises(InvalidSignature):
        verified(answer)

    # then all but the signature is right, and the posting took effect
    assert answer.status_code == 201
    assert len(answer.headers["signature"]) == len("sig=::") + 88
    assert signing.effects("posting-1") == 1


def test_an_expired_signature_is_right_but_old(signing):
    signing.house.script.calls("expired_signature")
    said = verified(signing.post(posting()))
    assert time.time() - int(said.expires) > 3_500
    assert time.time() - int(said.created) > 7_100


def test_an_answer_may_lack_its_signature(signing):
    signing.house.script.calls("unsigned")
    answer = signing.post(posting())
    assert answer.json() == json.loads(signing.ask("posting-1").content)
    assert "signature" not in answer.headers


def test_a_signature_over_a_truncated_answer_does_not_fit(signing):
    signing.house.script.calls("truncated")
    with pytest.raises(AssertionError):
        verified(signing.post(posting()))
