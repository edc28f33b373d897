"""`v2g statement …`: show, export and verify what was settled, for whoever asks about their money."""

from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import statement_shown as shown
from cli.options import Database, Json
from cli.output import doing, errors, fail, show_json

if TYPE_CHECKING:
    from settlement.seals import Seal
    from statements.pack import Pack, Subject
    from statements.verify import Verified

app = typer.Typer(
    help="What was settled and why: show it, export it with its evidence, verify it offline.",
    no_args_is_help=True,
)


class Format(StrEnum):
    """What a statement is exported as."""

    HTML = "html"
    CSV = "csv"
    JSON = "json"
    ESPI = "espi"


Vehicle = Annotated[str, typer.Option(help="Of this vehicle.")]
Event = Annotated[str, typer.Option(help="Of this event, or season.")]
Owner = Annotated[str, typer.Option(help="Of this account: an owner, site host or aggregator.")]
Since = Annotated[str, typer.Option("--from", help="Of events after: 2026-07-01T00:00:00Z.")]
Until = Annotated[str, typer.Option("--to", help="Of events before: 2026-08-01T00:00:00Z.")]


@app.command()
def show(
    database: Database,
    vehicle: Vehicle = "",
    event: Event = "",
    owner: Owner = "",
    since: Since = "",
    until: Until = "",
    json: Json = False,
) -> None:
    """Print settlements with their lines and factors, and what was not paid and why.

    Name a vehicle, an event, an owner or a period, or several of them together.

    Exit 0 when there is something to show, 1 when the database refuses, 2 when nothing was asked for
    or nothing is there.

    Example: v2g statement show --vehicle VIN-1 --event peak-7
    """
    pack = _collected(database, _subject(vehicle, event, owner, since, until), with_evidence=False)
    if json:
        show_json(shown.plain(pack))
    else:
        shown.show(pack)


