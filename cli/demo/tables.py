"""The tables at the end: what was paid, what was not and why, and whether it is all true."""

from collections.abc import Sequence

from rich.markup import escape

from cli.demo.checks import Check
from cli.output import console


def show_checks(checks: Sequence[Check]) -> None:
    """Each check with a mark, and the figures behind it."""
    console.print("\n[bold]Checked against what the simulators know[/]")
    for one in checks:
        mark = "[green]✓[/]" if one.holds else "[red]✗[/]"
        console.print(f"{mark} {escape(one.says)}: [dim]{escape(one.figures)}[/]", soft_wrap=True)
