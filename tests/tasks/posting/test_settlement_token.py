"""The settlement key in a token, with SoftHSM: made there, signing there, never given away."""

import json
import subprocess
import sys

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from tasks.posting.algorithms import usable_public
from tests.ingest_daemon.harness import secret_file
from tests.softhsm import PIN, TOKEN, module, softhsm
from tests.tasks.posting.rfc9421 import verified

__all__ = ["module", "softhsm"]

pytest.importorskip("pkcs11", reason="python-pkcs11 (extra `pkcs11`) is not installed")

SIGN = """
import json, sys
from datetime import UTC, datetime
import httpx, pkcs11
from tasks.posting.key_settings import KeySettings
from tasks.posting.settlement_key import load
from tasks.posting.signing import Signer
from tests.postings import posting
from tasks.posting.call import headers_of
settings = KeySettings()
key = load(settings.place)
signer = Signer(key, clock=lambda: datetime.now(UTC))
said = []
for _ in range(3):
    request = httpx.Request("POST", "https://house.example/v1/postings", content=posting().body, headers=dict(headers_of(posting())))
    signer.sign(request)
    said.append(dict(request.headers))
lib = pkcs11.lib(str(settings.settlement_pkcs11_module))
private = key.private._token._private
kept = {name: private[getattr(pkcs11.Attribute, name)] for name in ("EXTRACTABLE", "SENSITIVE")}
secret = pkcs11.Attribute.PRIVATE_EXPONENT if "rsa" in key.algorithm.algorithm_id else pkcs11.Attribute.VALUE
refused = []
for give in (lambda: private[secret], key.private.private_numbers, key.private.private_bytes):
    try:
        give()
    except Exception as error:
        refused.append(type(error).__name__)
print(json.dumps({"headers": said, "body": posting().body.decode(), "kept": kept, "refused": refused}))
"""


def run(environment, *command: str, status: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, *command], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == status, (done.stdout + done.stderr)[-3000:]
    assert PIN not in done.stdout + done.stderr
    return done.stdout + done.stderr


def v2g(environment, *arguments: str, status: int = 0) -> str:
    return run(environment, "-m", "cli.main", *arguments, status=status)


@pytest.fixture
def at(module, softhsm, tmp_path):
    """The environment that names the token, and a folder for certificates."""
    return softhsm | {
        "V2G_SETTLEMENT_PKCS11_MODULE": str(module),
        "V2G_SETTLEMENT_PKCS11_TOKEN": TOKEN,
        "V2G_SETTLEMENT_PKCS11_PIN_FILE": str(secret_file(tmp_path / "pin", PIN)),
        "V2G_SETTLEMENT_CERT_FILE": str(tmp_path / "v2g" / "settlement_cert.pem"),
    }


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["ecdsa-p256-sha256", "rsa-v1_5-sha256", "rsa-pss-sha512"])
def test_a_key_that_was_made_in_a_token_signs_there_and_stays_there(at, tmp_path, algorithm):
    # given
    rsa = ["--rsa"] if algorithm.startswith("rsa") else []
    if rsa:
        at["V2G_SETTLEMENT_RSA_ALGORITHM"] = algorithm

    # when
    made = json.loads(v2g(at, "keys", "init", str(tmp_path / "v2g"), *rsa, "--json"))
    signed = json.loads(run(at, "-c", SIGN))

    # then: the certificate signs itself, and every request stands
    assert not list((tmp_path / "v2g").glob("*.key"))
    public = usable_public(
        load_pem_public_key((tmp_path / "v2g" / "settlement_public.pem").read_bytes())
    )
    certificate = x509.load_pem_x509_certificate(
        (tmp_path / "v2g" / "settlement_cert.pem").read_bytes()
    )
    certificate.verify_directly_issued_by(certificate)
    for headers in signed["headers"]:
        stands = verified(
            public,
            method="POST",
            uri="https://house.example/v1/postings",
            headers=headers,
            body=signed["body"].encode(),
            algorithm=algorithm,
        )
        assert stands["keyid"] == made["key_id"]
    assert signed["kept"] == {"EXTRACTABLE": False, "SENSITIVE": True}
    assert signed["refused"] == ["AttributeSensitive", "UnusableKeyError", "UnusableKeyError"]


@pytest.mark.slow
def test_a_key_in_a_token_is_rotated_into_another_label_and_never_overwritten(at, tmp_path):
    # given
    folder = str(tmp_path / "v2g")
    first = json.loads(v2g(at, "keys", "init", folder, "--json"))
    again = v2g(at, "keys", "init", str(tmp_path / "other"), status=3)
    assert "has 'settlement' already; it is never overwritten" in again

    # when
    following = json.loads(v2g(at, "keys", "rotate", "--json"))
    switched = json.loads(v2g(at, "keys", "rotate", "--switch", "--json"))

    # then: both labels sign until the settings name the new one
    assert switched["label"] == following["label"] != first["label"]
    assert json.loads(v2g(at, "keys", "show", "--json"))["keys"][0]["key_id"] == first["key_id"]
    at["V2G_SETTLEMENT_PKCS11_KEY"] = switched["label"]
    shown = json.loads(v2g(at, "keys", "show", "--json"))
    assert shown["stands"] is True
    assert shown["keys"][0]["key_id"] == following["key_id"]


LOOK = """
import json, sys
from datetime import UTC, datetime
from tasks.posting.expiry import watch
from tasks.posting.key_settings import KeySettings
for changes in json.loads(sys.argv[1]):
    [found] = watch(KeySettings(**changes), now=datetime.now(UTC))
    print(found.problem)
"""


def test_what_is_wrong_with_the_token_is_err_auth_expired_and_names_the_setting(at, tmp_path):
    # given
    wrong = str(secret_file(tmp_path / "wrong", "wrong-pin"))
    public = secret_file(tmp_path / "open", PIN)
    public.chmod(0o644)
    cases = [
        ({"settlement_pkcs11_module": "/nowhere/module.so"}, "MODULE", "/nowhere/module.so"),
        ({"settlement_pkcs11_pin_file": wrong}, "MODULE", "PinIncorrect"),
        ({"settlement_pkcs11_pin_file": str(public)}, "PIN_FILE", "mode 0644"),
        ({"settlement_pkcs11_token": "elsewhere"}, "MODULE", "token 'elsewhere'"),
        ({}, "MODULE", "key 'settlement'"),
    ]

    # when
    told = run(at, "-c", LOOK, json.dumps([changes for changes, _, _ in cases])).splitlines()

    # then
    for (_, where, said), line in zip(cases, told, strict=True):
        assert line.startswith(f"ERR_AUTH_EXPIRED V2G_SETTLEMENT_PKCS11_{where}")
        assert said in line
        assert "wrong-pin" not in line
