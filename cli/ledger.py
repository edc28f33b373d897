"""`v2g ledger …`: its balances, its seals, and whether anybody has changed it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from cli.options import Database, Json
from cli.output import console, errors, fail, show_fields, show_json, table

app = typer.Typer(
    help="The double-entry ledger: balances, seals, and whether they stand.", no_args_is_help=True
)


@app.command()
def balance(database: Database, json: Json = False) -> None:
    """Print every account's balance, and the trial balance per currency, in minor units.

    Exit 0 when every currency sums to zero, 1 when not.
    """
    from tasks import ledger

    with _refusals():
        found = ledger.balance(database)
    if json:
        show_json({**asdict(found), "stands": found.stands})
    else:
        rows = [(one.account, one.currency, f"{one.balance_minor}") for one in found.accounts]
        console.print(
            table("Accounts (debit positive)", ("account", "currency", "balance"), rows, numbers=1)
        )
        sums = [
            (one.currency, f"{one.debit_minor}", f"{one.credit_minor}", f"{one.balance_minor}")
            for one in found.trial
        ]
        columns = ("currency", "debits", "credits", "difference")
        console.print(table("Trial balance", columns, sums, numbers=3))
    if not found.stands:
        wrong = ", ".join(one.currency for one in found.trial if one.balance_minor)
        raise fail(f"the ledger does not balance in {wrong}", status=1)


@app.command()
def close(
    database: Database,
    until: Annotated[
        str,
        typer.Option(
            help="Seal what runs up to this time have booked: 2026-08-01T00:00:00Z. Now, if not given."
        ),
    ] = "",
    out: Annotated[
        Path | None,
        typer.Option(help="Add the seals to this file. Keep it where the database's owner cannot."),
    ] = None,
    json: Json = False,
) -> None:
    """Seal what was booked since the last seal, in one digest that is chained to the one before.

    Exit 0 when sealed, also when there was nothing to seal; 2 on a time or file that cannot be used.

    Example: v2g ledger close --until 2026-08-01T00:00:00Z --out seals.ndjson
    """
    from tasks import ledger

    with _refusals(), _progress("sealing", _count_unsealed(database)) as progress:
        done = ledger.close_period(
            database, clock=_now, until=_moment(until), out=out, progress=progress
        )
    if json:
        show_json(done)
    else:
        show_fields("Closed", asdict(done))


@app.command()
def verify(
    database: Database,
    against: Annotated[
        Path | None,
        typer.Option(help="Seals that were kept elsewhere, as `close --out` writes them."),
    ] = None,
    json: Json = False,
) -> None:
    """Hash every sealed booking again, and name the first one that was changed.

    Finds edits, deletions, insertions and reordering, also by a superuser; those who changed the
    seals too are found with --against. Exit 0 when everything is as it was sealed, 1 when not,
    2 on a file that cannot be used.
    """
    from tasks import ledger

    with _refusals(), _progress("verifying", _count_sealed(database)) as progress:
        found = ledger.verify_ledger(database, against=against, progress=progress)
    if json:
        show_json(found)
    else:
        shown = {
            "sealed bookings": found.bookings,
            "seals": found.seals,
            "not sealed yet": found.unsealed,
        }
        show_fields("Verified", shown)
    if found.finding is not None:
        one = found.finding
        where = [
            f"{name} {value}"
            for name, value in (
                ("seal", one.seal),
                ("booking", one.booking_no),
                ("settlement", one.settlement_id),
            )
            if value is not None
        ]
        raise fail(f"{one.what}: {', '.join(where)}: {one.detail}", status=1)


def _count_unsealed(database: str) -> int:
    from storage import ledger
    from storage.engine import Role, connect

    with connect(database, Role.READ) as conn:
        return ledger.unsealed(conn)


def _count_sealed(database: str) -> int:
    from storage import ledger
    from storage.engine import Role, connect

    with connect(database, Role.READ) as conn:
        return sum(one.leaves for one in ledger.load_seals(conn))


@contextmanager
def _refusals() -> Iterator[None]:
    """What these commands cannot do, with the exit of each."""
    from storage.engine import StorageError
    from tasks.seal_file import SealFileError

    try:
        yield
    except SealFileError as error:
        raise fail(f"{error}", status=2) from error
    except StorageError as error:
        raise fail(f"{error}", status=1) from error
    except OSError as error:
        raise fail(f"{error}; expected a file that can be read and written", status=2) from error


@contextmanager
def _progress(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar on standard error, where that is a terminal."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal) as bar:
        task = bar.add_task(what, total=total)
        yield lambda more: bar.advance(task, more)


def _moment(text: str) -> datetime | None:
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise fail(
            f"--until {text!r}: expected a time with its zone, such as 2026-08-01T00:00:00Z",
            status=2,
        )
    return moment


def _now() -> datetime:
    return datetime.now(UTC)
