"""The guard's door: settings, files and how the process ends when one of them will not do."""

import pytest

from tests.ingest_daemon.harness import secret_file
from tests.thermal_guard.harness import ROOT
from thermal_guard import settings
from thermal_guard.__main__ import main

GOOD = {"V2G_DATABASE_URL": "host=127.0.0.1 port=1 dbname=none"}


@pytest.fixture
def door(monkeypatch, capsys):
    """Calls the program with variables; its status, and what it said."""
    for name in settings.Settings.model_fields:
        monkeypatch.delenv(settings.variable(name), raising=False)

    def call(*words: str, **variables: object) -> tuple[int, str]:
        with monkeypatch.context() as patch:
            for name, value in (GOOD | variables).items():
                patch.setenv(name, str(value))
            status = main(list(words))
        shown = capsys.readouterr()
        return status, shown.out + shown.err

    return call


def test_good_settings_can_be_checked(door):
    assert door("--check") == (0, "thermal_guard: the settings can be used\n")


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("V2G_DATABASE_URL", "", "V2G_DATABASE_URL: found nothing"),
        ("V2G_THERMAL_LIMIT_C", "hot", "V2G_THERMAL_LIMIT_C: found 'hot'"),
        ("V2G_THERMAL_LIMIT_C", "45", "RELEASE_HIGH_C < V2G_THERMAL_LIMIT_C"),
        ("V2G_THERMAL_RELEASE_LOW_C", "45", "V2G_THERMAL_RELEASE_LOW_C <"),
        ("V2G_THERMAL_LOST_AFTER_S", "0", "V2G_THERMAL_LOST_AFTER_S"),
        ("V2G_THERMAL_RETRY_FIRST_S", "60.5", "V2G_THERMAL_RETRY_FIRST_S"),
        ("V2G_MQTT_HOST", "mqtt.example", "another machine, and no TLS"),
        ("V2G_MQTT_TLS_CA_FILE", "/none/ca.pem", "V2G_MQTT_TLS_CA_FILE: found /none/ca.pem"),
        ("V2G_THERMAL_TLS_CERT_FILE", "/none/c.pem", "V2G_THERMAL_TLS_KEY_FILE: found nothing"),
        ("V2G_THERMAL_USERNAME", "me", "V2G_THERMAL_PASSWORD_FILE: found nothing"),
        ("V2G_MODBUS_FILE", "/none/modbus.yaml", "/none/modbus.yaml"),
    ],
)
def test_a_setting_that_will_not_do_is_named(door, name, value, words):
    status, said = door("--check", **{name: value})
    assert status == 2
    assert words in said
    assert "--help" in said


def test_a_key_that_others_can_read_is_refused(door, tls_broker):
    files = tls_broker.client("v2g-thermal")
    tls = {
        "V2G_MQTT_TLS_CA_FILE": tls_broker.ca,
        "V2G_THERMAL_TLS_CERT_FILE": files.certificate,
        "V2G_THERMAL_TLS_KEY_FILE": files.key,
    }
    assert door("--check", **tls)[0] == 0
    files.key.chmod(0o644)
    status, said = door("--check", **tls)
    assert status == 2
    assert "ERR_AUTH_EXPIRED: V2G_THERMAL_TLS_KEY_FILE" in said


def test_a_password_that_others_can_read_is_refused(door, tmp_path):
    file = secret_file(tmp_path / "password", "secret-secret-secret")
    login = {"V2G_THERMAL_USERNAME": "me", "V2G_THERMAL_PASSWORD_FILE": file}
    assert door("--check", **login)[0] == 0
    file.chmod(0o644)
    assert door("--check", **login)[0] == 2


def test_the_help_tells_every_setting(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert [n for n in settings.Settings.model_fields if settings.variable(n) not in shown] == []


def test_the_example_beside_the_daemons_can_be_used(door):
    # given both files, as systemd reads them one after the other
    given: dict[str, str] = {}
    for name in ("settlement.env.example", "thermal.env.example"):
        lines = (ROOT / "infra" / name).read_text().splitlines()
        given |= dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    known = {settings.variable(name) for name in settings.Settings.model_fields}
    ours = {name: value.strip('"') for name, value in given.items() if name in known}
    # then nothing in them is wrong but the files, which are not here
    assert {name for name in given if name.startswith(settings.PREFIX)} <= known
    status, said = door("--check", **ours)
    assert status == 2
    assert said.count("found") == 1
    assert "V2G_MQTT_TLS_CA_FILE: found /etc/v2g/ca.pem" in said
