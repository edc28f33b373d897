"""`v2g certs init` and `issue`: what they make, and what they refuse."""

import json
import os
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, SECP384R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tasks import certificates
from tasks.certificate_folder import place, read_certificate
from tests.cli.certs import EVSE, folder, mode, run

__all__ = ["folder"]

DAY = timedelta(days=1)


# --- init ------------------------------------------------------------------------------------------


def test_one_command_makes_authority_broker_and_daemon(tmp_path):
    # given an operator who is careless about new files
    before = os.umask(0)
    try:
        said = run("init", tmp_path / "a", "--host", "mqtt.example.com", "--host", "::1")
    finally:
        os.umask(before)

    # then the broker's names and the daemon's are as asked, on P-256
    broker = read_certificate(tmp_path / "a" / "broker_cert.pem")
    daemon = read_certificate(tmp_path / "a" / "settlement_cert.pem")
    authority = read_certificate(tmp_path / "a" / "ca.pem")
    assert certificates.hosts_of(broker) == ["mqtt.example.com", "::1"]
    assert certificates.common_name(daemon.subject) == "v2g-settlement"
    for one in (broker, daemon, authority):
        assert isinstance(one.public_key().curve, SECP256R1)  # type: ignore[union-attr]
        one.verify_directly_issued_by(authority)

    # and keys are their owner's alone
    folder = tmp_path / "a"
    assert mode(folder) == 0o700
    keys = sorted(folder.glob("*.key"))
    assert [key.name for key in keys] == [
        "broker_private.key", "ca_private.key", "settlement_private.key",
    ]  # fmt: skip
    assert {mode(key) for key in keys} == {0o600}
    assert {mode(one) for one in folder.glob("*.pem")} == {0o644}

    # and it says that the authority's key is not encrypted
    assert "ca_private.key is not encrypted" in said


def test_nobody_can_play_anothers_part(folder):
    # given what each certificate may be used for
    def purposes(file: str) -> list[x509.ObjectIdentifier]:
        found = read_certificate(folder / file).extensions
        return list(found.get_extension_for_class(x509.ExtendedKeyUsage).value)

    # then the broker serves, the daemon asks, and only the authority signs
    assert purposes("broker_cert.pem") == [ExtendedKeyUsageOID.SERVER_AUTH]
    assert purposes("settlement_cert.pem") == [ExtendedKeyUsageOID.CLIENT_AUTH]
    for file, signs in [("ca.pem", True), ("broker_cert.pem", False), ("settlement_cert.pem", False)]:  # fmt: skip
        extensions = read_certificate(folder / file).extensions
        assert extensions.get_extension_for_class(x509.BasicConstraints).value.ca is signs
        assert extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign is signs


def test_validities_are_sane_and_allow_for_a_clock_that_is_behind(folder):
    now = datetime.now(UTC)
    for file, days in [("ca.pem", 3650), ("broker_cert.pem", 397), ("settlement_cert.pem", 397)]:
        one = read_certificate(folder / file)
        assert abs(one.not_valid_after_utc - now - days * DAY) < timedelta(minutes=2)
        assert timedelta(minutes=4) < now - one.not_valid_before_utc < timedelta(minutes=7)


def test_nothing_is_overwritten(folder):
    before = {file: file.read_bytes() for file in folder.iterdir()}

    assert "is not overwritten" in run("init", folder, status=2)
    (folder / "broker_cert.pem").unlink()
    assert "5 more" not in (said := run("init", folder, status=2))
    assert "4 more" in said

    del before[folder / "broker_cert.pem"]
    assert {file: file.read_bytes() for file in folder.iterdir()} == before


@pytest.mark.parametrize("host", ["not a host", "a_b", "https://x", "-x", "x" * 64, "*", ""])
def test_a_host_that_is_none_is_refused_before_anything_is_made(tmp_path, host):
    assert "expected a host name" in run("init", tmp_path / "a", "--host", host, status=2)
    assert not (tmp_path / "a").exists()


def test_openssl_agrees_with_what_was_made(folder):
    run("issue", folder, EVSE)
    chain = [
        ("sslserver", folder / "broker_cert.pem", True),
        ("sslclient", folder / "broker_cert.pem", False),
        ("sslclient", folder / "settlement_cert.pem", True),
        ("sslclient", place(folder, EVSE).certificate, True),
        ("sslserver", place(folder, EVSE).certificate, False),
    ]
    for purpose, certificate, stands in chain:
        done = subprocess.run(
            ["openssl", "verify", "-x509_strict", "-purpose", purpose,
             "-CAfile", folder / "ca.pem", certificate],
            capture_output=True, text=True, check=False, timeout=20,
        )  # fmt: skip
        assert (done.returncode == 0) is stands, done.stdout + done.stderr


# --- the authority's passphrase -----------------------------------------------------------------------


def test_the_authoritys_key_may_be_encrypted(tmp_path):
    # given an authority with a passphrase
    folder, word = tmp_path / "a", tmp_path / "word"
    word.write_text("correct horse battery staple")
    word.chmod(0o600)
    said = run("init", folder, "--host", "localhost", "--passphrase-file", word)
    assert "not encrypted" not in said
    assert b"ENCRYPTED" in (folder / "ca_private.key").read_bytes()

    # then it signs with the passphrase only
    assert "--passphrase-file" in run("issue", folder, EVSE, status=2)
    word.write_text("wrong")
    assert "its own passphrase" in run("issue", folder, EVSE, "--passphrase-file", word, status=2)
    assert not (folder / "chargers").exists()
    word.write_text("correct horse battery staple")
    run("issue", folder, EVSE, "--passphrase-file", word)
    run("show", folder)


