"""What the doctor looks at, and the checks over it: everything of the machine is an attribute here."""

import os
import pwd
import shlex
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

from evse_agent.clock import Offset, ask_chrony, ask_kernel
from tasks.doctor import broker, database, files, host, scheduler
from tasks.doctor.broker import Broker
from tasks.doctor.examine import Check
from tasks.doctor.finding import Finding, State

SERVICE_USER: Final = "v2g"
SETTINGS_MAX_BYTES: Final = 256 * 1024


def services_uid() -> int:
    """Who owns keys and secrets: whoever runs this, or for root the services' user, where there is one."""
    me = os.geteuid()
    if me:
        return me
    try:
        return pwd.getpwnam(SERVICE_USER).pw_uid
    except KeyError:
        return me


def _room(folder: Path) -> host.Room:
    usage = shutil.disk_usage(folder)
    return usage.total, usage.free


@dataclass(frozen=True, slots=True)
class Place:
    """A machine.

    Attributes:
        environ: variables of the services; secrets only as names of files, but for Prefect's login.
        root: of files.
        offset: how wrong the clock is.
        now: against which certificates are held.
        release: of the kernel.
        owner: uid whose keys and secrets must be.
        room: bytes of the disk that a folder is on, all and free.
        loaders: what reads the settings of each service; raises where one is wrong.
        plain_port: on which the broker should not listen.
    """

    environ: Mapping[str, str]
    root: Path = Path("/")
    offset: Callable[[], Offset] = lambda: ask_chrony() or ask_kernel()
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    release: str = field(default_factory=lambda: os.uname().release)
    owner: int = field(default_factory=services_uid)
    room: Callable[[Path], host.Room] = _room
    loaders: Mapping[str, Callable[[], object]] = field(default_factory=dict)
    plain_port: int = broker.PLAIN_PORT


def read_settings(file: Path) -> dict[str, str]:
    """The variables of a file as systemd's EnvironmentFile has them: NAME=VALUE, perhaps quoted.

    Raises:
        ValueError: a line that is none, told without its content.
        OSError: the file cannot be read.
    """
    with file.open("rb") as stream:
        text = stream.read(SETTINGS_MAX_BYTES).decode("utf-8")
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith(("#", ";")):
            continue
        name, sign, value = line.strip().partition("=")
        wrong = f"{file}, line {number}: expected NAME=VALUE"
        if not sign or not name.isidentifier():
            raise ValueError(wrong)
        try:
            found[name] = "".join(shlex.split(value)) if value[:1] in {"'", '"'} else value.strip()
        except ValueError as error:
            raise ValueError(f"{wrong}, its quotes closed") from error
    return found


def checks(place: Place) -> dict[str, Check]:
    """Every check over a place, by name, in the order in which findings are told."""
    environ = place.environ
    there = _broker(place)
    return {
        "clock": lambda: (host.clock(place.offset()),),
        "kernel": lambda: (host.kernel(place.release),),
        "swappiness": lambda: (host.swappiness(place.root),),
        "disk": lambda: (host.disks(place.root, room=place.room),),
        "settings": lambda: [_settings(name, load) for name, load in place.loaders.items()],
        "files": lambda: files.files(environ, owner=place.owner, now=place.now()),
        "database": partial(database.database, environ.get("V2G_DATABASE_URL", "")),
        "broker": lambda: (
            there if isinstance(there, tuple) else broker.reach(there, now=place.now())
        ),
        "broker limits": lambda: (
            () if isinstance(there, tuple) else broker.limits(place.root, there)
        ),
        "prefect": lambda: scheduler.prefect(
            environ.get("PREFECT_API_URL", ""), environ.get("PREFECT_API_AUTH_STRING", "")
        ),
    }


def _broker(place: Place) -> Broker | tuple[Finding]:
    """Where the broker is, or the finding that the settings do not say so."""
    environ = place.environ

    def path(name: str) -> Path | None:
        value = environ.get(f"V2G_MQTT_TLS_{name}_FILE")
        return Path(value) if value else None

    try:
        return Broker(
            host=environ.get("V2G_MQTT_HOST", "127.0.0.1"),
            port=int(environ.get("V2G_MQTT_PORT", "1883")),
            ca=path("CA"),
            certificate=path("CERT"),
            key=path("KEY"),
            plain_port=place.plain_port,
            batch_rows=int(environ.get("V2G_BATCH_ROWS", "5000")),
        )
    except ValueError:
        expected = "numbers in V2G_MQTT_PORT and V2G_BATCH_ROWS"
        return (Finding("broker", State.BAD, "no number", expected, "mend the settings"),)


def _settings(name: str, load: Callable[[], object]) -> Finding:
    """Whether a service could start with these settings; the value that is wrong is not shown."""
    check, expected = f"settings of {name}", "settings with which it starts: docs/settings.md"
    try:
        load()
    except ValueError as error:
        told = _told(error)
        return Finding(check, State.BAD, told, expected, "mend the variable that is named")
    return Finding(check, State.OK, "can be read", expected)


def _told(error: ValueError) -> str:
    """What pydantic says, without the values that it would quote."""
    listed = getattr(error, "errors", None)
    if not callable(listed):
        return f"{error}"
    wrong = listed(include_url=False, include_input=False, include_context=False)
    return "; ".join(
        f"V2G_{'.'.join(map(str, one['loc'])).upper()}: {one['msg']}" if one["loc"] else one["msg"]
        for one in wrong
    )
