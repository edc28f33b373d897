"""A case as the folder of plain files that it would come in."""

import csv
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from oracle import Case
from oracle.case import Row


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _table(path: Path, rows: Iterable[Row]) -> None:
    listed = list(rows)
    if not listed:
        return
    with path.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(listed[0])
        writer.writerows([_text(value) for value in row.values()] for row in listed)


def laid_out(case: Case, folder: Path) -> Path:
    """Write a case into a new folder."""
    (folder / "programs").mkdir(parents=True)
    for body in case.programs:
        path = folder / "programs" / f"{body['program']}-{body['version']}.yaml"
        path.write_text(yaml.safe_dump(dict(body), sort_keys=False), "utf-8")
    for name in ("contracts", "readings", "events", "thermal", "prices", "baselines", "orders"):
        _table(folder / f"{name}.csv", getattr(case, name))
    _table(folder / "sites.csv", case.sites or ())
    if case.as_of is not None:
        (folder / "as_of").write_text(f"{case.as_of.isoformat()}\n", "utf-8")
    return folder
