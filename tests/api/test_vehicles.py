"""GET /v1/vehicles/{id}/state, asked of the running service."""

import os
import subprocess
import sys
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from api.tokens import make
from embedded.processes import Supervised, free_port
from storage.vehicle_state import DatabaseStates, VehicleState

NOW = datetime.now(UTC)
STATE = VehicleState("WBY/1", "DE*V2G*E00001", NOW - timedelta(minutes=1), 615_000, -7_200)


def environment(dsn: str, tokens, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("V2G_")}
    return kept | {"V2G_DATABASE_URL": dsn, "V2G_API_TOKEN_FILE": str(tokens)} | more


@pytest.fixture
def tokens(tmp_path):
    """The file of tokens, and a token with each scope alone."""
    file = tmp_path / "tokens.json"
    given = {
        scope: make(file, name, [scope], now=NOW)[1]
        for name, scope in (("anna", "vehicles:read"), ("ben", "keys:read"))
    }
    return file, given


@contextmanager
def service(dsn: str, file, tmp_path, **more: str):
    port = free_port()
    process = Supervised(
        "api",
        [sys.executable, "-m", "api"],
        log=tmp_path / "api.log",
        environment=environment(dsn, file, V2G_API_HTTP_PORT=str(port), **more),
    )
    with process:
        root = f"http://127.0.0.1:{port}"
        process.wait_ready(lambda: _alive(root), deadline_s=60, what="the API to answer")
        yield root


def _alive(root: str) -> bool:
    try:
        return ask(f"{root}/healthz", "")[0] == 200
    except httpx.TransportError:
        return False


def ask(url: str, token: str) -> tuple[int, dict[str, Any]]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    answer = httpx.get(url, headers=headers, timeout=20)
    return answer.status_code, answer.json()


def test_a_dashboard_sees_the_state_and_nobody_without_its_scope_does(
    plain_database, tokens, tmp_path
):
    # given a state in the database, of a vehicle with a slash in its name
    file, given = tokens
    DatabaseStates(plain_database, keep=timedelta(days=1)).put([STATE], now=NOW)
    with service(plain_database, file, tmp_path) as root:
        url = f"{root}/v1/vehicles/{quote(STATE.vehicle_id, safe='')}/state"
        # when
        status, told = ask(url, given["vehicles:read"])
        # then
        assert status == 200
        age_s = (datetime.now(UTC) - STATE.measured_at).total_seconds()
        assert age_s - 30 <= told.pop("age_seconds") <= age_s
        assert told == {
            "vehicle_id": "WBY/1",
            "evse_id": "DE*V2G*E00001",
            "measured_at": STATE.measured_at.isoformat().replace("+00:00", "Z"),
            "soc_ppm": 615_000,
            "power_w": -7_200,
        }
        assert ask(url, "")[0] == 401
        assert ask(url, given["keys:read"])[0] == 403
        status, problem = ask(f"{root}/v1/vehicles/nobody/state", given["vehicles:read"])
        assert (status, problem["error"]) == (404, "UNKNOWN")
        assert "nobody" in problem["detail"]
        assert ask(f"{root}/v1/vehicles/a%00b/state", given["vehicles:read"])[0] == 404


def test_a_cache_that_is_not_there_is_told_as_such(plain_database, tokens, tmp_path):
    file, given = tokens
    with service(plain_database, file, tmp_path, V2G_REDIS_URL="redis://127.0.0.1:1") as root:
        status, problem = ask(f"{root}/v1/vehicles/V1/state", given["vehicles:read"])
    assert (status, problem["error"]) == (503, "UNAVAILABLE")
    assert "cache" in problem["detail"]


def test_a_cache_that_must_not_be_used_stops_the_start_with_its_reason(plain_database, tokens):
    done = subprocess.run(
        [sys.executable, "-m", "api"],
        env=environment(plain_database, tokens[0], V2G_REDIS_URL="redis://redis.example"),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "V2G_REDIS_URL" in done.stderr
    assert "Traceback" not in done.stderr
