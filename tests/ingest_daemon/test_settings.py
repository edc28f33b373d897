"""Settings: what is wrong is said with its variable, what was found, and what was expected."""

import os
import subprocess
import sys

import pytest

from ingest_daemon.errors import SettingsError
from ingest_daemon.settings import Settings, load
from tests.ingest_daemon.harness import ROOT, TOKEN, Daemon, count, secret_file
from tests.packets import make_packet

GOOD = {"V2G_DATABASE_URL": "host=/run/pg dbname=v2g", "V2G_INTAKE_TOKEN_FILE": "/etc/v2g/token"}


def run(tmp_path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("V2G_")
    } | variables
    return subprocess.run(
        [sys.executable, "-m", "ingest_daemon", *arguments], env=environment, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.fixture
def environment(monkeypatch):
    for name in list(os.environ):
        if name.startswith("V2G_"):
            monkeypatch.delenv(name)

    def given(**variables: str) -> None:
        for name, value in (GOOD | variables).items():
            monkeypatch.setenv(name, value)

    return given


def test_the_required_settings_are_enough_and_the_defaults_are_on_loopback(environment):
    environment()

    settings = load()

    assert (settings.mqtt_host, settings.http_host, settings.http_port) == (
        "127.0.0.1",
        "127.0.0.1",
        8090,
    )
    assert settings.mqtt_protocol == "5"


@pytest.mark.parametrize(
    ("variables", "variable", "found", "expected"),
    [
        pytest.param({"V2G_HTTP_PORT": "eighty"}, "V2G_HTTP_PORT", "'eighty'", "integer", id="not a number"),
        pytest.param({"V2G_HTTP_PORT": "70000"}, "V2G_HTTP_PORT", "'70000'", "less than or equal to 65535", id="out of range"),
        pytest.param({"V2G_DATABASE_URL": ""}, "V2G_DATABASE_URL", "''", "at least 1 character", id="empty"),
        pytest.param({"V2G_MQTT_PROTOCOL": "3"}, "V2G_MQTT_PROTOCOL", "'3'", "'5' or '311'", id="none of the choices"),
        pytest.param({"V2G_MQTT_CLIENT_ID": "a b"}, "V2G_MQTT_CLIENT_ID", "'a b'", "pattern", id="a space in a name"),
        pytest.param({"V2G_MQTT_USERNAME": "daemon"}, "V2G_MQTT_PASSWORD_FILE", "nothing", "password of V2G_MQTT_USERNAME", id="user without password"),
        pytest.param(
            {"V2G_MQTT_TLS_CA_FILE": "/ca", "V2G_MQTT_TLS_CERT_FILE": "/cert"}, "V2G_MQTT_TLS_KEY_FILE", "nothing", "both or neither", id="half a certificate",
        ),
        pytest.param({"V2G_MQTT_HOST": "broker.example"}, "V2G_MQTT_HOST", "no TLS", "V2G_MQTT_TLS_CA_FILE", id="plain MQTT to another machine"),
        pytest.param({"V2G_HTTP_HOST": "192.0.2.1"}, "V2G_HTTP_HOST", "plain HTTP", "ends TLS", id="plain HTTP from other machines"),
        pytest.param({"V2G_BATCH_ROWS": "9000"}, "V2G_BATCH_ROWS", "9000", "V2G_BUFFER_PACKETS (8192)", id="a batch beyond the window"),
    ],
)  # fmt: skip
def test_a_wrong_setting_is_named_with_what_was_found_and_expected(
    environment, variables, variable, found, expected
):
    environment(**variables)

    with pytest.raises(SettingsError) as caught:
        load()

    [wrong] = caught.value.wrong
    assert wrong.variable == variable
    assert found in wrong.found
    assert expected in wrong.expected
    assert caught.value.exit_status == 2


def test_all_that_is_wrong_is_said_at_once(environment, monkeypatch):
    environment(V2G_HTTP_PORT="x", V2G_BATCH_ROWS="0")
    monkeypatch.delenv("V2G_DATABASE_URL")

    with pytest.raises(SettingsError) as caught:
        load()

    assert {wrong.variable for wrong in caught.value.wrong} == {
        "V2G_HTTP_PORT",
        "V2G_BATCH_ROWS",
        "V2G_DATABASE_URL",
    }


def test_a_laboratory_may_do_without_tls(environment):
    environment(
        V2G_MQTT_HOST="broker.example", V2G_HTTP_HOST="192.0.2.1", V2G_ALLOW_PLAIN_NETWORK="true"
    )

    assert load().mqtt_host == "broker.example"


def test_with_mqtt_3_a_batch_waits_for_nobody(environment):
    environment(V2G_MQTT_PROTOCOL="311")

    assert load().linger_s == 0


def test_every_setting_says_what_it_is():
    assert all(field.description for field in Settings.model_fields.values())


def test_help_lists_every_setting(tmp_path):
    told = run(tmp_path, "--help").stdout

    assert all(f"V2G_{name.upper()}" in told for name in Settings.model_fields)


def test_a_token_that_others_can_read_is_refused_with_the_command_that_repairs_it(tmp_path):
    token = secret_file(tmp_path / "token", TOKEN)
    token.chmod(0o644)

    ended = run(tmp_path, V2G_DATABASE_URL="dbname=v2g", V2G_INTAKE_TOKEN_FILE=str(token))

    assert ended.returncode == 2
    assert "V2G_INTAKE_TOKEN_FILE" in ended.stderr
    assert f"chmod 600 '{token}'" in ended.stderr
    assert TOKEN not in ended.stderr + ended.stdout


def test_started_the_long_way_it_checks_serves_and_refuses_a_taken_port(
    plain_database, tmp_path, key
):
    with Daemon(tmp_path, plain_database, the_long_way=True) as daemon:
        port = daemon.url.rpartition(":")[2]
        good = {
            "V2G_DATABASE_URL": plain_database,
            "V2G_INTAKE_TOKEN_FILE": str(tmp_path / "token"),
            "V2G_MQTT_HOST": "",
        }

        second = run(tmp_path, **good, V2G_HTTP_PORT=port)
        checked = run(tmp_path, "--check", **good, V2G_HTTP_PORT="0")

        assert daemon.post(make_packet(key)).status_code == 200
        assert (second.returncode, f":{port} (Address already in use)" in second.stderr) == (
            2,
            True,
        )
        assert (checked.returncode, checked.stdout) == (
            0,
            "ingest_daemon: the settings can be used\n",
        )
        assert daemon.process.stop() == 0
    assert count(plain_database) == 1
