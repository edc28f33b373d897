"""What the commands of `v2g keys` share: who does it, why, when, and how a refusal ends a command."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated

import typer

from cli.output import fail

By = Annotated[
    str, typer.Option(help="Who does this; it stands in the history.", show_default=False)
]
Reason = Annotated[str, typer.Option(help="Why; it stands in the history.", show_default=False)]

DatabaseOfKey = Annotated[
    str,
    typer.Option(
        envvar="V2G_DATABASE_URL",
        help="libpq connection string without a user; needed where a KEY is named.",
        show_default=False,
    ),
]


def required(option: str, value: str) -> None:
    """An option that only one of a command's two uses needs. Raises typer.Exit (2)."""
    if not value:
        raise fail(f"{option}: nothing; expected it where a KEY is named", status=2)


def now() -> datetime:
    """The clock of the commands."""
    return datetime.now(UTC)


@contextmanager
def refusals() -> Iterator[None]:
    """What the registry refuses, on one line: exit 2 where the command said something impossible."""
    from storage.errors import StorageError
    from storage.key_changes import KeyRefusedError, Refusal

    try:
        yield
    except KeyRefusedError as error:
        raise fail(f"{error}", status=2 if error.why is Refusal.INVALID else 1) from error
    except StorageError as error:
        raise fail(f"{error}", status=1) from error
