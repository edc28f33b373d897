"""`v2g payout-file …`: files of payouts for a bank (pain.001), in place of the clearinghouse's API."""

from dataclasses import asdict
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.keys_options import now
from cli.options import Database, Json
from cli.output import console, errors, fail, show_fields, show_json, table
from cli.reconcile_options import By, Partner, PayeesFile, named, refusals

if TYPE_CHECKING:
    from storage.payout_files import LeftOut, PayoutFile

app = typer.Typer(
    help="Files of payouts for a bank (ISO 20022 pain.001), in place of posting to the API.",
    no_args_is_help=True,
)

Which = Annotated[str, typer.Argument(help="The file's id, or its beginning.", show_default=False)]
Why = Annotated[str, typer.Option(help="Why, or how; it stands in the record.")]


@app.command()
def write(
    out: Annotated[Path, typer.Option(help="The file to write; a new one.", show_default=False)],
    by: By,
    database: Database,
    payees: PayeesFile = None,
    name: Annotated[
        str, typer.Option("--debtor-name", envvar="V2G_DEBTOR_NAME", help="Whose account pays.")
    ] = "",
    iban: Annotated[
        str, typer.Option("--debtor-iban", envvar="V2G_DEBTOR_IBAN", help="The account that pays.")
    ] = "",
    bic: Annotated[
        str, typer.Option("--debtor-bic", envvar="V2G_DEBTOR_BIC", help="Its bank, where needed.")
    ] = "",
    currency: Annotated[
        list[str] | None,
        typer.Option(help="Currencies that the account pays; once for each. Default: EUR."),
    ] = None,
    execute_on: Annotated[
        str, typer.Option("--on", help="The day to pay: 2026-07-02. Default: tomorrow (UTC).")
    ] = "",
    most: Annotated[int, typer.Option(min=1, max=10_000, help="Payments at most.")] = 10_000,
    partner: Partner = "clearinghouse",
    json: Json = False,
) -> None:
    """Write a pain.001 of what is due to payees whose bank data is known.

    Takes postings that were screened and never sent; from then on the poster leaves them alone. What
    is left out is listed with the reason: negative, no bank data, currency not supported. Give the file
    to the bank, then say so with `handed-over`; its camt.054 goes to `v2g reconcile import`.

    Exit 0 when written, 1 when nothing is to be paid, 2 on bank data or a file that cannot be used.

    Example: v2g payout-file write --out july.xml --by anna --currency EUR
    """
    from iso20022 import Debtor
    from tasks.reconciling.payees import read_payees
    from tasks.reconciling.paying import write_file

    if payees is None:
        raise fail("--payees: nothing; expected a file, or V2G_PAYEES_FILE", status=2)
    if out.exists():
        raise fail(f"{out} is there; expected a new file", status=2)
    if not out.absolute().parent.is_dir():
        raise fail(f"{out.absolute().parent}: expected a folder", status=2)
    with refusals():
        known = read_payees(payees)
        written = write_file(
            database,
            partner=named("--partner", partner),
            payees=known,
            debtor=Debtor(name, iban.replace(" ", "").upper(), bic.upper()),
            currencies=currency or ["EUR"],
            execute_on=_day(execute_on),
            by=named("--by", by),
            clock=now,
            most=most,
        )
        if written.file is not None:
            with out.open("xb") as stream:
                stream.write(written.content)
    for bad in known.bad:
        errors.print(f"{payees} line {bad.line}: {bad.account}: {bad.wrong}", markup=False)
    _tell(written.file, written.left_out, out, json=json)
    if written.file is None:
        raise fail("nothing to pay by file; see what was left out, and why", status=1)


@app.command(name="list")
def list_(database: Database, json: Json = False) -> None:
    """List the files of payouts and what became of each, the latest first."""
    from storage import payout_files
    from storage.evidence import reading

    with refusals(), reading(database) as conn:
        found = payout_files.listed(conn)
    if json:
        show_json({"files": [_plain(one) for one in found]})
        return
    rows = [
        (
            one.file_id,
            f"{one.written_at:%Y-%m-%d %H:%M}",
            one.written_by,
            one.state,
            f"{one.payments}",
        )
        for one in found
    ]
    columns = ("file", "written", "by", "state", "payments")
    console.print(table("Files of payouts", columns, rows, numbers=1))


@app.command()
def show(
    which: Which,
    database: Database,
    out: Annotated[
        Path | None, typer.Option(help="Write its bytes again to this file.", show_default=False)
    ] = None,
    json: Json = False,
) -> None:
    """Show a file, and how far the bank has come with its payments."""
    from storage import payout_files
    from storage.evidence import reading

    with refusals(), reading(database) as conn:
        found = payout_files.find(conn, which)
        states = payout_files.states_of(conn, found.file_id)
        if out is not None:
            with out.open("xb") as stream:
                stream.write(payout_files.content_of(conn, found.file_id))
    if json:
        show_json({**_plain(found), "postings": states})
    else:
        show_fields("File of payouts", {**_plain(found), "postings": states})


@app.command(name="handed-over")
def handed_over(
    which: Which, by: By, database: Database, why: Why = "", json: Json = False
) -> None:
    """Note that the bank has the file. It cannot be cancelled any more.

    Example: v2g payout-file handed-over 3b1f --by anna --why 'uploaded, order 77'
    """
    from storage import payout_files

    with refusals(), payout_files.paying(database) as conn:
        done = payout_files.hand_over(conn, which, by=named("--by", by), why=why, now=now())
    _ended(done, json=json)


@app.command()
def cancel(which: Which, by: By, why: Why, database: Database, json: Json = False) -> None:
    """Take back a file that the bank never got. Its postings are parked: a person decides on each.

    Destroy every copy of the file first: a bank that gets it afterwards pays it. Exit 1 where it was
    handed over.

    Example: v2g payout-file cancel 3b1f --by anna --why 'wrong account of ours'
    """
    from storage import payout_files

    with refusals(), payout_files.paying(database) as conn:
        done = payout_files.cancel(
            conn, which, by=named("--by", by), why=named("--why", why), now=now()
        )
    _ended(done, json=json)


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text) if text else now().date() + timedelta(days=1)
    except ValueError as error:
        raise fail(f"--on {text!r}: expected a day, such as 2026-07-02", status=2) from error


def _plain(one: "PayoutFile") -> dict[str, object]:
    return {**asdict(one), "digest": one.digest.hex()}


def _ended(one: "PayoutFile", *, json: bool) -> None:
    if json:
        show_json(_plain(one))
    else:
        typer.echo(f"file of payouts {one.file_id}: {one.state.replace('_', ' ')} by {one.said_by}")


def _tell(file: "PayoutFile | None", left_out: "list[LeftOut]", out: Path, *, json: bool) -> None:
    if json:
        show_json(
            {
                "file": None if file is None else _plain(file),
                "left_out": [one._asdict() for one in left_out],
            }
        )
        return
    if file is not None:
        sums = ", ".join(f"{minor} {currency}" for currency, minor in file.totals.items())
        typer.echo(
            f"file of payouts {file.file_id}: {file.payments} payments, {sums} minor units: {out}"
        )
    rows = [
        (one.why, one.account, one.currency, f"{one.postings}", f"{one.amount_minor}")
        for one in left_out
    ]
    if rows:
        columns = ("left out because", "account", "currency", "postings", "minor units")
        console.print(table("Left out", columns, rows, numbers=2))
