"""The demonstration's utility: an IEEE 2030.5 server over mutual TLS, and the file that says how to read it.

Its clock is right, so the evening lies in its past: events and prices are read late, as after an outage.
What it says of an event's status is not believed; effective windows are computed.
"""

import json
from types import TracebackType
from typing import Final, Self

from cli.demo.folder import DemoFolder
from simulators import grid
from simulators.evening import Evening
from simulators.sep2 import Authority, Sep2Server, Settings
from simulators.sep2.evening import Evening as Served

FEED: Final = "utility"
FILE: Final = "grid.yaml"
CERTIFICATES: Final = "certificates"
POLL_S: Final = 10
"""How often the server wants to be asked for each of its lists: as often as our client does at most."""

LISTS: Final = ("dcap", "tm", "edev", "fsa", "derp", "tp")


class Utility:
    """A context manager: throwaway certificates, the server in a thread, and ``grid.yaml``.

    Args:
        folder: of the demonstration.
        evening: what it says.
    """

    def __init__(self, folder: DemoFolder, evening: Evening) -> None:
        self._evening = evening
        authority = Authority(folder.path / CERTIFICATES)
        server, client = authority.server(), authority.client()
        self._served = Served(
            evening.events, evening.first_prices, poll_rates_s=dict.fromkeys(LISTS, POLL_S)
        )
        self._served.world.add_device(client.lfdi, settings=Settings())
        self._server = Sep2Server(
            self._served.world,
            certificate=server.certificate,
            key=server.key,
            ca=authority.certificate,
        )
        ours = [
            {"match": {"description": program}, "program": program} for program in grid.EVENT_NAMES
        ]
        feed = {
            "name": FEED,
            "kind": "ieee2030.5",
            "url": f"{self._server.url}/dcap",
            "certificate": str(client.certificate),
            "key": str(client.key),
            "ca": str(authority.certificate),
            "edition": 2018,
            "programs": ours,
            "tariffs": ours,
        }
        # JSON is YAML.
        folder.private(FILE, json.dumps({"feeds": [feed]}, indent=1) + "\n")

    @property
    def url(self) -> str:
        """Base address; it answers to those who show a certificate of its authority."""
        return self._server.url

    @property
    def answered(self) -> int:
        """How many Responses it has been posted."""
        return len(self._served.world.answers)

    def revise_price(self) -> str:
        """Serve another price for one half hour from now on; what has changed, in words."""
        number = grid.revised_at(self._evening.prices)
        before, after = self._evening.first_prices[number], self._evening.prices[number]
        self._served.revise_price(after.program, after.started_at, after.text)
        return f"{after.started_at:%H:%M}, {after.program}: {before.text} becomes {after.text}"

    def __enter__(self) -> Self:
        self._server.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.__exit__(kind, error, trace)
