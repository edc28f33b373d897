"""The reference pages that come from the code, in docs/: columns, commands, metrics, programs, reasons,
settings, OpenAPI.

What a column, a reason or a setting means is written once, beside it in the code; these pages show
it to people who do not read code. ``make docs`` writes them, ``make check`` fails while one of them
says something else than the code.
"""

import argparse
import inspect
import sys
from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Final

from api import openapi
from cli.docs_cli import cli_page
from cli.docs_metrics import metrics_page
from cli.docs_programs import programs_page
from cli.docs_settings import settings_page
from cli.map import ROOT
from cli.markdown import GENERATED, heading, notes_of, row
from settlement import reasons, schemas
from settlement.schemas import Frame, Kind
from storage import tables
from storage.arrivals import ASIDE_KINDS

COLUMNS_INTRO: Final = """\
Suffixes are units: `_milliwh` thousandths of a watt-hour, `_w` watts, `_micros` millionths of the
currency unit, `_minor` its minor unit, `_ppm` and `_microdeg` millionths, `_us` microseconds, `_at`
a time in UTC. Ranges are held by the reader of packets, by CHECKs in the database and by the
quality suite; they are written once, in `settlement/schemas.py`."""

REASONS_INTRO: Final = """\
Nothing is dropped silently. A packet is a reading or has exactly one of the reasons below; a kWh is
paid or has one. What is wrong in several ways gets the first of its list."""

HELD_NOTE: Final = """\
Held, not refused: {}. The whole settlement waits and settles by itself once the cause is gone."""

ASIDE_NOTE: Final = """\
Landing judges nothing, but some bytes cannot stand in `raw_packet`. They are kept all the same."""

SQL_NAMES: Final[Mapping[str, str]] = {"BLOB": "bytea", "DATETIME": "timestamptz"}
"""What SQLAlchemy's generic types are called in PostgreSQL."""

KIND_NAMES: Final[Mapping[Kind, str]] = {
    Kind.TEXT: "text",
    Kind.BYTES: "bytes (bytea)",
    Kind.INTEGER: "integer (Int64, bigint)",
    Kind.TIME: "time (timestamptz)",
}


def permitted(low: int | None, high: int | None) -> str:
    """A permitted range, both ends included.

    >>> permitted(0, 1_000_000), permitted(None, None)
    ('0 … 1_000_000', '')
    """
    return "" if low is None or high is None else f"{low:_} … {high:_}"


def frame_section(frame: Frame) -> Iterator[str]:
    """One frame with the columns that its table adds."""
    yield f"\n### {frame.name}\n"
    yield f"{frame.meaning[0].upper()}{frame.meaning[1:]}.\n"
    yield from heading("column", "kind", "unit", "permitted", "may be empty", "meaning")
    for column in frame.columns:
        yield row(
            f"`{column.name}`",
            KIND_NAMES[column.kind],
            column.unit,
            permitted(column.low, column.high),
            "yes" if column.nullable else "",
            column.meaning,
        )
    if frame.name in tables.metadata.tables:
        known = {column.name for column in frame.columns}
        added = [c for c in tables.metadata.tables[frame.name].columns if c.name not in known]
        if added:
            named = ", ".join(f"`{c.name}` {sql_name(str(c.type))}" for c in added)
            yield f"\nThe table adds: {named}."
    note = table_notes().get(frame.name)
    if note:
        yield f"\n{note}"


def table_notes() -> dict[str, str]:
    """What stands under each table's declaration, by the table's name."""
    rooms = (
        tables.evidence, tables.tariffs, tables.terms, tables.money, tables.lanes, tables.limits,
        tables.reconciling, tables.notices,
    )  # fmt: skip
    return {name: note for room in rooms for name, note in notes_of(room).items()}


def sql_name(generic: str) -> str:
    """A column type as PostgreSQL calls it.

    >>> sql_name("DATETIME"), sql_name("BIGINT")
    ('timestamptz', 'bigint')
    """
    return SQL_NAMES.get(generic, generic.lower())


def columns_page() -> str:
    """docs/columns.md: every frame, then every table that is no frame."""
    lines = [
        "# Columns",
        "",
        GENERATED,
        COLUMNS_INTRO,
        "",
        "## Frames, in the order in which the data walks",
    ]
    for frame in schemas.FRAMES:
        lines += frame_section(frame)
    lines += ["", "## Tables that are no frame"]
    notes = table_notes()
    frames = {frame.name for frame in schemas.FRAMES}
    for name, table in tables.metadata.tables.items():
        if name in frames:
            continue
        lines += ["", f"### {name}", "", *heading("column", "type", "key", "may be empty")]
        keys = {column.name for column in table.primary_key.columns}
        lines += [
            row(
                f"`{column.name}`",
                sql_name(str(column.type)),
                "key" if column.name in keys else "",
                "yes" if column.nullable else "",
            )
            for column in table.columns
        ]
        if name in notes:
            lines += ["", notes[name]]
    return "\n".join(lines) + "\n"


def reason_section(reason: type[StrEnum], title: str) -> Iterator[str]:
    """A closed list of reasons in its order of precedence."""
    yield f"\n## {title}\n"
    yield f"{inspect.getdoc(reason) or ''}\n"
    yield from heading("", "reason", "meaning")
    meaning = notes_of(reasons, reason.__name__)
    for place, member in enumerate(reason, start=1):
        yield row(place, f"`{member.value}`", meaning[member.name])


def reasons_page() -> str:
    """docs/reasons.md: why a packet is no reading, why a kWh is not paid, what lies aside."""
    lines = [
        "# Reasons",
        "",
        GENERATED,
        REASONS_INTRO,
        *reason_section(reasons.PacketReason, "Why a packet is not a reading"),
        *reason_section(reasons.UnpaidReason, "Why a kWh is not paid"),
        "",
        HELD_NOTE.format(", ".join(f"`{one}`" for one in sorted(reasons.HELD))),
        "",
        "## Why a packet lies in `packet_aside`",
        "",
        ASIDE_NOTE,
        "",
        *heading("kind", "meaning"),
        *(row(f"`{kind}`", meaning) for kind, meaning in ASIDE_KINDS.items()),
    ]
    return "\n".join(lines) + "\n"


def pages() -> dict[str, str]:
    """Every generated page: its path below the root, and its text."""
    return {
        "docs/cli.md": cli_page(),
        "docs/columns.md": columns_page(),
        "docs/metrics.md": metrics_page(),
        "docs/openapi.json": openapi.as_text(),
        "docs/programs.md": programs_page(),
        "docs/reasons.md": reasons_page(),
        "docs/settings.md": settings_page(),
    }


def stale(texts: Mapping[str, str], root: Path = ROOT) -> list[str]:
    """The paths, below the root, of pages that are missing or say something else than the code."""
    return [
        path
        for path, text in texts.items()
        if not (root / path).exists() or (root / path).read_text("utf-8") != text
    ]


def write(texts: Mapping[str, str], root: Path = ROOT) -> list[str]:
    """Write the pages that are stale, and say which."""
    written = stale(texts, root)
    for path in written:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(texts[path], "utf-8")
    return written


def main(arguments: list[str] | None = None) -> int:
    """Write the pages, or with ``--check`` say whether they are right. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m cli.docs", description=main.__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 when stale")
    if parser.parse_args(arguments).check:
        wrong = stale(pages())
        if wrong:
            print(f"{', '.join(wrong)}: not what the code says; run `make docs`", file=sys.stderr)
        return 1 if wrong else 0
    for path in write(pages()):
        print(f"wrote {path}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
