"""`python -m benchmarks [NAME…]`: measure, and print one table."""

import sys
from collections.abc import Mapping, Sequence
from typing import Final

from rich.console import Console
from rich.table import Table

from benchmarks import (
    backfill,
    landing,
    modbus,
    posting,
    posting_memory,
    pricing,
    rerun,
    signatures,
)
from benchmarks.figure import Benchmark, Figure

TABLE_WIDTH: Final = 150

BENCHMARKS: Final[Mapping[str, Benchmark]] = {
    "signatures": signatures.run,
    "pricing": pricing.run,
    "landing": landing.run,
    "backfill": backfill.run,
    "rerun": rerun.run,
    "modbus": modbus.run,
    "posting": posting.run,
    "posting-memory": posting_memory.run,
}


def main(names: Sequence[str]) -> int:
    """Run the named benchmarks, or all. Exit 0 whatever they show; 2 on an unknown name."""
    if unknown := [name for name in names if name not in BENCHMARKS]:
        sys.stderr.write(f"no benchmark {unknown[0]}; expected one of {', '.join(BENCHMARKS)}\n")
        return 2
    console = Console(width=None if sys.stdout.isatty() else TABLE_WIDTH)
    figures: list[Figure] = []
    for name in names or BENCHMARKS:
        with console.status(f"measuring {name}"):
            figures.extend(BENCHMARKS[name]())
    console.print(_table(figures))
    return 0


def _table(figures: Sequence[Figure]) -> Table:
    table = Table("figure", "measured", "limit", "limit is", "ratio", "aim", "met")
    for one in figures:
        table.add_row(
            one.name,
            f"{one.value:,.0f} {one.unit}",
            "-" if one.limit is None else f"{one.limit:,.0f} {one.unit}",
            one.limit_name,
            "-" if one.ratio is None else f"{one.ratio:.2f}",
            one.aim,
            "yes" if one.met else "no",
        )
    return table


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
