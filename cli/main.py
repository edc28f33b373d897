"""`v2g`: the command line. Heavy parts are imported by the command that needs them."""

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
    quality,
    quarantine,
    reconcile,
    replay,
    runs,
    schedules,
    settle,
    simulate,
    statement,
    thermal,
    true_up,
    vehicles,
    webhook,
    what_if,
    workers,
)
from cli.options import Json
from cli.output import show_json

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
app.add_typer(quality.app, name="quality")
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
app.command()(settle.settle)
app.command()(true_up.true_up)
app.command()(replay.replay)
app.command()(what_if.what_if)


@app.command()
def version(json: Json = False) -> None:
    """Print the version."""
    number = installed_version("v2g-settlement")
    show_json({"version": number}) if json else typer.echo(f"v2g-settlement {number}")


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


if __name__ == "__main__":
    app()
