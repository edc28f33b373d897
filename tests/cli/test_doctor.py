"""`v2g doctor` as an operator types it."""

import json
import os

import pytest
import typer
from typer.testing import CliRunner

from cli.doctor import doctor

app = typer.Typer()
app.command()(doctor)


@pytest.fixture
def shell(monkeypatch):
    """A shell without a variable of ours."""
    for name in [one for one in os.environ if one.startswith(("V2G_", "PREFECT_"))]:
        monkeypatch.delenv(name)
    return monkeypatch


def run(*words: object):
    return CliRunner().invoke(app, [*map(str, words)], env={"COLUMNS": "200"})


def test_what_is_bad_is_told_with_its_repair_and_ends_with_one(shell, tmp_path):
    # given settings with a database that is not there, and a token that all can read
    token = tmp_path / "token"
    token.write_text("hunter2hunter2")
    token.chmod(0o644)
    settings = tmp_path / "settlement.env"
    settings.write_text(
        'V2G_DATABASE_URL="host=/nowhere dbname=v2g password=hunter2"\n'
        f"V2G_MQTT_HOST=\nV2G_CLEARINGHOUSE_TOKEN_FILE={token}\n"
    )

    # when the doctor looks, for a person and for a program
    told = run("--settings", settings)
    document = run("--settings", settings, "--json")

    # then both say what is bad and what to do, and neither shows a secret
    assert (told.exit_code, document.exit_code) == (1, 1)
    assert f"chmod 600 '{token}'" in told.output
    assert "/nowhere" in told.output
    body = json.loads(document.stdout)
    states = {one["check"]: one["state"] for one in body["findings"]}
    assert body["fit"] is False
    assert states["database"] == states["file V2G_CLEARINGHOUSE_TOKEN_FILE"] == "bad"
    assert states["broker"] == "ok"
    assert "hunter2" not in told.output + document.output

    # and the shell's variables are as before
    assert "V2G_DATABASE_URL" not in os.environ


@pytest.mark.parametrize("text", [None, "no variable"])
def test_settings_that_cannot_be_read_end_with_two(shell, tmp_path, text):
    file = tmp_path / "settlement.env"
    if text is not None:
        file.write_text(text)

    done = run("--settings", file)

    assert done.exit_code == 2
    assert str(file) in done.output
