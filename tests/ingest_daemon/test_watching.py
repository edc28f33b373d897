"""Health, readiness and figures: what anybody is told, and what only the holder of the token."""

from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from ingest_daemon.errors import SettingsError
from ingest_daemon.figures import Figures
from ingest_daemon.health import Health
from ingest_daemon.http_server import Server, listen
from ingest_daemon.watching import Watching, token_in
from tests.ingest_daemon.harness import secret_file

TOKEN = "test-figures-token-0123456789"


class Scene:
    def __init__(self, token: str | None) -> None:
        self.health = Health("database", "broker")
        self.refused: list[int] = []
        watching = Watching(self.health, Figures(), token=token, refused=self.refused.append)
        self._sock = listen("127.0.0.1", 0, variables="none")
        failed: list[BaseException] = []
        self.server = Server(watching.app(), self._sock, answer_within_s=0, failed=failed.append)
        self.client = httpx.Client(
            base_url=f"http://127.0.0.1:{self._sock.getsockname()[1]}", trust_env=False, timeout=10
        )

    def get(self, path: str, token: str | None = None) -> httpx.Response:
        headers = {} if token is None else {"Authorization": f"Bearer {token}".strip()}
        return self.client.get(path, headers=headers)


@contextmanager
def watched(token: str | None) -> Iterator[Scene]:
    scene = Scene(token)
    scene.server.start()
    try:
        with scene.client:
            yield scene
    finally:
        scene.server.finish(timeout_s=5)


@pytest.fixture(scope="module")
def scene():
    with watched(TOKEN) as running:
        yield running


def test_the_holder_of_the_token_gets_every_figure_in_prometheus_format(scene):
    answer = scene.get("/metrics", TOKEN)

    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert "process_cpu_seconds_total" in answer.text


@pytest.mark.parametrize(
    "token",
    [None, "", "wrong", TOKEN + "x", TOKEN[:-1], TOKEN.upper()],
    ids=["none", "empty", "another", "longer", "shorter", "other letters"],
)
def test_nobody_else_gets_any(scene, token):
    before = len(scene.refused)

    answer = scene.get("/metrics", token)

    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert "V2G_METRICS_TOKEN_FILE" in answer.json()["do"]
    assert "process_cpu" not in answer.text
    assert TOKEN not in answer.text
    assert scene.refused[before:] == [401]


def test_without_a_token_set_no_figures_are_served_and_it_says_how_to_get_them():
    with watched(None) as scene:
        answers = [scene.get("/metrics", token) for token in (None, "", "None", TOKEN)]

        assert {answer.status_code for answer in answers} == {404}
        assert "V2G_METRICS_TOKEN_FILE" in answers[0].json()["expected"]
        assert "process_cpu" not in "".join(answer.text for answer in answers)
        assert scene.get("/readyz", "None").json() == {"state": "not_ready"}


def test_readiness_is_one_word_for_anybody_and_every_part_with_why_for_the_holder(scene):
    scene.health.set("database", up=True, detail="answers")
    scene.health.set("broker", up=False, detail="refuses name or password of v2g-ingest")

    away, told = scene.get("/readyz"), scene.get("/readyz", TOKEN)

    assert (away.status_code, away.json()) == (503, {"state": "not_ready"})
    assert told.status_code == 503
    assert told.json()["checks"]["database"] == {"up": True, "detail": "answers"}
    assert "v2g-ingest" in told.json()["checks"]["broker"]["detail"]

    scene.health.set("broker", up=True, detail="subscribed")
    assert (scene.get("/readyz").status_code, scene.get("/readyz").json()) == (
        200,
        {"state": "ready"},
    )


def test_being_alive_is_open_and_says_nothing_else(scene):
    assert scene.get("/healthz").json() == {"state": "alive"}


def test_other_paths_and_methods_are_refused_in_json_and_nothing_is_kept_in_caches(scene):
    absent, posted = scene.get("/debug"), scene.client.post("/metrics")

    assert (absent.status_code, absent.json()["error"]) == (404, "NO_SUCH_ROUTE")
    assert "GET /metrics" in absent.json()["expected"]
    assert posted.status_code == 405
    assert absent.headers["cache-control"] == "no-store"


def test_a_token_that_others_could_read_is_refused_by_its_variable(tmp_path):
    file = secret_file(tmp_path / "metrics", TOKEN)
    assert token_in(file) == TOKEN
    assert token_in(None) is None

    file.chmod(0o640)

    with pytest.raises(SettingsError, match=r"^V2G_METRICS_TOKEN_FILE: found .*chmod 600"):
        token_in(file)
