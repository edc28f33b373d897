"""A key in a token, with SoftHSM: installed, or Debian's package unpacked into the cache."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from embedded import debian
from embedded.errors import PackageFetchError
from tests.conftest import CACHE
from tests.ingest_daemon.harness import secret_file

pkcs11 = pytest.importorskip("pkcs11", reason="python-pkcs11 (extra `pkcs11`) is not installed")

ROOT = Path(__file__).parents[2]
PIN = "1234567890"
INSTALLED = (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
)


@pytest.fixture(scope="session")
def module() -> Path:
    for name in INSTALLED:
        if Path(name).exists():
            return Path(name)
    root = CACHE / "softhsm"
    if not root.exists():
        root.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="unfinished-", dir=root.parent) as name:
            try:
                debian.needs()
                apt = debian.Apt(Path(name) / "apt", give_up_at=time.monotonic() + 90)
                apt.update()
                apt.unpack(apt.download_with_missing("softhsm2"), Path(name) / "root")
                (Path(name) / "root").rename(root)
            except PackageFetchError as error:
                pytest.skip(f"SoftHSM is not installed, and {error}")
            except OSError:
                if not root.exists():
                    raise
    return next(root.glob("usr/lib/**/libsofthsm2.so"))


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
def token(module, tmp_path):
    """The environment in which a token "v2g" with a key "signing" is found."""
    (tmp_path / "tokens").mkdir()
    configuration = tmp_path / "softhsm2.conf"
    configuration.write_text(
        f"directories.tokendir = {tmp_path}/tokens\nobjectstore.backend = file\nlog.level = ERROR\n"
    )
    libraries = ":".join(sorted({str(one.parent) for one in (CACHE / "softhsm").rglob("*.so*")}))
    environment = {
        **os.environ,
        "SOFTHSM2_CONF": str(configuration),
        "LD_LIBRARY_PATH": libraries,
        "PYTHONPATH": str(ROOT),
    }
    program = shutil.which("softhsm2-util") or str(CACHE / "softhsm" / "usr/bin/softhsm2-util")
    for command in (
        [program, "--module", str(module), "--init-token", "--free", "--label", "v2g", "--so-pin", PIN, "--pin", PIN],
        [sys.executable, "-c", SETUP, str(module), PIN],
    ):  # fmt: skip
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
    return environment


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
