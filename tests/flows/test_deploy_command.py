"""`python -m flows.deploy`, as an operator types it; `flows.deploy` itself is in test_on_a_server."""

import os
import subprocess
import sys

DEADLINE_S = 60


def deploy(**changes: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_API")}
    return subprocess.run(
        (sys.executable, "-m", "flows.deploy"),
        capture_output=True, text=True, timeout=DEADLINE_S, check=False, env=environment | changes,
    )  # fmt: skip


def test_without_an_address_it_says_which_variable_to_set() -> None:
    done = deploy()
    assert done.returncode == 2
    assert "PREFECT_API_URL" in done.stderr


def test_without_a_server_it_exits_1_and_says_where_it_looked() -> None:
    done = deploy(PREFECT_API_URL="http://127.0.0.1:9/api", PREFECT_API_AUTH_STRING="v2g:secret")
    assert done.returncode == 1
    assert "127.0.0.1:9" in done.stderr
    assert "secret" not in done.stderr
    assert "Traceback" not in done.stderr
