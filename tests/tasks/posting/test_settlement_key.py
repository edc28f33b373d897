"""The settlement key: from where it is read, and what is refused with which repair."""

import os
import shutil
import traceback
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from pydantic import ValidationError

from tasks.posting.key_settings import KeySettings
from tasks.posting.settlement_key import (
    CERTIFICATE,
    PRIVATE,
    Place,
    SettlementKeyError,
    UnsignedError,
    load,
    read_partner_key,
)
from tasks.settings import Settings, clearinghouse_of
from tests.ingest_daemon.harness import secret_file
from tests.tasks.posting.keys import NOW, made_in, place_in


@pytest.fixture(autouse=True)
def bare(monkeypatch):
    for name in os.environ:
        if name.startswith("V2G_"):
            monkeypatch.delenv(name)


@pytest.fixture
def folder(tmp_path):
    """A folder with a key and its certificate."""
    (tmp_path / "v2g").mkdir(mode=0o700)
    made_in(tmp_path / "v2g")
    return tmp_path / "v2g"


def refusal(place: Place) -> str:
    with pytest.raises(SettlementKeyError) as caught:
        load(place)
    assert str(caught.value).startswith("ERR_AUTH_EXPIRED V2G_SETTLEMENT_")
    return str(caught.value)


# --- files (S22) -----------------------------------------------------------------------------------


def test_a_key_that_only_its_user_can_reach_is_read_with_its_certificate(folder):
    key = load(place_in(folder))
    assert key.certificate.public_key() == key.public
    assert key.algorithm.algorithm_id == "ecdsa-p256-sha256"
    assert len(key.thumbprint) == 43
    assert (folder / PRIVATE).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("mode", [0o640, 0o644, 0o604, 0o660, 0o620, 0o602])
def test_a_key_that_others_reach_is_refused_with_the_repair(folder, mode):
    (folder / PRIVATE).chmod(mode)
    said = refusal(place_in(folder))
    assert f"mode 0{mode:o}" in said
    assert f"chmod 600 '{folder / PRIVATE}'" in said


def test_a_link_is_not_followed_to_the_key(folder, tmp_path):
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (folder / PRIVATE).rename(tmp_path / "elsewhere" / "key")
    (folder / PRIVATE).symlink_to(tmp_path / "elsewhere" / "key")
    assert "cannot be opened" in refusal(place_in(folder)) or "symbolic link" in refusal(
        place_in(folder)
    )


def test_a_key_of_another_user_is_refused(folder):
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    os.chown(folder / PRIVATE, 65534, -1)
    assert (
        f"owned by uid 65534, this program runs as uid 0; run: chown 0 '{folder / PRIVATE}'"
        in refusal(place_in(folder))
    )


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777])
def test_a_folder_in_which_others_can_exchange_the_key_is_refused(folder, mode):
    folder.chmod(mode)
    said = refusal(place_in(folder))
    assert f"folder has mode 0{mode:o}" in said
    assert f"chmod go-w '{folder}'" in said


def test_in_a_folder_with_the_sticky_bit_nobody_else_can_take_the_key_away(folder):
    folder.chmod(0o1777)
    assert load(place_in(folder)).thumbprint


def test_a_folder_of_another_user_is_refused(folder):
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder away")
    os.chown(folder, 65534, -1)
    assert "folder is owned by uid 65534" in refusal(place_in(folder))


def test_what_is_no_file_is_refused_and_not_waited_for(folder):
    (folder / PRIVATE).unlink()
    assert "cannot be opened (No such file" in refusal(place_in(folder))
    os.mkfifo(folder / PRIVATE, 0o600)
    assert "not a regular file" in refusal(place_in(folder))
    (folder / PRIVATE).unlink()
    (folder / PRIVATE).mkdir(mode=0o700)
    assert "not a regular file" in refusal(place_in(folder))
    assert "folder cannot be opened" in refusal(place_in(folder / "nowhere"))


# --- what stands in them ---------------------------------------------------------------------------


