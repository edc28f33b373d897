"""Options that several commands have, each written once so that they are named and explained alike."""

from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Database = Annotated[
    str,
    typer.Option(
        envvar="V2G_DATABASE_URL",
        help='libpq connection string without a user, such as "host=/run/postgresql dbname=v2g".',
    ),
]
