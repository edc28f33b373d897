import os
import platform
import shutil
import tempfile
import time
from pathlib import Path

import psycopg
import pytest

from embedded import debian, timescale
from embedded.engine import PARTS, TimescaleFiles, programs, wheel_major
from embedded.errors import (
    NoUsablePlaceError,
    PackageFetchError,
    TimescaleUnavailableError,
    WrongEngineError,
)
from embedded.failures import RETRY_AFTER_S, Failures
from embedded.places import placed
from embedded.postgres import PostgresServer, run_statements

CACHE = Path(__file__).parents[2] / ".cache"
DEBIAN = {"ID": "debian", "VERSION_CODENAME": "bookworm", "PRETTY_NAME": "Debian"}

ONE_LINE = """\
# the archive, and things that are not its main part
deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://mirror.example/debian bookworm main contrib
deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://mirror.example/debian bookworm main
deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://mirror.example/debian bookworm-updates main
deb http://vendor.example/tool bookworm stable
deb http://vendor.example/flat ./
"""
DEB822 = """\
Types: deb deb-src
URIs: http://mirror.example/debian http://second.example/debian
Suites: bookworm bookworm-updates
Components: main non-free-firmware
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://security.example/debian-security
Suites: bookworm-security
Components: main

Enabled: no
Types: deb
URIs: http://disabled.example/debian
Suites: bookworm
Components: main
"""


@pytest.fixture
def here(tmp_path):
    """What was fetched; the tests of the engine itself need it."""
    files = timescale.find(CACHE)
    if files is None:
        pytest.skip("TimescaleDB is not in .cache; `make timescale` fetches it")
    return files


def ask(server: PostgresServer, query: str):
    with psycopg.connect(server.dsn(), user="v2g") as connection:
        row = connection.execute(query).fetchone()
    return None if row is None else row[0]


def test_a_server_with_timescaledb_keeps_time_series(here, tmp_path):
    with PostgresServer(tmp_path / "pg", timescale=here) as server:
        run_statements(
            server,
            [
                "CREATE EXTENSION timescaledb",
                "CREATE TABLE series (ts timestamptz NOT NULL, n bigint)",
                "SELECT create_hypertable('series', by_range('ts'))",
                "INSERT INTO series SELECT '2026-01-01'::timestamptz + n * interval '1 day', n FROM generate_series(1, 100) n",
            ],
        )
        server.kill()
        server.start()

        assert (
            server.engine
            == f"PostgreSQL {ask(server, 'SHOW server_version')} + TimescaleDB {here.version}"
        )
        assert (
            ask(server, "SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'")
            == here.version
        )
        assert ask(server, "SELECT sum(n) FROM series") == 5050
        assert ask(server, "SELECT count(*) FROM show_chunks('series')") > 1
        assert ask(server, "SHOW timescaledb.telemetry_level") == "off"
        assert ask(server, "SHOW fsync") == "on"


def test_data_with_and_without_timescaledb_are_not_mixed(here, tmp_path):
    with PostgresServer(tmp_path / "pg"):
        pass

    with pytest.raises(WrongEngineError, match=f"TimescaleDB {here.version}"):
        PostgresServer(tmp_path / "pg", timescale=here).start()


def test_other_preloaded_libraries_stay(here, tmp_path):
    with PostgresServer(
        tmp_path / "pg", timescale=here, settings={"shared_preload_libraries": "pg_stat_statements"}
    ) as server:
        assert ask(server, "SHOW shared_preload_libraries") == "timescaledb,pg_stat_statements"


def test_what_was_fetched_is_found_again_without_a_fetch(here):
    said: list[str] = []

    again = timescale.fetch(CACHE, deadline_s=0, report=said.append)

    assert again == here
    assert said == [f"TimescaleDB {here.version} is there: {here.root}"]


def test_an_empty_cache_holds_nothing(tmp_path):
    assert timescale.find(tmp_path) is None


