"""`v2g payouts limits …`: what may be paid out without a person, and who said so."""

from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from cli.options import Database, Json
from cli.output import fail, show_json

FILE_MAX_BYTES = 1024 * 1024

app = typer.Typer(
    help="Limits on payouts: show those in force, set the next version.", no_args_is_help=True
)


@app.command()
def show(
    database: Database,
    history: Annotated[
        bool, typer.Option("--history", help="All versions: who set them, when and why.")
    ] = False,
    json: Json = False,
) -> None:
    """Show the limits in force, or who set which version. Version 0 are the defaults.

    With --json, `document` is what `limits set` takes: save it, change it, set it.

    Example: v2g payouts limits show --json
    """
    from cli.payouts_shown import show_limits, show_versions
    from settlement.limits import LimitsError
    from storage import limits
    from storage.engine import Role, StorageError, connect

    try:
        with closing(connect(database, Role.OPERATOR)) as conn:
            found = limits.history(conn) if history else [limits.in_force(conn)]
    except (StorageError, LimitsError) as error:
        raise fail(f"{error}", status=1) from error
    if history:
        show_versions(found, json=json)
    else:
        show_limits(found[0], json=json)


@app.command(name="set")
def set_(
    file: Annotated[
        Path,
        typer.Argument(
            help="YAML or JSON with every limit, as infra/limits.example.yaml has it.",
            show_default=False,
        ),
    ],
    by: Annotated[
        str,
        typer.Option(
            help="Who sets them; this person may approve nothing that waits under them.",
            show_default=False,
        ),
    ],
    why: Annotated[str, typer.Option(help="Why; it is kept.", show_default=False)],
    database: Database,
    json: Json = False,
) -> None:
    """Set the next version of the limits, as a whole. What was screened before keeps its verdict.

    Exit 2 on a file that cannot be used: what is wrong in it, where, and what was expected.

    Example: v2g payouts limits set limits.yaml --by anna --why 'the bus depot joins in August'
    """
    from cli.payouts_shown import show_limits
    from settlement.limits import LimitsError, parse
    from storage import limits
    from storage.approvals import PayoutRefusedError, require_person
    from storage.engine import Role, StorageError, connect

    try:
        wanted = parse(_read(file), file.name)
        require_person(by, why)
        with closing(connect(database, Role.OPERATOR)) as conn, conn:
            made = limits.put(conn, wanted, by=by.strip(), why=why.strip(), now=datetime.now(UTC))
    except (LimitsError, PayoutRefusedError) as error:
        raise fail(f"{error}", status=2) from error
    except StorageError as error:
        raise fail(f"{error}", status=1) from error
    if json:
        show_json({"version": made.version, "set_by": made.set_by})
    else:
        show_limits(made, json=False)


def _read(file: Path) -> object:
    import yaml

    try:
        with file.open("rb") as stream:
            text = stream.read(FILE_MAX_BYTES + 1)
        if len(text) > FILE_MAX_BYTES:
            raise fail(f"{file}: longer than expected, {FILE_MAX_BYTES} bytes", status=2)
        return yaml.safe_load(text)
    except OSError as error:
        raise fail(f"{file}: {error.strerror}; expected a file to read", status=2) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise fail(f"{file}: no YAML: {error}", status=2) from error
