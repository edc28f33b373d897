"""Mosquitto under a configuration that was written for a real host, on this machine's loopback.

What is tried out here is the configuration that will be installed there. Of its text only this is
replaced: the listeners' ports and addresses, the paths of files, and where the log goes.
Certificates and access list are given as files and copied to where the broker's user can read them;
nothing here knows what they mean.

Mosquitto only: nothing else reads its configuration.
"""

import re
import socket
import ssl
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from embedded import mosquitto
from embedded.errors import ChildExitedError, EmbeddedError
from embedded.places import server_user
from embedded.processes import Supervised, free_port
from embedded.running import Running

READY_DEADLINE_S: Final = 30.0
_ANSWER_DEADLINE_S: Final = 2.0
_PORTS_TRIED: Final = 5
_PORT_TAKEN: Final = ("already in use", "Unable to create websockets listener")
_FILES: Final = ("acl_file", "cafile", "certfile", "keyfile")


class TlsBroker(Running):
    """A broker over ``folder`` with a host's own configuration; ports are chosen at the first start.

    Args:
        folder: for its settings, its log, and what it must not forget.
        cache: where mosquitto is fetched to.
        configuration: the ``mosquitto.conf`` of the host.
        files: what its ``acl_file``, ``cafile``, ``certfile`` and ``keyfile`` shall be, by those names.
        replaced: more settings to give another value, for measurements; each must stand there.
    """

    def __init__(
        self,
        folder: Path,
        *,
        cache: Path,
        configuration: Path,
        files: Mapping[str, Path],
        replaced: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder.absolute()
        self._cache = cache
        self._text = configuration.read_text(encoding="utf-8")
        self._files = dict(files)
        self._replaced = dict(replaced or {})
        self._user = server_user()
        self._mosquitto: mosquitto.Mosquitto | None = None
        self._ports: list[int] = []
        self._server: Supervised | None = None

    @property
    def host(self) -> str:
        """The address, of loopback; the broker's certificate must name it."""
        return "127.0.0.1"

    @property
    def ports(self) -> Sequence[int]:
        """The listeners' ports, in the order in which they stand in the configuration.

        Raises:
            EmbeddedError: the broker was never started.
        """
        if not self._ports:
            raise EmbeddedError(f"{self.folder}: the broker was not started; call start()")
        return tuple(self._ports)

    @property
    def port(self) -> int:
        """The first listener's port; the same after every start."""
        return self.ports[0]

    @property
    def kind(self) -> str:
        """What runs: "mosquitto 2.0.11"."""
        return f"mosquitto {self._find().version}"

    @property
    def running(self) -> bool:
        return self._server is not None and self._server.running

    @property
    def pid(self) -> int | None:
        return None if self._server is None else self._server.pid

    @property
    def log(self) -> Path:
        return self.folder / "broker.log"

    @property
    def state(self) -> Path:
        """Where it writes what it must not forget."""
        return self.folder / "broker" / "state" / "mosquitto.db"

    def start(self) -> None:
        """Start the broker and wait until it proves on every port that it has its certificate.

        Raises:
            BrokerUnavailableError: there is no mosquitto on this machine.
            EmbeddedError: the configuration lacks what would have to be replaced.
            ChildExitedError: it ended; the error holds the end of its log.
            DeadlineExceededError: it did not answer within half a minute.
        """
        if self.running:
            return
        program = self._find()
        work = self.folder / "broker"
        work.mkdir(parents=True, exist_ok=True)
        work.chmod(0o755)  # entered by the server's user, whatever lies above
        chosen_before = bool(self._ports)
        for attempt in range(1, _PORTS_TRIED + 1):
            if not chosen_before:
                self._ports = [free_port() for _ in _listeners(self._text)]
            settings = adapted(self._text, self._ports, self._replaced)
            (work / "mosquitto.conf").write_text(settings, encoding="utf-8")
            for name in _FILES:
                mosquitto.write_private(work / name, self._files[name].read_text(), self._user)
            self._server = mosquitto.server(program, work, log=self.log, user=self._user)
            try:
                self._server.start()
                self._server.wait_ready(
                    self._answers, deadline_s=READY_DEADLINE_S, what=f"{self.kind} to answer"
                )
            except ChildExitedError as error:
                self.stop()
                taken = any(words in error.tail for words in _PORT_TAKEN)
                if chosen_before or not taken or attempt == _PORTS_TRIED:
                    raise
            except BaseException:
                self.stop()
                raise
            else:
                return

    def stop(self) -> None:
        """End the broker; it saves what it must not forget. Idempotent."""
        if self._server is not None:
            self._server.stop()

    def kill(self) -> None:
        """SIGKILL: a crash, for tests."""
        if self._server is not None:
            self._server.kill()

    def _find(self) -> mosquitto.Mosquitto:
        if self._mosquitto is None:
            self._mosquitto = mosquitto.find(self._cache, user=self._user)
        return self._mosquitto

    def _answers(self) -> bool:
        """A handshake with each listener: an open port may be another program's."""
        context = ssl.create_default_context(cafile=str(self._files["cafile"]))
        try:
            for port in self._ports:
                with (
                    socket.create_connection((self.host, port), _ANSWER_DEADLINE_S) as plain,
                    # A handshake ends for us before the broker asks whether we may: no certificate needed.
                    context.wrap_socket(plain, server_hostname=self.host),
                ):
                    pass
        except OSError:
            return False
        return True


def _listeners(text: str) -> list[str]:
    return re.findall(r"^listener (\d+)$", text, re.MULTILINE)


def adapted(text: str, ports: Sequence[int], replaced: Mapping[str, str]) -> str:
    """A host's configuration with this machine's ports and paths, and everything else as it stands.

    Raises:
        EmbeddedError: something that would have to be replaced does not stand there.
    """
    for port, ours in zip(_listeners(text), ports, strict=True):
        # socket_domain: without it a WebSockets listener of 2.0 takes every address, whatever it is told.
        here = f"listener {ours} 127.0.0.1\nsocket_domain ipv4"
        text = _replace(text, rf"listener {port}", here)
    paths = {name: name for name in _FILES}
    paths |= {"persistence_location": "state/", "log_dest": "stderr"}
    for name, value in {**paths, **replaced}.items():
        text = _replace(text, rf"{name} .*", f"{name} {value}")
    return f"{text}\nlog_timestamp_format %Y-%m-%dT%H:%M:%S\n"


def _replace(text: str, line: str, by: str) -> str:
    changed, times = re.subn(rf"^{line}$", by, text, flags=re.MULTILINE)
    if not times:
        raise EmbeddedError(f"the broker's configuration has no line {line!r}: expected one")
    return changed
