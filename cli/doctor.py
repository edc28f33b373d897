"""`v2g doctor`: is this machine fit to settle, and what to do where it is not?"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from cli.options import Json
from cli.output import console, doing, fail, show_json, table

if TYPE_CHECKING:
    from tasks.doctor.finding import Finding

DAEMONS: Final = ("V2G_INTAKE_TOKEN_FILE", "V2G_MQTT_TLS_CERT_FILE")
"""Variables that only the ingest daemon's machine has."""


def doctor(
    settings: Annotated[
        list[Path] | None,
        typer.Option(
            help="File of variables that the services run with, such as /etc/v2g/settlement.env; once for"
            " each. It wins over this shell's variables.",
            show_default=False,
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Look at clock, kernel, disks, files, database, broker and Prefect; say what is wrong and the repair.

    Changes nothing, shows no secret, and ends within 20 seconds. Run it as the services' user, with
    their variables: only that user is let into the database and sees the keys. Exit 0 when nothing is bad
    (warnings are told), 1 when something is, 2 when a file of settings cannot be read.

    Example: sudo systemd-run --pipe --wait --collect -p User=v2g
    -p EnvironmentFile=/etc/v2g/settlement.env /opt/v2g-settlement/.venv/bin/v2g doctor
    """
    from tasks.doctor.examine import examine
    from tasks.doctor.finding import fit
    from tasks.doctor.place import Place, checks, read_settings

    named: dict[str, str] = {}
    for file in settings or []:
        try:
            named |= read_settings(file)
        except OSError as error:
            raise fail(
                f"{file}: {error.strerror}; expected a file of settings that can be read", status=2
            ) from error
        except ValueError as error:
            raise fail(f"{error}", status=2) from error
    with _with(named), doing() as show:
        show("looking")
        place = Place(environ=dict(os.environ), loaders=_loaders(os.environ))
        found = examine(checks(place))
    if json:
        show_json({"fit": fit(found), "findings": [_plain(one) for one in found]})
    else:
        _show(found)
    if not fit(found):
        raise typer.Exit(1)


def _loaders(environ: Mapping[str, str]) -> dict[str, Callable[[], object]]:
    """What reads the settings of each service that this machine seems to run."""
    from ingest_daemon import settings as daemon
    from ingest_daemon.errors import SettingsError
    from tasks.notices.settings import NoticeSettings
    from tasks.posting.key_settings import KeySettings
    from tasks.settings import Settings
    from tasks.vehicle_state import StateSettings

    def ingest() -> object:
        try:
            return daemon.load()
        except SettingsError as error:
            raise ValueError(f"{error}") from error

    loaders: dict[str, Callable[[], object]] = {
        "worker": lambda: Settings(database_url=environ.get("V2G_DATABASE_URL", "")),
        "posting": KeySettings,
        "notices": NoticeSettings,
        "vehicle states": StateSettings,
    }
    if any(environ.get(one) for one in DAEMONS):
        loaders["ingest daemon"] = ingest
    return loaders


@contextmanager
def _with(named: Mapping[str, str]) -> Iterator[None]:
    """These variables in the environment, where classes of settings look for them; then as before."""
    before = dict(os.environ)
    os.environ.update(named)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _plain(one: "Finding") -> dict[str, str]:
    from dataclasses import asdict

    return asdict(one)


def _show(found: "Sequence[Finding]") -> None:
    from tasks.doctor.finding import State

    rows = [(one.check, one.state.value, one.found) for one in found]
    console.print(table("Findings", ("what", "state", "found"), rows))
    for one in found:
        if one.state is not State.OK:
            typer.echo(f"{one.check}: {one.state.value}. Expected {one.expected}.")
            typer.echo(f"  {one.repair}")
