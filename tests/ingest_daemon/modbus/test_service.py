"""The process, with a real database: it lands, holds out while the database is away, and drains."""

import json
import os
import re
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import yaml
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from embedded.errors import DeadlineExceededError
from embedded.processes import Supervised, wait_until
from ingest_daemon.modbus.__main__ import main
from simulators.plc.memory import Memory, Model
from simulators.plc.server import Plc
from storage import thermal_samples
from storage.engine import Role, connect
from tests.ingest_daemon.harness import METRICS_TOKEN, secret_file
from tests.ingest_daemon.modbus.polled import bank

WITHIN_S = 30.0
CELLS = 60
DEVICES = 10


def environment(
    dsn: str, devices: list[dict[str, Any]], folder: Path, **more: str
) -> dict[str, str]:
    path = folder / "modbus.yaml"
    path.write_text(yaml.safe_dump({"devices": devices}))
    ours = {
        "V2G_DATABASE_URL": dsn,
        "V2G_MODBUS_FILE": str(path),
        "V2G_MODBUS_HTTP_PORT": "0",
    }
    return dict(os.environ) | ours | more


def plc_device(plc: Plc, **fields: Any) -> dict[str, Any]:
    given: dict[str, Any] = {
        "name": "plc",
        "host": plc.host,
        "port": plc.port,
        "evse_id": "EVSE-1",
        "sunspec": {},
    }
    return given | {"every_s": 0.5, "deadline_s": 0.5} | fields


@contextmanager
def process(folder: Path, environment: dict[str, str]) -> Iterator[Supervised]:
    """The poller; what it logged is told beside whatever was waited for in vain."""
    command = (sys.executable, "-m", "ingest_daemon.modbus")
    log = folder / "modbus.log"
    with Supervised("modbus", command, log=log, environment=environment) as poller:
        try:
            yield poller
        except DeadlineExceededError as error:
            error.add_note(poller.log_tail(lines=100))
            raise


def stored(dsn: str) -> list[thermal_samples.Sample]:
    with connect(dsn, Role.READ) as conn:
        since = datetime.now(UTC) - timedelta(hours=1)
        return thermal_samples.latest_by_evse(conn, since=since)


def cut(dsn: str) -> None:
    """End the poller's connections."""
    with psycopg.connect(dsn, user="v2g", autocommit=True) as conn:
        conn.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where usename = 'v2g_ingest' and datname = current_database()"
        )


def count(dsn: str) -> int:
    with connect(dsn, Role.READ) as conn:
        row = conn.execute("select count(*) from thermal_sample").fetchone()
    assert row is not None
    return int(row[0])


def test_samples_are_landed_and_on_sigterm_what_is_held_is_landed_too(plain_database, tmp_path):
    with Plc(bank(35.0)) as plc:
        token = secret_file(tmp_path / "token", METRICS_TOKEN)
        more = {"V2G_METRICS_TOKEN_FILE": str(token)}
        env = environment(plain_database, [plc_device(plc)], tmp_path, **more)
        with process(tmp_path, env) as poller:
            wait_until(lambda: count(plain_database) > 50, deadline_s=WITHIN_S, what="samples")
            [port] = re.findall(r"http=http://127.0.0.1:(\d+)", poller.log_tail(lines=50))
            with httpx.Client(base_url=f"http://127.0.0.1:{port}") as http:
                assert http.get("/healthz").status_code == 200
                assert http.get("/readyz").json() == {"state": "ready"}
                assert http.get("/metrics").status_code == 401
                bearer = {"Authorization": f"Bearer {METRICS_TOKEN}"}
                figures = http.get("/metrics", headers=bearer).text
            plc.measure({"803.ModTmpMax": 36.5})
            asked = plc.requests
            wait_until(lambda: plc.requests > asked + 12, deadline_s=WITHIN_S, what="another poll")
            assert poller.pid is not None
            os.kill(poller.pid, signal.SIGTERM)
            wait_until(lambda: not poller.running, deadline_s=WITHIN_S, what="its end")
            log = poller.log_tail(lines=50)

    newest = {one.sensor: one for one in stored(plain_database)}
    assert newest["803.ModTmpMax"].value_millicelsius == 36_500
    assert newest["701.TmpAmb"].quality == "not_implemented"
    assert newest["803.ModTmpMax"].registers == b"\x01\x6d\xff\xff"
    assert 'v2g_modbus_landed_samples_total{quality="good"}' in figures
    assert "event=stopped held=0" in log
    assert "event=callback" not in log
    assert "pymodbus" not in log


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A folder whose name is short: a socket's path has 107 bytes at most, and tmp_path may fill them."""
    with tempfile.TemporaryDirectory(prefix="v2g-", dir="/tmp") as folder:
        yield Path(folder)


