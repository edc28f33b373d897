"""sd_notify(3): tells systemd that the agent is ready, alive, and ending. Nothing without systemd."""

import contextlib
import os
import socket


def notify(state: str) -> None:
    """``READY=1``, ``WATCHDOG=1``, ``STOPPING=1``; several on lines of their own."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address[:1] not in {"/", "@"}:
        return
    with (
        contextlib.suppress(OSError),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender,
    ):
        sender.connect(address.replace("@", "\0", 1) if address[0] == "@" else address)
        sender.send(state.encode())