def pem(private: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) -> str:
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "no private key in PEM"),
        ("hello", "no private key in PEM"),
        (
            "-----BEGIN PRIVATE KEY-----\nc2VjcmV0LXdvcmQ=\n-----END PRIVATE KEY-----\n",
            "no private key",
        ),
        (pem(ec.generate_private_key(ec.SECP384R1())), "secp384r1; expected P-256"),
        (pem(ed25519.Ed25519PrivateKey.generate()), "of kind Ed25519PrivateKey"),
        (pem(ec.generate_private_key(ec.SECP256R1())), "no certificate of the key"),
    ],
    ids=["nothing", "a word", "nonsense in PEM", "another curve", "Ed25519", "another key"],
)
def test_what_is_no_key_of_ours_is_refused_and_not_repeated(folder, content, said):
    secret_file(folder / PRIVATE, content)
    with pytest.raises(SettlementKeyError, match=said) as caught:
        load(place_in(folder))
    told = "".join(traceback.format_exception(caught.value))
    for line in content.splitlines()[1:-1]:
        assert line not in told


@pytest.mark.parametrize(
    ("content", "said"),
    [("", "no certificate in PEM"), ("hello", "no certificate in PEM"), (None, "No such file")],
)
def test_without_its_certificate_a_key_signs_nothing(folder, content, said):
    if content is None:
        (folder / CERTIFICATE).unlink()
    else:
        (folder / CERTIFICATE).write_text(content)
    assert said in refusal(place_in(folder))


def test_of_several_certificates_the_keys_own_is_taken(folder, tmp_path):
    made_in(tmp_path / "other")
    both = (tmp_path / "other" / CERTIFICATE).read_bytes() + (folder / CERTIFICATE).read_bytes()
    (folder / CERTIFICATE).write_bytes(both)
    load(place_in(folder)).check(NOW)
    shutil.copy(tmp_path / "other" / CERTIFICATE, folder / CERTIFICATE)
    assert "no certificate of the key" in refusal(place_in(folder))


def test_an_encrypted_key_needs_its_passphrase_and_no_other(tmp_path):
    # given
    word = secret_file(tmp_path / "word", "correct horse battery staple")
    key = made_in(tmp_path / "v2g", passphrase_file=word)
    assert b"ENCRYPTED" in (tmp_path / "v2g" / PRIVATE).read_bytes()

    # then
    assert load(place_in(tmp_path / "v2g", passphrase_file=word)).thumbprint == key.thumbprint
    assert "V2G_SETTLEMENT_PASSPHRASE_FILE" in refusal(place_in(tmp_path / "v2g"))
    wrong = secret_file(tmp_path / "wrong", "another-word")
    said = refusal(place_in(tmp_path / "v2g", passphrase_file=wrong))
    assert "not a key of this passphrase" in said
    assert "another-word" not in said
    wrong.chmod(0o644)
    assert "V2G_SETTLEMENT_PASSPHRASE_FILE" in refusal(
        place_in(tmp_path / "v2g", passphrase_file=wrong)
    )


def test_a_passphrase_for_a_key_that_is_not_encrypted_is_refused(folder, tmp_path):
    word = secret_file(tmp_path / "word", "correct horse")
    assert "not encrypted" in refusal(place_in(folder, passphrase_file=word))


@pytest.mark.parametrize(
    ("after", "said"),
    [
        (timedelta(days=-1), "not valid before"),
        (timedelta(days=397), "expired at"),
        (timedelta(days=5000), "expired at"),
    ],
)
def test_a_certificate_counts_from_its_beginning_until_before_its_end(folder, after, said):
    key = load(place_in(folder))
    key.check(NOW)
    key.check(NOW.replace(microsecond=0) + timedelta(days=397) - timedelta(seconds=1))
    with pytest.raises(
        SettlementKeyError, match=rf"^ERR_AUTH_EXPIRED V2G_SETTLEMENT_CERT_FILE .*{said}"
    ):
        key.check(NOW + after)


# --- the partner's key -----------------------------------------------------------------------------


def test_the_partners_key_may_come_bare_or_in_a_certificate(tmp_path):
    key = made_in(tmp_path)
    bare, certificate = tmp_path / "settlement_public.pem", tmp_path / CERTIFICATE
    assert read_partner_key(bare) == (key.public, None)
    assert read_partner_key(certificate) == (key.public, key.certificate)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"hello", "neither a public key nor a certificate"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "neither"),
        (ed25519.Ed25519PrivateKey.generate().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo), "expected P-256, or RSA"),
        (ec.generate_private_key(ec.SECP384R1()).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo), "secp384r1"),
        (None, "No such file"),
    ],
    ids=["a word", "nonsense in PEM", "Ed25519", "another curve", "nothing there"],
)  # fmt: skip
def test_what_is_no_key_of_a_partner_is_refused(tmp_path, content, said):
    if content is not None:
        (tmp_path / "partner.pem").write_bytes(content)
    with pytest.raises(SettlementKeyError, match=said):
        read_partner_key(tmp_path / "partner.pem")


