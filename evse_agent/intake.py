"""The Unix socket on which the charge controller speaks: one JSON object per line, one answer per line.

    → a sample, or the end of a session (evse_agent.samples)
    ← {"accepted":true}                                          it is stored, as a COMMIT is
    ← {"accepted":false,"where":"…","found":"…","expected":"…"}  it is not; nothing has changed
    ← {"limit_w":0,"command_id":"…"}                             unasked: discharge no more than this

One controller at a time. A controller that got no answer sends the same line again: what was accepted
before is accepted again, and counts once.
"""

import contextlib
import json
import logging
import os
import select
import socket
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from evse_agent.errors import AgentError
from evse_agent.log import say
from evse_agent.samples import LINE_MAX_BYTES

logger = logging.getLogger(__name__)

Answer = dict[str, object]

SEND_WITHIN_S: Final = 2.0
_READ_BYTES: Final = 64 * 1024
_BACKLOG: Final = 4


class SocketError(AgentError):
    """The socket cannot be made."""


def refusal(where: str, found: str, expected: str) -> Answer:
    """The answer to a line that is not accepted."""
    return {"accepted": False, "where": where, "found": found, "expected": expected}


class Intake:
    """The socket and its thread.

    Args:
        path: of the socket.
        handle: takes a line, gives its answer; must not raise.
        greeting: what a controller is told when it connects, or None.

    Raises:
        SocketError: the path is taken by something else, or by a living agent.
    """

    def __init__(
        self,
        path: Path,
        handle: Callable[[bytes], Answer],
        *,
        greeting: Callable[[], Answer | None],
    ) -> None:
        self._path = path
        self._handle = handle
        self._greeting = greeting
        self._lock = threading.Lock()
        self._controller: socket.socket | None = None
        self._pending = b""
        self._listener = _listen(path)
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._thread = threading.Thread(target=self._run, name="intake", daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the thread still listens; it ends by ``stop`` alone."""
        return self._thread.is_alive()

    def stop(self, *, timeout_s: float) -> None:
        """Answer the line that is being handled, then hang up."""
        os.eventfd_write(self._wake, 1)
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        with contextlib.suppress(OSError):
            self._path.unlink()

    def tell(self, line: Answer) -> bool:
        """Tell the controller something unasked. False: none is connected, or it does not listen."""
        with self._lock:
            return self._send(line)

    def _send(self, line: Answer) -> bool:
        if self._controller is None:
            return False
        try:
            self._controller.sendall(json.dumps(line, separators=(",", ":")).encode() + b"\n")
        except OSError:
            # The thread sees it too, and hangs up.
            with contextlib.suppress(OSError):
                self._controller.shutdown(socket.SHUT_RDWR)
            return False
        return True

    def _run(self) -> None:
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        poll.register(self._listener, select.POLLIN)
        try:
            while True:
                ready = dict(poll.poll())
                if self._wake in ready:
                    return
                if self._listener.fileno() in ready:
                    self._accept(poll)
                controller = self._controller
                if (
                    controller is not None
                    and controller.fileno() in ready
                    and not self._read(controller)
                ):
                    poll.unregister(controller)
                    self._hang_up()
        finally:
            self._hang_up()
            self._listener.close()

    def _accept(self, poll: select.poll) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return
        connection.settimeout(SEND_WITHIN_S)
        if self._controller is not None:
            answer = refusal("socket", "a second controller", "one at a time")
            with contextlib.suppress(OSError):
                connection.sendall(json.dumps(answer).encode() + b"\n")
            connection.close()
            say(logger, logging.WARNING, "second_controller", socket=self._path)
            return
        poll.register(connection, select.POLLIN)
        say(logger, logging.INFO, "controller_connected")
        with self._lock:
            self._controller = connection
            self._pending = b""
            if (greeting := self._greeting()) is not None:
                self._send(greeting)

    def _hang_up(self) -> None:
        with self._lock:
            if self._controller is not None:
                self._controller.close()
                self._controller = None
                say(logger, logging.INFO, "controller_gone")

    def _read(self, controller: socket.socket) -> bool:
        """Handle what has come. False: the connection is over."""
        try:
            chunk = controller.recv(_READ_BYTES)
        except OSError:
            return False
        if not chunk:
            return False
        *lines, self._pending = (self._pending + chunk).split(b"\n")
        for line in lines:
            too_long = len(line) > LINE_MAX_BYTES
            answer = _too_long(line) if too_long else self._handle(line)
            with self._lock:
                if not self._send(answer) or too_long:
                    return False
        if len(self._pending) > LINE_MAX_BYTES:
            with self._lock:
                self._send(_too_long(self._pending))
            return False
        return True


def _too_long(line: bytes) -> Answer:
    return refusal("line", f"{len(line)} bytes or more", f"at most {LINE_MAX_BYTES}")


def _listen(path: Path) -> socket.socket:
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise SocketError(f"SocketFile {path}: found a file; expected a free path, or a socket")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            try:
                probe.connect(str(path))
            except OSError:
                path.unlink()  # left behind by an agent that was killed
            else:
                raise SocketError(f"SocketFile {path}: found an agent that listens; expected none")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        listener.bind(str(path))
    except OSError as error:
        listener.close()
        raise SocketError(
            f"SocketFile {path}: found {error.strerror or error}; expected a folder that this user"
            " may write, and a path of at most 107 bytes"
        ) from error
    finally:
        os.umask(before)
    listener.listen(_BACKLOG)
    return listener
