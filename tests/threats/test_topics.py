"""S7: one charger speaks in another's name, to the shipped broker over TLS and to the daemon behind it."""

from collections.abc import Iterator

import pytest

from tests.ingest_daemon.harness import Daemon, wait_count
from tests.tasks.scene import Scene
from tests.threats.conftest import EVSE
from tests.tls import TlsSite

MALLORY = "DE*V2G*E66666"


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Iterator[TlsSite]:
    with TlsSite(tmp_path_factory.mktemp("shipped")) as running:
        yield running


def test_s7_what_is_published_on_anothers_topic_reaches_nobody(
    site: TlsSite, scene: Scene, tmp_path
) -> None:
    scene.enrol(MALLORY)
    with (
        Daemon(tmp_path, scene.dsn, **site.daemon_settings()),
        site.connect(EVSE) as victim,
    ):
        # when a charger publishes its packet, and a stolen one, on the victim's topic
        for packet in (scene.packet(MALLORY, 1), scene.packet(EVSE, 1)):
            with site.connect(MALLORY) as mallory:
                assert mallory.publish(f"v2g/{EVSE}/telemetry", packet) == "Not authorized"
        # then only what the victim itself publishes is landed
        assert victim.publish(f"v2g/{EVSE}/telemetry", scene.packet(EVSE, 2)) == "Success"
        wait_count(scene.dsn, 1)
    scene.judge()
    assert scene.rows("select evse_id, sequence from reading") == [(EVSE, 2)]
    assert scene.one("select count(*) from quarantine") == 0


def test_s7_a_stolen_packet_on_ones_own_topic_is_quarantined_and_its_owner_is_still_paid(
    site: TlsSite, scene: Scene, tmp_path
) -> None:
    # given a charger that has heard a victim's packet, and brings it first, on its own topic
    scene.enrol(MALLORY)
    packet = scene.packet(EVSE, 1)
    with Daemon(tmp_path, scene.dsn, **site.daemon_settings()):
        with site.connect(MALLORY) as mallory:
            assert mallory.publish(f"v2g/{MALLORY}/telemetry", packet) == "Success"
        # when the victim delivers it
        with site.connect(EVSE) as victim:
            assert victim.publish(f"v2g/{EVSE}/telemetry", packet) == "Success"
        wait_count(scene.dsn, 1)
    # then the victim's counts, and the other is named
    scene.judge()
    assert scene.rows("select evse_id, sequence from reading") == [(EVSE, 1)]
    assert scene.rows("select reason from quarantine") == [("WRONG_TOPIC",)]
    assert scene.settle().paid_milliwh == 30_000


def test_s7_nobody_publishes_without_a_certificate(site: TlsSite) -> None:
    with site.connect(None) as nobody:
        assert nobody.answer != "Success"
