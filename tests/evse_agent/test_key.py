"""The signing key: only from a file that nobody else can read, and never with a silent default."""

import os
import subprocess
import sys

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import ECKey

from evse_agent import key
from evse_agent.errors import AuthExpiredError


@pytest.fixture
def path(tmp_path):
    made = tmp_path / "signing.pem"
    key.generate(made)
    return made


def refusal(path) -> str:
    with pytest.raises(AuthExpiredError) as caught:
        key.load_file(path)
    message = str(caught.value)
    assert message.startswith("ERR_AUTH_EXPIRED KeyFile")
    return message


def test_a_made_key_has_mode_0600_and_is_never_overwritten(path):
    before = path.read_bytes()

    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(AuthExpiredError, match="never overwritten"):
        key.generate(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("mode", [0o640, 0o644, 0o604, 0o660, 0o610])
def test_a_key_that_others_can_read_is_refused_with_what_to_do(path, mode):
    path.chmod(mode)

    assert f"has mode {mode:04o}, open to others; run: chmod 600" in refusal(path)


def test_a_link_to_a_key_is_not_followed(path, tmp_path):
    link = tmp_path / "link.pem"
    link.symlink_to(path)

    assert "is a symbolic link; name the file itself" in refusal(link)


def test_a_key_of_another_user_is_refused(path):
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    os.chown(path, 12345, 12345)

    assert "owned by uid 12345" in refusal(path)


def test_a_folder_a_pipe_and_nothing_are_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe", 0o600)

    assert "is not a regular file" in refusal(tmp_path)
    assert "is not a regular file" in refusal(tmp_path / "pipe")
    assert "cannot be read (No such file or directory)" in refusal(tmp_path / "nothing")


def test_what_is_no_key_on_p256_is_refused_without_showing_it(tmp_path):
    path = tmp_path / "k"
    for private, found in (
        (ec.generate_private_key(ec.SECP384R1()), "secp384r1"),
        (rsa.generate_private_key(65537, 2048), "RSA"),
    ):
        pem = private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        path.unlink(missing_ok=True)
        path.write_bytes(pem)
        path.chmod(0o600)
        assert found in refusal(path)
    path.write_bytes(b"SECRET-TEXT")
    assert "SECRET-TEXT" not in refusal(path)


def test_an_encrypted_key_is_refused_and_nobody_is_asked_for_a_password(path):
    private = ec.generate_private_key(ec.SECP256R1())
    path.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"word"),
        )
    )

    assert "holds no unencrypted private key" in refusal(path)


def test_the_thumbprint_is_the_one_of_a_jose_library(path):
    signer = key.load_file(path)

    other = ECKey.import_key(path.read_bytes())

    assert key.thumbprint(signer.public) == other.thumbprint()


@given(st.binary(max_size=100))
def test_signatures_verify_and_their_s_is_low(message):
    signer = key.FileKey(ec.generate_private_key(ec.SECP256R1()))

    signature = signer.sign(message)

    r, s = int.from_bytes(signature[:32]), int.from_bytes(signature[32:])
    assert len(signature) == 64
    assert s <= key.ORDER // 2
    signer.public.verify(encode_dss_signature(r, s), message, ec.ECDSA(hashes.SHA256()))


def test_keygen_tells_the_id_and_the_public_key_but_never_the_private_one(tmp_path):
    path = tmp_path / "new.pem"

    done = subprocess.run(
        [sys.executable, "-m", "evse_agent", "keygen", "--out", str(path)],
        capture_output=True,
        text=True,
        check=True,
    )

    assert key.thumbprint(key.load_file(path).public) in done.stdout
    assert "BEGIN PUBLIC KEY" in done.stdout
    assert "PRIVATE" not in done.stdout.upper().replace("PRIVATE KEY  /", "")
