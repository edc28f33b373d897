"""Making and rotating the settlement key: nothing overwritten, and at every moment a pair that signs."""

import json
import os
import subprocess
from base64 import urlsafe_b64decode
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from tasks.posting import key_making
from tasks.posting.key_making import init, prepare, switch
from tasks.posting.settlement_key import CERTIFICATE, PRIVATE, SettlementKeyError, load
from tests.ingest_daemon.harness import secret_file
from tests.tasks.posting.keys import NOW, made_in, place_in
from tests.tasks.posting.rfc9421 import verify_bytes

LATER = NOW + timedelta(days=300)


def names(folder: Path) -> set[str]:
    return {one.name for one in folder.iterdir()}


def modes(folder: Path) -> dict[str, int]:
    return {one.name: one.stat().st_mode & 0o777 for one in folder.iterdir()}


def test_a_new_key_lies_there_with_certificate_and_what_the_partner_gets(tmp_path):
    # when
    umask = os.umask(0o077)
    try:
        made = init(place_in(tmp_path / "v2g"), now=NOW)
    finally:
        os.umask(umask)

    # then
    folder = tmp_path / "v2g"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert modes(folder) == {PRIVATE: 0o600, CERTIFICATE: 0o644, "settlement_public.pem": 0o644}
    assert made.for_partner == (folder / "settlement_public.pem",)
    public = load_pem_public_key(made.for_partner[0].read_bytes())
    certificate = x509.load_pem_x509_certificate((folder / CERTIFICATE).read_bytes())
    certificate.verify_directly_issued_by(certificate)
    assert certificate.public_key() == public
    assert certificate.not_valid_after_utc == NOW.replace(microsecond=0) + timedelta(days=397)
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert made.key_id == load(place_in(folder)).thumbprint


@pytest.mark.parametrize("there", [PRIVATE, CERTIFICATE, "settlement_public.pem"])
def test_nothing_is_overwritten_and_nothing_is_half_made(tmp_path, there):
    (tmp_path / there).write_text("mine")
    with pytest.raises(SettlementKeyError, match=f"{there}: exists already"):
        init(place_in(tmp_path), now=NOW)
    assert names(tmp_path) == {there}
    assert (tmp_path / there).read_text() == "mine"


def test_a_link_that_leads_nowhere_is_not_written_through(tmp_path):
    (tmp_path / PRIVATE).symlink_to(tmp_path / "nowhere")
    with pytest.raises(SettlementKeyError, match="exists already"):
        init(place_in(tmp_path), now=NOW)


def test_for_an_authority_a_request_is_made_instead_of_a_certificate(tmp_path):
    made = init(place_in(tmp_path), now=NOW, request=True)
    request = x509.load_pem_x509_csr((tmp_path / "settlement.csr").read_bytes())
    assert request.is_signature_valid
    assert request.public_key() == load_pem_public_key(made.for_partner[0].read_bytes())
    with pytest.raises(SettlementKeyError, match=r"settlement_cert\.pem: cannot be read"):
        load(place_in(tmp_path))


def test_a_passphrase_encrypts_the_key_from_its_first_byte(tmp_path):
    word = secret_file(tmp_path / "word", "correct horse battery staple")
    key = made_in(tmp_path / "v2g", passphrase_file=word)
    prepare(key.place, now=LATER)
    for name in (PRIVATE, "settlement_next_private.key"):
        assert b"BEGIN ENCRYPTED" in (tmp_path / "v2g" / name).read_bytes()


def test_openssl_reads_what_was_made(tmp_path):
    made_in(tmp_path)
    for command in (
        ["openssl", "pkey", "-in", str(tmp_path / PRIVATE), "-noout", "-check"],
        ["openssl", "verify", "-CAfile", str(tmp_path / CERTIFICATE), "-partial_chain", "-attime",
         str(int(LATER.timestamp())), str(tmp_path / CERTIFICATE)],
    ):  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


