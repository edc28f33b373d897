"""A run that is held: what it would have paid stands among what is not paid, and says so."""

from dataclasses import replace
from typing import Final

import polars as pl

from settlement.withheld import withheld
from storage import books
from storage.engine import Connection
from tasks import digests
from tasks.computing import Computed

_KEY: Final = ("program", "event_id", "vehicle_id")


def withhold(conn: Connection, computed: Computed) -> Computed:
    """What a held run shows and records instead of what it computed.

    What is in the books already stays there, with the amount that is booked; all else that would have
    been paid is unpaid, for ``PERIOD_HELD``. The root over all outputs stays that of the computation,
    by which it can be told again.

    Args:
        conn: in the transaction of ``books.settling``.
        computed: by the run.
    """
    booked = {
        key: one.booked_minor
        for key, one in books.load_books(conn, {one.event_id for one in computed.scope}).items()
        if one.booked_minor
    }
    rows = withheld(computed.lines, computed.settlements, standing=booked)
    unpaid = pl.concat([computed.unpaid, rows])
    standing = pl.DataFrame(
        [(*key, amount) for key, amount in sorted(booked.items())],
        schema={**dict.fromkeys(_KEY, pl.String()), "amount_minor": pl.Int64()},
        orient="row",
    )
    paid = (
        computed.settlements.filter(pl.col("state") == "booked")
        .drop("amount_minor")
        .join(standing, on=_KEY, how="inner")
        .select(computed.settlements.columns)
    )
    held = computed.settlements.filter(pl.col("state") != "booked")
    return replace(
        computed,
        settlements=pl.concat([paid, held]),
        unpaid=unpaid,
        outputs=replace(computed.outputs, unpaid=digests.root(unpaid)),
    )
