"""`v2g`: the command line. Heavy parts are imported by the command that needs them."""

from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version as installed_version
from typing import Annotated

import typer

from cli import (
    automations,
    certs,
    completion,
    disputes,
    doctor,
    fleet,
    flow_runs,
    gaps,
    grid,
    keys,
    lane,
    ledger,
    migrate,
    packet,
    payout_files,
    payouts,
    post,
    quarantine,
    reconcile,
    replay,
    runs,
    schedules,
    simulate,
    statement,
    thermal,
    true_up,
    vehicles,
    webhook,
    what_if,
    workers,
)
from cli.options import Database, Json
from cli.output import fail, show_json

app = typer.Typer(
    help="Settle vehicle-to-grid energy: signed packets in, verified payouts out.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_show_locals=False,
)
app.command()(migrate.migrate)
app.command()(doctor.doctor)
app.add_typer(packet.app, name="packet")
app.add_typer(quarantine.app, name="quarantine")
app.add_typer(gaps.app, name="gaps")
app.add_typer(certs.app, name="certs")
app.add_typer(keys.app, name="keys")
app.add_typer(ledger.app, name="ledger")
app.add_typer(runs.app, name="runs")
app.add_typer(statement.app, name="statement")
app.add_typer(vehicles.app, name="vehicles")
app.add_typer(fleet.app, name="fleet")
app.add_typer(grid.app, name="grid")
app.add_typer(thermal.app, name="thermal")
app.command()(post.post)
app.add_typer(lane.app, name="lane")
app.add_typer(payouts.app, name="payouts")
app.add_typer(payout_files.app, name="payout-file")
app.add_typer(reconcile.app, name="reconcile")
app.add_typer(disputes.app, name="disputes")
app.add_typer(webhook.app, name="webhook")
app.add_typer(schedules.app, name="schedules")
app.add_typer(flow_runs.app, name="flow-runs")
app.add_typer(workers.app, name="workers")
app.add_typer(automations.app, name="automations")
app.add_typer(completion.app, name="completion")
app.add_typer(simulate.app, name="simulate")
app.command()(true_up.true_up)
app.command()(replay.replay)
app.command()(what_if.what_if)


@app.command()
def version(json: Json = False) -> None:
    """Print the version."""
    number = installed_version("v2g-settlement")
    show_json({"version": number}) if json else typer.echo(f"v2g-settlement {number}")


@app.command()
def settle(
    database: Database,
    since: Annotated[
        str, typer.Option("--from", help="Start, with its zone: 2026-07-01T16:00:00Z.")
    ] = "",
    until: Annotated[str, typer.Option("--to", help="End, with its zone; not included.")] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Compute and show, book nothing.")
    ] = False,
    release: Annotated[
        str,
        typer.Option(help="Settle a period that its quality would hold; say why, it is recorded."),
    ] = "",
    as_of: Annotated[
        str,
        typer.Option(
            help="Show what the period came to as known at an earlier time; books nothing."
        ),
    ] = "",
    json: Json = False,
) -> None:
    """Judge what has landed, check its quality, and settle a period.

    Without --from and --to, settles what is due, and leaves to the calendar what its first run has
    yet to book. The same steps as the flow settle_period, without Prefect. Exit 0 when settled, 1
    when held or failed, 2 on a period or time that cannot be read.
    """
    from cli.summaries import show_settled
    from settlement.periods import Period
    from storage.engine import StorageError
    from tasks.judge import judge_packets
    from tasks.quality import check_quality
    from tasks.settings import Settings
    from tasks.settle import MANUAL, SCHEDULED, due_period, replay_period, settle_period
    from tasks.vehicle_state import keeper

    if bool(since) != bool(until):
        raise fail(
            "--from and --to go together; give both, or neither to settle what is due", status=2
        )
    if as_of and not since:
        raise fail("--as-of needs a period; give --from and --to", status=2)
    try:
        settings = Settings(database_url=database)
        asked = Period.parse(since, until) if since else None
        if asked and as_of:
            replayed = replay_period(database, asked, as_of=_moment(as_of))
            show_json(asdict(replayed)) if json else show_settled(replayed)
            return
        judged = judge_packets(
            database,
            clock=_now,
            threads=settings.judge_threads,
            after_commit=keeper(database, clock=_now),
        )
        if judged.busy:
            raise fail(
                "another process is judging what has landed; run again when it has ended", status=1
            )
        period = asked or due_period(database, now=_now(), grace=settings.settle_grace)
        if period is None:
            show_json({"state": "nothing_due"}) if json else typer.echo("nothing is due")
            return
        quality = check_quality(database, period, now=_now())
        hold = "" if release else quality.hold
        summary = settle_period(
            database,
            period,
            clock=_now,
            kind=MANUAL if asked else SCHEDULED,
            dry_run=dry_run,
            hold=hold,
            released=release,
            oracle_share_ppm=settings.oracle_share_ppm,
        )
    except ValueError as error:
        raise fail(f"{error}", status=2) from error
    except StorageError as error:
        raise fail(f"{error}", status=1) from error
    if json:
        show_json(asdict(summary))
    else:
        show_settled(summary)
    if summary.state == "held":
        raise fail(f"held: {summary.reason}", status=1)


@app.command()
def demo(
    keep: Annotated[
        bool,
        typer.Option(
            "--keep", help="Leave UI, API and daemon up until Ctrl-C, and print their addresses."
        ),
    ] = False,
    evses: Annotated[int, typer.Option(min=10, max=5000, help="Chargers in the fleet.")] = 50,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 7,
) -> None:
    """Settle an evening of a simulated fleet, for real, on embedded parts.

    Starts PostgreSQL, an MQTT broker, Prefect and the simulators on free loopback ports, with all
    data under .demo/, and stops them again. Exit 0 when every check at the end holds.
    """
    from cli.demo.run import run

    raise typer.Exit(run(keep=keep, evses=evses, seed=seed))


def _now() -> datetime:
    return datetime.now(UTC)


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r}: expected a time with its zone, such as 2026-07-01T17:00:00Z")
    return moment.astimezone(UTC)


if __name__ == "__main__":
    app()
