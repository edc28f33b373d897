"""The service says at once, and in one go, what it cannot start with."""

import os
import socket
import subprocess
import sys

import pytest

from api.errors import SettingsError
from api.settings import Settings, load
from tests.api.served import ROOT

GOOD = {"V2G_DATABASE_URL": "host=/run/pg dbname=v2g", "V2G_API_TOKEN_FILE": "/etc/v2g/tokens.json"}


@pytest.fixture
def given(monkeypatch):
    for name in [name for name in os.environ if name.startswith("V2G_")]:
        monkeypatch.delenv(name)

    def environment(**variables: str) -> None:
        for name, value in (GOOD | variables).items():
            monkeypatch.setenv(name, value)

    return environment


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("V2G_")}
    return subprocess.run(
        [sys.executable, "-m", "api", *arguments],
        env=kept | variables, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_the_required_settings_are_enough_and_it_stays_on_this_machine(given):
    given()

    settings = load()

    assert (settings.http_host, settings.http_port, settings.tls_cert_file) == (
        "127.0.0.1", 8080, None,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("variables", "variable"),
    [
        ({"V2G_API_HTTP_PORT": "eighty"}, "V2G_API_HTTP_PORT"),
        ({"V2G_API_DATABASE_CONNECTIONS": "0"}, "V2G_API_DATABASE_CONNECTIONS"),
        ({"V2G_DATABASE_URL": ""}, "V2G_DATABASE_URL"),
        ({"V2G_API_HTTP_HOST": "10.0.0.1"}, "V2G_API_HTTP_HOST"),
        ({"V2G_API_HTTP_HOST": "0.0.0.0"}, "V2G_API_HTTP_HOST"),  # noqa: S104 - refused here
        ({"V2G_API_HTTP_HOST": "::"}, "V2G_API_HTTP_HOST"),
        ({"V2G_API_LOG_LEVEL": "LOUD"}, "V2G_API_LOG_LEVEL"),
    ],
)
def test_a_wrong_setting_is_named_with_what_was_found(given, variables, variable):
    given(**variables)

    with pytest.raises(SettingsError) as error:
        load()

    [line] = str(error.value).splitlines()
    assert line.startswith(f"{variable}: found {next(iter(variables.values()))!r}")
    assert ";" in line


def test_what_is_missing_is_named_all_at_once(given, monkeypatch):
    given()
    for name in GOOD:
        monkeypatch.delenv(name)

    with pytest.raises(SettingsError) as error:
        load()

    assert [line.partition(":")[0] for line in error.value.wrong] == list(GOOD)


@pytest.mark.parametrize(
    ("variables", "variable"),
    [
        ({"V2G_API_TLS_CERT_FILE": "/etc/cert.pem"}, "V2G_API_TLS_KEY_FILE"),
        ({"V2G_API_TLS_KEY_FILE": "/etc/key.pem"}, "V2G_API_TLS_CERT_FILE"),
        ({"V2G_API_TLS_CLIENT_CA_FILE": "/etc/ca.pem"}, "V2G_API_TLS_CLIENT_CA_FILE"),
    ],
)
def test_half_of_tls_is_refused(given, variables, variable):
    given(**variables)

    with pytest.raises(SettingsError, match=variable):
        load()


def test_help_lists_every_setting():
    shown = run("--help").stdout

    for name in Settings.model_fields:
        assert f"_{name.upper()}  [" in shown


def test_a_file_of_tokens_that_others_can_read_stops_the_start(tmp_path):
    tokens = tmp_path / "tokens.json"
    tokens.write_text('{"version": 1, "tokens": []}')
    tokens.chmod(0o644)
    settings = GOOD | {"V2G_API_TOKEN_FILE": str(tokens)}

    refused = run("--check", **settings)
    tokens.chmod(0o600)
    accepted = run("--check", **settings)

    assert (refused.returncode, accepted.returncode) == (2, 0)
    assert "chmod 600" in refused.stderr
    assert "can be used" in accepted.stdout


def test_a_port_that_is_taken_is_said_so(tmp_path):
    tokens = tmp_path / "tokens.json"
    tokens.write_text('{"version": 1, "tokens": []}')
    tokens.chmod(0o600)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = run(**GOOD | {"V2G_API_TOKEN_FILE": str(tokens), "V2G_API_HTTP_PORT": port})

    assert done.returncode == 2
    assert port in done.stderr
