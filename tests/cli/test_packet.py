"""`v2g packet verify` of the project's own packets, as a shell sees it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP384R1,
    BrainpoolP256R1,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key
from typer.testing import CliRunner, Result

from cli.packet import app
from tests.packets import Key, make_key, make_packet

DEADLINE_S = 60


@pytest.fixture
def key() -> Key:
    return make_key()


@pytest.fixture
def pem(key: Key, tmp_path: Path) -> Path:
    return write_pem(key, tmp_path / "key.pem")


def write_pem(key: Key, path: Path) -> Path:
    public = load_der_public_key(key.public_key)
    path.write_bytes(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return path


def words(packet: bytes, pem: Path, folder: Path, *options: str) -> list[str]:
    file = folder / "packet.jws"
    file.write_bytes(packet)
    return ["verify", str(file), "--key", str(pem), *options]


def verify(packet: bytes, pem: Path, folder: Path, *options: str) -> Result:
    """`v2g packet verify`, in this process."""
    return CliRunner().invoke(app, words(packet, pem, folder, *options))


def in_a_shell(packet: bytes, pem: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """The same, in a process of its own."""
    command = [sys.executable, "-m", "cli.main", "packet", *words(packet, pem, folder)]
    return subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False)


def test_a_packet_that_stands_exits_0(key: Key, pem: Path, tmp_path: Path) -> None:
    done = in_a_shell(make_packet(key) + b"\n", pem, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "stand" in done.stdout


def test_a_tampered_packet_exits_1_with_the_reason(key: Key, pem: Path, tmp_path: Path) -> None:
    # given the payload of one packet under the signature of another
    header, _, signature = make_packet(key).split(b".")
    payload = make_packet(key, export_end_wh="9999999.000").split(b".")[1]
    # when
    done = in_a_shell(b".".join([header, payload, signature]), pem, tmp_path)
    # then
    assert done.returncode == 1
    assert "BAD_SIGNATURE" in done.stderr


REFUSED = {
    "content that does not stand": ({"clock_offset_ms": "51"}, "CLOCK_OFFSET"),
    "a register that runs backwards": ({"export_end_wh": "1.000"}, "VALUE_OUT_OF_RANGE"),
    "a missing field": ({"soc_end_pct": None}, "UNREADABLE"),
}


@pytest.mark.parametrize(("fields", "reason"), REFUSED.values(), ids=REFUSED)
def test_what_does_not_stand_exits_1_with_the_reason(
    fields: dict[str, Any], reason: str, key: Key, pem: Path, tmp_path: Path
) -> None:
    done = verify(make_packet(key, **fields), pem, tmp_path)
    assert done.exit_code == 1
    assert reason in done.stderr


def test_another_key_is_not_the_key_that_the_packet_names(key: Key, tmp_path: Path) -> None:
    done = verify(make_packet(key), write_pem(make_key(), tmp_path / "other.pem"), tmp_path)
    assert done.exit_code == 1
    assert "UNKNOWN_KEY" in done.stderr


def test_json_is_one_document_with_the_verdict(key: Key, pem: Path, tmp_path: Path) -> None:
    stands = verify(make_packet(key), pem, tmp_path, "--json")
    refused = verify(make_packet(key, clock_offset_ms="51"), pem, tmp_path, "--json")
    assert json.loads(stands.stdout)["stands"] is True
    assert json.loads(refused.stdout)["reason"] == "CLOCK_OFFSET"
    assert refused.exit_code == 1


def test_unusable_input_exits_2_and_says_what_is_wanted(
    key: Key, pem: Path, tmp_path: Path
) -> None:
    # given keys that are none, and packets that are none
    (tmp_path / "text.pem").write_text("no key")
    others: dict[str, Any] = {
        "p384": generate_private_key(SECP384R1()),
        "brainpool": generate_private_key(BrainpoolP256R1()),
        "rsa": rsa.generate_private_key(65537, 2048),
        "ed25519": Ed25519PrivateKey.generate(),
    }
    for name, private in others.items():
        public = private.public_key()
        (tmp_path / f"{name}.pem").write_bytes(
            public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        )
    cases = [
        (make_packet(key), tmp_path / "p384.pem", "--allow-curve secp384r1"),
        (make_packet(key), tmp_path / "brainpool.pem", "--allow-curve brainpoolP256r1"),
        (make_packet(key), tmp_path / "rsa.pem", "expected an EC public key"),
        (make_packet(key), tmp_path / "ed25519.pem", "expected an EC public key"),
        (make_packet(key), tmp_path / "text.pem", "expected an EC public key: PEM"),
        (make_packet(key), tmp_path / "missing.pem", "can be read"),
        (b"", pem, "empty"),
        (b"x" * (1024 * 1024 + 1), pem, "no packet"),
    ]
    for packet, file, said in cases:
        # when
        done = verify(packet, file, tmp_path)
        # then
        assert done.exit_code == 2, done.stderr
        assert said in " ".join(done.stderr.split())
