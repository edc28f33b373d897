"""`v2g reconcile …`: what partners and banks say was paid, held against what we posted."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.keys_options import now
from cli.options import Database, Json
from cli.output import console, doing, fail, show_json, table
from cli.reconcile_options import By, Partner, PayeesFile, named, refusals
from cli.spans import moment_option, span

if TYPE_CHECKING:
    from settlement.periods import Period
    from storage.reconciliations import Difference, Reconciliation
    from tasks.reconciling.comparing import Compared

app = typer.Typer(
    help="Partners' and banks' statements against our postings: matched, and what differs, with money.",
    no_args_is_help=True,
)

Since = Annotated[str, typer.Option("--from", help="Start, with its zone: 2026-07-01T00:00:00Z.")]
Until = Annotated[str, typer.Option("--to", help="End, with its zone; not included.")]
OnlyPartner = Annotated[str, typer.Option(help="Only of this partner; empty: of all.")]
Tolerance = Annotated[
    str,
    typer.Option(
        envvar="V2G_RECONCILE_TOLERANCE",
        help="How long before the end of a period a payment may still be under way: 12h, 2d.",
    ),
]


@app.command(name="import")
def import_(
    file: Annotated[Path, typer.Argument(help="CSV, or camt.054 as XML.", show_default=False)],
    by: By,
    database: Database,
    partner: Partner = "clearinghouse",
    since: Since = "",
    until: Until = "",
    tolerance: Tolerance = "2d",
    payees: PayeesFile = None,
    json: Json = False,
) -> None:
    """Store a statement as it came, and compare the period it covers with our postings.

    CSV: a header with posting_id, currency, paid_at, and amount_minor (whole minor units) or amount (a
    decimal); where wanted account, reference, status (paid, pending, returned, refused, fee), detail.
    XML: a bank's camt.054, about what went out by `v2g payout-file`.

    A row that cannot be read never stops the good ones. What we were not sure of, and the partner
    lists as we sent it, becomes acknowledged. The same file again stores nothing.

    Exit 0 when every row was read, 1 when one was not or the database refuses, 2 on a file or a time
    that cannot be used.

    Example: v2g reconcile import july.csv --partner clearinghouse --by anna
    """
    from tasks.reconciling.importing import import_statement
    from tasks.reconciling.payees import NOBODY, read_payees

    period = _period(since, until)
    within = span("--tolerance", tolerance)
    with refusals(), doing() as progress:
        progress(f"reading {file.name}")
        data = _content(file)
        known = NOBODY if payees is None else read_payees(payees)
        progress("comparing")
        done = import_statement(
            database,
            file.name,
            data,
            partner=named("--partner", partner),
            by=named("--by", by),
            clock=now,
            tolerance=within,
            period=period,
            accounts=known.accounts_by_iban,
        )
    if json:
        show_json(
            {
                "statement_id": done.statement.statement_id,
                "is_new": done.is_new,
                "format": done.statement.format,
                "lines": done.lines,
                "refused": [one._asdict() for one in done.refusals],
                **_plain(done.compared),
            }
        )
    else:
        told = "stored" if done.is_new else "was stored before"
        typer.echo(
            f"statement {done.statement.statement_id} ({done.statement.format}, {done.lines} lines) {told}"
        )
        _show(done.compared.reconciliation)
        _show_moved(done.compared)
    if done.refusals:
        for bad in done.refusals[:20]:
            fail(
                f"{file.name} line {bad.number}: {bad.column}: {bad.found}; expected {bad.expected}",
                status=1,
            )
        raise fail(f"{len(done.refusals)} rows could not be read; the others stand", status=1)


@app.command()
def run(
    by: By,
    database: Database,
    since: Since,
    until: Until,
    partner: Partner = "clearinghouse",
    bank: Annotated[
        bool, typer.Option("--bank", help="What went out by file, against the bank's word.")
    ] = False,
    tolerance: Tolerance = "2d",
    json: Json = False,
) -> None:
    """Compare a period again with the statements that are stored: after late ones, or new answers.

    What is found as before adds nothing; what differs is the period's next version.

    Example: v2g reconcile run --from 2026-07-01T00:00:00Z --to 2026-08-01T00:00:00Z --by anna
    """
    from tasks.reconciling.comparing import compare

    period = _period(since, until)
    if period is None:
        raise fail("--from and --to: nothing; expected both", status=2)
    within = span("--tolerance", tolerance)
    with refusals(), doing() as progress:
        progress("comparing")
        done = compare(
            database,
            partner=named("--partner", partner),
            way="file" if bank else "api",
            period=period,
            by=named("--by", by),
            clock=now,
            tolerance=within,
        )
    if json:
        show_json(_plain(done))
        return
    _show(done.reconciliation)
    _show_moved(done)


@app.command()
def show(database: Database, partner: OnlyPartner = "", json: Json = False) -> None:
    """Show the statements that are stored, and what comparing each period found last.

    Example: v2g reconcile show --partner clearinghouse
    """
    from storage import partner_statements, reconciliations
    from storage.evidence import reading

    with refusals(), reading(database) as conn:
        stored = partner_statements.listed(conn, partner=partner)
        compared = reconciliations.in_force(conn, partner=partner)
    if json:
        show_json(
            {
                "statements": [
                    asdict(one) | {"digest": one.digest.hex(), "period": f"{one.period}"}
                    for one in stored
                ],
                "reconciliations": [_plain_one(one) for one in compared],
            }
        )
        return
    rows = [
        (one.statement_id, one.partner, one.format, f"{one.period}", one.name, one.imported_by)
        for one in stored
    ]
    columns = ("statement", "partner", "format", "period", "file", "by")
    console.print(table("Statements", columns, rows))
    for each in compared:
        _show(each)


@app.command()
def differences(
    database: Database,
    reconciliation: Annotated[
        str, typer.Argument(help="Of this comparison; without it, of the latest period.")
    ] = "",
    partner: OnlyPartner = "",
    csv: Annotated[
        Path | None,
        typer.Option(
            "--csv", help="Write them to this file, for a spreadsheet.", show_default=False
        ),
    ] = None,
    json: Json = False,
) -> None:
    """List what differs, with the money at stake: positive is owed to us, negative was given too much.

    Exit 0, also where nothing differs; 2 where nothing was compared, or the file is there already.

    Example: v2g reconcile differences --csv july-differences.csv
    """
    from storage import reconciliations
    from storage.evidence import reading
    from tasks.reconciling.export import money, to_csv

    with refusals(), reading(database) as conn:
        found = [
            one
            for one in reconciliations.in_force(conn, partner=partner)
            if one.reconciliation_id.startswith(reconciliation)
        ]
        if not found:
            raise fail("nothing compared; expected `v2g reconcile import` before this", status=2)
        listed = reconciliations.differences(conn, found[0].reconciliation_id)
    if csv is not None:
        with refusals(), csv.open("xb") as stream:
            stream.write(to_csv(listed))
        typer.echo(f"{len(listed)} differences of {found[0].period}, written to {csv}")
    elif json:
        show_json({**_plain_one(found[0]), "differences": [asdict(one) for one in listed]})
    else:
        rows = [_row(one, money(one.at_stake_minor, one.currency)) for one in listed]
        columns = ("difference", "kind", "posting", "account", "detail", "currency", "at stake")
        console.print(table(f"Differences of {found[0].period}", columns, rows, numbers=1))


def _row(one: "Difference", at_stake: str) -> tuple[str, ...]:
    return (
        one.difference_id, one.kind.value, one.posting_id or "-", one.account or "-", one.detail,
        one.currency, at_stake,
    )  # fmt: skip


def _content(path: Path) -> bytes:
    from tasks.reconciling.rows import FILE_MAX_BYTES

    with path.open("rb") as stream:
        return stream.read(FILE_MAX_BYTES + 1)


def _period(since: str, until: str) -> "Period | None":
    from settlement.periods import Period

    start, end = moment_option("--from", since), moment_option("--to", until)
    if start is None and end is None:
        return None
    if start is None or end is None:
        raise fail(
            "--from without --to, or --to without --from; expected both, or neither", status=2
        )
    with refusals():
        return Period(start, end).in_utc()


def _plain(done: "Compared") -> dict[str, object]:
    return {
        "proven": done.proven,
        "refused_by_bank": done.refused,
        "differences": len(done.differences),
        "found_anew": done.is_new,
        **_plain_one(done.reconciliation),
    }


def _plain_one(one: "Reconciliation") -> dict[str, object]:
    return {
        "reconciliation_id": one.reconciliation_id,
        "partner": one.partner,
        "way": one.way,
        "period": f"{one.period}",
        "done_by": one.done_by,
        "done_at": one.done_at,
        "totals": [total._asdict() for total in one.totals],
    }


def _show(one: "Reconciliation") -> None:
    from tasks.reconciling.export import money

    rows = [
        (
            total.kind.value, total.currency, f"{total.postings}", f"{total.lines}",
            money(total.ours_minor, total.currency), money(total.theirs_minor, total.currency),
            money(total.at_stake_minor, total.currency),
        )
        for total in one.totals
    ]  # fmt: skip
    columns = ("kind", "currency", "postings", "lines", "ours", "theirs", "at stake")
    title = f"{one.partner} ({one.way}), {one.period}: comparison {one.reconciliation_id}"
    console.print(table(title, columns, rows, numbers=5))


def _show_moved(done: "Compared") -> None:
    if done.proven or done.refused:
        typer.echo(
            f"{done.proven} postings became acknowledged by it, {done.refused} of files rejected"
        )
