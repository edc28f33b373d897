"""``python -m evse_agent``: see ``--help``."""

import argparse
import json
import logging
import os
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from evse_agent import config as configuration
from evse_agent import config_keys, key, log, tls
from evse_agent.errors import AgentError, ConfigError, WrongKey
from evse_agent.secret import read_word

_ABOUT = """\
The charger's side: signs what the meter counts, keeps it until the other side has confirmed that it is
stored, and obeys limits. docs/agent.md tells how to set it up.
"""
_MORE = """\
Exit status: 0 done, or stopped by SIGTERM · 2 the configuration is wrong · 3 ERR_AUTH_EXPIRED: a key,
certificate or secret cannot be used · 4 the store cannot be used · 5 the registry refuses · 1 else.

Try it:  python -m evse_agent keygen --out /etc/v2g/settlement_private.key
         python -m evse_agent check  --config /etc/v2g/evse_agent.json
         python -m evse_agent enrol  --config /etc/v2g/evse_agent.json --api https://keys.example \\
                                     --invitation -
         python -m evse_agent run    --config /etc/v2g/evse_agent.json
         python -m evse_agent status --config /etc/v2g/evse_agent.json
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """The process: its exit status."""
    chosen = _parser().parse_args(arguments)
    os.umask(0o077)
    command: Callable[[argparse.Namespace], int] = chosen.command
    try:
        return command(chosen)
    except AgentError as error:
        print(
            f"evse_agent {chosen.name}:\n{error}\nsee: python -m evse_agent {chosen.name} --help",
            file=sys.stderr,
        )
        return error.exit_status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m evse_agent",
        description=_ABOUT,
        epilog=_MORE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    keys = f"Keys of the configuration [with their defaults]:\n\n{config_keys.describe()}"

    def add(
        name: str, command: Callable[[argparse.Namespace], int], about: str, *, more: str = ""
    ) -> argparse.ArgumentParser:
        one = commands.add_parser(
            name,
            help=about,
            description=about,
            epilog=more,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        one.set_defaults(command=command, name=name)
        return one

    def configured(one: argparse.ArgumentParser, *, required: bool = True) -> None:
        one.add_argument("--config", type=Path, metavar="FILE", required=required,
                         help="the configuration, JSON")  # fmt: skip

    configured(add("run", _run, "run the agent until SIGTERM", more=keys))
    configured(add("check", _check, "check the configuration, and the files it names", more=keys))
    status = add("status", _status, "what waits, receipts, broker, limit and clock")
    configured(status)
    status.add_argument("--json", action="store_true", help="for programs")
    keygen = add("keygen", _keygen, "make a signing key, P-256, in a new file of mode 0600")
    configured(keygen, required=False)
    keygen.add_argument("--out", type=Path, metavar="FILE", help="instead of KeyFile of --config")
    enrol = add("enrol", _enrol, "prove to the registry that this charger holds its key")
    configured(enrol)
    enrol.add_argument("--api", metavar="URL", required=True, help="the registry")
    enrol.add_argument("--invitation", type=Path, metavar="FILE", default=Path("-"),
                       help="file of mode 0600 with what the operator gave; - [the default]: standard"
                       " input. Never the token itself: others see a program's arguments")  # fmt: skip
    enrol.add_argument("--ca", type=Path, metavar="FILE",
                       help="PEM file of the authority that signed the registry's certificate")  # fmt: skip
    return parser


def _run(chosen: argparse.Namespace) -> int:
    config = configuration.load(chosen.config)
    log.configure(config.log_level, journal="JOURNAL_STREAM" in os.environ)
    logging.captureWarnings(capture=True)
    from evse_agent.agent import Agent  # noqa: PLC0415 - the other commands need no broker

    return Agent(config).run()


def _check(chosen: argparse.Namespace) -> int:
    config = configuration.load(chosen.config)
    signer = key.load(config)
    signer.sign(b"check")
    now = datetime.now(UTC)
    broker = config.broker
    lines = [f"key {key.thumbprint(signer.public)}"]
    if broker.ca_file is not None:
        made = tls.context(broker.ca_file, where="Broker.CaFile")
        if broker.cert_file is not None and broker.key_file is not None:
            tls.load_own(made, broker.cert_file, broker.key_file, now=now)
            left = tls.check_own(broker.cert_file, now=now)
            renew = "; renew it soon" if left < tls.RENEW_BEFORE else ""
            lines.append(f"certificate {broker.cert_file}: valid for {left.days} days{renew}")
    for name, path in (
        ("Broker.PasswordFile", broker.password_file),
        ("UploadTokenFile", config.upload_token_file),
    ):
        if path is not None:
            read_word(name, path)
    if config.upload_ca_file is not None:
        tls.context(config.upload_ca_file, where="UploadCaFile")
    from evse_agent.clock import Clock, source_of  # noqa: PLC0415 - asks the machine

    log.configure("ERROR", journal=False)
    offset = Clock(source_of(config)).offset
    lines.append(
        f"clock offset {offset.milliseconds} ms, says {offset.source}"
        f"{'' if offset.synchronised else ' (not synchronised: packets will be put aside)'}"
    )
    print("\n".join([*lines, "evse_agent: the configuration can be used"]))
    return 0


def _status(chosen: argparse.Namespace) -> int:
    from evse_agent.status import status  # noqa: PLC0415 - as above

    content = status(configuration.load(chosen.config), now=datetime.now(UTC))
    if chosen.json:
        print(json.dumps(content, indent=2))
        return 0
    for name, value in content.items():
        shown = json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else value
        print(f"{name:20} {'-' if shown is None else shown}")
    return 0


def _keygen(chosen: argparse.Namespace) -> int:
    path = chosen.out
    if path is None and chosen.config is not None:
        path = configuration.load(chosen.config).key_file
    if path is None:
        raise ConfigError(WrongKey("--out", "nothing", "--out FILE, or --config with KeyFile"))
    made = key.generate(path)
    pem = made.public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode("ascii")
    print(
        f"private key  {path} (mode 0600)\nkey id       {key.thumbprint(made.public)}\n{pem}",
        end="",
    )
    return 0


def _enrol(chosen: argparse.Namespace) -> int:
    from evse_agent.enrol import enrol  # noqa: PLC0415 - as above

    config = configuration.load(chosen.config)
    invitation = _invitation(chosen.invitation)
    signer = key.load(config)
    answer = enrol(
        chosen.api,
        invitation=invitation,
        evse_id=config.evse_id,
        signer=signer,
        ca_file=chosen.ca,
        allow_plain=config.allow_plain_network,
    )
    print(json.dumps(answer, indent=2))
    became = {
        "pending": "waits for a second person's approval",
        "approved": "is enrolled",
        "rejected": "was rejected: ask who invited this charger",
    }.get(str(answer.get("state")), "is in a state that this version does not know")
    print(f"key {key.thumbprint(signer.public)} {became}")
    return 0 if answer.get("state") in {"pending", "approved"} else 5


def _invitation(file: Path) -> str:
    """Raises ConfigError: nothing was given, or what must not stand in the arguments; never shown."""
    if file == Path("-"):
        given = sys.stdin.readline(1024).strip()
        if not given:
            expected = "the invitation on standard input, or --invitation FILE"
            raise ConfigError(WrongKey("--invitation", "nothing", expected))
        return given
    if not file.exists():
        found = "no file of that name (was it the token? then ask for another: it has been seen)"
        raise ConfigError(WrongKey("--invitation", found, "a file of mode 0600, or -"))
    return read_word("--invitation", file)


if __name__ == "__main__":
    sys.exit(main())
