import os
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psycopg
import pytest

from embedded import engine, places
from embedded.engine import wheel_major
from embedded.errors import (
    ChildExitedError,
    DataFolderError,
    DataFolderInUseError,
    EmbeddedError,
    WrongEngineError,
    WrongMajorVersionError,
)
from embedded.postgres import PostgresServer, create_database
from embedded.processes import wait_until

ROOT = os.geteuid() == 0
REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def server(tmp_path):
    with PostgresServer(tmp_path / "pg") as running:
        yield running


def ask(server: PostgresServer, query: str):
    with psycopg.connect(server.dsn(), user="v2g") as connection:
        row = connection.execute(query).fetchone()
    return None if row is None else row[0]


def write_rows(server: PostgresServer, rows: int) -> None:
    with psycopg.connect(server.dsn(), user="v2g") as connection:
        connection.execute(f"CREATE TABLE kept AS SELECT generate_series(1, {rows}) AS n")


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("fsync", "on"),
        ("full_page_writes", "on"),
        ("synchronous_commit", "on"),
        ("data_checksums", "on"),
        ("listen_addresses", ""),
        ("TimeZone", "UTC"),
        ("log_timezone", "UTC"),
        ("server_encoding", "UTF8"),
    ],
)
def test_a_server_is_durable_private_and_the_same_everywhere(shared_server, setting, expected):
    assert ask(shared_server, f"SELECT current_setting('{setting}')") == expected


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory):
    # Everything that would change a server that listened to it.
    foreign = {"PGDATA": "/nowhere", "PGPORT": "1", "TZ": "Asia/Tokyo", "LC_ALL": "tr_TR.UTF-8"}
    settings = {"listen_addresses": "*", "work_mem": "7MB"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in foreign.items():
            patch.setenv(name, value)
        with PostgresServer(tmp_path_factory.mktemp("shared") / "pg", settings=settings) as started:
            yield started


def test_settings_reach_the_server_but_cannot_open_tcp(shared_server):
    assert ask(shared_server, "SHOW work_mem") == "7MB"
    assert ask(shared_server, "SHOW listen_addresses") == ""


def test_text_sorts_by_code_point_on_every_machine(shared_server):
    provider = ask(
        shared_server,
        "SELECT datlocprovider::text || ' ' || datlocale FROM pg_database WHERE datname = 'postgres'",
    )

    assert provider == "b C.UTF-8"
    assert (
        ask(
            shared_server,
            "SELECT string_agg(t, '' ORDER BY t) FROM unnest(array['b','B','ä','a','Z']) t",
        )
        == "BZabä"
    )


def test_the_engine_says_what_runs(shared_server):
    assert shared_server.engine == "PostgreSQL " + ask(shared_server, "SHOW server_version")


def test_the_socket_lies_in_a_short_folder_of_one_user(shared_server):
    folder = Path(ask(shared_server, "SHOW unix_socket_directories"))

    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert len(str(folder)) < 100


def test_a_database_is_created_once_whatever_its_name(shared_server):
    name = "a \"b\" 'c' ö"

    first, second = create_database(shared_server, name), create_database(shared_server, name)

    assert first == second
    with psycopg.connect(first, user="v2g") as connection:
        row = connection.execute("SELECT current_database()").fetchone()
    assert row == (name,)


@pytest.mark.skipif(not ROOT, reason="an ordinary user's server runs as that user")
def test_under_root_the_server_is_nobody_and_no_folder_above_the_data_is_opened(tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    above = [closed, *closed.parents]
    before = [folder.stat().st_mode for folder in above]

    with PostgresServer(closed / "pg") as server:
        owner = Path(f"/proc/{server.pid}").stat().st_uid
        answer = ask(server, "SELECT 1")

    assert (owner, answer) == (places.NOBODY, 1)
    assert [folder.stat().st_mode for folder in above] == before


@pytest.mark.skipif(not ROOT, reason="an ordinary user's server runs as that user")
def test_under_root_programs_that_lie_behind_a_closed_folder_are_copied_and_run(
    tmp_path, monkeypatch
):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    for part in engine.PARTS:
        shutil.copytree(engine.wheel_folder() / part, closed / part, symlinks=True)
    monkeypatch.setattr(engine, "wheel_folder", lambda: closed)
    with tempfile.TemporaryDirectory(dir="/tmp") as open_folder:
        Path(open_folder).chmod(0o755)
        monkeypatch.setattr("tempfile.tempdir", open_folder)

        with PostgresServer(tmp_path / "pg") as server:
            program = Path(f"/proc/{server.pid}/cmdline").read_bytes().decode()
            answer = ask(server, "SELECT 1")

    assert answer == 1
    assert program.startswith(f"{open_folder}/v2g-programs-")


def test_data_survive_a_stop(tmp_path):
    server = PostgresServer(tmp_path / "pg")
    with server:
        write_rows(server, 10)

    with PostgresServer(tmp_path / "pg") as again:
        rows = ask(again, "SELECT count(*) FROM kept")

    assert rows == 10


def test_data_survive_a_crash_and_the_address_stays(server):
    write_rows(server, 10)
    address = server.dsn()

    server.kill()
    assert not server.running
    server.start()

    assert server.dsn() == address
    assert ask(server, "SELECT count(*) FROM kept") == 10


def test_after_a_kill_no_process_of_the_server_is_left(server):
    connection = psycopg.connect(server.dsn(), user="v2g")
    row = connection.execute("SELECT pg_backend_pid()").fetchone()
    assert row is not None
    title = Path(f"/proc/{row[0]}/cmdline")

    server.kill()

    # Empty: it has ended, and nobody has reaped it yet.
    assert not title.exists() or title.read_bytes() == b""
    connection.close()


def test_a_stop_does_not_wait_for_clients(server):
    connection = psycopg.connect(server.dsn(), user="v2g")
    connection.execute("SELECT 1")
    begun = time.monotonic()

    server.stop()

    assert time.monotonic() - begun < 20
    with pytest.raises(psycopg.OperationalError):
        connection.execute("SELECT 1")


PARENT = """
import sys, time
from pathlib import Path
import psycopg
from embedded.postgres import PostgresServer
server = PostgresServer(Path(sys.argv[1]))
server.start()
with psycopg.connect(server.dsn(), user="v2g") as connection:
    connection.execute("CREATE TABLE kept AS SELECT generate_series(1, 10) AS n")
print(server.pid, server.dsn(), flush=True)
time.sleep(600)
"""


def test_the_server_ends_with_its_killed_parent_and_starts_again_at_once(tmp_path):
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path / "pg")],
        stdout=subprocess.PIPE,
        cwd=REPOSITORY,
        text=True,
    )
    assert parent.stdout is not None
    postmaster, address = parent.stdout.readline().rstrip().split(" ", 1)

    parent.kill()
    parent.wait(timeout=20)
    with PostgresServer(tmp_path / "pg") as again:
        rows = ask(again, "SELECT count(*) FROM kept")

    assert (rows, again.dsn()) == (10, address)
    wait_until(
        lambda: not Path(f"/proc/{postmaster}").exists(),
        deadline_s=20,
        what="the first server's end",
    )


