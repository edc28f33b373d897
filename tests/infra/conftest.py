"""One broker under the shipped configuration for all tests that do not stop it."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tasks import certificates
from tests.tls import ClientFiles, TlsSite


@pytest.fixture(scope="session")
def site(tmp_path_factory) -> Iterator[TlsSite]:
    with TlsSite(tmp_path_factory.mktemp("shipped")) as running:
        yield running


@pytest.fixture(params=[False, True], ids=["mqtt", "websockets"])
def websockets(request) -> bool:
    return bool(request.param)


@pytest.fixture
def foreign(tmp_path) -> ClientFiles:
    """A daemon's certificate from an authority that the broker does not know."""
    key = certificates.new_key()
    signer = certificates.Signer(
        certificates.authority(key, now=datetime.now(UTC), name="another authority"), key
    )
    return written(tmp_path, signer, certificates.DAEMON)


def written(
    folder: Path, signer: certificates.Signer, name: str, *, ago: timedelta = timedelta(0)
) -> ClientFiles:
    """A client's certificate for one day, made ``ago``, in files."""
    key = certificates.new_key()
    certificate = certificates.client(
        signer, key.public_key(), name, now=datetime.now(UTC) - ago, days=1
    )
    files = ClientFiles(folder / "client_cert.pem", folder / "client_private.key")
    files.certificate.write_bytes(certificate.public_bytes(Encoding.PEM))
    files.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    files.key.chmod(0o600)
    return files
