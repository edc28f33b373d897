"""`v2g migrate`: the database's tables, roles and rights."""

from typing import Annotated

import typer

from cli.options import Database, Json
from cli.output import fail, show_json


def migrate(
    database: Database,
    revision: Annotated[str, typer.Option(help="Migrate up to this revision.")] = "head",
    json: Json = False,
) -> None:
    """Create or update tables, roles and rights. Needs an administrator's connection.

    Doing it again changes nothing. Exit 0 when the database is there, 1 when it refuses or cannot be
    reached.

    Example: v2g migrate --database 'host=/run/postgresql dbname=v2g user=postgres'
    """
    from storage.engine import StorageError
    from storage.examination import newest_revision
    from storage.migrate import migrate as run

    try:
        run(database, revision=revision)
    except StorageError as error:
        raise fail(str(error), status=1) from error
    reached = newest_revision() if revision == "head" else revision
    if json:
        show_json({"revision": reached})
    else:
        typer.echo(f"the database is at revision {reached}")
