"""The first steps of a child process, between fork and the program it is to run.

Run as a file, in an interpreter of its own (``python -I -S launch.py …``), because the same steps
in ``subprocess``'s ``preexec_fn`` may deadlock when the parent has threads. In this order:

1. become the other user, when one is given (needs root);
2. ask the kernel for a signal when the parent dies (prctl PR_SET_PDEATHSIG, Linux). After step 1,
   because a change of user clears it;
3. give up when the parent has died in the meantime;
4. undo ignored signals: a shell starts a background job with SIGINT ignored, exec keeps that, and
   Python programs (Prefect's worker is one) then never hear it;
5. become the program.
"""

import ctypes
import os
import signal
import sys
from typing import Final, NoReturn

PR_SET_PDEATHSIG: Final = 1
EXIT_NOT_STARTED: Final = 127


def main(arguments: list[str]) -> NoReturn:
    """Run the command of ``PARENT_PID DEATH_SIGNAL USER_ID COMMAND…``; USER_ID "-" keeps ours."""
    parent, death_signal, user = int(arguments[0]), int(arguments[1]), arguments[2]
    command = arguments[3:]
    if user != "-":
        os.setgroups([])
        os.setresgid(int(user), int(user), int(user))
        os.setresuid(int(user), int(user), int(user))
        os.umask(0o077)
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(EXIT_NOT_STARTED)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, set())
    try:
        os.execvp(command[0], command)
    except OSError as error:
        sys.stderr.write(f"{command[0]} cannot be run: {error.strerror}\n")
        sys.exit(EXIT_NOT_STARTED)


if __name__ == "__main__":
    main(sys.argv[1:])
