"""`v2g runs …`: look at past settling runs."""

from typing import Annotated

import typer

from cli.options import Database, Json
from cli.output import fail, show_fields, show_json

app = typer.Typer(help="Past settling runs: whether they can be told again.", no_args_is_help=True)


@app.callback()
def runs() -> None:
    """Past settling runs: whether they can be told again."""  # keeps `verify` a word of its own


@app.command()
def verify(
    run_id: Annotated[str, typer.Argument(help="The run, as `settle --json` names it.")],
    database: Database,
    json: Json = False,
) -> None:
    """Compute a past run again, as known at its time, and compare bit for bit. Books nothing.

    Exit 0 when it comes to the same, 1 when not, 2 on a run without a digest.
    """
    from dataclasses import asdict

    from storage.engine import StorageError
    from tasks.verify_run import verify_run

    try:
        found = verify_run(database, run_id)
    except StorageError as error:
        raise fail(f"{error}", status=1) from error
    except ValueError as error:
        raise fail(f"{error}", status=2) from error
    if json:
        show_json(found)
    else:
        show_fields("The run, and its replay", asdict(found))
    if not found.stands:
        why = "the code" if found.inputs_same else "what it read"
        raise fail(f"run {run_id} comes to something else now: {why} differs", status=1)
