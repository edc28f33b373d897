"""The commands on a real database, as a shell sees them."""

import json
import os
import subprocess
import sys

import pytest

from tests.tasks.scene import START, WHOLE, Scene

DEADLINE_S = 120
EVSE = "DE*V2G*E00001"


def v2g(*arguments: str, database: str = "") -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("V2G_")}
    if database:
        environment["V2G_DATABASE_URL"] = database
    return subprocess.run(
        (sys.executable, "-m", "cli.main", *arguments),
        capture_output=True, text=True, timeout=DEADLINE_S, check=False, env=environment,
    )  # fmt: skip


def test_no_arguments_teach() -> None:
    done = v2g()
    for command in ("demo", "migrate", "settle", "post", "packet", "version"):
        assert command in done.stdout + done.stderr


def test_the_version_is_that_of_the_installed_package() -> None:
    from importlib.metadata import version

    assert version("v2g-settlement") in v2g("version").stdout
    assert json.loads(v2g("version", "--json").stdout) == {"version": version("v2g-settlement")}


@pytest.fixture
def settled(plain_database: str) -> Scene:
    scene = Scene(plain_database)
    scene.set_up(EVSE)
    scene.land(scene.packet(EVSE, n) for n in range(120))
    return scene


def test_settle_judges_and_settles_a_period(settled: Scene) -> None:
    # when the period is settled twice, for a person and for a program
    arguments = (
        "settle",
        "--from",
        WHOLE.started_at.isoformat(),
        "--to",
        WHOLE.ended_at.isoformat(),
    )
    first, second = (
        v2g(*arguments, database=settled.dsn),
        v2g(*arguments, "--json", database=settled.dsn),
    )
    # then
    assert first.returncode == 0, first.stderr
    assert "1.29 USD" in first.stdout
    totals = json.loads(second.stdout)
    assert (totals["amount_minor"], totals["booked_minor"], totals["revisions"]) == (129, 0, 0)


def test_half_a_period_is_refused_before_anything_is_done(settled: Scene) -> None:
    done = v2g("settle", "--from", START.isoformat(), database=settled.dsn)
    assert done.returncode == 2
    assert "--to" in done.stderr
    assert settled.one("select count(*) from judged_batch") == 0


def test_a_time_without_its_zone_is_refused(settled: Scene) -> None:
    done = v2g(
        "settle", "--from", "2026-07-01T16:00", "--to", "2026-07-01T17:00", database=settled.dsn
    )
    assert done.returncode == 2
    assert "zone" in done.stderr


def test_a_time_that_is_none_is_said_to_be_none(settled: Scene) -> None:
    done = v2g("settle", "--from", "x", "--to", "y", database=settled.dsn)
    assert done.returncode == 2
    assert "2026-07-01T17:00:00Z" in done.stderr


def test_an_address_that_cannot_be_read_is_not_quoted() -> None:
    for command in ("settle", "post", "migrate"):
        done = v2g(command, database="postgrez://me:hunter2@there")
        assert done.returncode == 1
        assert "libpq connection string" in " ".join(done.stderr.split())
        assert "hunter2" not in done.stdout + done.stderr


def test_a_database_that_is_not_there_is_said_so() -> None:
    done = v2g("settle", database="host=/nowhere dbname=v2g")
    assert done.returncode == 1
    assert "/nowhere" in done.stderr
    assert "Traceback" not in done.stderr
