"""The clearinghouse: takes postings over HTTP or TLS, pays each id once, and answers badly on request.

Where do I go to…
    …start one, and see what it really paid?                  simulators.clearinghouse.server
    …see what each path answers?                              simulators.clearinghouse.app
    …see how an id pays once?                                 simulators.clearinghouse.book
    …choose a fault?                                          simulators.clearinghouse.faults
    …say how often each occurs?                               simulators.clearinghouse.misbehaviour
    …say exactly which call meets what?                       simulators.clearinghouse.script, .script_file
    …see what a fault makes of an answer?                     simulators.clearinghouse.spoiling, .wire
    …see where a redirect leads?                              simulators.clearinghouse.elsewhere
    …verify our signatures, sign the answers?                 simulators.clearinghouse.signatures
    …show a certificate that must be refused?                 simulators.clearinghouse.certificates
    …get its statement, with lies?                            simulators.clearinghouse.statement
    …run one by hand?                                         python -m simulators.clearinghouse --help
"""

from simulators.clearinghouse.book import Ledger, Posting
from simulators.clearinghouse.certificates import Authority, Pair, Showing
from simulators.clearinghouse.faults import Fault, FaultKind
from simulators.clearinghouse.misbehaviour import WELL_AFTER, WELL_BEHAVED, Misbehaviour
from simulators.clearinghouse.script import Script
from simulators.clearinghouse.server import ClearingHouse
from simulators.clearinghouse.statement import LieKind

__all__ = [
    "WELL_AFTER",
    "WELL_BEHAVED",
    "Authority",
    "ClearingHouse",
    "Fault",
    "FaultKind",
    "Ledger",
    "LieKind",
    "Misbehaviour",
    "Pair",
    "Posting",
    "Script",
    "Showing",
]
