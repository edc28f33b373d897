"""`v2g keys init`, and `show` and `rotate` without a KEY."""

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app
from tasks.posting.settlement_key import CERTIFICATE, PRIVATE
from tests.ingest_daemon.harness import secret_file
from tests.tasks.posting.keys import made_in

DAY = timedelta(days=1)


def run(*words: str | Path, status: int = 0, **settings: Path | str) -> str:
    environment: dict[str, str | None] = {
        name: None for name in os.environ if name.startswith("V2G_")
    }
    environment |= {"COLUMNS": "200"} | {
        f"V2G_{name}": str(value) for name, value in settings.items()
    }
    result = CliRunner().invoke(app, ["keys", *map(str, words)], env=environment)
    assert result.exit_code == status, result.output
    return result.output if status else result.stdout


def test_a_key_is_made_shown_rotated_and_shown_again(tmp_path):
    # given
    folder = tmp_path / "v2g"
    key = {"SETTLEMENT_KEY_FILE": folder / PRIVATE}

    # when
    said = run("init", folder)
    shown = json.loads(run("show", "--json", **key))

    # then
    [first] = shown["keys"]
    assert shown["stands"] is True
    assert (first["state"], first["algorithm"], first["days_left"]) == (
        "OK",
        "ecdsa-p256-sha256",
        396,
    )
    assert first["key_id"] in said
    assert "hand to the partner" in said
    assert f"V2G_SETTLEMENT_KEY_FILE={folder / PRIVATE}" in said
    assert first["key_id"] in run("show", **key)

    # when
    waiting = json.loads(run("rotate", "--days", "90", "--json", **key))
    assert json.loads(run("show", "--json", **key))["keys"][0]["key_id"] == first["key_id"]
    run("rotate", "--switch", **key)

    # then
    [second] = json.loads(run("show", "--json", **key))["keys"]
    assert second["key_id"] == waiting["key_id"] != first["key_id"]
    assert second["days_left"] == 89


def test_rsa_a_request_and_a_passphrase_are_made_where_they_are_asked_for(tmp_path):
    word = secret_file(tmp_path / "word", "correct horse battery staple")
    made = json.loads(run("init", tmp_path / "rsa", "--rsa", "--passphrase-file", word, "--json"))
    assert made["algorithm"] == "rsa-v1_5-sha256"
    assert b"ENCRYPTED" in (tmp_path / "rsa" / PRIVATE).read_bytes()
    said = run("init", tmp_path / "csr", "--csr")
    assert "let the authority sign" in said
    assert not (tmp_path / "csr" / CERTIFICATE).exists()
    assert "correct horse" not in said + json.dumps(made)


@pytest.mark.parametrize(
    ("ago", "days", "state", "status"),
    [
        (0, 397, "OK", 0),
        (10, 39, "EXPIRES SOON", 0),
        (10, 9, "ERR_AUTH_EXPIRED", 1),
        (-2, 9, "ERR_AUTH_EXPIRED", 1),
    ],
)
def test_what_ends_soon_is_shown_and_what_is_over_is_err_auth_expired(
    tmp_path, ago, days, state, status
):
    made_in(tmp_path, now=datetime.now(UTC) - ago * DAY, days=days)
    shown = run("show", status=status, SETTLEMENT_KEY_FILE=tmp_path / PRIVATE)
    assert state in shown
    if status:
        assert "ERR_AUTH_EXPIRED V2G_SETTLEMENT_CERT_FILE" in shown


def test_a_badly_kept_key_is_named_with_its_repair_by_every_command(tmp_path):
    made_in(tmp_path, now=datetime.now(UTC))
    (tmp_path / PRIVATE).chmod(0o644)
    for command, status in ((["show"], 1), (["rotate"], 3), (["rotate", "--switch"], 3)):
        if command[-1] == "--switch":
            (tmp_path / "settlement_rotation.jws").write_text("a.eyJpYXQiOjF9.c")
        said = run(*command, status=status, SETTLEMENT_KEY_FILE=tmp_path / PRIVATE)
        assert f"run: chmod 600 '{tmp_path / PRIVATE}'" in said


def test_nothing_is_overwritten(tmp_path):
    run("init", tmp_path)
    before = {one: one.read_bytes() for one in tmp_path.iterdir()}
    assert "exists already" in run("init", tmp_path, status=3)
    assert {one: one.read_bytes() for one in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    ("words", "settings", "said"),
    [
        (["show"], {}, "no settlement key is configured"),
        (["rotate"], {}, "no settlement key is configured"),
        (["show", "SOME-KEY"], {}, "--database: nothing"),
        (["rotate", "OLD"], {}, "NEW: nothing"),
        (["rotate", "OLD", "new.pem"], {}, "--by: nothing"),
        (["rotate", "OLD", "new.pem", "--by", "anna"], {}, "--database: nothing"),
        (["show"], {"SETTLEMENT_KEY_FILE": "/k", "SETTLEMENT_PKCS11_MODULE": "/m"}, "both given"),
        (["init", "DIR", "--pkcs11-module", "/m"], {}, "expected --pkcs11-token"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_what_was_expected(words, settings, said):
    assert said in run(*words, status=2, **settings)
