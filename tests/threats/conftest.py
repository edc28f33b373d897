"""A world with a daemon, a judge and a settling run, which the tests attack."""

from collections.abc import Iterable
from dataclasses import dataclass

import pytest

from tests.ingest_daemon.harness import Daemon
from tests.tasks.scene import Scene

EVSE = "DE*V2G*E00001"


@dataclass
class System:
    """What an attacker sees: an address to send to. And what the auditor sees: the books."""

    scene: Scene
    daemon: Daemon

    def send(self, packets: Iterable[bytes]) -> list[int]:
        """Upload packets one by one; the daemon's answers."""
        return [self.daemon.post(packet).status_code for packet in packets]

    def judge_and_settle(self) -> dict[str, int]:
        """What each account is owed after judging and settling."""
        self.scene.judge()
        self.scene.settle()
        return self.scene.owed()

    def reasons(self) -> dict[str, int]:
        """Quarantined packets by reason."""
        return dict(self.scene.rows("select reason, count(*)::int from quarantine group by reason"))


@pytest.fixture
def scene(plain_database: str) -> Scene:
    made = Scene(plain_database)
    made.set_up(EVSE)
    return made


@pytest.fixture
def system(scene: Scene, tmp_path):
    with Daemon(tmp_path, scene.dsn) as daemon:
        yield System(scene, daemon)
