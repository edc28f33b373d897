"""A wire between client and server that breaks at the worst moment: after COMMIT, before the answer."""

import socket
import tempfile
import threading
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Self

from psycopg.conninfo import conninfo_to_dict, make_conninfo

CHUNK = 65536


class CutWire:
    """A unix socket in front of the server's. ``dsn`` leads through it.

    Once ``armed``, the first COMMIT after a statement about ``landing_batch`` is passed on, the
    server's answer is awaited and thrown away, and the wire is cut. ``cuts`` counts.
    """

    def __init__(self, dsn: str) -> None:
        parts = conninfo_to_dict(dsn)
        self._port = parts.get("port", "5432")
        self._server = f"{parts['host']}/.s.PGSQL.{self._port}"
        self._stack = ExitStack()
        folder = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="wire"))
        self.dsn = make_conninfo(dsn, host=folder)
        self.armed = threading.Event()
        self.cuts = 0
        self._listener = self._stack.enter_context(socket.socket(socket.AF_UNIX))
        self._listener.bind(str(Path(folder) / f".s.PGSQL.{self._port}"))
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._stack.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(self._server)
                deaf = threading.Event()
                threading.Thread(
                    target=self._to_server, args=(client, server, deaf), daemon=True
                ).start()
                threading.Thread(
                    target=self._to_client, args=(server, client, deaf), daemon=True
                ).start()

    def _to_server(
        self, client: socket.socket, server: socket.socket, deaf: threading.Event
    ) -> None:
        landing = False
        with suppress(OSError):
            while chunk := client.recv(CHUNK):
                landing = self.armed.is_set() and (landing or b"landing_batch" in chunk)
                if landing and b"COMMIT" in chunk:
                    self.armed.clear()
                    deaf.set()
                server.sendall(chunk)
        server.close()

    def _to_client(
        self, server: socket.socket, client: socket.socket, deaf: threading.Event
    ) -> None:
        with suppress(OSError):
            while chunk := server.recv(CHUNK):
                if deaf.is_set():
                    self.cuts += 1
                    break
                client.sendall(chunk)
        with suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)
        client.close()
        with suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)