def test_parent_and_server_killed_together_leave_nothing_that_prevents_a_start(tmp_path):
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path / "pg")],
        stdout=subprocess.PIPE,
        cwd=REPOSITORY,
        text=True,
    )
    assert parent.stdout is not None
    postmaster, address = parent.stdout.readline().rstrip().split(" ", 1)

    os.kill(int(postmaster), 9)
    parent.kill()
    parent.wait(timeout=20)
    with PostgresServer(tmp_path / "pg") as again:
        rows = ask(again, "SELECT count(*) FROM kept")

    assert (rows, again.dsn()) == (10, address)


def test_a_pid_file_whose_number_now_belongs_to_another_program_does_not_prevent_a_start(
    server, tmp_path
):
    write_rows(server, 10)
    pid_file = tmp_path / "pg" / "pgdata" / "postmaster.pid"
    server.kill()
    with subprocess.Popen(["sleep", "600"], user=places.server_user()) as other:
        lines = pid_file.read_text().splitlines()
        pid_file.write_text("\n".join([str(other.pid), *lines[1:]]) + "\n")

        server.start()

        assert ask(server, "SELECT count(*) FROM kept") == 10
        assert other.poll() is None
        other.kill()


def test_a_second_server_over_the_same_folder_is_refused(server, tmp_path):
    with pytest.raises(DataFolderInUseError, match="stop that one first"):
        PostgresServer(tmp_path / "pg").start()

    assert ask(server, "SELECT 1") == 1


