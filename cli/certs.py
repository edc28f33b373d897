"""`v2g certs …`: certificates for the broker, the daemon and the chargers, from an authority of one's own."""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from cli.options import Json
from cli.output import console, errors, fail, show_json, table

app = typer.Typer(
    help="Certificates for broker, daemon and chargers, from an authority of your own.",
    no_args_is_help=True,
)

AUTH_EXPIRED: Final = "ERR_AUTH_EXPIRED"
"""First word wherever a certificate is over or a key is badly kept: here, in daemon and agent."""

Folder = Annotated[Path, typer.Argument(help="The authority's folder.", show_default=False)]
Passphrase = Annotated[
    Path | None,
    typer.Option(
        help="File (mode 0600) with the passphrase of the authority's key. Without: not encrypted.",
        show_default=False,
    ),
]
Days = Annotated[int, typer.Option(min=1, max=3650, help="Days for which it is valid.")]


@app.command()
def init(
    folder: Folder,
    host: Annotated[
        list[str] | None,
        typer.Option(
            help="Name or address under which clients reach the broker; give it once for each."
            " Not given: this machine's name, localhost, 127.0.0.1 and ::1.",
            show_default=False,
        ),
    ] = None,
    passphrase_file: Passphrase = None,
    json: Json = False,
) -> None:
    """Make an authority, the broker's certificate and the daemon's. Overwrites nothing.

    All keys are on P-256 with mode 0600. Keep the folder off the broker's machine if you can: whoever
    has ca_private.key can be any charger, and the daemon. Exit 0 when made, 2 when not.

    Example: v2g certs init authority --host mqtt.example.com --host 10.0.0.5
    """
    from tasks import certificate_folder

    hosts = host or [*dict.fromkeys([socket.getfqdn(), "localhost"]), "127.0.0.1", "::1"]
    with _refusals():
        made = certificate_folder.init(folder, hosts, now=_now(), passphrase=passphrase_file)
    shown = [(one.name, str(one.certificate), str(one.key or "")) for one in made]
    if json:
        show_json({"hosts": hosts, "made": [asdict(one) for one in made]})
        return
    console.print(table("Made", ("who", "certificate", "private key"), shown))
    typer.echo(f"the broker may be reached as {', '.join(hosts)}")
    if passphrase_file is None:
        typer.echo(
            f"note: {folder / 'ca_private.key'} is not encrypted, only kept by its mode 0600;"
            " --passphrase-file encrypts it"
        )
    typer.echo(f"next: v2g certs issue '{folder}' EVSE-ID; and infra/README.md, Broker")


@app.command()
def issue(
    folder: Folder,
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME...",
            help="EVSE ids: each becomes the certificate's common name, the MQTT user and client id.",
            show_default=False,
        ),
    ] = None,
    csr: Annotated[
        Path | None,
        typer.Option(
            help="Sign this request (PKCS #10) instead of making a key: the charger's key stays there.",
            show_default=False,
        ),
    ] = None,
    daemon: Annotated[
        bool,
        typer.Option(
            "--daemon",
            help="For more ingest daemons, v2g-settlement-2, -3, … (one each), or the guard, v2g-thermal.",
        ),
    ] = False,
    days: Days = 397,
    passphrase_file: Passphrase = None,
    json: Json = False,
) -> None:
    """Make certificate and key for chargers; nothing is made when one of the names will not do.

    Exit 0 when made, 2 when not.

    Example: v2g certs issue authority 'DE*ABC*E1' 'DE*ABC*E2'
    """
    from tasks import certificate_folder

    given = list(names or [])
    if csr is not None and (daemon or len(given) > 1):
        raise fail("--csr: expected one charger's request, with its NAME or none", status=2)
    if csr is None and not given:
        raise fail("nothing to do: expected NAME…, or --csr FILE", status=2)
    with _refusals():
        if csr is not None:
            name = given[0] if given else ""
            made = [
                certificate_folder.sign_request(
                    folder, csr, name=name, now=_now(), days=days, passphrase=passphrase_file
                )
            ]
        else:
            with _progress("issuing", len(given)) as progress:
                made = certificate_folder.issue(
                    folder,
                    given,
                    now=_now(),
                    days=days,
                    daemon=daemon,
                    passphrase=passphrase_file,
                    progress=progress,
                )
    if json:
        show_json({"made": [asdict(one) for one in made]})
        return
    shown = [(one.name, str(one.certificate), str(one.key or "stays with it")) for one in made]
    console.print(table("Made", ("who", "certificate", "private key"), shown))


