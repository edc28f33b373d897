"""`v2g what-if`: a past period, or a case in a folder, under other terms."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from cli.comparisons import CsvExistsError, document, require_free, show, write
from cli.options import Database, Json
from cli.output import doing, fail, show_json

UNUSABLE = 2
"""The exit status of what cannot be compared."""


def what_if(
    case: Annotated[
        Path | None,
        typer.Argument(
            show_default=False, help="A case in a folder; else a period of the database."
        ),
    ] = None,
    *,
    since: Annotated[
        str, typer.Option("--from", help="Start, with its zone: 2026-07-01T16:00:00Z.")
    ] = "",
    until: Annotated[str, typer.Option("--to", help="End, with its zone; not included.")] = "",
    program: Annotated[
        list[Path] | None,
        typer.Option(
            show_default=False,
            metavar="FILE",
            help="A program's file, in place of all versions of the program of its name; repeatable.",
        ),
    ] = None,
    instead: Annotated[
        list[str] | None,
        typer.Option(
            show_default=False,
            metavar="NAME=FILE",
            help="A program's file in place of program NAME, whatever its own name; repeatable.",
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            show_default=False,
            metavar="KEY=VALUE",
            help="A key of the programs that settle something here (docs/programs.md): quantity=net,"
            " rounding.mode=half_even; KEY= leaves it out; repeatable.",
        ),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--for",
            show_default=False,
            metavar="NAME",
            help="With --set: only in this program; repeatable.",
        ),
    ] = None,
    baselines: Annotated[
        Path | None,
        typer.Option(
            show_default=False,
            help="Other baselines, with the columns of a case's baselines.csv (docs/cases.md).",
        ),
    ] = None,
    as_of: Annotated[
        str, typer.Option(help="As known at an earlier time, with its zone; of the database.")
    ] = "",
    top: Annotated[
        int, typer.Option(min=1, help="Show the vehicles with the largest differences.")
    ] = 20,
    csv: Annotated[
        Path | None,
        typer.Option(
            show_default=False, help="Write every vehicle and event there, now and then, as CSV."
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the CSV that is there.")] = False,
    database: Database = "",
    json: Json = False,
) -> None:
    """Show what other terms would have paid, and which vehicles win and lose.

    "Now" is computed from the same facts as "then", so that the terms are all that differs. Books
    nothing and writes nothing but the CSV that is asked for.

    Exit 0 when compared, 2 when not, with one line that says why.

    Example: v2g what-if --from 2026-07-01T00:00:00Z --to 2026-08-01T00:00:00Z --set quantity=net

    Example: v2g what-if CASE --program other.yaml --csv winners.csv
    """
    from settlement.bounds import BoundExceededError
    from settlement.periods import Period
    from storage.engine import StorageError
    from tasks.other_terms import Change
    from tasks.what_if import of_case, of_period

    try:
        change = Change(
            tuple(program or ()),
            tuple(_replacement(one) for one in instead or ()),
            tuple(settings or ()),
            frozenset(only or ()),
            baselines,
        )
        if csv is not None:
            require_free(csv, force=force)
        with doing() as at:
            if case is not None:
                if since or until or as_of:
                    raise ValueError("a case has no --from, --to and --as-of; expected it alone")
                found = of_case(case, change, progress=at)
            else:
                if not (since and until):
                    raise ValueError("nothing to look at; expected CASE, or --from and --to")
                if not database:
                    raise ValueError("no database; expected --database or V2G_DATABASE_URL")
                found = of_period(
                    database,
                    Period.parse(since, until),
                    change,
                    clock=lambda: datetime.now(UTC),
                    as_of=_moment(as_of) if as_of else None,
                    progress=at,
                )
        if csv is not None:
            write(found, csv)
    except (ValueError, BoundExceededError, StorageError, CsvExistsError) as error:
        # One line, whatever a database says: other programs read it.
        raise fail(" ".join(f"{error}".split()), status=UNUSABLE) from error
    except OSError as error:
        raise fail(f"{error.filename}: {error.strerror}", status=UNUSABLE) from error
    show_json(document(found)) if json else show(found, top)


def _replacement(text: str) -> tuple[str, Path]:
    name, separator, file = text.partition("=")
    if not (name and separator and file):
        raise ValueError(f"--instead {text}: expected NAME=FILE, such as evening=other.yaml")
    return name, Path(file)


def _moment(text: str) -> datetime:
    expected = "expected a time with its zone, such as 2026-07-01T17:00:00Z"
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"--as-of {text!r}: {expected}") from error
    if moment.tzinfo is None:
        raise ValueError(f"--as-of {text!r}: {expected}")
    return moment.astimezone(UTC)
