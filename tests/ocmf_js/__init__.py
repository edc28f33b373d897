"""OCMF by another hand, in JavaScript: a process that signs and verifies records (``ocmf.mjs``).

    with other_hand() as other:
        record = other.sign(private_key, "ECDSA-secp256r1-SHA256", payload)
        assert other.verify(record, public_key)

The packages are installed once, as package-lock.json pins them, into .cache of the repository.
"""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

HERE: Final = Path(__file__).parent
CACHE: Final = HERE.parents[1] / ".cache" / "ocmf_js"
FILES: Final = ("package.json", "package-lock.json", "ocmf.mjs")
INSTALL_SECONDS: Final = 90
ANSWER_BYTES: Final = 64 * 1024


class NotHadError(Exception):
    """Node, npm or the packages cannot be had here; says why."""


class OtherHand:
    """The running process."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def _ask(self, **command: object) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline(ANSWER_BYTES) or '{"error": "no answer"}')
        if "error" in answer:
            raise ValueError(answer["error"])
        return dict(answer)

    def sign(
        self, key: EllipticCurvePrivateKey, method: str, payload: Mapping[str, object]
    ) -> bytes:
        """A record. Raises ValueError with what the library says."""
        wrapped = pkcs8_that_repeats_its_curve(key).hex()
        return str(
            self._ask(do="sign", key=wrapped, method=method, payload=payload)["record"]
        ).encode()

    def verify(self, record: bytes, public_key: bytes) -> bool:
        """Whether it stands under a DER key. Raises ValueError with what the library says."""
        answer = self._ask(do="verify", key=public_key.hex(), record=record.decode())
        return bool(answer["verified"])


def pkcs8_that_repeats_its_curve(key: EllipticCurvePrivateKey) -> bytes:
    """PKCS#8 (RFC 5208 §5) whose ECPrivateKey names the curve again; the usual export leaves it out."""
    inner = key.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    # SubjectPublicKeyInfo begins with the same AlgorithmIdentifier; all lengths here are below 256.
    start = 3 if public[1] == 0x81 else 2
    algorithm = public[start : start + 2 + public[start + 1]]
    return _der(0x30, b"\x02\x01\x00" + algorithm + _der(0x04, inner))


def _der(tag: int, content: bytes) -> bytes:
    size = len(content)
    assert size < 256
    return bytes([tag, size] if size < 128 else [tag, 0x81, size]) + content


@contextmanager
def other_hand() -> Iterator[OtherHand]:
    """The process, installed if need be, and ended afterwards. Raises NotHadError."""
    node = shutil.which("node")
    if node is None:
        raise NotHadError("node is not installed")
    folder = _installed()
    with subprocess.Popen(
        [node, "ocmf.mjs"], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield OtherHand(process)
        finally:
            process.kill()


def _installed() -> Path:
    """The folder with the packages, as the lock file pins them."""
    npm = shutil.which("npm")
    pinned = sha256(b"".join((HERE / name).read_bytes() for name in FILES)).hexdigest()[:16]
    folder = CACHE / pinned
    if folder.is_dir():
        return folder
    if npm is None:
        raise NotHadError("npm is not installed")
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as made:
        for name in FILES:
            shutil.copy(HERE / name, made)
        command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        try:
            done = subprocess.run(
                command,
                cwd=made,
                capture_output=True,
                text=True,
                timeout=INSTALL_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise NotHadError(f"npm took longer than {INSTALL_SECONDS} s") from error
        if done.returncode:
            raise NotHadError(f"npm: {done.stderr.strip()[-300:]}")
        Path(made).chmod(0o755)
        try:
            os.rename(made, folder)  # noqa: PTH104 - whole or not at all, whoever else installs
        except OSError as error:
            if not folder.is_dir():
                raise NotHadError(f"{folder}: {error.strerror}") from error
        else:
            Path(made).mkdir()
    return folder
