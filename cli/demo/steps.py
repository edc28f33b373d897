"""Progress as a person wants it: one line per step, its time, a bar while it is long."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)


class Step:
    """One step while it runs: tell it how far it is, and what to say when it is done."""

    def __init__(self, update: Callable[[int, int], None]) -> None:
        self.update = update
        """Called with (done, total)."""
        self.outcome = ""
        """Said behind the step's name when it has ended."""


class Steps:
    """Prints steps on a console; without a terminal, one plain line when each has ended."""

    def __init__(self, console: Console) -> None:
        self._console = console

    @contextmanager
    def step(self, name: str) -> Iterator[Step]:
        """Run a block as a step of this name. What it raises passes through, marked as failed."""
        began = monotonic()
        with self._progress() as progress:
            task = progress.add_task(name, total=None)
            step = Step(lambda done, total: progress.update(task, completed=done, total=total))
            try:
                yield step
            except BaseException:
                self._say("✗", "red", name, "failed", began)
                raise
        self._say("✓", "green", name, step.outcome, began)

    def _progress(self) -> Progress:
        columns = (
            SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=30),
            TaskProgressColumn(), TimeElapsedColumn(),
        )  # fmt: skip
        return Progress(
            *columns, console=self._console, transient=True, disable=not self._console.is_terminal
        )

    def _say(self, mark: str, colour: str, name: str, outcome: str, began: float) -> None:
        told = f": {escape(outcome)}" if outcome else ""
        self._console.print(
            f"[{colour}]{mark}[/] {escape(name)}{told} [dim]({monotonic() - began:.1f} s)[/]",
            soft_wrap=True,
        )
