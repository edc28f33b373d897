"""`v2g payouts …`: what waits for a person, and the person's decision. Limits are in cli.payout_limits."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import Database, Json
from cli.output import fail, show_json
from cli.payout_limits import app as limits_app
from settlement.posting import State

if TYPE_CHECKING:
    from storage.engine import Connection
    from tasks.payouts import Choice


def _group() -> typer.Typer:
    made = typer.Typer(
        help="Payouts that wait for a person: look at them, let them go, or give them up. Every"
        " decision is kept with its author.",
        no_args_is_help=True,
    )
    made.add_typer(limits_app, name="limits")
    return made


app = _group()

Posting = Annotated[
    str,
    typer.Argument(help="The posting's id, as `v2g payouts list` shows it.", show_default=False),
]
Account = Annotated[
    str, typer.Argument(help="The account, as `v2g payouts list` shows it.", show_default=False)
]
By = Annotated[
    str,
    typer.Option(help="Who decides; it stands with the decision.", show_default=False),
]
Why = Annotated[str, typer.Option(help="Why; it stands with the decision.", show_default=False)]


@app.command(name="list")
def list_(
    database: Database,
    state: Annotated[
        list[State] | None, typer.Option(help="In this state; give it once for each.")
    ] = None,
    account: Annotated[str, typer.Option(help="Only to this account.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="At most so many.")] = 100,
    json: Json = False,
) -> None:
    """Show payouts that are parked, those that have waited longest first, and why each one is.

    LIMIT: it broke one; release or refuse it. APPROVAL: it is large; approve or refuse it.
    ACCOUNT_HELD: nothing is wrong with it but its account; unhold that. Anything else is what the
    clearinghouse answered. Exit 0 when nothing of that is there, 1 when something is.

    Example: v2g payouts list --account owner-7
    """
    from cli.payouts_shown import show_payouts
    from storage import limits, payouts

    with _operator(database) as conn:
        found = payouts.listed(
            conn, states=frozenset(state or (State.PARKED,)), account=account, limit=limit
        )
        standing = limits.in_force(conn)
    show_payouts(found, standing.limits, json=json)
    if found:
        raise typer.Exit(1)


@app.command()
def show(posting: Posting, database: Database, json: Json = False) -> None:
    """Show one payout: its state, each limit with what was found and allowed, and who decided what.

    Exit 1 when there is no such posting.

    Example: v2g payouts show 7b1c… --json
    """
    from cli.payouts_shown import show_payout
    from storage import holds, limits, payouts

    with _operator(database) as conn:
        found = payouts.find(conn, posting)
        if found is None:
            raise fail(
                f"posting {posting}: no such posting; expected an id as `v2g payouts list` shows it",
                status=1,
            )
        show_payout(
            found,
            limits.in_force(conn).limits,
            payouts.decisions(conn, posting),
            holds.history(conn, found.account),
            json=json,
        )


@app.command()
def approve(
    posting: Posting,
    by: By,
    database: Database,
    why: Annotated[str, typer.Option(help="Kept with the decision.")] = "approved",
    json: Json = False,
) -> None:
    """Let a large payout go. Not by whoever set the limits under which it waits.

    It is due at once: the next `v2g post` sends it. A suspended run in Prefect that asks about it ends
    by itself when it is resumed. Exit 1 when it does not wait for this, or not for you.

    Example: v2g payouts approve 7b1c… --by bob --why 'meter and contract checked'
    """
    from tasks.payouts import Choice

    _decide(database, posting, Choice.APPROVE, by, why, json=json)


@app.command()
def release(posting: Posting, by: By, why: Why, database: Database, json: Json = False) -> None:
    """Let a payout go that broke a limit, or that the clearinghouse contradicted. The same id again.

    Its account stays held, if it is (`v2g payouts unhold`). Not by whoever set the limits it broke.
    Exit 1 when it does not wait for this, or not for you.

    Example: v2g payouts release 7b1c… --by bob --why 'a depot of forty buses, contract 88'
    """
    from tasks.payouts import Choice

    _decide(database, posting, Choice.RELEASE, by, why, json=json)


@app.command()
def refuse(posting: Posting, by: By, why: Why, database: Database, json: Json = False) -> None:
    """Give a payout up, for ever; the ledger keeps what is owed. A correction is a new settlement.

    Only where no attempt can have taken effect. Exit 1 where one may have: then compare with the
    partner's statement (`v2g reconcile`), or release it.

    Example: v2g payouts refuse 7b1c… --by bob --why 'price feed was a hundredfold'
    """
    from tasks.payouts import Choice

    _decide(database, posting, Choice.REFUSE, by, why, json=json)


@app.command()
def hold(account: Account, by: By, why: Why, database: Database, json: Json = False) -> None:
    """Hold an account: nothing new is sent to it. What is out, or may have been paid, goes on.

    Exit 1 when it is held already.

    Example: v2g payouts hold owner-7 --by bob --why 'disputed by the site host'
    """
    from storage import holds

    with _operator(database) as conn:
        parked = holds.hold(conn, account, by=by, why=why, now=_now())
    show_json({"account": account, "parked": parked}) if json else typer.echo(
        f"account {account} is held; {parked} postings are parked"
    )


@app.command()
def unhold(account: Account, by: By, why: Why, database: Database, json: Json = False) -> None:
    """Release an account: what was parked only with it goes on, screened where it was not yet.

    What broke a limit itself stays parked; decide it first, or its day's limit may hold the account
    again. Exit 1 when the account is not held.

    Example: v2g payouts unhold owner-7 --by bob --why 'the one bad line is refused'
    """
    from storage import holds

    with _operator(database) as conn:
        freed = holds.unhold(conn, account, by=by, why=why, now=_now())
    show_json({"account": account, "released": freed}) if json else typer.echo(
        f"account {account} is released; {freed} postings go on"
    )


@app.command(name="holds")
def holds_(database: Database, json: Json = False) -> None:
    """Show the accounts that are held, since when, by whom and why. Exit 1 when there is one."""
    from cli.payouts_shown import show_holds
    from storage import holds

    with _operator(database) as conn:
        found = holds.held(conn)
    show_holds(found, json=json)
    if found:
        raise typer.Exit(1)


def _decide(
    database: str, posting: str, choice: "Choice", by: str, why: str, *, json: bool
) -> None:
    from tasks.payouts import decide

    with _refusals():
        state = decide(database, posting, choice, by=by, why=why, clock=_now)
    show_json({"posting_id": posting, "state": state}) if json else typer.echo(
        f"posting {posting} is {state}"
    )


@contextmanager
def _operator(database: str) -> "Iterator[Connection]":
    from storage.engine import Role, connect

    with _refusals(), closing(connect(database, Role.OPERATOR)) as conn:
        yield conn


@contextmanager
def _refusals() -> Iterator[None]:
    """Exit 2 where the command said something impossible, 1 on what is refused."""
    from storage.approvals import PayoutRefusedError, Refusal
    from storage.errors import StorageError

    try:
        yield
    except PayoutRefusedError as error:
        raise fail(f"{error}", status=2 if error.why is Refusal.INVALID else 1) from error
    except StorageError as error:
        raise fail(f"{error}", status=1) from error


def _now() -> datetime:
    return datetime.now(UTC)
