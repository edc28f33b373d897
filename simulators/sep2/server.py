"""The utility's server on loopback: HTTPS with mutual TLS, in a thread.

with Sep2Server(world, certificate=…, key=…, ca=…) as server:
    …  # server.url, such as https://127.0.0.1:41234; server.faults; server.trail
"""

import ssl
from collections.abc import Iterable
from enum import Enum
from pathlib import Path

from simulators.sep2.app import Asked, Sep2App
from simulators.sep2.faults import Fault, Faults
from simulators.sep2.world import World
from simulators.serving import Lines, LoopbackServer, Simulator


class Suites(Enum):
    """Which cipher suites of TLS 1.2 the server takes (IEEE 2030.5 §6.7: CCM-8 is mandatory)."""

    BOTH = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-CCM8"
    GCM = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384"
    CCM8 = "ECDHE-ECDSA-AES128-CCM8"


class Sep2Server(Simulator):
    """Serves a world to clients whose certificate the authority has signed, from ``url`` + /dcap on.

    Args:
        world: what is served; it may be changed meanwhile.
        certificate: of the server, PEM.
        key: of the server, PEM.
        ca: the authority of the clients, PEM.
        port: 0 takes a free one.
        faults: how it misbehaves from the start; more by ``server.faults.add``.
        suites: of TLS 1.2.
        tls13_only: speak TLS 1.3 only, which the standard's clients do not.
    """

    def __init__(
        self,
        world: World,
        *,
        certificate: Path,
        key: Path,
        ca: Path,
        port: int = 0,
        faults: Iterable[Fault] = (),
        suites: Suites = Suites.BOTH,
        tls13_only: bool = False,
    ) -> None:
        self.world = world
        self.faults = Faults(*faults)
        lines = Lines()
        self._app = Sep2App(world, self.faults, lines)
        self._server = LoopbackServer(
            self._app,
            port=port,
            lines=lines,
            tls=_context(certificate, key, ca, suites=suites, tls13_only=tls13_only),
        )

    @property
    def trail(self) -> list[Asked]:
        """The requests so far, oldest first."""
        return self._app.trail


def _context(
    certificate: Path, key: Path, ca: Path, *, suites: Suites, tls13_only: bool
) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    version = ssl.TLSVersion.TLSv1_3 if tls13_only else ssl.TLSVersion.TLSv1_2
    context.minimum_version = context.maximum_version = version
    # CCM-8 counts as weak by today's measure; the standard demands it, so the level goes down here.
    context.set_ciphers(f"{suites.value}:@SECLEVEL=0")
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(ca)
    context.load_cert_chain(certificate, key)
    return context
