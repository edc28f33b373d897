"""`v2g certs show` and `renew`: what they find wrong, and what they put right."""

import json
import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tasks import certificate_folder, certificates
from tasks.certificate_folder import place, read_certificate
from tests.cli.certs import EVSE, folder, mode, run

__all__ = ["folder"]

DAY = timedelta(days=1)


# --- show ----------------------------------------------------------------------------------------------


def test_what_serves_is_shown_with_its_days(folder):
    run("issue", folder, EVSE)

    shown = json.loads(run("show", folder, "--json"))

    assert shown["stands"] is True
    assert [one["kind"] for one in shown["found"]] == ["authority", "server", "client", "client"]
    assert [one["days_left"] for one in shown["found"]] == [3649, 396, 396, 396]
    assert "mqtt.example.com, 10.0.0.5" in run("show", folder / "broker_cert.pem")
    run("show", folder / "broker_private.key")


def issued_then(folder: Path, name: str, *, ago: timedelta, days: int = 10) -> None:
    certificate_folder.issue(folder, [name], now=datetime.now(UTC) - ago, days=days)


def test_what_is_over_or_not_yet_valid_is_named_with_what_to_do(folder):
    issued_then(folder, EVSE, ago=11 * DAY)
    issued_then(folder, "EVSE-2", ago=-DAY)

    said = run("show", folder, status=1)

    lines = [line for line in said.splitlines() if line.startswith("ERR_AUTH_EXPIRED: ")]
    assert len(lines) == 2
    assert "expired on" in lines[0]
    assert f"v2g certs renew DIR '{EVSE}'" in lines[0]
    assert "not valid before" in lines[1]
    assert "clock" in lines[1]


def test_what_ends_within_a_month_serves_and_is_due(folder):
    issued_then(folder, EVSE, ago=-timedelta(0), days=29)
    found = json.loads(run("show", folder, "--json"))["found"]
    assert [one["due"] for one in found] == [False, False, False, True]
    assert "renew it" in run("show", folder)


def test_a_badly_kept_key_is_named_with_what_to_do(folder):
    key = folder / "settlement_private.key"
    for wrong in (0o640, 0o604, 0o660):
        key.chmod(wrong)
        said = run("show", folder, status=1)
        assert said.splitlines()[-1].startswith("ERR_AUTH_EXPIRED: ")
        assert f"mode {wrong:04o}, open to others; run: chmod 600" in said
        assert "open to others" in run("show", key, status=1)
    key.chmod(0o400)
    run("show", folder)


def test_a_key_behind_a_link_is_named(folder, tmp_path):
    key = folder / "settlement_private.key"
    key.rename(tmp_path / "elsewhere")
    key.symlink_to(tmp_path / "elsewhere")
    assert "symbolic link" in run("show", folder, status=1)


def test_a_folder_in_which_others_may_write_is_named(folder):
    folder.chmod(0o770)
    assert "exchange it" in run("show", folder, status=1)


def test_a_key_of_another_owner_is_named_to_whom_it_does_not_belong(folder, monkeypatch):
    # given somebody who is neither root nor the key's owner
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    assert "owned by uid" in run("show", folder / "settlement_private.key", status=1)


def test_a_key_that_is_anothers_and_a_certificate_of_another_authority_are_named(folder, tmp_path):
    run("init", tmp_path / "b", "--host", "localhost")
    shutil.copy(tmp_path / "b" / "settlement_private.key", folder / "settlement_private.key")
    shutil.copy(tmp_path / "b" / "broker_cert.pem", folder / "broker_cert.pem")

    said = run("show", folder, status=1)

    assert "not the key of the certificate beside it" in said
    assert f"not signed by {folder / 'ca.pem'}" in said


def test_a_file_that_is_no_certificate_is_named(folder):
    (folder / "broker_cert.pem").write_text("no certificate")
    assert "broker_cert.pem: no certificate; expected PEM" in run("show", folder, status=1)


def test_nothing_to_look_at_ends_with_two(tmp_path):
    assert "expected a folder of" in run("show", tmp_path, status=2)
    assert "not there" in run("show", tmp_path / "x", status=2)


# --- renew -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["broker", "v2g-settlement", EVSE])
def test_a_renewed_certificate_has_the_same_name_hosts_and_key_and_another_serial(folder, name):
    run("issue", folder, EVSE)
    pair = place(folder, name)
    before = read_certificate(pair.certificate)
    assert pair.key
    key = pair.key.read_bytes()

    run("renew", folder, name, "--days", "90")

    after = read_certificate(pair.certificate)
    assert (after.subject, after.public_key()) == (before.subject, before.public_key())
    assert certificates.hosts_of(after) == certificates.hosts_of(before)
    assert after.serial_number != before.serial_number
    assert after.not_valid_after_utc < before.not_valid_after_utc
    assert pair.key.read_bytes() == key
    assert mode(pair.certificate) == 0o644
    run("show", folder)


def test_what_was_over_serves_again_when_it_is_renewed(folder):
    issued_then(folder, EVSE, ago=11 * DAY)
    run("show", folder, status=1)
    run("renew", folder, EVSE)
    run("show", folder)


def test_a_renewed_authority_stands_for_what_the_old_one_signed(folder):
    old = (folder / "ca.pem").read_bytes()
    run("renew", folder, "ca")
    assert (folder / "ca.pem").read_bytes() != old
    run("show", folder)


def test_what_was_never_issued_or_by_another_cannot_be_renewed(folder, tmp_path):
    assert "not there" in run("renew", folder, EVSE, status=2)
    run("init", tmp_path / "b", "--host", "localhost")
    certificate_folder.issue(tmp_path / "b", [EVSE], now=datetime.now(UTC) - DAY, days=3)
    shutil.copytree(tmp_path / "b" / "chargers", folder / "chargers")
    assert "issued by another authority" in run("renew", folder, EVSE, status=2)
    (folder / "ca_private.key").unlink()
    assert "v2g certs init" in run("renew", folder, EVSE, status=2)


def test_every_command_teaches_by_an_example():
    for name in ("init", "issue", "show", "renew"):
        assert f"v2g certs {name}" in run(name, "--help")
