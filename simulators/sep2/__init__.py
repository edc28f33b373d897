"""A utility's IEEE 2030.5 server over mutual TLS, misbehaving on request.

Where do I go to…
    …build and change what is served?                        simulators.sep2.world
    …make a world from an evening's events and prices?        simulators.sep2.evening
    …serve it?                                                simulators.sep2.server
    …move the server's clock?                                 simulators.sep2.clock
    …choose a fault?                                          simulators.sep2.faults
    …make throwaway certificates?                             simulators.sep2.certificates
    …describe a world in a file?                              simulators.sep2.script
    …see what a path answers?                                 simulators.sep2.device_pages,
                                                              .program_pages, .price_pages
    …see what a client may post or put?                       simulators.sep2.replies
    …see how superseded and completed events are marked?      simulators.sep2.status
"""

from simulators.sep2.certificates import Authority, Pair, lfdi_of
from simulators.sep2.clock import ServerClock
from simulators.sep2.faults import Fault, FaultKind, Faults
from simulators.sep2.records import Edition, Flow, Manner, Settings
from simulators.sep2.server import Sep2Server, Suites
from simulators.sep2.world import World

__all__ = [
    "Authority",
    "Edition",
    "Fault",
    "FaultKind",
    "Faults",
    "Flow",
    "Manner",
    "Pair",
    "Sep2Server",
    "ServerClock",
    "Settings",
    "Suites",
    "World",
    "lfdi_of",
]
