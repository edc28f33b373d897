"""How results are shown: rich on a terminal, plain text elsewhere, JSON on request."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass

import typer
from rich.console import Console
from rich.table import Table

console = Console(highlight=False, soft_wrap=False)
"""Standard output. Rich leaves out colour and movement where it is no terminal."""

errors = Console(stderr=True, highlight=False)


def show_json(value: object) -> None:
    """Print a dataclass or mapping as one JSON document; integers of money stay integers."""
    plain = asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
    typer.echo(json.dumps(plain, indent=2, default=str))


def table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: int = 0
) -> Table:
    """A table whose last ``numbers`` columns are aligned to the right."""
    made = Table(title=title, title_justify="left", title_style="bold", header_style="bold")
    for place, column in enumerate(columns):
        made.add_column(column, justify="right" if place >= len(columns) - numbers else "left")
    for row in rows:
        made.add_row(*row)
    return made


def show_fields(title: str, fields: Mapping[str, object]) -> None:
    """Print names and values below each other."""
    console.print(
        table(title, ("field", "value"), [(name, str(value)) for name, value in fields.items()])
    )


def fail(message: str, *, status: int) -> typer.Exit:
    """Say on standard error what went wrong and give the exit to raise."""
    errors.print(message, style="red", markup=False)
    return typer.Exit(status)