@pytest.mark.parametrize(
    ("name", "text"), [("sources.list", ONE_LINE), ("archive.sources", DEB822)]
)
@pytest.mark.skipif(not Path("/usr/bin/apt-get").exists(), reason="needs apt")
def test_the_mirror_comes_from_either_format_of_apts_sources(tmp_path, monkeypatch, name, text):
    monkeypatch.setattr(debian, "release", lambda: DEBIAN)
    (tmp_path / name).write_text(text)
    overrides = f'Dir::Etc::SourceList "{tmp_path / name}";\nDir::Etc::SourceParts "/dev/null";\n'

    mirrors = debian.Apt(tmp_path / "apt", give_up_at=float("inf"), overrides=overrides).mirrors()

    expected = ["http://mirror.example/debian/"]
    assert mirrors == (
        expected if name == "sources.list" else [*expected, "http://second.example/debian/"]
    )


@pytest.fixture
def like_debian(monkeypatch):
    monkeypatch.setattr(debian, "release", lambda: DEBIAN)
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")


@pytest.mark.parametrize(
    ("system", "machine", "reason"),
    [
        (
            {"ID": "ubuntu", "PRETTY_NAME": "Ubuntu 24.04"},
            "x86_64",
            "this system is Ubuntu 24.04; the packages are Debian's",
        ),
        ({}, "x86_64", "this system is of an unknown kind"),
        (DEBIAN, "aarch64", "this is Linux on aarch64; the packages are for Linux on x86_64"),
    ],
    ids=["another distribution", "no os-release", "another processor"],
)
def test_a_machine_that_cannot_have_it_is_told_why(tmp_path, monkeypatch, system, machine, reason):
    monkeypatch.setattr(debian, "release", lambda: system)
    monkeypatch.setattr(platform, "machine", lambda: machine)

    with pytest.raises(TimescaleUnavailableError, match=reason):
        timescale.fetch(tmp_path, deadline_s=60, report=print)


def test_a_machine_without_apt_is_told_so(tmp_path, monkeypatch, like_debian):
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(TimescaleUnavailableError, match="apt-get is missing"):
        timescale.fetch(tmp_path, deadline_s=60, report=print)


@pytest.mark.skipif(not Path("/usr/bin/apt-get").exists(), reason="needs apt")
def test_a_machine_without_network_is_told_what_failed_and_keeps_nothing(
    tmp_path, monkeypatch, like_debian
):
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nobody listens there

    with pytest.raises(TimescaleUnavailableError, match="fetching the package lists failed"):
        timescale.fetch(tmp_path, deadline_s=60, report=print)

    # Nothing but the memory of it.
    assert list((tmp_path / "timescale").iterdir()) == [failures(tmp_path).file]


@pytest.mark.skipif(not Path("/usr/bin/apt-get").exists(), reason="needs apt")
def test_a_fetch_ends_at_its_deadline(tmp_path, like_debian):
    with pytest.raises(TimescaleUnavailableError, match="the time"):
        timescale.fetch(tmp_path, deadline_s=0.05, report=print)

    assert list((tmp_path / "timescale").iterdir()) == [failures(tmp_path).file]


def failures(cache: Path) -> Failures:
    return Failures(timescale._root(cache))


@pytest.fixture
def attempts(monkeypatch, like_debian):
    """Every attempt to fetch, each of which fails."""
    made: list[float] = []

    def no_network(scratch, give_up_at, report):
        made.append(give_up_at)
        raise PackageFetchError("there is no network")

    monkeypatch.setattr(debian, "needs", lambda: None)
    monkeypatch.setattr(timescale, "_fetch_packages", no_network)
    return made


def try_to_fetch(cache: Path, *, insist: bool = False) -> str:
    with pytest.raises(TimescaleUnavailableError) as caught:
        timescale.fetch(cache, deadline_s=60, report=print, insist=insist)
    return caught.value.reason


def test_a_failed_fetch_is_not_repeated_at_once_and_says_what_repeats_it(tmp_path, attempts):
    try_to_fetch(tmp_path)

    reason = try_to_fetch(tmp_path)

    assert len(attempts) == 1
    assert "there is no network" in reason
    assert "make timescale" in reason