@app.command()
def show(
    path: Annotated[
        Path,
        typer.Argument(
            help="A certificate, a private key, or a folder of them.", show_default=False
        ),
    ],
    json: Json = False,
) -> None:
    """Say for whom certificates are, how long they last, and whether their keys are well kept.

    Exit 0 when all serve, 1 when one is over, not yet valid, of another authority, or its key is open
    to others (ERR_AUTH_EXPIRED, with what to do), 2 when there is nothing to look at.

    Example: v2g certs show authority
    """
    from tasks.certificate_state import inspect

    with _refusals():
        if not path.exists():
            raise FileNotFoundError(f"{path}: not there")
        found = inspect(path, now=_now())
    if json:
        show_json(
            {
                "stands": not any(one.problems for one in found),
                "found": [asdict(one) for one in found],
            }
        )
    else:
        columns = ("who", "kind", "hosts", "valid from", "until", "state", "days left")
        rows = [
            (
                one.name or one.file.name,
                one.kind,
                ", ".join(one.hosts),
                _day(one.not_before),
                _day(one.not_after),
                "does not serve" if one.problems else "renew it" if one.due else "good",
                "" if one.days_left is None else str(one.days_left),
            )
            for one in found
        ]
        console.print(table("Certificates", columns, rows, numbers=1))
    if problems := [problem for one in found for problem in one.problems]:
        raise fail("\n".join(f"{AUTH_EXPIRED}: {problem}" for problem in problems), status=1)


@app.command()
def renew(
    folder: Folder,
    name: Annotated[
        str,
        typer.Argument(
            help="An EVSE id, v2g-settlement, broker, or ca (what it signed stays valid; hand out"
            " the new ca.pem).",
            show_default=False,
        ),
    ],
    days: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=3650,
            help="Days for which it is valid; not given: as at first.",
            show_default=False,
        ),
    ] = None,
    passphrase_file: Passphrase = None,
    json: Json = False,
) -> None:
    """Make another certificate for the same name and key, in place of the old one.

    Exit 0 when made, 2 when not.

    Example: v2g certs renew authority broker
    """
    from tasks import certificate_folder

    with _refusals():
        made = certificate_folder.renew(
            folder, name, now=_now(), days=days, passphrase=passphrase_file
        )
        certificate = certificate_folder.read_certificate(made.certificate)
    until = certificate.not_valid_after_utc
    if json:
        show_json({**asdict(made), "not_after": until.isoformat()})
    else:
        typer.echo(f"{made.certificate}: valid until {until:%Y-%m-%d}; the key is the same")


@contextmanager
def _refusals() -> Iterator[None]:
    """What these commands cannot do: exit 2, on one line."""
    from storage.secrets import InsecureSecretError
    from tasks.certificates import CertificateError

    try:
        yield
    except (CertificateError, InsecureSecretError) as error:
        raise fail(f"{error}", status=2) from error
    except OSError as error:
        raise fail(f"{error}; expected a file or folder that can be used", status=2) from error


@contextmanager
def _progress(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar on standard error, where that is a terminal and there is something to wait for."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    few = 20
    hidden = not errors.is_terminal or total < few
    with Progress(*columns, console=errors, transient=True, disable=hidden) as bar:
        task = bar.add_task(what, total=total)
        yield lambda more: bar.advance(task, more)


def _day(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment:%Y-%m-%d}"


def _now() -> datetime:
    return datetime.now(UTC)
