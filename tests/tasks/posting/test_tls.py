"""What a client of the clearinghouse accepts: probes of TLS versions × ciphers (S23), by real handshakes."""

import os
import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tasks import certificates
from tasks.posting.tls import client_context

pytestmark = pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")

HOST = "house.example"
V = ssl.TLSVersion


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> dict[str, Path]:
    """An authority, and a server's certificate with key for EC and for RSA."""
    folder, now = tmp_path_factory.mktemp("tls"), datetime.now(UTC)
    authority = certificates.new_key()
    signer = certificates.Signer(certificates.authority(authority, now=now, name="test"), authority)
    (folder / "ca.pem").write_bytes(signer.certificate.public_bytes(Encoding.PEM))
    for kind, key in (
        ("ec", ec.generate_private_key(ec.SECP256R1())),
        ("rsa", rsa.generate_private_key(65537, 2048)),
    ):
        made = certificates.server(signer, key.public_key(), [HOST], now=now)  # type: ignore[arg-type]
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (folder / kind).write_bytes(made.public_bytes(Encoding.PEM) + pem)
    return {name: folder / name for name in ("ca.pem", "ec", "rsa")}


def server(site, *, lowest: V, highest: V, ciphers: str = "ALL:@SECLEVEL=0") -> ssl.SSLContext:
    """A server that would take anything within its versions and ciphers."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers(ciphers)
    context.minimum_version, context.maximum_version = lowest, highest
    for kind in ("ec", "rsa"):
        context.load_cert_chain(site[kind])
    return context


def anybody() -> ssl.SSLContext:
    """A client that would take anything: what it cannot have, this OpenSSL does not know."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:COMPLEMENTOFALL:@SECLEVEL=0")
    context.minimum_version = V.TLSv1
    return context


def refuses(site, at: ssl.SSLContext) -> None:
    """Ours refuses what another client would take."""
    try:
        handshake(anybody(), at)
    except ssl.SSLError:
        pytest.skip("this OpenSSL does not speak it at all")
    with pytest.raises(ssl.SSLError):
        handshake(client_context(site["ca.pem"]), at)


def handshake(client: ssl.SSLContext, at: ssl.SSLContext, *, host: str = HOST) -> tuple[str, str]:
    """Version and cipher that both agree on. Raises ssl.SSLError of whoever refuses first."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server, server_hostname=host),
        at.wrap_bio(to_server, to_client, server_side=True),
    ]
    waiting = list(ends)
    for _ in range(20):
        for end in list(waiting):
            try:
                end.do_handshake()
                waiting.remove(end)
            except ssl.SSLWantReadError:
                pass
        if not waiting:
            return str(ends[0].version()), (ends[0].cipher() or ("",))[0]
    raise AssertionError("no end of the handshake")


@pytest.mark.parametrize(
    ("lowest", "highest", "agreed"),
    [
        (V.TLSv1_2, V.TLSv1_2, "TLSv1.2"),
        (V.TLSv1_3, V.TLSv1_3, "TLSv1.3"),
        (V.TLSv1, V.TLSv1_3, "TLSv1.3"),
    ],
)
def test_1_2_and_1_3_are_spoken_and_the_higher_one_is_taken(site, lowest, highest, agreed):
    found, _ = handshake(
        client_context(site["ca.pem"]), server(site, lowest=lowest, highest=highest)
    )
    assert found == agreed


@pytest.mark.parametrize("version", [V.TLSv1, V.TLSv1_1])
def test_an_older_version_is_refused(site, version):
    refuses(site, server(site, lowest=version, highest=version))


@pytest.mark.parametrize(
    "cipher",
    [
        "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305",
        "ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-CHACHA20-POLY1305",
    ],
)  # fmt: skip
def test_forward_secret_and_authenticated_ciphers_are_taken(site, cipher):
    one = server(site, lowest=V.TLSv1_2, highest=V.TLSv1_2, ciphers=cipher)
    assert handshake(client_context(site["ca.pem"]), one) == ("TLSv1.2", cipher)


@pytest.mark.parametrize(
    "cipher",
    [
        "AES128-SHA", "AES256-SHA256", "AES128-GCM-SHA256", "AES256-GCM-SHA384",  # no forward secrecy
        "ECDHE-RSA-AES128-SHA", "ECDHE-ECDSA-AES256-SHA", "ECDHE-ECDSA-AES128-SHA256",  # MAC, then encrypt
        "ECDHE-ECDSA-AES128-CCM8", "ECDHE-ECDSA-AES128-CCM",
        "AECDH-AES128-SHA", "ECDHE-ECDSA-NULL-SHA", "NULL-SHA256", "ADH-AES128-GCM-SHA256",
    ],
)  # fmt: skip
def test_every_other_cipher_is_refused(site, cipher):
    refuses(
        site,
        server(site, lowest=V.TLSv1_2, highest=V.TLSv1_2, ciphers=f"{cipher}:@SECLEVEL=0"),
    )


def test_of_tls_1_2_nothing_else_is_offered(site):
    names = {one["name"] for one in client_context(site["ca.pem"]).get_ciphers()}
    old = {name for name in names if not name.startswith("TLS_")}
    assert {name.split("-")[0] for name in old} == {"ECDHE"}
    assert all("GCM" in name or "CHACHA20" in name for name in old)


def test_verifying_is_on_and_needs_the_right_host_and_authority(site):
    context = client_context(site["ca.pem"])
    anything = server(site, lowest=V.TLSv1_2, highest=V.TLSv1_3)
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED
    for refused, host in ((context, "elsewhere.example"), (client_context(None), HOST)):
        with pytest.raises(ssl.SSLCertVerificationError):
            handshake(refused, anything, host=host)


def test_the_environment_neither_brings_authorities_nor_takes_the_sessions_secrets(
    site, monkeypatch, tmp_path
):
    monkeypatch.setenv("SSL_CERT_FILE", str(site["ca.pem"]))
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "secrets"))
    anything = server(site, lowest=V.TLSv1_2, highest=V.TLSv1_3)

    handshake(client_context(site["ca.pem"]), anything)
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(client_context(None), anything)

    log = tmp_path / "secrets"
    assert not log.exists() or not [line for line in log.read_text().splitlines() if line[0] != "#"]
    assert os.environ["SSLKEYLOGFILE"]