@app.command()
def export(
    database: Database,
    form: Annotated[
        Format,
        typer.Option(
            "--format",
            help="html: a page to print. csv: a spreadsheet. json: the evidence pack that `verify`"
            " reads. espi: Green Button XML of the discharge that was paid.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="The file to write.", show_default=False)],
    vehicle: Vehicle = "",
    event: Event = "",
    owner: Owner = "",
    since: Since = "",
    until: Until = "",
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    json: Json = False,
) -> None:
    """Write a statement to a file: a page, a table, the evidence pack, or Green Button XML.

    The evidence pack holds the signed packets of the vehicles and of whoever shared a charger with
    them meanwhile; it is verified before it is written.

    Exit 0 when written, 1 when the database refuses or the pack does not stand (it is written all the
    same), 2 when nothing was asked for, nothing is there, or the file cannot be written.

    Example: v2g statement export --vehicle VIN-1 --from 2026-07-01T00:00:00Z
    --to 2026-08-01T00:00:00Z --format json --out july.json
    """
    subject = _subject(vehicle, event, owner, since, until)
    if out.exists() and not force:
        raise fail(f"{out} is there; expected a new file, or --force", status=2)
    pack = _collected(database, subject, with_evidence=form in (Format.HTML, Format.JSON))
    with _threads() as executor:
        data = _rendered(pack, form, executor)
        verified = _verify(pack, executor) if form is Format.JSON else None
    try:
        out.write_bytes(data)
    except OSError as error:
        raise fail(f"{out}: {error.strerror}; expected a file to write", status=2) from error
    stands = None if verified is None else verified.stands
    if json:
        written = {"file": str(out), "format": form.value, "of": str(subject)}
        show_json({**written, "settlements": len(pack.bookings), "stands": stands})
    else:
        typer.echo(f"{len(pack.bookings)} settlements of {subject}, written to {out}")
    if verified is not None and not verified.stands:
        raise fail(f"the pack does not stand: {verified.first_difference}", status=1)


@app.command()
def verify(
    file: Annotated[Path, typer.Argument(help="An evidence pack.", show_default=False)],
    against: Annotated[
        Path | None,
        typer.Option(help="Seals that were kept elsewhere, as `ledger close --out` writes them."),
    ] = None,
    root: Annotated[
        list[str] | None,
        typer.Option(
            help="The root of a seal that was kept elsewhere, in hexadecimal; repeatable."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Recompute every amount of an evidence pack from its signed packets. No database, no network.

    Checks the packets' signatures and the events' documents, applies the rules again and compares each
    line, amount and unpaid interval, and proves that the bookings are those that were sealed. A pack
    vouches for itself only so far: compare its seals with what you have kept (--against, --root).

    Exit 0 when it stands, 1 when it does not, naming the first difference, 2 on files that cannot be
    used.

    Example: v2g statement verify july.json --against seals.ndjson
    """
    from statements.packing import PACK_MAX_BYTES, read
    from statements.texts import PackError

    try:
        if file.stat().st_size > PACK_MAX_BYTES:
            raise fail(
                f"{file}: expected an evidence pack of at most {PACK_MAX_BYTES} bytes", status=2
            )
        pack = read(file.read_bytes())
        kept = _seals(against)
        roots = frozenset(_root(text) for text in root or ())
    except PackError as error:
        raise fail(f"{file}: {error}", status=2) from error
    except OSError as error:
        raise fail(f"{error.filename or file}: {error.strerror}", status=2) from error
    with _threads() as executor:
        found = _verify(pack, executor, against=kept, roots=roots)
    if json:
        show_json(shown.verdict(pack, found))
    else:
        shown.show_verified(pack, found)
    if not found.stands:
        errors.print(found.first_difference, style="red", markup=False, soft_wrap=True)
        raise typer.Exit(1)


def _subject(vehicle: str, event: str, owner: str, since: str, until: str) -> "Subject":
    from settlement.periods import EmptyPeriodError, Period
    from statements.pack import Subject

    if bool(since) != bool(until):
        raise fail("--from and --to go together; give both, or neither", status=2)
    if not (vehicle or event or owner or since):
        raise fail(
            "nothing asked for; expected --vehicle, --event, --owner, or --from and --to", status=2
        )
    try:
        period = Period.parse(since, until) if since else None
    except EmptyPeriodError as error:
        raise fail(f"{error}", status=2) from error
    return Subject(vehicle, event, owner, period)


def _collected(database: str, subject: "Subject", *, with_evidence: bool) -> "Pack":
    from storage.engine import StorageError
    from storage.evidence import TooMuchError
    from tasks.statement import collect

    try:
        with doing() as progress:
            return collect(
                database,
                subject,
                now=datetime.now(UTC),
                with_evidence=with_evidence,
                progress=progress,
            )
    except TooMuchError as error:
        raise fail(f"{error}", status=2) from error
    except StorageError as error:
        raise fail(f"{error}", status=1) from error
    except ValueError as error:
        raise fail(f"{error}", status=2) from error


def _rendered(pack: "Pack", form: Format, executor: Executor) -> bytes:
    from statements import currencies, espi, packing, page
    from statements import table as tables
    from statements.shown import statement_of

    try:
        match form:
            case Format.HTML:
                return "".join(page.render(statement_of(pack, executor))).encode()
            case Format.CSV:
                return tables.render(pack)
            case Format.JSON:
                return packing.write(pack)
            case Format.ESPI:
                return espi.render(pack)
    except currencies.UnknownCurrencyError as error:
        raise fail(f"{error}", status=2) from error


def _verify(
    pack: "Pack",
    executor: Executor,
    *,
    against: "dict[int, Seal] | None" = None,
    roots: frozenset[bytes] = frozenset(),
) -> "Verified":
    from statements import verify as verifying

    return verifying.verify(pack, executor, against=against, roots=roots)


@contextmanager
def _threads() -> Iterator[Executor]:
    import os

    from settlement.signatures import SPARE_THREADS

    with ThreadPoolExecutor((os.cpu_count() or 1) + SPARE_THREADS) as executor:
        yield executor


def _seals(path: Path | None) -> "dict[int, Seal] | None":
    if path is None:
        return None
    from tasks.seal_file import SealFile, SealFileError

    try:
        return dict(SealFile(path).seals)
    except SealFileError as error:
        raise fail(f"{error}", status=2) from error


def _root(text: str) -> bytes:
    try:
        value = bytes.fromhex(text)
    except ValueError:
        value = b""
    if len(value) != 32:  # noqa: PLR2004 - bytes of SHA-256
        raise fail(f"--root {text!r}: expected 64 hexadecimal digits", status=2)
    return value
