"""amqtt, an MQTT broker in Python: for a demonstration where mosquitto cannot be had.

What it lacks, and its users must know (``embedded.broker.Broker``): it speaks MQTT 3.1.1 only, and
keeps sessions and messages in memory, so a broker that ends forgets them.
"""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from embedded.errors import BrokerUnavailableError
from embedded.places import reaches
from embedded.processes import Supervised

_PLUGINS: Final = "amqtt.plugins"


def find() -> str:
    """The version of the installed package.

    Raises:
        BrokerUnavailableError: it is not installed.
    """
    try:
        return version("amqtt")
    except PackageNotFoundError as error:
        raise BrokerUnavailableError("the package amqtt is not installed") from error


def prepare(
    folder: Path,
    *,
    port: int,
    accounts: Mapping[str, str],
    rules: Mapping[str, Sequence[tuple[str, str]]],
    log: Path,
    user: int | None,
) -> Supervised:
    """Write the settings into ``folder`` and return the process, not yet started.

    It keeps root's rights when ``user`` does not reach this interpreter.
    """
    from pwdlib import PasswordHash  # noqa: PLC0415 - comes with amqtt, which may be missing
    from pwdlib.hashers.argon2 import Argon2Hasher  # noqa: PLC0415

    spec = find_spec("amqtt")
    if user is not None and not (
        reaches(user, Path(sys.executable))
        and spec is not None
        and spec.origin is not None
        and reaches(user, Path(spec.origin).parent)
    ):
        user = None
    hasher = PasswordHash((Argon2Hasher(),))
    words = "".join(f"{name}:{hasher.hash(word)}\n" for name, word in accounts.items())
    settings = {
        "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}},
        "plugins": {
            f"{_PLUGINS}.authentication.FileAuthPlugin": {"password_file": "passwords"},
            f"{_PLUGINS}.topic_checking.TopicAccessControlListPlugin": {
                "acl": _topics(rules, "read"),
                "publish_acl": _topics(rules, "write"),
            },
        },
    }
    for name, text in (("passwords", words), ("amqtt.yaml", json.dumps(settings, indent=2))):
        path = folder / name
        path.unlink(missing_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            if user is not None:
                os.fchown(file.fileno(), user, user)
            file.write(text)
    return Supervised(
        "amqtt",
        [sys.executable, "-m", "amqtt.scripts.broker_script", "-c", "amqtt.yaml"],
        log=log,
        folder=folder,
        user=user,
    )


def _topics(rules: Mapping[str, Sequence[tuple[str, str]]], wanted: str) -> dict[str, list[str]]:
    return {
        name: [topic for verb, topic in permitted if verb == wanted]
        for name, permitted in rules.items()
    }