# --- settings --------------------------------------------------------------------------------------


def settings(**changes) -> Settings:
    return Settings(**({"database_url": "dbname=v2g"} | changes))


def test_a_clearinghouse_elsewhere_is_not_posted_to_without_a_signature():
    with pytest.raises(
        UnsignedError, match="clearinghouse refuses unsigned payloads; make a key: v2g keys init"
    ):
        clearinghouse_of(settings(clearinghouse_url="https://house.example"))


@pytest.mark.parametrize("url", ["http://127.0.0.1:8082", "https://localhost:1", "http://[::1]:2"])
def test_one_on_this_machine_may_be_posted_to_without(url):
    house = clearinghouse_of(settings(clearinghouse_url=url))
    assert (house.signer, house.verifier) == (None, None)


def test_with_a_key_requests_are_signed_and_with_the_partners_answers_are_verified(
    folder, tmp_path, monkeypatch
):
    partner = made_in(tmp_path / "partner", days=300)
    monkeypatch.setenv("V2G_SETTLEMENT_KEY_FILE", str(folder / PRIVATE))
    monkeypatch.setenv("V2G_CLEARINGHOUSE_KEY_FILE", str(tmp_path / "partner" / CERTIFICATE))

    house = clearinghouse_of(settings(clearinghouse_url="https://house.example"), clock=lambda: NOW)

    assert repr(house.signer) == f"Signer({load(place_in(folder)).thumbprint}, ecdsa-p256-sha256)"
    assert repr(house.verifier) == f"Verifier({partner.thumbprint})"


@pytest.mark.parametrize(
    ("days", "where"), [(350, "V2G_CLEARINGHOUSE_KEY_FILE"), (400, "V2G_SETTLEMENT_CERT_FILE")]
)
def test_nothing_is_posted_with_a_certificate_that_is_over_ours_or_the_partners(
    folder, tmp_path, days, where
):
    made_in(tmp_path / "partner", days=300)
    keys = KeySettings(
        settlement_key_file=folder / PRIVATE,
        clearinghouse_key_file=tmp_path / "partner" / CERTIFICATE,
    )
    with pytest.raises(SettlementKeyError, match=f"^ERR_AUTH_EXPIRED {where} .*expired at"):
        clearinghouse_of(settings(), clock=lambda: NOW + timedelta(days=days), keys=keys)


def test_the_clock_of_a_run_is_the_real_one_unless_it_is_given(folder):
    shutil.rmtree(folder)
    made_in(folder, now=datetime.now(UTC))
    keys = KeySettings(settlement_key_file=folder / PRIVATE)
    assert clearinghouse_of(settings(), keys=keys).signer is not None


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"KEY_FILE": "/k", "PKCS11_MODULE": "/m"}, "both given"),
        ({"PKCS11_MODULE": "/m"}, "without V2G_SETTLEMENT_PKCS11_TOKEN, V2G_SETTLEMENT_PKCS11_PIN_FILE, V2G_SETTLEMENT_CERT_FILE"),
        ({"RSA_ALGORITHM": "hmac-sha256"}, "settlement_rsa_algorithm"),
    ],
)  # fmt: skip
def test_settings_that_do_not_belong_together_are_refused_by_name(monkeypatch, given, said):
    for name, value in given.items():
        monkeypatch.setenv(f"V2G_SETTLEMENT_{name}", value)
    with pytest.raises(ValidationError, match=said):
        KeySettings()


def test_the_certificate_is_looked_for_beside_the_key_unless_it_is_named(monkeypatch):
    def certificate() -> str:
        place = KeySettings().place
        assert place is not None
        return str(place.certificate)

    monkeypatch.setenv("V2G_SETTLEMENT_KEY_FILE", "/etc/v2g/settlement_private.key")
    assert certificate() == "/etc/v2g/settlement_cert.pem"
    monkeypatch.setenv("V2G_SETTLEMENT_CERT_FILE", "/elsewhere/cert.pem")
    assert certificate() == "/elsewhere/cert.pem"
