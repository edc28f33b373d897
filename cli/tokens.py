"""`v2g keys token`: who may use the HTTP service, and for what."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from cli.keys_options import now
from cli.options import Json
from cli.output import console, errors, fail, show_json


def token(
    name: Annotated[str, typer.Argument(help="Whose token; the name stands under every change.")],
    file: Annotated[
        Path,
        typer.Option(envvar="V2G_API_TOKEN_FILE", help="The service's file of tokens, mode 0600."),
    ],
    scope: Annotated[
        list[str] | None,
        typer.Option(
            help="keys:read, keys:write, keys:import, vehicles:read, webhook:read or webhook:write;"
            " give it once for each."
        ),
    ] = None,
    days: Annotated[
        int | None,
        typer.Option(
            min=1, max=366, help="Days of its validity; not given 90, webhook:* 1 at most."
        ),
    ] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Take the token away instead.")] = False,
    json: Json = False,
) -> None:
    """Make a token for the HTTP service, and show it once; the file keeps only its hash.

    The service notices the change by itself. Exit 2 when the file or a scope cannot be used.

    Example: v2g keys token anna --scope keys:read --scope keys:write --file /etc/v2g/api/tokens.json
    """
    from api import tokens
    from api.errors import TokenFileError

    try:
        if remove:
            tokens.remove(file, name)
            show_json({"removed": name}) if json else typer.echo(f"the token of {name} is gone")
            return
        valid_for = None if days is None else timedelta(days=days)
        made, secret = tokens.make(file, name, scope or (), now=now(), valid_for=valid_for)
    except TokenFileError as error:
        raise fail(f"{error}", status=2) from error
    if json:
        show_json(
            {
                "name": made.name,
                "scopes": sorted(made.scopes),
                "expires_at": made.expires_at,
                "token": secret,
            }
        )
        return
    errors.print(f"token of {made.name}, until {made.expires_at:%Y-%m-%d}; it is shown only now:")
    console.print(secret, markup=False, soft_wrap=True)