def test_while_the_database_is_away_the_newest_are_held_and_what_went_is_recorded(
    plain_database, tmp_path, short_path
):
    folder = conninfo_to_dict(plain_database)["host"]
    door = short_path / "door"
    door.symlink_to(folder)
    through = make_conninfo(plain_database, host=str(door))
    cells = {f"lithium_ion_string_module[{one}].ModCellTmpMax": 30.0 for one in range(CELLS)}
    with ExitStack() as stack:
        plcs = [
            stack.enter_context(
                Plc(Memory([Model(804, {"ModTmpMax": 30.0, **cells}, counts={"NMod": CELLS})]))
            )
            for _ in range(DEVICES)
        ]
        sensors = {"sensors": ["804.*CellTmpMax", "804.ModTmpMax"]}
        # Many that are asked seldom fill the outbox as fast as one that is asked often, and each has
        # time to answer on a machine that does much else.
        devices = [
            plc_device(
                plc,
                name=f"plc-{one}",
                evse_id=f"EVSE-{one}",
                sunspec=sensors,
                every_s=5.0,
                deadline_s=5.0,
            )
            for one, plc in enumerate(plcs)
        ]
        more = {"V2G_MODBUS_OUTBOX_SAMPLES": "1000", "V2G_DRAIN_S": "0.5"}
        with process(tmp_path, environment(through, devices, tmp_path, **more)) as poller:
            wait_until(lambda: count(plain_database) > 0, deadline_s=WITHIN_S, what="samples")
            door.unlink()
            cut(plain_database)
            wait_until(
                lambda: "event=samples_dropped" in poller.log_tail(lines=100),
                deadline_s=WITHIN_S,
                what="the outbox to be full",
            )
            assert "event=database_down" in poller.log_tail(lines=100)
            plcs[0].measure({"804.ModTmpMax": 31.5})
            before = count(plain_database)
            door.symlink_to(folder)

            def recorded() -> list[thermal_samples.Sample]:
                return [one for one in stored(plain_database) if one.sensor == "-"]

            wait_until(lambda: bool(recorded()), deadline_s=WITHIN_S, what="the word of what was lost")  # fmt: skip
            wait_until(
                lambda: any(one.value_millicelsius == 31_500 for one in stored(plain_database)),
                deadline_s=WITHIN_S,
                what="the newest temperature",
            )
            # And stopped while it is away again, it says what it could not land.
            so_far = poller.log_tail(lines=100).count("event=database_down")
            door.unlink()
            cut(plain_database)
            wait_until(
                lambda: poller.log_tail(lines=100).count("event=database_down") > so_far,
                deadline_s=WITHIN_S,
                what="the database to be away again",
            )
            assert poller.pid is not None
            os.kill(poller.pid, signal.SIGTERM)
            wait_until(lambda: not poller.running, deadline_s=WITHIN_S, what="its end")
            assert re.search(r"event=not_drained samples=\d+ since=20", poller.log_tail(lines=100))

    for lost in recorded():
        assert re.match(r"\d+ samples from 20.* to 20.* were not kept", lost.detail)
        assert (lost.quality, lost.battery) == ("no_answer", False)
    assert {lost.evse_id for lost in recorded()} <= {device["evse_id"] for device in devices}
    assert count(plain_database) > before


@pytest.fixture
def bare(monkeypatch):
    """No setting but those of the test."""
    for name in [name for name in os.environ if name.startswith("V2G_")]:
        monkeypatch.delenv(name)
    return monkeypatch


def test_what_is_wrong_ends_it_with_2_and_says_where(bare, tmp_path, capsys):
    path = tmp_path / "modbus.yaml"
    path.write_text("devices: [{name: a, host: h, evse_id: E}]")

    assert main([]) == 2
    assert "V2G_DATABASE_URL: found nothing" in capsys.readouterr().err

    bare.setenv("V2G_DATABASE_URL", "dbname=x")
    bare.setenv("V2G_MODBUS_FILE", str(path))
    assert main(["--check"]) == 2
    assert "device a: neither sunspec nor registers" in capsys.readouterr().err

    path.write_text("devices: [{name: a, host: h, evse_id: E, sunspec: {}}]")
    token = secret_file(tmp_path / "token", METRICS_TOKEN)
    bare.setenv("V2G_METRICS_TOKEN_FILE", str(token))
    assert main(["--check"]) == 0
    token.chmod(0o644)
    assert main(["--check"]) == 2
    assert "V2G_METRICS_TOKEN_FILE" in capsys.readouterr().err


def test_asked_once_it_prints_what_a_device_says_and_needs_no_database(bare, tmp_path, capsys):
    path = tmp_path / "modbus.yaml"
    with Plc(bank(35.0)) as plc:
        gone = {"name": "gone", "host": plc.host, "port": 1, "evse_id": "E2", "sunspec": {}}
        path.write_text(
            yaml.safe_dump({"devices": [plc_device(plc, every_s=5, deadline_s=2), gone]})
        )
        assert main(["--once", str(path)]) == 1

    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    found = {(one["device"], one["sensor"]): one for one in lines}
    assert found["plc", "803.ModTmpMax"]["celsius"] == 35.0
    assert found["plc", "803.ModTmpMax"]["battery"] is True
    assert found["gone", ""]["quality"] == "no_answer"


def test_help_teaches_every_setting(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    shown = capsys.readouterr().out
    for word in ("V2G_MODBUS_FILE", "V2G_MODBUS_OUTBOX_SAMPLES", "--once", "Exit status"):
        assert word in shown
