"""The agent's key in a token, with SoftHSM."""

import json
import subprocess
import sys

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from tests.ingest_daemon.harness import secret_file
from tests.softhsm import PIN, module, softhsm

__all__ = ["module", "softhsm"]

pytest.importorskip("pkcs11", reason="python-pkcs11 (extra `pkcs11`) is not installed")

SETUP = """
import sys, pkcs11
from pkcs11.util.ec import encode_named_curve_parameters
lib = pkcs11.lib(sys.argv[1])
token = lib.get_token(token_label="v2g")
with token.open(rw=True, user_pin=sys.argv[2]) as session:
    for label, curve in (("signing", "secp256r1"), ("other", "secp384r1")):
        parameters = session.create_domain_parameters(
            pkcs11.KeyType.EC, {pkcs11.Attribute.EC_PARAMS: encode_named_curve_parameters(curve)}, local=True)
        parameters.generate_keypair(store=True, label=label)
"""

USE = """
import json, sys
from pathlib import Path
from evse_agent.config import Pkcs11
from evse_agent.errors import AgentError
from evse_agent.hsm import TokenKey
from evse_agent.key import jwk, thumbprint
module, token, label, pin = sys.argv[1:]
try:
    signer = TokenKey(Pkcs11(Path(module), token, label, Path(pin)))
except AgentError as error:
    print(json.dumps({"error": str(error), "status": error.exit_status}))
else:
    numbers = signer.public.public_numbers()
    print(json.dumps({"x": numbers.x, "y": numbers.y, "signatures": [signer.sign(b"m%d" % n).hex() for n in range(20)]}))
"""


@pytest.fixture
def token(module, softhsm):
    """The environment in which a token "v2g" with a key "signing" is found."""
    done = subprocess.run(
        [sys.executable, "-c", SETUP, str(module), PIN],
        env=softhsm,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return softhsm


def use(module, token, tmp_path, *, label="signing", name="v2g", pin=PIN):
    pin_file = secret_file(tmp_path / "pin", pin)
    done = subprocess.run(
        [sys.executable, "-c", USE, str(module), name, label, str(pin_file)],
        env=token,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def test_a_key_in_a_token_signs_as_one_in_a_file(module, token, tmp_path):
    answer = use(module, token, tmp_path)

    public = ec.EllipticCurvePublicNumbers(answer["x"], answer["y"], ec.SECP256R1()).public_key()
    for number, signature in enumerate(map(bytes.fromhex, answer["signatures"])):
        assert len(signature) == 64
        der = encode_dss_signature(int.from_bytes(signature[:32]), int.from_bytes(signature[32:]))
        public.verify(der, b"m%d" % number, ec.ECDSA(hashes.SHA256()))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"label": "nothing"}, "key 'nothing'"),
        ({"label": "other"}, "'other' is not on P-256"),
        ({"name": "elsewhere"}, "token 'elsewhere'"),
        ({"module": "/nowhere/module.so"}, "module /nowhere/module.so"),
        ({"pin": "wrong-pin"}, "Pin"),
    ],
)
def test_what_is_wrong_with_a_token_is_said_without_its_pin(
    module, token, tmp_path, changes, expected
):
    answer = use(**({"module": module, "token": token, "tmp_path": tmp_path} | changes))

    assert answer["status"] == 3
    assert answer["error"].startswith("ERR_AUTH_EXPIRED Pkcs11")
    assert expected in answer["error"]
    assert changes.get("pin", PIN) not in answer["error"]
