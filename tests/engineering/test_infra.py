"""The units and the broker's configuration hold what the documentation promises of them."""

import re
import stat
import subprocess
from pathlib import Path

import pytest

from ingest_daemon.settings import load
from storage.engine import LOGIN_ROLES
from tests.engineering.house import ROOT, read

UNITS = sorted((ROOT / "infra").glob("*.service"))


def settings(text: str) -> list[tuple[str, str]]:
    """Lines of ``name value``, comments left out."""
    lines = (line.strip() for line in text.splitlines())
    return [
        (line.partition(" ")[0], line.partition(" ")[2])
        for line in lines
        if line and not line.startswith("#")
    ]


@pytest.fixture(scope="module")
def broker() -> list[tuple[str, str]]:
    return settings(read(ROOT / "infra" / "mosquitto.conf"))


def test_the_broker_listens_with_tls_only(broker):
    # given its settings, cut into one part per listener
    starts = [number for number, (name, _) in enumerate(broker) if name == "listener"]
    parts = [dict(broker[start : start + 9]) for start in starts]

    # then there are two, and each asks for a certificate and takes the identity from it
    assert [part["listener"] for part in parts] == ["8883", "8884"]
    for part in parts:
        assert {"cafile", "certfile", "keyfile", "tls_version"} <= part.keys()
        assert part["require_certificate"] == "true"
        assert part["use_identity_as_username"] == "true"
        assert part["use_username_as_clientid"] == "true"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("allow_anonymous", "false"),
        ("persistence", "true"),
        ("autosave_on_changes", "false"),
        ("autosave_interval", "1"),
    ],
)
def test_the_broker_trusts_nobody_unknown_and_keeps_what_it_acknowledged(
    broker, name: str, value: str
):
    assert (name, value) in broker


def test_the_brokers_defaults_that_lose_packets_are_raised(broker):
    limits = dict(broker)
    assert int(limits["max_inflight_messages"]) >= 1_000
    assert limits["max_queued_messages"] == "0"
    assert int(limits["max_queued_bytes"]) >= 2**30


def test_a_charger_speaks_for_itself_only():
    # given the rules for those who are not the daemon
    rules = [f"{name} {value}" for name, value in settings(read(ROOT / "infra" / "v2g.acl"))]
    chargers = rules[: rules.index("user v2g-settlement")]

    # then each is a pattern with the name of the certificate in it
    assert chargers
    assert all(re.fullmatch(r"pattern (read|write) v2g/%u/\w+", rule) for rule in chargers)


@pytest.mark.parametrize("unit", UNITS, ids=lambda p: p.name)
def test_a_unit_runs_without_rights_restarts_and_is_bounded(unit):
    # given the settings of a unit, section by section
    text = read(unit)
    before_service, _, service = text.partition("\n[Service]\n")

    # then
    for line in [
        "User=v2g",
        "Restart=always",
        "NoNewPrivileges=true",
        "ProtectSystem=strict",
        "UMask=0077",
    ]:
        assert f"\n{line}\n" in service
    assert re.search(r"^MemoryMax=\d+[MG]$", service, re.MULTILINE)
    assert "StartLimitIntervalSec=0" in before_service
    assert not re.search(r"(?i)(token|password)=\S", text)


@pytest.mark.parametrize(
    ("login", "started"),
    [
        (None, False),
        ("", False),
        ("v2g:", False),
        ("v2g:short", False),
        (":" + "x" * 64, False),
        ("x" * 64, False),
        ("v2g:" + "x" * 64, True),
    ],
    ids=["none", "empty", "no password", "short", "no user", "no colon", "good"],
)
def test_prefects_server_does_not_start_without_a_login(login: str | None, started: bool):
    # given the check before the start, as systemd hands it to the shell
    unit = read(ROOT / "infra" / "v2g-prefect.service")
    checks = re.findall(r"^ExecStartPre=/bin/sh -c '(.*)'$", unit, re.MULTILINE)
    assert len(checks) == 1
    assert "${" not in checks[0], "systemd would put the login itself among the arguments"

    # when it runs
    result = subprocess.run(
        ["/bin/sh", "-c", checks[0].replace("$$", "$")],
        env={} if login is None else {"PREFECT_SERVER_API_AUTH_STRING": login},
        capture_output=True, text=True, check=False, timeout=10,
    )  # fmt: skip

    # then it passes with a login only, and else says where one comes from
    assert (result.returncode == 0) is started
    assert ("infra/README.md" in result.stderr) is not started


