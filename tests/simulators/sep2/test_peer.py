"""The proof that the simulator is honest: a client by another hand runs whole events against it.

``py20305`` is an IEEE 2030.5 client of the SunSpec Alliance's Project Satori; here it runs as it is
shipped, in a process of its own, over mutual TLS with CCM-8, and knows nothing of this simulator.
"""

import subprocess
import sys
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
import yaml

from embedded.processes import free_port, wait_until
from simulators.sep2 import Edition, Suites, World
from tests.simulators.sep2.site import DEADLINE_S

RECEIVED, STARTED, COMPLETED, CANCELLED, SUPERSEDED = 1, 2, 3, 6, 7


class Peer:
    """The other client, in a process; ``poll`` has it look at its lists now."""

    def __init__(self, site, server, folder: Path, edition: Edition) -> None:
        port = free_port()
        self.log = folder / "client.log"
        self._api = f"http://127.0.0.1:{port}/api/v1"
        configuration = folder / "client.yaml"
        configuration.write_text(
            yaml.safe_dump(
                {
                    "server": {
                        "url": server.url,
                        "server_2018_compat": edition is Edition.E2018,
                    },
                    "tls": {
                        "client_cert": str(site.client.certificate),
                        "client_key": str(site.client.key),
                        "ca_cert": str(site.authority.certificate),
                    },
                    "devices": [{"type": "print_demo", "lfdi": site.client.lfdi.lower()}],
                    "register_on_start": True,
                    "discovery": {"enabled": False},
                    "advertise": {"transport": "off"},
                    "telemetry": {"enabled": False},
                    "history": {"enabled": False},
                    "api": {"enabled": True, "port": port},
                }
            )
        )
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                (sys.executable, "-m", "py20305", "-c", configuration), stderr=log, cwd=folder
            )

    def poll(self) -> bool:
        try:
            return httpx.post(f"{self._api}/poll-now", timeout=DEADLINE_S).is_success
        except httpx.TransportError:
            return False


@contextmanager
def running(site, server, folder: Path, edition: Edition):
    peer = Peer(site, server, folder, edition)
    try:
        yield peer
    except AssertionError as error:
        error.add_note(peer.log.read_text()[-4_000:])
        raise
    finally:
        peer.process.terminate()
        peer.process.wait(DEADLINE_S)


@pytest.mark.parametrize("edition", list(Edition))
def test_an_independent_client_runs_whole_events(site, tmp_path, edition) -> None:
    world = World(edition=edition)
    program = world.add_program("Grid stress V2G", primacy=0)

    def add(seconds: float, lasting: int, **modes: int):
        start = world.present() + timedelta(seconds=seconds)
        return world.add_control(program, start=start, duration_s=lasting, modes=modes)

    def answered(control, *statuses: int) -> None:
        reached = world.wait(
            lambda: world.statuses(control, site.client.lfdi)[-1:] == [statuses[-1]],
            within_s=DEADLINE_S,
        )
        assert reached, f"{world.statuses(control)} instead of {statuses}"
        assert tuple(world.statuses(control)) == statuses

    with (
        site.serve(world, suites=Suites.CCM8) as server,
        running(site, server, tmp_path, edition) as peer,
    ):
        # given a client that has registered itself and knows its program, which has no control yet
        wait_until(
            lambda: any(asked.path == "/derp/1/derc" for asked in server.trail) and peer.poll(),
            deadline_s=DEADLINE_S,
            what="the client",
        )
        assert [device.lfdi for device in world.devices] == [site.client.lfdi]

        # when controls are created while it runs
        whole = add(3, 4, opModTargetW=7_000)
        called_off = add(60, 60, opModFixedW=8_000)
        replaced = add(1, 60, opModMaxLimW=5_000)
        assert peer.poll()
        answered(called_off, RECEIVED)
        # and one is cancelled before it starts, and one superseded while it is active
        world.cancel(called_off)
        answered(replaced, RECEIVED, STARTED)
        newer = add(1, 60, opModMaxLimW=4_000)
        assert peer.poll()

        # then it says of each what became of it
        answered(called_off, RECEIVED, CANCELLED)
        answered(replaced, RECEIVED, STARTED, SUPERSEDED)
        answered(whole, RECEIVED, STARTED, COMPLETED)
        answered(newer, RECEIVED, STARTED)
        # and nothing that it sent was refused
        assert {asked.status for asked in server.trail} == {200, 201}
        assert {answer.client for answer in world.answers} == {site.client.lfdi}