def test_a_passphrase_that_others_can_read_is_refused(tmp_path):
    word = tmp_path / "word"
    word.write_text("secret")
    word.chmod(0o644)
    said = run("init", tmp_path / "a", "--passphrase-file", word, status=2)
    assert "chmod 600" in said
    assert "secret" not in said


# --- issue -------------------------------------------------------------------------------------------


def test_chargers_get_a_pair_each_named_as_they_are(folder):
    made = json.loads(run("issue", folder, EVSE, "EVSE-2", "--json"))["made"]

    assert [one["name"] for one in made] == [EVSE, "EVSE-2"]
    for one in made:
        certificate = read_certificate(Path(one["certificate"]))
        assert certificates.common_name(certificate.subject) == one["name"]
        assert mode(Path(one["key"])) == 0o600


@pytest.mark.parametrize(
    "name",
    ["DE/ABC", "DE+ABC", "DE#ABC", "DE ABC", "%u", "..", ".hidden", "", "x" * 65, "Zähler", "a\nb", "a\0b"],
)  # fmt: skip
def test_a_name_that_would_change_a_topic_or_a_path_is_refused(folder, name):
    # given a good name beside it, which is not made either
    assert "expected 1 to 64" in run("issue", folder, "EVSE-1", name, status=2)
    assert not (folder / "chargers").exists()


@pytest.mark.parametrize("name", ["v2g-settlement", "V2G-Settlement", "v2g-settlement-2", "v2g-x"])
def test_no_charger_can_be_given_a_daemons_name(folder, name):
    assert "belong to this system's own daemons" in run("issue", folder, name, status=2)


@pytest.mark.parametrize("name", ["ca", "broker"])
def test_no_charger_can_be_given_the_name_of_a_part(folder, name):
    assert "taken" in run("issue", folder, name, status=2)


def test_more_daemons_get_the_names_that_the_access_list_knows(folder):
    run("issue", folder, "v2g-settlement-2", "v2g-settlement-3", "--daemon")
    run("issue", folder, "v2g-thermal", "--daemon")
    assert "v2g-settlement-2 to" in run("issue", folder, "v2g-settlement-10", "--daemon", status=2)
    assert "expected v2g-settlement" in run("issue", folder, EVSE, "--daemon", status=2)

    access_list = (Path(__file__).parents[2] / "infra" / "v2g.acl").read_text()
    assert f"\nuser {certificates.GUARD}\n" in access_list
    for number in range(2, 10):
        assert f"\nuser {certificates.daemon_name(f'v2g-settlement-{number}')}\n" in access_list


def test_a_folder_without_an_authority_says_what_to_do(tmp_path):
    assert "v2g certs init" in run("issue", tmp_path, EVSE, status=2)


def test_no_certificate_outlives_its_authority(folder):
    assert "v2g certs renew DIR ca" in run("issue", folder, EVSE, "--days", "3650", status=2)


# --- signing requests ----------------------------------------------------------------------------------


def request(path: Path, name: str, *, curve=SECP256R1, encoding=Encoding.PEM, names=1) -> Path:
    """A signing request in a file, which also asks to be an authority."""
    key = generate_private_key(curve())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)] * names)
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=9), critical=True)
    path.write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(encoding))
    return path


@pytest.mark.parametrize("encoding", [Encoding.PEM, Encoding.DER])
def test_a_request_is_signed_and_its_key_stays_where_it_was(folder, tmp_path, encoding):
    asked = request(tmp_path / "r", EVSE, encoding=encoding)

    run("issue", folder, "--csr", asked)

    pair = place(folder, EVSE)
    made = read_certificate(pair.certificate)
    assert pair.key
    assert not pair.key.exists()
    assert certificates.common_name(made.subject) == EVSE
    assert not made.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    run("show", folder)
    run("renew", folder, EVSE)
    assert read_certificate(pair.certificate).public_key() == made.public_key()


def test_a_request_by_openssl_is_signed(folder, tmp_path):
    subprocess.run(
        ["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-keyout", tmp_path / "k", "-out", tmp_path / "r", "-subj", f"/O=Maker/CN={EVSE}"],
        check=True, capture_output=True, timeout=20,
    )  # fmt: skip
    run("issue", folder, EVSE, "--csr", tmp_path / "r")


def test_a_request_that_will_not_do_is_refused(folder, tmp_path):
    good = request(tmp_path / "good", EVSE)
    altered = bytearray(x509.load_pem_x509_csr(good.read_bytes()).public_bytes(Encoding.DER))
    altered[-1] ^= 1
    (tmp_path / "altered").write_bytes(altered)
    (tmp_path / "junk").write_bytes(b"\x30\x80junk")
    (tmp_path / "empty").write_bytes(b"")
    cases = [
        (request(tmp_path / "curve", EVSE, curve=SECP384R1), "P-256"),
        (request(tmp_path / "daemon", "v2g-settlement"), "belong to this system"),
        (request(tmp_path / "topic", "a/b"), "expected 1 to 64"),
        (request(tmp_path / "two", EVSE, names=2), "expected one"),
        (tmp_path / "altered", "not stand"),
        (tmp_path / "junk", "no signing request"),
        (tmp_path / "empty", "no signing request"),
        (tmp_path / "missing", "missing"),
    ]
    for asked, words in cases:
        assert words in run("issue", folder, "--csr", asked, status=2)
    assert "the two must agree" in run("issue", folder, "EVSE-2", "--csr", good, status=2)
    assert not (folder / "chargers").exists()
