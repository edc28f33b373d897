"""`v2g disputes …`: what is claimed of a partner, by when, with which evidence, and how it ended."""

from dataclasses import asdict
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.keys_options import now
from cli.options import Database, Json
from cli.output import console, fail, show_fields, show_json, table
from cli.reconcile_options import By, named, refusals

if TYPE_CHECKING:
    from storage.disputes import Dispute

app = typer.Typer(
    help="Disputes with partners about payments: deadlines, evidence, and their outcome in the books.",
    no_args_is_help=True,
)


class Ending(StrEnum):
    """How a dispute can be ended."""

    WON = "won"
    LOST = "lost"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"


Which = Annotated[
    str, typer.Argument(help="The dispute's id, or its beginning.", show_default=False)
]
Text = Annotated[str, typer.Option(help="What was said; it stands in the record.")]


@app.command(name="open")
def open_(
    by: By,
    database: Database,
    difference: Annotated[
        str, typer.Argument(help="A difference's id, as `v2g reconcile differences` has it.")
    ] = "",
    posting: Annotated[
        str, typer.Option(help="Instead: a posting of which no statement says anything yet.")
    ] = "",
    reason: Annotated[str, typer.Option(help="Why; it stands in the record.")] = "",
    days: Annotated[
        int,
        typer.Option(
            min=1,
            max=3650,
            envvar="V2G_DISPUTE_DAYS",
            help="Days until its deadline; your contract with the partner says how many.",
        ),
    ] = 70,
    json: Json = False,
) -> None:
    """Dispute a difference, for the money at stake in it. It is disputed once.

    The default of 70 days is the window that electricity markets give for such claims.

    Exit 0 when opened, 1 when it is or was in dispute, 2 on what cannot be disputed.

    Example: v2g disputes open 5f3c --by anna --reason 'acknowledged on 3 July, not in the statement'
    """
    from tasks.reconciling import disputing

    if bool(difference) == bool(posting):
        raise fail("expected a DIFFERENCE or --posting, one of the two", status=2)
    with refusals():
        opening = disputing.open_on_posting if posting else disputing.open_on_difference
        made = opening(
            database,
            posting or difference,
            by=named("--by", by),
            reason=reason,
            clock=now,
            days=days,
        )
    _tell(made, json=json)


@app.command(name="list")
def list_(
    database: Database,
    partner: Annotated[str, typer.Option(help="Only with this partner.")] = "",
    overdue: Annotated[bool, typer.Option("--overdue", help="Only those past it.")] = False,
    json: Json = False,
) -> None:
    """List disputes, the earliest deadline first, and say which are overdue.

    Exit 0 when none is overdue, 1 when one is.
    """
    from tasks.reconciling import disputing

    with refusals():
        found, unbooked = disputing.listed(database, partner=partner)
    at = now()
    late = [one for one in found if one.is_overdue(at)]
    shown = late if overdue else found
    if json:
        show_json({"disputes": [_plain(one, at) for one in shown], "unbooked": sorted(unbooked)})
    else:
        rows = [
            (
                one.dispute_id, one.partner, one.kind, _state(one, at, unbooked),
                f"{one.deadline_at:%Y-%m-%d}", one.currency, f"{one.amount_minor}",
            )
            for one in shown
        ]  # fmt: skip
        columns = ("dispute", "partner", "kind", "state", "deadline", "currency", "minor units")
        console.print(table("Disputes", columns, rows, numbers=1))
    if late:
        raise fail(f"{len(late)} overdue: answer, or close with --outcome", status=1)


@app.command()
def show(which: Which, database: Database, json: Json = False) -> None:
    """Show a dispute and its whole course."""
    from storage import disputes
    from storage.evidence import reading

    with refusals(), reading(database) as conn:
        found = disputes.find(conn, which)
    _tell(found, json=json)


@app.command()
def answer(which: Which, by: By, text: Text, database: Database, json: Json = False) -> None:
    """Note what the partner answered, or what was told to it.

    Example: v2g disputes answer 5f3c --by anna --text 'they ask for the receipt'
    """
    from tasks.reconciling import disputing

    with refusals():
        done = disputing.answer(database, which, by=named("--by", by), text=text, clock=now)
    _tell(done, json=json)


@app.command()
def close(
    which: Which,
    by: By,
    database: Database,
    outcome: Annotated[
        Ending,
        typer.Option(
            help="won: made good, booked as received. lost or, after the deadline, expired: written"
            " off. withdrawn: nothing is booked.",
            show_default=False,
        ),
    ],
    text: Text = "",
    json: Json = False,
) -> None:
    """End a dispute, and book what that means in the double-entry ledger. It is never opened again.

    Exit 0 when ended and booked, 1 when it has ended otherwise or somebody is settling (then it has
    ended, and the same command books it), 2 on an id that names none.

    Example: v2g disputes close 5f3c --outcome won --by anna --text 'paid with reference 4711'
    """
    from settlement.booking.disputes import Outcome
    from tasks.reconciling import disputing

    with refusals():
        ended, booked = disputing.close(
            database, which, Outcome(outcome.value), by=named("--by", by), text=text, clock=now
        )
    _tell(ended, json=json, booked=booked)


@app.command()
def evidence(
    which: Which,
    database: Database,
    out: Annotated[Path, typer.Option(help="A new folder.", show_default=False)],
    json: Json = False,
) -> None:
    """Write the evidence into a folder: what was sent and answered, the partner's line and file, and
    why the money is owed.

    Check it with: sha256sum -c MANIFEST.sha256. Exit 2 where the folder holds something already.

    Example: v2g disputes evidence 5f3c --out dispute-5f3c
    """
    from tasks.reconciling.evidence import write_pack

    with refusals():
        dispute, names = write_pack(database, which, out, now=now())
    if json:
        show_json({"dispute_id": dispute.dispute_id, "folder": f"{out}", "files": names})
    else:
        typer.echo(f"dispute {dispute.dispute_id}: {len(names)} files written to {out}")


def _state(one: "Dispute", at: datetime, unbooked: frozenset[str]) -> str:
    if one.is_overdue(at):
        return f"{one.state}, overdue"
    return f"{one.state}, to be booked" if one.dispute_id in unbooked else one.state


def _plain(one: "Dispute", at: datetime) -> dict[str, object]:
    return {
        **asdict(one),
        "evidence_digest": one.evidence_digest.hex(),
        "state": one.state,
        "is_overdue": one.is_overdue(at),
    }


def _tell(one: "Dispute", *, json: bool, booked: int | None = None) -> None:
    plain = _plain(one, now())
    if json:
        show_json(plain if booked is None else {**plain, "booked": booked})
        return
    events = plain.pop("events")
    assert isinstance(events, tuple | list)
    show_fields(f"Dispute {one.dispute_id}", plain)
    rows = [(f"{each.at:%Y-%m-%d %H:%M}", each.kind, each.by, each.detail) for each in one.events]
    console.print(table("Its course", ("at", "what", "by", "detail"), rows))
    if booked:
        typer.echo(f"{booked} outcomes booked")
