"""A Redis on this machine's loopback that keeps nothing on disk, with a password, with TLS or without.

The program is the installed one, else Debian's package unpacked into the cache.
"""

import os
import secrets
from pathlib import Path
from typing import Final

import redis

from embedded import packaged
from embedded.errors import ChildExitedError, EmbeddedError
from embedded.places import server_user
from embedded.processes import Supervised, free_port
from embedded.running import Running

READY_DEADLINE_S: Final = 30.0
_ANSWER_DEADLINE_S: Final = 2.0
_PORTS_TRIED: Final = 5

_SETTINGS: Final = """\
bind 127.0.0.1
{port}
requirepass {password}
daemonize no
# A cache: nothing is written, and the oldest goes when the memory is full.
save ""
appendonly no
dir .
maxmemory 64mb
maxmemory-policy volatile-ttl
"""
_PLAIN: Final = "port {port}"
_SECURE: Final = """\
port 0
tls-port {port}
tls-cert-file server.pem
tls-key-file server.key
tls-ca-cert-file server.pem
tls-auth-clients no
tls-protocols "TLSv1.2 TLSv1.3"\
"""


class Redis(Running):
    """A Redis over ``folder``: its settings and log.

    Args:
        folder: its own.
        cache: where the program is fetched to.
        certificate: PEM of the server's certificate and of its key; TLS alone is spoken then.

    The port is chosen at the first start and stays.
    """

    def __init__(
        self, folder: Path, *, cache: Path, certificate: tuple[bytes, bytes] | None = None
    ) -> None:
        self.folder = folder.absolute()
        self.password = secrets.token_urlsafe(32)
        self._cache = cache
        self._certificate = certificate
        self._port: int | None = None
        self._server: Supervised | None = None

    @property
    def host(self) -> str:
        """The address, of loopback."""
        return "127.0.0.1"

    @property
    def port(self) -> int:
        """The TCP port. Raises EmbeddedError where the server was never started."""
        if self._port is None:
            raise EmbeddedError(f"{self.folder}: Redis was not started; call start()")
        return self._port

    @property
    def pid(self) -> int | None:
        """The server's process, while it runs."""
        return None if self._server is None else self._server.pid

    def start(self) -> None:
        """Start it and wait until it answers. Idempotent.

        Raises:
            PackageFetchError: there is no Redis on this machine and none can be fetched.
            ChildExitedError: it ended; the error holds the end of its log.
            DeadlineExceededError: it did not answer within half a minute.
        """
        if self._server is not None and self._server.running:
            return
        user = server_user()
        program = packaged.find("redis-server", "bin/redis-server", cache=self._cache, user=user)
        chosen_before = self._port is not None
        for attempt in range(1, _PORTS_TRIED + 1):
            if not chosen_before:
                self._port = free_port()
            try:
                self._run(program, user)
            except ChildExitedError as error:
                self.stop()
                taken = "Address already in use" in error.tail
                if chosen_before or not taken or attempt == _PORTS_TRIED:
                    raise
            except BaseException:
                self.stop()
                raise
            else:
                return

    def stop(self) -> None:
        """End it; it forgets everything. Idempotent."""
        if self._server is not None:
            self._server.stop()

    def _run(self, program: packaged.Packaged, user: int | None) -> None:
        work = self.folder / "redis"
        work.mkdir(parents=True, exist_ok=True)
        work.chmod(0o755)  # entered by the server's user, whatever lies above
        listens = (_SECURE if self._certificate else _PLAIN).format(port=self.port)
        _private(
            work / "redis.conf",
            _SETTINGS.format(port=listens, password=self.password).encode(),
            user,
        )
        if self._certificate is not None:
            for name, pem in zip(("server.pem", "server.key"), self._certificate, strict=True):
                _private(work / name, pem, user)
        self._server = Supervised(
            "redis-server",
            # Not as its first argument: that becomes an absolute path, and above may be closed folders.
            program.command("--include", "redis.conf"),
            log=self.folder / "redis.log",
            environment={"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"},
            folder=work,
            user=user,
        )
        self._server.start()
        self._server.wait_ready(
            self._answers, deadline_s=READY_DEADLINE_S, what="redis-server to answer"
        )

    def _answers(self) -> bool:
        """A real question: an open port may be another program's."""
        with redis.Redis(
            host=self.host,
            port=self.port,
            password=self.password,
            ssl=self._certificate is not None,
            ssl_cert_reqs="none",  # it is asked whether it lives, nothing else
            socket_timeout=_ANSWER_DEADLINE_S,
            socket_connect_timeout=_ANSWER_DEADLINE_S,
        ) as client:
            try:
                return bool(client.ping())
            except (redis.ConnectionError, redis.TimeoutError):
                return False


def _private(path: Path, content: bytes, user: int | None) -> None:
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        if user is not None:
            os.fchown(descriptor, user, user)
        file.write(content)