def test_the_steps_of_the_readme_make_one_login_that_only_its_owner_reads(tmp_path: Path):
    # given the step that makes the login, with another folder
    page = read(ROOT / "infra" / "README.md")
    step = re.search(r"^sudo sh -c '\n(.*?)^'$", page, re.MULTILINE | re.DOTALL)
    assert step
    script = step.group(1).replace("/etc/v2g/", f"{tmp_path}/")

    # when it runs twice
    logins = []
    for _ in range(2):
        subprocess.run(["/bin/sh", "-c", script], check=True, timeout=10)
        server, client = tmp_path / "prefect-server.env", tmp_path / "prefect-client.env"
        logins.append(server.read_text().partition("=")[2])

        # then server and clients have the same one, for their owner alone
        assert server.read_text() == f"PREFECT_SERVER_API_AUTH_STRING={logins[-1]}"
        assert client.read_text() == f"PREFECT_API_AUTH_STRING={logins[-1]}"
        assert re.fullmatch(r"v2g:[0-9a-f]{64}\n", logins[-1])
        assert {stat.S_IMODE(file.stat().st_mode) for file in (server, client)} == {0o600}

    # and each time a new one
    assert logins[0] != logins[1]


def test_server_and_clients_cannot_start_without_the_file_of_their_login():
    for unit, file in [
        ("v2g-prefect.service", "prefect-server.env"),
        ("v2g-worker.service", "prefect-client.env"),
    ]:
        assert f"\nEnvironmentFile=/etc/v2g/{file}\n" in read(ROOT / "infra" / unit)


def test_no_step_of_the_readme_turns_a_file_of_settings_into_arguments():
    assert not re.search(r"\$\((sudo )?cat ", read(ROOT / "infra" / "README.md"))


def test_the_readme_lets_the_services_take_every_role_that_logs_in():
    # given the map from system user to role
    page = read(ROOT / "infra" / "README.md")
    mapped = re.findall(r"^v2g  v2g  (\w+)$", page, re.MULTILINE)
    allowed = re.search(r"^local  v2g  (\S+)  peer map=v2g$", page, re.MULTILINE)

    # then both lines name the roles that the code has
    assert mapped == [role.value for role in LOGIN_ROLES]
    assert allowed
    assert allowed.group(1).split(",") == mapped


def test_the_example_of_settings_can_be_used_and_names_only_settings_that_exist(
    monkeypatch: pytest.MonkeyPatch,
):
    # given the variables of the example
    lines = read(ROOT / "infra" / "settlement.env.example").splitlines()
    given = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))

    # when they are read as systemd reads them, without the quotes
    for name, value in given.items():
        monkeypatch.setenv(name, value.strip('"'))
    loaded = load()

    # then the daemon takes them, and each is documented
    assert loaded.database_url == "host=/run/postgresql dbname=v2g"
    documented = set(re.findall(r"^\| `(V2G_\w+)` ", read(ROOT / "docs/settings.md"), re.MULTILINE))
    assert given.keys() <= documented


@pytest.mark.parametrize("page", ["docs/transport.md", "infra/mosquitto.conf"])
def test_what_a_killed_broker_can_lose_is_told_and_what_makes_up_for_it(page: str):
    words = re.sub(r"[\s#]+", " ", read(ROOT / page))
    assert "two seconds" in words
    assert "receipt" in words
    assert "not exist yet" not in words


def test_every_unit_is_in_the_readme():
    page = read(ROOT / "infra" / "README.md")
    assert [unit.name for unit in UNITS if unit.name not in page] == []
