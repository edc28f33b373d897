import pytest

from embedded.broker import Broker
from tests.conftest import CACHE


@pytest.fixture
def broker(tmp_path):
    with Broker(tmp_path / "broker", cache=CACHE) as running:
        if not running.keeps_sessions:
            pytest.skip(
                f"{running.kind} speaks no MQTT 5, which the agent needs: {running.limitation}"
            )
        yield running
