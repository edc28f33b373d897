"""An MQTT broker on this machine's loopback, with two accounts and the topics of each.

Mosquitto when it is installed or can be fetched, else amqtt, and ``kind`` says which. Nobody
connects without a password; nobody reads or writes beside its topics:

    daemon  reads v2g/+/telemetry and v2g/+/status, writes v2g/+/receipt and v2g/+/command
    fleet   the other way round

``fleet`` stands for all chargers of a simulation; in the field each has a certificate of its own.
"""

import json
import os
import secrets
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal

from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode

from embedded import mosquitto, python_broker
from embedded.errors import BrokerUnavailableError, ChildExitedError, EmbeddedError
from embedded.places import server_user
from embedded.processes import Supervised, free_port
from embedded.running import Running

Role = Literal["daemon", "fleet"]

READY_DEADLINE_S: Final = 30.0
_ANSWER_DEADLINE_S: Final = 2.0
_PORTS_TRIED: Final = 5
_RULES: Final = MappingProxyType(
    {
        "daemon": (
            ("read", "v2g/+/telemetry"),
            ("read", "v2g/+/status"),
            ("write", "v2g/+/receipt"),
            ("write", "v2g/+/command"),
        ),
        "fleet": (
            ("write", "v2g/+/telemetry"),
            ("write", "v2g/+/status"),
            ("read", "v2g/+/receipt"),
            ("read", "v2g/+/command"),
        ),
    }
)


class Broker(Running):
    """A broker over ``folder``: its settings, accounts, log, and what it must not forget.

    ``cache`` is where programs are fetched to. The port is chosen at the first start and stays.
    """

    def __init__(self, folder: Path, *, cache: Path) -> None:
        self.folder = folder.absolute()
        self._cache = cache
        self._user = server_user()
        self._mosquitto: mosquitto.Mosquitto | None = None
        self._without_mosquitto = ""
        self._found = False
        self._port: int | None = None
        self._server: Supervised | None = None

    @property
    def host(self) -> str:
        """The address, of loopback."""
        return "127.0.0.1"

    @property
    def port(self) -> int:
        """The TCP port; the same after every start.

        Raises:
            EmbeddedError: the broker was never started.
        """
        if self._port is None:
            raise EmbeddedError(f"{self.folder}: the broker was not started; call start()")
        return self._port

    @property
    def kind(self) -> str:
        """What runs: "mosquitto 2.0.11" or "amqtt 0.12.1"."""
        self._find()
        if self._mosquitto is not None:
            return f"mosquitto {self._mosquitto.version}"
        return f"amqtt {python_broker.find()}"

    @property
    def supports_mqtt5(self) -> bool:
        """Whether it speaks MQTT 5; else 3.1.1 only."""
        self._find()
        return self._mosquitto is not None

    @property
    def keeps_sessions(self) -> bool:
        """Whether sessions and their messages outlive the broker's process."""
        return self.supports_mqtt5

    @property
    def limitation(self) -> str:
        """Why this is not mosquitto; empty when it is."""
        self._find()
        return self._without_mosquitto

    @property
    def running(self) -> bool:
        """Whether the broker's process runs."""
        return self._server is not None and self._server.running

    @property
    def log(self) -> Path:
        """The broker's log file."""
        return self.folder / "broker.log"

    def credentials(self, role: Role) -> tuple[str, str]:
        """Name and password of an account; made once for the folder, kept with mode 0600."""
        return role, self._accounts()[role]

    def start(self) -> None:
        """Start the broker and wait until it lets the daemon's account in. Idempotent.

        Raises:
            BrokerUnavailableError: there is no broker on this machine.
            ChildExitedError: it ended; the error holds the end of its log.
            DeadlineExceededError: it let nobody in within half a minute.
        """
        if self.running:
            return
        self._find()
        self.folder.mkdir(parents=True, exist_ok=True)
        chosen_before = self._port is not None
        for attempt in range(1, _PORTS_TRIED + 1):
            if not chosen_before:
                self._port = free_port()
            try:
                self._run()
            except ChildExitedError as error:
                self.stop()
                taken = "already in use" in error.tail
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

    def _find(self) -> None:
        if self._found:
            return
        try:
            self._mosquitto = mosquitto.find(self._cache, user=self._user)
        except BrokerUnavailableError as error:
            try:
                python_broker.find()
            except BrokerUnavailableError as second:
                raise BrokerUnavailableError(f"{error.reason}; and {second.reason}") from error
            self._without_mosquitto = error.reason
        self._found = True

    def _run(self) -> None:
        work = self.folder / "broker"
        work.mkdir(exist_ok=True)
        work.chmod(0o755)  # entered by the server's user, whatever lies above
        accounts = self._accounts()
        if self._mosquitto is not None:
            self._server = mosquitto.prepare(
                self._mosquitto,
                work,
                port=self.port,
                accounts=accounts,
                rules=_RULES,
                log=self.log,
                user=self._user,
            )
        else:
            self._server = python_broker.prepare(
                work,
                port=self.port,
                accounts=accounts,
                rules=_RULES,
                log=self.log,
                user=self._user,
            )
        self._server.start()
        self._server.wait_ready(
            self._lets_the_daemon_in, deadline_s=READY_DEADLINE_S, what=f"{self.kind} to answer"
        )

    def _lets_the_daemon_in(self) -> bool:
        """A real connection: an open port may be another program's."""
        accepted: list[bool] = []
        client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv311)
        client.on_connect = lambda *arguments: accepted.append(not arguments[3].is_failure)
        client.username_pw_set(*self.credentials("daemon"))
        client.connect_timeout = _ANSWER_DEADLINE_S
        try:
            client.connect(self.host, self.port, keepalive=10)
            for _ in range(10):
                if accepted or client.loop(timeout=_ANSWER_DEADLINE_S / 10) != (
                    MQTTErrorCode.MQTT_ERR_SUCCESS
                ):
                    break
            client.disconnect()
        except OSError:
            return False
        return accepted == [True]

    def _accounts(self) -> dict[str, str]:
        file = self.folder / "credentials.json"
        if not file.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            made = {role: secrets.token_urlsafe(32) for role in _RULES}
            unfinished = file.with_name(f"{file.name}.{os.getpid()}")
            descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as written:
                json.dump(made, written)
            unfinished.replace(file)
        known: dict[str, str] = json.loads(file.read_text(encoding="utf-8"))
        return known
