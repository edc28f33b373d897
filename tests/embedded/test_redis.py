"""Redis on loopback: it answers with its password only, keeps nothing, and ends with its parent."""

from pathlib import Path

import pytest
import redis

from embedded.errors import PackageFetchError
from embedded.redis import Redis

CACHE = Path(__file__).parents[2] / ".cache"


@pytest.fixture
def server(tmp_path):
    made = Redis(tmp_path, cache=CACHE)
    try:
        made.start()
    except PackageFetchError as error:
        pytest.skip(f"no Redis here: {error}")
    yield made
    made.stop()


def client(server: Redis, password: str | None) -> redis.Redis:
    return redis.Redis(host=server.host, port=server.port, password=password, socket_timeout=5)


def test_nobody_without_the_password_is_let_in(server):
    for password in (None, "guessed"):
        with (
            pytest.raises((redis.AuthenticationError, redis.ResponseError)),
            client(server, password) as stranger,
        ):
            stranger.ping()


def test_it_starts_again_on_its_port_and_has_forgotten_everything(server):
    port = server.port
    with client(server, server.password) as one:
        one.set("kept", "no")
    server.stop()

    server.start()

    assert server.port == port
    with client(server, server.password) as one:
        assert one.get("kept") is None


def test_its_settings_and_password_are_for_its_user_alone(server):
    file = server.folder / "redis" / "redis.conf"
    assert file.stat().st_mode & 0o077 == 0
