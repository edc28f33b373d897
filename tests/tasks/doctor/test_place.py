"""A whole machine in a folder: what is read from settings, and that no check is forgotten."""

from pathlib import Path

import pytest

from evse_agent.clock import Offset
from tasks.doctor.examine import examine
from tasks.doctor.finding import Finding, State, fit
from tasks.doctor.place import Place, checks, read_settings
from tasks.settings import Settings
from tests.tls import ROOT


def place(root: Path, environ: dict[str, str], **more) -> Place:
    return Place(
        environ=environ,
        root=root,
        offset=lambda: Offset(12, "chrony", synchronised=True),
        release="6.1.0",
        room=lambda _: (10**12, 10**12),
        **more,
    )


def test_every_check_is_told_in_one_order(tmp_path, plain_database):
    # given a machine on which everything is as it should be, but for broker and Prefect
    file = tmp_path / "proc/sys/vm/swappiness"
    file.parent.mkdir(parents=True)
    file.write_text("10")
    environ = {"V2G_DATABASE_URL": plain_database, "V2G_MQTT_HOST": ""}

    # when it is looked at
    found = examine(checks(place(tmp_path, environ, loaders={"worker": lambda: None})))

    # then each check has its word, and nothing is bad
    assert [one.check for one in found] == [
        "clock", "kernel", "swappiness", "disk", "settings of worker", "files", "database",
        "database settings", "timescaledb", "migrations", "roles", "broker", "broker limits", "prefect",
    ]  # fmt: skip
    assert fit(found), [one for one in found if one.state is State.BAD]


def test_settings_that_are_wrong_are_named_without_their_value(tmp_path, monkeypatch):
    monkeypatch.setenv("V2G_POST_LIMIT", "hunter2")
    loaders = {"worker": lambda: Settings(database_url="host=/x")}

    (found,) = only("settings", place(tmp_path, {}, loaders=loaders))

    assert found.state is State.BAD
    assert "V2G_POST_LIMIT" in found.found
    assert "hunter2" not in str(found)


def test_a_port_that_is_none_is_told(tmp_path):
    (found,) = only("broker", place(tmp_path, {"V2G_MQTT_PORT": "mqtt"}))

    assert found.state is State.BAD
    assert only("broker limits", place(tmp_path, {"V2G_MQTT_PORT": "mqtt"})) == []


def only(name: str, machine: Place) -> list[Finding]:
    return examine({name: checks(machine)[name]})


def test_the_example_of_settings_is_read_as_systemd_reads_it():
    found = read_settings(ROOT / "infra" / "settlement.env.example")

    assert found["V2G_DATABASE_URL"] == "host=/run/postgresql dbname=v2g"
    assert found["V2G_MQTT_PORT"] == "8883"
    assert "V2G_METRICS_TOKEN_FILE" not in found


@pytest.mark.parametrize("line", ["hunter2", "A B=hunter2", 'A="hunter2', "=hunter2"])
def test_a_line_that_is_no_variable_is_told_by_its_number_only(tmp_path, line):
    file = tmp_path / "settlement.env"
    file.write_text(f"# a comment\n\nGOOD=1\n{line}\n")

    with pytest.raises(ValueError, match="line 4") as caught:
        read_settings(file)

    assert "hunter2" not in str(caught.value)