def test_data_of_another_major_version_are_refused_with_both_versions(tmp_path):
    with PostgresServer(tmp_path / "pg"):
        pass
    (tmp_path / "pg" / "pgdata" / "PG_VERSION").write_text("17\n")

    with pytest.raises(WrongMajorVersionError, match=rf"PostgreSQL 17.*PostgreSQL {wheel_major()}"):
        PostgresServer(tmp_path / "pg").start()


def test_data_made_with_timescaledb_are_not_started_without_it(tmp_path):
    with PostgresServer(tmp_path / "pg"):
        pass
    made_with = f"PostgreSQL {wheel_major()} + TimescaleDB 2.31.0"
    (tmp_path / "pg" / "engine").write_text(made_with + "\n")

    with pytest.raises(WrongEngineError, match="make timescale") as caught:
        PostgresServer(tmp_path / "pg").start()

    assert (caught.value.found, caught.value.expected) == (made_with, f"PostgreSQL {wheel_major()}")


def test_data_that_are_not_whole_are_refused(tmp_path):
    (tmp_path / "pg" / "pgdata").mkdir(parents=True)

    with pytest.raises(DataFolderError, match="PG_VERSION is missing"):
        PostgresServer(tmp_path / "pg").start()


def test_a_half_made_database_is_thrown_away_and_made_anew(tmp_path):
    unfinished = tmp_path / "pg" / "pgdata.unfinished"
    unfinished.mkdir(parents=True)
    (unfinished / "PG_VERSION").write_text("18\n")

    with PostgresServer(tmp_path / "pg") as server:
        answer = ask(server, "SELECT 1")

    assert answer == 1
    assert not unfinished.exists()


def test_a_server_that_cannot_start_says_why_and_frees_the_folder(tmp_path):
    with pytest.raises(ChildExitedError, match="no_such_setting"):
        PostgresServer(tmp_path / "pg", settings={"no_such_setting": "1"}).start()

    with PostgresServer(tmp_path / "pg") as server:
        assert ask(server, "SELECT 1") == 1


def test_a_path_longer_than_a_socket_may_have_serves(tmp_path):
    with PostgresServer(tmp_path / ("long" * 30) / "pg") as server:
        assert ask(server, "SELECT 1") == 1


def test_a_server_that_was_never_started_has_no_address(tmp_path):
    with pytest.raises(EmbeddedError, match=r"call start\(\)"):
        PostgresServer(tmp_path / "pg").dsn()


ORDINARY = """
import os, sys
from pathlib import Path
import psycopg
from embedded.postgres import PostgresServer
assert os.geteuid() != 0
folder = Path(sys.argv[1])
with PostgresServer(folder) as server:
    with psycopg.connect(server.dsn(), user="v2g") as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS n")
    server.kill()
    server.start()
    with psycopg.connect(server.dsn(), user="v2g") as connection:
        print(*connection.execute("SELECT n, current_setting('data_directory') FROM kept").fetchone())
"""


@pytest.mark.skipif(not ROOT, reason="the tests already run as an ordinary user")
def test_an_ordinary_user_can_do_the_same(tmp_path):
    python = interpreter_for(places.NOBODY)
    if python is None:
        pytest.skip("no Python of this version lies where an ordinary user reaches it")
    folder = places.socket_folder(places.NOBODY)  # a folder of that user which it reaches
    path = [str(REPOSITORY), *(entry for entry in sys.path if entry.endswith("site-packages"))]

    done = subprocess.run(
        [python, "-c", ORDINARY, str(folder / "pg")],
        user=places.NOBODY, group=places.NOBODY, extra_groups=[], cwd="/", check=False, capture_output=True, text=True,
        env={"PYTHONPATH": os.pathsep.join(path), "PYTHONDONTWRITEBYTECODE": "1", "PATH": os.environ["PATH"]},
    )  # fmt: skip

    shutil.rmtree(folder)
    assert done.stderr == ""
    assert done.stdout.split() == ["1", f"{folder}/pg/pgdata"]


def interpreter_for(user: int) -> str | None:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    for path in (sys.executable, f"/usr/bin/python{version}", f"/usr/local/bin/python{version}"):
        if (
            Path(path).exists()
            and places.reaches(user, Path(path))
            and places.reaches(user, REPOSITORY)
        ):
            return path
    return None
