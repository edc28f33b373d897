"""The entry of a forked agent: imports nothing heavy, because each of a hundred processes imports it."""

import ctypes
import os
import signal
import sys


def run_agent(config: str, log: str) -> None:
    """In the new process: what ``python -m evse_agent run`` does after its imports."""
    os.setsid()
    ctypes.CDLL(None).prctl(1, int(signal.SIGKILL))  # PR_SET_PDEATHSIG: no orphan
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for standard in (1, 2):
        os.dup2(descriptor, standard)
    from evse_agent.__main__ import main

    sys.exit(main(["run", "--config", config]))
