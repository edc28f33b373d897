"""Which keys sign by what, and the examples in the RFCs."""

from base64 import b64decode, urlsafe_b64decode

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from tasks.posting.algorithms import UnusableKeyError, algorithm_of, thumbprint, usable_public
from tasks.posting.signing import Verifier
from tests.tasks.posting.keys import NOW
from tests.tasks.posting.rfc9421 import verify_bytes


@pytest.mark.parametrize(
    "unusable",
    [
        lambda: ec.generate_private_key(ec.SECP384R1()),
        lambda: ec.generate_private_key(ec.SECP256K1()),
        lambda: rsa.generate_private_key(65537, 1024),  # noqa: S505 - what is to be refused
    ],
)
def test_a_key_of_another_kind_neither_signs_nor_verifies(unusable):
    private = unusable()
    for one in (private, private.public_key()):
        with pytest.raises(UnusableKeyError, match="expected"):
            algorithm_of(one)
    with pytest.raises(UnusableKeyError):
        Verifier(private.public_key(), clock=lambda: NOW)


def test_the_thumbprint_of_an_rsa_key_is_that_of_the_rfcs_example():
    """RFC 7638 §3.1."""
    modulus = (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWK"
        "RXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMic"
        "AtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3"
        "XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
    )
    number = int.from_bytes(urlsafe_b64decode(modulus + "=="))
    public = rsa.RSAPublicNumbers(65537, number).public_key()
    assert thumbprint(public) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


EC_OF_THE_RFC = b"""-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEqIVYZVLCrPZHGHjP17CTW0/+D9Lf
w0EkjqF7xB4FivAxzic30tMM4GF+hR6Dxh71Z50VGGdldkkDXZCnTNnoXQ==
-----END PUBLIC KEY-----
"""
RSA_OF_THE_RFC = b"""-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAr4tmm3r20Wd/PbqvP1s2
+QEtvpuRaV8Yq40gjUR8y2Rjxa6dpG2GXHbPfvMs8ct+Lh1GH45x28Rw3Ry53mm+
oAXjyQ86OnDkZ5N8lYbggD4O3w6M6pAvLkhk95AndTrifbIFPNU8PPMO7OyrFAHq
gDsznjPFmTOtCEcN2Z1FpWgchwuYLPL+Wokqltd11nqqzi+bJ9cvSKADYdUAAN5W
Utzdpiy6LbTgSxP7ociU4Tn0g5I6aDZJ7A8Lzo0KSyZYoA485mqcO0GVAdVw9lq4
aOT9v6d+nb4bnNkQVklLQ3fVAvJm+xdDOp9LCNCN48V2pnDOkFV6+U9nV5oyc6XI
2wIDAQAB
-----END PUBLIC KEY-----
"""


@pytest.mark.parametrize(
    ("pem", "algorithm", "signature", "message"),
    [
        (
            EC_OF_THE_RFC,
            "ecdsa-p256-sha256",
            "wNmSUAhwb5LxtOtOpNa6W5xj067m5hFrj0XQ4fvpaCLx0NKocgPquLgyahnzDnDAUy5eCdlYUEkLIj+32oiasw==",
            (
                '"@status": 200\n"content-type": application/json\n"content-digest": sha-512=:mEWXIS7MaLRuGgxOBdOD'
                'a3xqM1XdEvxoYhvlCFJ41QJgJc4GTsPp29l5oGX69wWdXymyU0rjJuahq4l5aGgfLQ==:\n"content-length": 23\n'
                '"@signature-params": ("@status" "content-type" "content-digest" "content-length")'
                ';created=1618884473;keyid="test-key-ecc-p256"'
            ),
        ),
        (
            RSA_OF_THE_RFC,
            "rsa-pss-sha512",
            (
                "d2pmTvmbncD3xQm8E9ZV2828BjQWGgiwAaw5bAkgibUopemLJcWDy/lkbbHAve4cRAtx31Iq786U7it++wgGxbtRxf8Udx7zFZs"
                "ckzXaJMkA7ChG52eSkFxykJeNqsrWH5S+oxNFlD4dzVuwe8DhTSja8xxbR/Z2cOGdCbzR72rgFWhzx2VjBqJzsPLMIQKhO4DGez"
                "XehhWwE56YCE+O6c0mKZsfxVrogUvA4HELjVKWmAvtl6UnCh8jYzuVG5WSb/QEVPnP5TmcAnLH1g+s++v6d4s8m0gCw1fV5/SIT"
                "Lq9mhho8K3+7EPYTU8IU1bLhdxO5Nyt8C8ssinQ98Xw9Q=="
            ),
            '"@signature-params": ();created=1618884473;keyid="test-key-rsa-pss";nonce="b3k2pp5k7z-50gnwp.yemd"',
        ),
    ],
    ids=["B.2.4", "B.2.1"],
)
def test_the_signatures_in_the_rfcs_appendix_stand(pem, algorithm, signature, message):
    public, given = usable_public(load_pem_public_key(pem)), b64decode(signature)
    ours = algorithm_of(public, rsa_algorithm="rsa-pss-sha512")

    assert ours.algorithm_id == algorithm
    ours(public_key=public).verify(given, message.encode())
    assert verify_bytes(public, algorithm, given, message.encode())
    with pytest.raises(Exception, match=r"^$"):
        ours(public_key=public).verify(given, message.encode() + b" ")