@pytest.mark.parametrize("age_s", [RETRY_AFTER_S + 1, -3600], ids=["long ago", "in the future"])
def test_a_failure_of_long_ago_or_of_a_wrong_clock_does_not_count(tmp_path, attempts, age_s):
    try_to_fetch(tmp_path)
    then = time.time() - age_s
    os.utime(failures(tmp_path).file, (then, then))

    try_to_fetch(tmp_path)

    assert len(attempts) == 2


def test_the_reason_does_not_grow_with_every_attempt(tmp_path, attempts):
    reasons = [try_to_fetch(tmp_path, insist=insist) for insist in (True, False, True, False)]

    assert reasons[0] == reasons[2] == "there is no network"
    assert reasons[1] == reasons[3]


@pytest.mark.parametrize(("options", "made"), [([], 2), (["--unless-failed"], 1)])
def test_the_command_tries_again_unless_told_otherwise(tmp_path, attempts, capsys, options, made):
    try_to_fetch(tmp_path)

    status = timescale.main([*options, "--within", "30", str(tmp_path)])

    assert status == 1
    assert len(attempts) == made
    assert "there is no network" in capsys.readouterr().err


@pytest.fixture
def outside():
    """A folder that every user reaches, whoever runs the tests."""
    folder = Path(tempfile.mkdtemp(prefix="v2g-test-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize("name", ["with blank", "with:colon", "with;semicolon", "with$ORIGIN"])
def test_a_path_that_the_loader_would_divide_is_not_given_to_it(outside, monkeypatch, name):
    # given the extension in a folder with such a name
    root = outside / name
    for part in ("home", "libraries"):
        (root / part).mkdir(parents=True)
    shared = outside / "shared"
    shared.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(shared))

    # when the command line is made
    command = programs(TimescaleFiles(root, "2.31.0", "key"), user=None).postgres

    # then it speaks of a copy
    assert all(name not in part for part in command)
    assert command[0].startswith(f"{shared}/v2g-programs-")


def test_a_path_that_the_loader_takes_is_used_where_it_lies(outside):
    root = outside / "plain"
    for part in ("home", "libraries"):
        (root / part).mkdir(parents=True)

    command = programs(TimescaleFiles(root, "2.31.0", "key"), user=None).postgres

    assert command[0].startswith(f"{root}/")


def test_a_temporary_folder_that_the_loader_would_divide_is_refused(outside):
    (outside / "a b" / "part").mkdir(parents=True)

    with pytest.raises(NoUsablePlaceError, match="has a blank"):
        placed(outside / "a b", ["part"], "key", user=None, shared=outside / "a b", forbidden=" ")


def test_a_server_with_timescaledb_starts_from_a_folder_with_a_blank(here, outside):
    # given the extension behind a path with a blank, which every user reaches
    (outside / "with a blank").symlink_to(here.root)
    files = TimescaleFiles(outside / "with a blank", here.version, here.key)

    # when a server is started with it, its data behind such a path too
    with PostgresServer(outside / "data of it" / "pg", timescale=files) as server:
        run_statements(server, ["CREATE EXTENSION timescaledb"])

        # then it has it
        assert server.engine.endswith(f"TimescaleDB {here.version}")


def test_the_command_says_why_and_fails(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")

    status = timescale.main([str(tmp_path)])

    assert status == 1
    assert "riscv64" in capsys.readouterr().err


def with_control_file(root: Path, text: str) -> Path:
    folder = root / "home" / PARTS[0] / "share" / "extension"
    folder.mkdir(parents=True)
    (folder / "timescaledb.control").write_text(text)
    return root


def test_a_version_that_lost_rows_is_refused(tmp_path):
    root = with_control_file(tmp_path, "default_version = '2.18.0'\n")

    with pytest.raises(PackageFetchError, match=r"2\.18\.0, which is before 2\.18\.1"):
        timescale._write_manifest(root, [])


@pytest.mark.parametrize("version", ["2.18.1", "2.31.0", "3.0"])
def test_a_later_version_is_taken(tmp_path, version):
    root = with_control_file(tmp_path, f"default_version = '{version}'\n")

    manifest = timescale._write_manifest(
        root, [Path(f"postgresql-{wheel_major()}-timescaledb.deb")]
    )

    assert timescale._files(root, manifest).version == version
