"""How results are shown: rich on a terminal, plain text elsewhere, JSON on request."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from typing import Final

import typer
from rich.console import Console, JustifyMethod
from rich.markup import escape
from rich.table import Table
from rich.text import Text

PIPED_WIDTH: Final = 160
"""Columns where nobody watches: a pipe has no width, and 80 would cut tables short."""

console = Console(highlight=False, width=None if sys.stdout.isatty() else PIPED_WIDTH)
"""Standard output. Rich leaves out colour and movement where it is no terminal."""

errors = Console(stderr=True, highlight=False, soft_wrap=True)
"""Standard error. What went wrong stands on one line, however wide the terminal is."""


def show_json(value: object) -> None:
    """Print a dataclass or mapping as one JSON document; integers of money stay integers."""
    plain = asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
    typer.echo(json.dumps(plain, indent=2, default=str))


def table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: int = 0
) -> Table:
    """A table whose last ``numbers`` columns are aligned to the right; its text is shown as it is."""
    made = Table(title=escape(title), title_justify="left", title_style="bold", header_style="bold")
    for place, column in enumerate(columns):
        justify: JustifyMethod = "right" if place >= len(columns) - numbers else "left"
        # Folded, not cut: half of an event's name is of no use to whoever has to approve it.
        made.add_column(column, justify=justify, overflow="fold")
    for row in rows:
        # A vehicle may be called what rich would take for a style.
        made.add_row(*map(Text, row))
    return made


def show_fields(title: str, fields: Mapping[str, object]) -> None:
    """Print names and values below each other."""
    console.print(
        table(title, ("field", "value"), [(name, str(value)) for name, value in fields.items()])
    )


@contextmanager
def doing() -> Iterator[Callable[[str], None]]:
    """On a terminal, what is being done, on standard error; nothing elsewhere."""
    if not errors.is_terminal:
        yield lambda _: None
        return
    with errors.status("starting") as status:
        yield status.update


def fail(message: str, *, status: int) -> typer.Exit:
    """Say on standard error what went wrong and give the exit to raise."""
    errors.print(message, style="red", markup=False)
    return typer.Exit(status)
