"""The daemon's own certificate and key: what is wrong with them has one name, and is said in time."""

import os
from datetime import UTC, datetime, timedelta

import pytest

from ingest_daemon.buffer import Buffer
from ingest_daemon.certificates import CERT_FILE, Calendar, require_private
from ingest_daemon.errors import SettingsError
from ingest_daemon.metrics import Metrics
from ingest_daemon.settings import Settings
from tests.ingest_daemon.harness import secret_file
from tests.ingest_daemon.test_mqtt_trouble import DAY, Authority, tls_of
from tests.ingest_daemon.test_settings import run

KEY_FILE = "V2G_MQTT_TLS_KEY_FILE"


@pytest.fixture
def authority(tmp_path):
    made = Authority()
    (tmp_path / "ca.pem").write_bytes(made.pem)
    return made


def settings_of(tmp_path, cert_file, key_file) -> Settings:
    return Settings(
        database_url="x",
        intake_token_file=tmp_path / "token",
        mqtt_tls_ca_file=tmp_path / "ca.pem",
        mqtt_tls_cert_file=cert_file,
        mqtt_tls_key_file=key_file,
    )


def linked(key):
    moved = key.rename(key.with_suffix(".moved"))
    key.symlink_to(moved)


def replaced_by_fifo(key):
    key.unlink()
    os.mkfifo(key, 0o600)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        pytest.param(lambda key: key.chmod(0o640), "mode 0640", id="its group reads it"),
        pytest.param(lambda key: key.chmod(0o604), "run: chmod 600", id="everybody reads it"),
        pytest.param(lambda key: key.unlink(), "cannot be read", id="not there"),
        pytest.param(linked, "a symbolic link", id="a link"),
        pytest.param(replaced_by_fifo, "no regular file", id="no file"),
        pytest.param(
            lambda key: key.parent.chmod(0o770), "run: chmod go-w", id="others write to its folder"
        ),
        pytest.param(
            lambda key: os.chown(key, 12345, -1),
            "run: chown",
            id="another's",
            marks=pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away"),
        ),
    ],
)
def test_a_key_that_is_badly_kept_is_refused_by_one_name_and_says_what_to_do(
    tmp_path, spoil, words
):
    folder = tmp_path / "keys"
    folder.mkdir(mode=0o700)
    key = secret_file(folder / "key", "x")
    spoil(key)

    with pytest.raises(SettingsError, match=f"^ERR_AUTH_EXPIRED: {KEY_FILE}: found ") as caught:
        require_private(key, KEY_FILE)

    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("validity", "words"),
    [
        pytest.param(
            {"begins": -2 * DAY, "ends": -DAY}, "v2g certs renew DIR daemon-7", id="expired"
        ),
        pytest.param({"begins": DAY, "ends": 2 * DAY}, "compare the clocks", id="not yet valid"),
    ],
)
def test_a_certificate_of_another_time_is_refused_before_anything_starts(
    authority, tmp_path, validity, words
):
    files = authority.issue(tmp_path, "daemon-7", **validity)

    with pytest.raises(SettingsError, match=f"^ERR_AUTH_EXPIRED: {CERT_FILE}: found ") as caught:
        tls_of(settings_of(tmp_path, *files))

    assert words in str(caught.value)


def test_the_program_says_so_and_ends_with_2(authority, tmp_path):
    cert_file, key_file = authority.issue(tmp_path, "daemon", begins=-2 * DAY, ends=-DAY)
    done = run(
        tmp_path,
        "--check",
        V2G_DATABASE_URL="x",
        V2G_INTAKE_TOKEN_FILE=str(secret_file(tmp_path / "token", "token-of-a-test")),
        V2G_MQTT_TLS_CA_FILE=str(tmp_path / "ca.pem"),
        V2G_MQTT_TLS_CERT_FILE=str(cert_file),
        V2G_MQTT_TLS_KEY_FILE=str(key_file),
    )

    assert done.returncode == 2
    assert "\nERR_AUTH_EXPIRED: V2G_MQTT_TLS_CERT_FILE: found " in done.stderr


def test_it_is_said_thirty_fourteen_and_three_days_before_each_once(authority, tmp_path, caplog):
    files = authority.issue(tmp_path, "daemon-7", ends=60 * DAY)
    start = datetime.now(UTC)
    clock = [start]
    settings = settings_of(tmp_path, *files).model_copy(update={"mqtt_tls_ca_file": None})
    metrics = Metrics(Buffer(), now=lambda: clock[0])
    calendar = Calendar(settings, now=lambda: clock[0], metrics=metrics)

    said = {}
    for day in range(62):
        clock[0] = start + day * DAY
        caplog.clear()
        calendar.look()
        for record in caplog.records:
            said[60 - day] = (record.message, record.fields["days"], record.fields["do"])

    assert {left: (event, days) for left, (event, days, _) in said.items()} == {
        30: ("certificate_expires", 29),
        14: ("certificate_expires", 13),
        3: ("certificate_expires", 2),
        0: ("certificate_expired", 0),
    }
    assert all("v2g certs renew DIR daemon-7" in do for *_, do in said.values())
    left = f'v2g_ingest_certificate_seconds{{file="{CERT_FILE}"}} -'
    assert left in metrics.text().decode()


def test_a_renewed_certificate_is_no_more_warned_of(authority, tmp_path, caplog):
    now = datetime.now(UTC)
    files = authority.issue(tmp_path, "daemon", ends=2 * DAY)
    settings = settings_of(tmp_path, *files).model_copy(update={"mqtt_tls_ca_file": None})
    metrics = Metrics(Buffer(), now=lambda: now)
    calendar = Calendar(settings, now=lambda: now, metrics=metrics)
    calendar.look()
    assert [record.message for record in caplog.records] == ["certificate_expires"]

    caplog.clear()
    authority.issue(tmp_path, "daemon", ends=90 * DAY)
    calendar.look()

    assert caplog.records == []
    assert calendar._left(CERT_FILE) > timedelta(days=89)
