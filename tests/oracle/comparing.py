"""The rules, computed twice on random cases: by the engine on frames and by the oracle row by row.

Every settlement, line and unpaid energy is compared, as the text that a replay would write; nothing is
tolerated. A failure names the seed: ``made.made(SEED, KIND)`` is the case again.
"""

import os
from collections.abc import Iterator
from difflib import unified_diff
from pathlib import Path
from tempfile import TemporaryDirectory

import cases
import oracle
from settlement import engine
from tests.golden import reading
from tests.oracle.folder import laid_out
from tests.oracle.made import made

PROMISED = 100_000
"""Lines compared every time; the variable V2G_ORACLE_LINES says how many instead, more for the night."""

LINES = int(os.environ.get("V2G_ORACLE_LINES", str(PROMISED)))
SHARES = {"energy": 30, "baseline": 24, "heat": 12, "rivals": 6, "order": 27, "capacity": 1}
"""Per cent of the lines that are compared of each kind of case."""
CHUNKS = 4
_SEEDS = 1_000_000
_ENOUGH = 10_000
_TABLES = ("settlements", "lines", "unpaid")


def compare(kind: str, chunk: int) -> int:
    """Compare cases of a kind until their share of the lines is reached; returns how many there were."""
    wanted = -(-LINES * SHARES[kind] // 100 // CHUNKS)
    compared = 0
    for seed in range(chunk * _SEEDS, chunk * _SEEDS + _ENOUGH):
        case = made(seed, kind)

        ours = reading.written(oracle.settle(case))
        with TemporaryDirectory() as folder:
            theirs = _by_engine(laid_out(case, Path(folder) / "case"))

        assert ours == theirs, f"made({seed}, {kind!r}):\n" + "\n".join(differences(ours, theirs))
        compared += ours["lines"].count("\n") - 1
        if compared >= wanted:
            break
    assert compared >= wanted, "cases without lines compare nothing"
    return compared


def _by_engine(folder: Path) -> dict[str, str]:
    case = cases.read(folder)
    computed = engine.compute(case.readings_in, case.facts, cases.PERIOD)
    out = folder / "out"
    cases.write(out, computed, case, statement=())
    return {name: (out / f"{name}.csv").read_text("utf-8") for name in _TABLES}


def differences(ours: dict[str, str], theirs: dict[str, str]) -> list[str]:
    """The first rows in which two results differ: the oracle's with a minus, the engine's with a plus."""
    return [row for name in _TABLES for row in _differences(name, ours[name], theirs[name])][:12]


def _differences(name: str, ours: str, theirs: str) -> Iterator[str]:
    for row in unified_diff(ours.splitlines(), theirs.splitlines(), n=0, lineterm=""):
        if row[0] in "+-" and row[1] not in "+-":
            yield f"{name} {row}"
