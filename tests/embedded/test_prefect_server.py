import os
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from embedded.errors import ChildExitedError, DeadlineExceededError, EmbeddedError
from embedded.prefect_server import PrefectServer
from embedded.processes import Supervised


@pytest.fixture(scope="module")
def spare(tmp_path_factory) -> Path:
    return Path(tmp_path_factory.mktemp("cache"), "prefect")


@pytest.fixture(scope="module")
def server(tmp_path_factory, spare):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PREFECT_API_URL", "http://127.0.0.1:1/api")  # another server's
        patch.setenv("PREFECT_SERVER_ANALYTICS_ENABLED", "true")
        with PrefectServer(tmp_path_factory.mktemp("prefect"), spare=spare) as running:
            yield running


def login(server: PrefectServer) -> tuple[str, str]:
    name, _, password = server.login.partition(":")
    return name, password


def test_the_api_answers_whoever_knows_the_login(server):
    assert httpx.get(f"{server.api_url}/admin/version", auth=login(server)).status_code == 200


def test_the_api_answers_nobody_else(server):
    assert httpx.get(f"{server.api_url}/admin/version").status_code == 401


def test_the_login_is_kept_from_others_and_stays(server):
    file = server.folder / "login"

    assert file.stat().st_mode & 0o077 == 0
    assert PrefectServer(server.folder).login == server.login


def test_nothing_is_reported_elsewhere_and_nothing_is_advertised(server):
    settings = httpx.get(f"{server.api_url}/admin/settings", auth=login(server)).json()["server"]

    assert settings["analytics_enabled"] is False
    assert settings["ui"]["show_promotional_content"] is False


def test_its_data_lie_in_its_folder(server):
    settings = httpx.get(f"{server.api_url}/admin/settings", auth=login(server)).json()

    assert settings["home"] == str(server.folder / "home")
    assert (server.folder / "home" / "prefect.db").exists()


def test_an_empty_database_is_kept_for_the_next_server_that_begins(server, spare, tmp_path):
    # given what the first server has left
    [kept] = spare.iterdir()
    with closing(sqlite3.connect(kept)) as database:
        assert database.execute("select count(*) from flow_run").fetchone() == (0,)
        assert database.execute("select count(*) from alembic_version").fetchone() == (1,)

    # when another one begins
    other = PrefectServer(tmp_path / "prefect", spare=spare)
    other.start()
    other.stop()

    # then it has not made one of its own
    assert (other.folder / "home" / "prefect.db").stat().st_size >= kept.stat().st_size


def test_only_loopback_is_listened_on(server):
    port = httpx.URL(server.api_url).port
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    listening = {row[1] for row in rows if row[3] == "0A" and row[1].endswith(f":{port:04X}")}

    assert listening == {f"0100007F:{port:04X}"}


def test_the_ui_is_served(server):
    answer = httpx.get(server.ui_url, follow_redirects=True)

    assert answer.status_code == 200
    assert "text/html" in answer.headers["content-type"]


def test_a_child_with_the_environment_works_with_this_server(server, tmp_path):
    prefect = Path(sys.executable).parent / "prefect"
    child = Supervised(
        "client",
        [prefect, "work-pool", "ls"],
        log=tmp_path / "log",
        environment={**os.environ, **server.environment},
    )
    child.start()

    status = child.wait(deadline_s=90)

    assert status == 0, child.log_tail()
    assert "No work pools" in child.log_tail()


def test_a_deadline_that_passes_is_told(tmp_path):
    server = PrefectServer(tmp_path / "prefect")
    server.start()
    try:
        with pytest.raises(DeadlineExceededError, match="Prefect's server"):
            server.wait_ready(deadline_s=0.01)
    finally:
        server.stop()

    assert not server.running


@pytest.mark.slow
def test_a_server_that_cannot_start_says_why(tmp_path):
    server = PrefectServer(tmp_path / "prefect")
    server._home.mkdir(parents=True)
    (server._home / "prefect.db").write_text("no database, but a text of this kind" * 20)
    server.start()

    with pytest.raises(ChildExitedError, match="not a database"):
        server.wait_ready(deadline_s=90)


def test_a_server_that_was_never_started_has_no_address(tmp_path):
    with pytest.raises(EmbeddedError, match=r"call start\(\)"):
        _ = PrefectServer(tmp_path / "prefect").api_url
