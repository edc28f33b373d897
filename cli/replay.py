"""`v2g replay`: settle a case that lies in a folder of plain files."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.options import Json
from cli.output import console, doing, fail, show_json, table

if TYPE_CHECKING:
    from cases import Case
    from settlement.engine import Computed
    from statements import Statement

UNUSABLE = 2
"""The exit status of a case that cannot be used."""


def replay(
    case: Annotated[
        Path,
        typer.Argument(
            show_default=False,
            help="The folder: program.yaml, contracts.csv, readings.csv or packets/, events.csv, …",
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            show_default=False,
            help="Where settlements.csv, lines.csv, unpaid.csv and statement.html are written.",
        ),
    ],
    force: Annotated[bool, typer.Option("--force", help="Replace results that are there.")] = False,
    json: Json = False,
) -> None:
    """Settle a case in a folder of plain files, by the rules of the running system.

    No server, no database, no network. The same case gives the same bytes, so two results can be
    compared with `diff`. docs/cases.md lists the files and their columns.

    Exit 0 when settled, also where a settlement is held; 2 when the case cannot be used, with one
    line that names file, row, column and what was expected.

    Example: v2g replay tests/golden/net-per-event --out result
    """
    import cases
    from cases.write import require_free
    from settlement import engine
    from settlement.bounds import BoundExceededError
    from statements import render

    try:
        require_free(out, force=force)
        with doing() as at:
            read = cases.read(case, progress=lambda name: at(f"reading {name}"))
            at(f"settling {read.readings.height:,} readings")
            computed = engine.compute(read.readings_in, read.facts, cases.PERIOD)
            at("writing")
            page = render(statement_of(read, computed))
            cases.write(out, computed, read, statement=page, force=force)
    except (cases.CaseError, cases.OutputExistsError) as error:
        raise fail(str(error), status=UNUSABLE) from error
    except BoundExceededError as error:
        raise fail(f"{case}: {error}", status=UNUSABLE) from error
    except OSError as error:
        raise fail(f"{error.filename or out}: {error.strerror}", status=UNUSABLE) from error
    summary = summary_of(read, computed)
    if json:
        show_json({"out": str(out), "programs": summary, "quarantined": read.quarantined.height})
    else:
        _show(summary, read, out)


def statement_of(case: "Case", computed: "Computed") -> "Statement":
    """The statement of a whole case."""
    from cases.write import clipped
    from statements import Statement

    refused = case.quarantined.group_by("reason").len().sort("reason")
    return Statement(
        title=f"Settlement of {case.name}",
        settlements=computed.settlements,
        lines=computed.lines,
        unpaid=clipped(computed.unpaid, case),
        readings=case.readings,
        temperatures=case.facts.temperatures,
        programs=case.facts.programs,
        windows=case.facts.windows,
        prices=case.facts.prices,
        known_at=case.as_of,
        notes=[
            f"{count:,} packets are no readings and were left aside: {reason}."
            for reason, count in refused.iter_rows()
        ],
    )


def summary_of(case: "Case", computed: "Computed") -> list[dict[str, Any]]:
    """Per program, in integers: what is paid, what is held, and what is not paid, by reason."""
    import polars as pl

    held = pl.col("state") == "held"
    summary = []
    for name, versions in sorted(case.facts.programs.items()):
        settlements = computed.settlements.filter(pl.col("program") == name)
        paid = settlements.filter(~held)
        unpaid = (
            computed.unpaid.filter(pl.col("program") == name)
            .group_by("reason")
            .agg(
                pl.col("energy_milliwh").sum(),
                would_have_been_micros=pl.when(
                    pl.col("would_have_been_micros").is_not_null().any()
                ).then(pl.col("would_have_been_micros").sum()),
            )
            .sort("reason")
        )
        summary.append(
            {
                "program": name,
                "currency": versions[-1].currency,
                "minor_units": versions[-1].minor_units,
                "settlements": settlements.height,
                "held": settlements.height - paid.height,
                "energy_milliwh": int(paid["energy_milliwh"].sum()),
                "amount_minor": int(paid["amount_minor"].sum()),
                "unpaid": unpaid.to_dicts(),
            }
        )
    return summary


def _show(summary: list[dict[str, Any]], case: "Case", out: Path) -> None:
    from statements.numerals import exact

    rows = []
    for one in summary:
        places, currency = one["minor_units"], one["currency"]
        paid = f"{exact(one['amount_minor'], places, least=places)} {currency}"
        energy = f"{exact(one['energy_milliwh'], 6, least=3)} kWh"
        what = f"paid, {one['settlements'] - one['held']} settlements"
        rows.append((one["program"], what, energy, paid))
        if one["held"]:
            rows.append((one["program"], f"held, {one['held']} settlements", "", ""))
        for row in one["unpaid"]:
            micros = row["would_have_been_micros"]
            would = "" if micros is None else f"{exact(micros, 6, least=2)} {currency}"
            energy = f"{exact(row['energy_milliwh'], 6, least=3)} kWh"
            rows.append((one["program"], f"not paid: {row['reason']}", energy, would))
    console.print(
        table(
            f"Settlement of {case.name}",
            ("program", "what", "energy", "money, or what it would have been"),
            rows,
            numbers=2,
        )
    )
    if case.quarantined.height:
        typer.echo(f"{case.quarantined.height} packets are no readings and were left aside")
    held = sum(one["held"] for one in summary)
    if held:
        typer.echo(f"{held} settlements are held: unpaid.csv says what is missing")
    typer.echo(f"written to {out}")
