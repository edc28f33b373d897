"""SIGTERM and SIGINT, heard at once; a second one ends the process."""

import os
import signal
import socket
import threading
from collections.abc import Callable


def heed(stop: Callable[[], bool]) -> socket.socket:
    """Call ``stop`` on SIGTERM or SIGINT, in a thread of its own; when it says that it was called before,
    the process ends.

    Python runs signal handlers between two steps of the main thread, which may be waiting; the wakeup
    descriptor is written at once.

    Returns:
        What must be kept open for as long as signals shall be heard.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: None)
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)

    def watch() -> None:
        while number := reader.recv(1):
            if number[0] in {signal.SIGTERM, signal.SIGINT} and stop():
                # In a hurry. What was commanded is stored; what was not obeyed is sent again.
                os._exit(1)

    threading.Thread(target=watch, name="signals", daemon=True).start()
    return writer
