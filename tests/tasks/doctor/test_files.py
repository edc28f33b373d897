"""Files that settings name: each kind, well and badly kept."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cli import docs_settings
from tasks import certificate_folder
from tasks.doctor import files
from tasks.doctor.finding import State

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
ME = os.geteuid()


@pytest.fixture
def folder(tmp_path) -> Path:
    """An authority's folder, its daemon's pair, and a token."""
    made: Path = tmp_path / "authority"
    certificate_folder.init(made, ["localhost"], now=NOW)
    secret = made / "token"
    secret.touch(0o600)
    secret.write_text("hunter2hunter2")
    return made


def look(name: str, path: Path, *, owner: int = ME, now: datetime = NOW):
    (found,) = files.files({name: str(path)}, owner=owner, now=now)
    return found


def test_what_is_well_kept_is_good(folder):
    found = files.files(
        {
            "V2G_MQTT_TLS_CA_FILE": str(folder / "ca.pem"),
            "V2G_MQTT_TLS_CERT_FILE": str(folder / "settlement_cert.pem"),
            "V2G_MQTT_TLS_KEY_FILE": str(folder / "settlement_private.key"),
            "V2G_INTAKE_TOKEN_FILE": str(folder / "token"),
        },
        owner=ME,
        now=NOW,
    )

    assert [one.state for one in found] == [State.OK] * 4
    assert "hunter2" not in str(found)


@pytest.mark.parametrize(
    ("days", "state", "word"),
    [(300, State.OK, ""), (380, State.WARN, "days"), (398, State.BAD, "ERR_AUTH_EXPIRED"), (-2, State.BAD, "ERR_AUTH_EXPIRED")],
)  # fmt: skip
def test_a_certificate_is_told_before_it_ends(folder, days, state, word):
    # given the daemon's, which lasts 397 days
    cert = folder / "settlement_cert.pem"

    found = look("V2G_MQTT_TLS_CERT_FILE", cert, now=NOW + timedelta(days=days))

    assert found.state is state
    assert word in found.found


@pytest.mark.parametrize("name", ["V2G_MQTT_TLS_KEY_FILE", "V2G_INTAKE_TOKEN_FILE"])
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_a_secret_that_others_can_read_is_bad_and_the_repair_can_be_typed(folder, name, mode):
    path = folder / ("token" if "TOKEN" in name else "settlement_private.key")
    path.chmod(mode)

    found = look(name, path)

    assert found.state is State.BAD
    assert found.repair == f"chmod 600 '{path}'"


def test_a_key_of_somebody_else_is_bad(folder):
    found = look("V2G_MQTT_TLS_KEY_FILE", folder / "settlement_private.key", owner=ME + 1)

    assert found.state is State.BAD
    assert f"not {ME + 1}" in found.found
    assert "ERR_AUTH_EXPIRED" in found.found


def test_a_key_in_a_folder_that_others_write_to_is_bad(folder):
    folder.chmod(0o777)

    assert "exchange" in look("V2G_MQTT_TLS_KEY_FILE", folder / "settlement_private.key").found


def test_a_link_in_place_of_a_secret_is_bad(folder, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(folder / "token")

    assert look("V2G_INTAKE_TOKEN_FILE", link).state is State.BAD


def test_an_empty_secret_and_a_missing_file_are_bad(folder):
    (folder / "token").write_text("")

    assert look("V2G_INTAKE_TOKEN_FILE", folder / "token").state is State.BAD
    assert look("V2G_GRID_FILE", folder / "none.yaml").state is State.BAD


def test_what_is_no_certificate_is_bad(folder):
    assert look("V2G_MQTT_TLS_CA_FILE", folder / "token").state is State.BAD


def test_a_configuration_that_everybody_may_write_is_bad(folder):
    file = folder / "grid.yaml"
    file.write_text("feeds: []")
    file.chmod(0o644)
    assert look("V2G_GRID_FILE", file).state is State.OK

    file.chmod(0o666)
    assert look("V2G_GRID_FILE", file).state is State.BAD


def test_the_certificate_beside_the_settlement_key_is_looked_at_too(folder):
    found = files.files(
        {"V2G_SETTLEMENT_KEY_FILE": str(folder / "settlement_private.key")}, owner=ME, now=NOW
    )

    assert [one.check for one in found] == [
        "file V2G_SETTLEMENT_KEY_FILE",
        "file V2G_SETTLEMENT_CERT_FILE",
    ]


def test_nothing_to_look_at_is_not_called_good():
    (found,) = files.files({}, owner=ME, now=NOW)

    assert found.state is State.UNKNOWN


def test_every_setting_that_names_a_file_is_known():
    # given every setting of every service that holds the path of a file
    named = {
        variable
        for one in docs_settings.settings_classes()
        for _, variable, field in docs_settings.variables(one)
        if "Path" in str(field.annotation) and not variable.endswith("_DIR")
    }

    # then the doctor knows what kind of file each is
    assert named == set(files.KINDS)