# --- rotation --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rsa_first", "rsa_next"), [(False, False), (False, True), (True, False)])
def test_while_the_partner_learns_of_the_new_key_the_old_one_signs(tmp_path, rsa_first, rsa_next):
    # given
    old = made_in(tmp_path, rsa_too=rsa_first)

    # when
    made = prepare(old.place, now=LATER, rsa_too=rsa_next)

    # then: the old key signs, and has said which key follows
    assert load(old.place).thumbprint == old.thumbprint != made.key_id
    statement = (tmp_path / "settlement_rotation.jws").read_text().strip()
    head, claims, signature = (
        urlsafe_b64decode(part + "=" * (-len(part) % 4)) for part in statement.split(".")
    )
    header, said = json.loads(head), json.loads(claims)
    jws, algorithm = ("RS256", "rsa-v1_5-sha256") if rsa_first else ("ES256", "ecdsa-p256-sha256")
    assert header == {"alg": jws, "kid": old.thumbprint, "typ": "v2g-key-rotation+jwt"}
    assert (said["old"], said["new"]) == (old.thumbprint, made.key_id)
    assert said["jwk"]["kty"] == ("RSA" if rsa_next else "EC")
    assert said["iat"] == int(LATER.timestamp())
    signed = statement.rpartition(".")[0].encode()
    assert verify_bytes(old.public, algorithm, signature, signed)

    # when
    switch(old.place, now=LATER + timedelta(days=1))

    # then: the new one signs, the old one is kept, and nothing waits
    assert load(old.place).thumbprint == made.key_id
    assert modes(tmp_path) == {
        PRIVATE: 0o600,
        CERTIFICATE: 0o644,
        "settlement_public.pem": 0o644,
        "settlement_private-20270428T120000Z.key": 0o600,
        "settlement_rotation-20270428T120000Z.jws": 0o644,
    }
    kept = place_in(tmp_path, key_file=tmp_path / "settlement_private-20270428T120000Z.key")
    assert load(kept).thumbprint == old.thumbprint


def test_a_key_that_waits_is_not_made_twice(tmp_path):
    old = made_in(tmp_path)
    prepare(old.place, now=LATER)
    with pytest.raises(SettlementKeyError, match="exists already"):
        prepare(old.place, now=LATER)


def test_where_no_key_waits_there_is_nothing_to_switch_to(tmp_path):
    old = made_in(tmp_path)
    with pytest.raises(
        SettlementKeyError, match="no new key waits; make one first: v2g keys rotate"
    ):
        switch(old.place, now=LATER)


def test_a_key_that_is_over_can_still_say_who_follows(tmp_path):
    old = made_in(tmp_path, days=1)
    made = prepare(old.place, now=LATER)
    switch(old.place, now=LATER)
    new = load(old.place)
    assert new.thumbprint == made.key_id
    new.check(LATER)


@pytest.mark.parametrize("how", ["replace", "rename", "link", "unlink"])
@pytest.mark.parametrize("call", range(4))
def test_killed_at_any_step_a_pair_is_left_that_signs_and_the_command_said_again_ends_it(
    tmp_path, monkeypatch, how, call
):
    # given
    old = made_in(tmp_path)
    made = prepare(old.place, now=LATER)
    calls = 0
    owner, name = {
        "replace": (key_making, "replace"),
        "rename": (Path, "rename"),
        "link": (os, "link"),
        "unlink": (Path, "unlink"),
    }[how]
    real = getattr(owner, name)

    def dies(*arguments, **options):
        nonlocal calls
        calls += 1
        if calls == call + 1:
            raise KeyboardInterrupt
        return real(*arguments, **options)

    # when
    with monkeypatch.context() as patched:
        patched.setattr(owner, name, dies)
        try:
            switch(old.place, now=LATER)
        except KeyboardInterrupt:
            pass
        else:
            return

    # then
    assert load(old.place).thumbprint in {old.thumbprint, made.key_id}
    switch(old.place, now=LATER + timedelta(seconds=1))
    assert load(old.place).thumbprint == made.key_id
    assert not {one for one in names(tmp_path) if "next" in one}
    kept = [one for one in names(tmp_path) if one.startswith("settlement_private-")]
    assert {load(place_in(tmp_path, key_file=tmp_path / one)).thumbprint for one in kept} == {
        old.thumbprint
    }


def test_a_statement_that_is_none_of_ours_is_refused(tmp_path):
    old = made_in(tmp_path)
    prepare(old.place, now=LATER)
    (tmp_path / "settlement_rotation.jws").write_text("hello")
    with pytest.raises(SettlementKeyError, match="no statement of ours"):
        switch(old.place, now=LATER)
    assert isinstance(load(old.place).public, ec.EllipticCurvePublicKey)
