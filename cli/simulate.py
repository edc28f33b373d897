"""`v2g simulate …`: each simulator's own command, by one name.

A simulator is listed by a line in ``SIMULATORS``; its options are its own, and so is its ``--help``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Final

import typer

app = typer.Typer(
    help="The world outside, over its real protocols, misbehaving on request.", no_args_is_help=True
)


@app.callback()
def simulate() -> None:
    """The world outside, over its real protocols, misbehaving on request."""


@dataclass(frozen=True, slots=True)
class Simulator:
    """A simulator that can be run by hand.

    Attributes:
        name: of the command.
        module: whose ``main(arguments)`` runs it.
        says: what it is, in one line.
        example: what to type first, after ``v2g simulate``.
    """

    name: str
    module: str
    says: str
    example: str


SIMULATORS: Final = (
    Simulator(
        "grid",
        "simulators.sep2.__main__",
        "A utility's IEEE 2030.5 server, mutual TLS.",
        "grid --certs certs --fault stall:/derp/1/derc:times=2",
    ),
    Simulator(
        "utility",
        "simulators.utility",
        "Events and prices as plain JSON over HTTP.",
        "utility --feed evening/feed.json --token-file token --port 8081",
    ),
    Simulator(
        "clearinghouse",
        "simulators.clearinghouse.__main__",
        "Takes postings over HTTP or TLS, signed or not, badly if wanted, by seed or by script.",
        "clearinghouse --token-file token --seed 7 --fault reset_after=0.2",
    ),
    Simulator(
        "fleet",
        "simulators.fleet",
        "Publishes an evening's packets over MQTT.",
        "fleet --seed 7 --date 2026-07-01 --evses 50 --port 1883 --out evening",
    ),
    Simulator(
        "openadr",
        "simulators.openadr",
        "Prices as a VTN of OpenADR 3.1, with OAuth2.",
        "openadr --secret-file secret --date 2026-07-01",
    ),
    Simulator(
        "plc",
        "simulators.plc.__main__",
        "A PLC beside a battery, on Modbus TCP.",
        "plc --port 5020 --minutes 2 --fault stall",
    ),
)


def _command(simulator: Simulator) -> Callable[[typer.Context], None]:
    def run(context: typer.Context) -> None:
        if {"--help", "-h"} & set(context.args):
            typer.echo(f"{simulator.says}\n\n  v2g simulate {simulator.example}\n")
        # Some give a status to end with, some end by themselves.
        raise typer.Exit(import_module(simulator.module).main(context.args) or 0)

    return run


for _simulator in SIMULATORS:
    app.command(
        _simulator.name,
        help=f"{_simulator.says}\n\n  v2g simulate {_simulator.example}",
        add_help_option=False,
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    )(_command(_simulator))
