"""The events of a case: ``events.csv``, or IEEE 2030.5 documents in ``events/``."""

from collections import defaultdict
from collections.abc import Collection
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import polars as pl

from cases.der_controls import FILE_MAX_BYTES, Control, read_controls
from cases.errors import CaseError, quoted
from cases.fields import Field, Kind, number, read_fields, refuse, text, time
from cases.tables import read_bytes
from cases.terms import refuse_empty
from settlement.windows import (
    CANCELLED_RANDOMLY,
    STATUSES,
    Decision,
    Version,
    Window,
    outcome,
)

_PRIMACY_MAX: Final = 255
_RANDOMIZE_MAX_S: Final = 3600
_MODES_MAX_CHARS: Final = 2048


def _seconds(name: str) -> Field:
    return number(name, name, 0, -_RANDOMIZE_MAX_S, _RANDOMIZE_MAX_S, "s", blank=True)


EVENTS: Final[tuple[Field, ...]] = (
    text("event_id"),
    text("program", blank=True),
    time("started_at"),
    time("ended_at"),
    time("created_at"),
    text("status", blank=True),
    number("primacy", "primacy", 0, 0, _PRIMACY_MAX, "", blank=True),
    text("group", blank=True),
    time("superseded_or_cancelled_at", into="out_at", blank=True),
    Field("modes", "modes", Kind.TEXT, blank=True, high=_MODES_MAX_CHARS),
    _seconds("randomize_start_s"),
    _seconds("randomize_duration_s"),
    text("resumes", blank=True),
    text("approval", blank=True),
)
"""Of ``events.csv``."""

CANCELLED_AT_RANDOM: Final = frozenset(
    {CANCELLED_RANDOMLY, str(STATUSES.index(CANCELLED_RANDOMLY))}
)
CANCELLED: Final = CANCELLED_AT_RANDOM | {"cancelled", "2"}
OTHERS: Final = frozenset({"scheduled", "active", "completed", "0", "1", "5"})
SUPERSEDED: Final = frozenset({"superseded", "4"})
RESUMES: Final = {"yes": True, "no": False}


def read_event_rows(
    path: Path, file: str, programs: Collection[str], as_of: datetime | None
) -> tuple[list[Window], set[str]]:
    """Each event as it counts, as known at ``as_of``, and the ids of all events ever.

    A version is known from ``created_at`` on, and a cancellation counts once its time has come. Which of
    several versions counts says ``settlement.windows``: a change that was created after the event had
    ended only if its ``approval`` says that somebody approved it. A status that says superseded is
    evidence only: what is in force follows from the events themselves.

    Raises:
        CaseError: a value does not fit, the interval is empty, the program is unknown, the status and
            its time do not go together, or two versions of an event were created at one time.
    """
    rows = read_fields(path, file, EVENTS)
    refuse_empty(file, rows)
    names = sorted(programs)
    if len(names) == 1:
        rows = rows.with_columns(pl.col("program").fill_null(names[0]))
    _refuse_statuses(file, rows, names)
    versions = rows.unique([c for c in rows.columns if c != "row"], keep="first").sort("row")
    refuse(
        file,
        versions.filter(~pl.struct("event_id", "created_at").is_first_distinct()),
        "created_at",
        "another version of {event_id} with the same created_at",
        "a time of its own for each version",
    )
    if as_of is not None:
        versions = versions.filter(pl.col("created_at") <= as_of)
    said: dict[str, list[Version]] = defaultdict(list)
    for row in versions.sort("event_id", "created_at").iter_rows(named=True):
        decision = None if row["approval"] is None else Decision(row["approval"])
        known = said[row["event_id"]]
        known.append(Version(len(known) + 1, _window(row, as_of), row["created_at"], decision))
    counting = (outcome(known).window for known in said.values())
    return [window for window in counting if window is not None], set(rows["event_id"])


def _window(row: dict[str, Any], as_of: datetime | None) -> Window:
    return Window(
        event_id=row["event_id"],
        program=row["program"],
        started_at=row["started_at"],
        ended_at=row["ended_at"],
        created_at=row["created_at"],
        primacy=row["primacy"] or 0,
        group=row["group"] or "",
        cancelled_at=_known(row["out_at"], as_of) if row["status"] in CANCELLED else None,
        modes=tuple(sorted(set((row["modes"] or "").split()))),
        randomize_start_s=row["randomize_start_s"] or 0,
        randomize_duration_s=row["randomize_duration_s"] or 0,
        resumes=RESUMES[row["resumes"] or "yes"],
        cancelled_randomly=row["status"] in CANCELLED_AT_RANDOM,
    )


def _refuse_statuses(file: str, rows: pl.DataFrame, programs: list[str]) -> None:
    refuse(
        file,
        rows.filter(~pl.col("program").is_in(programs).fill_null(value=False)),
        "program",
        "{program}",
        f"a program of the case: {', '.join(programs)}",
    )
    status = pl.col("status")
    known = sorted(s for s in CANCELLED | OTHERS | SUPERSEDED if not s.isdigit())
    refuse(
        file,
        rows.filter(~status.is_in([*CANCELLED, *OTHERS, *SUPERSEDED])),
        "status",
        "{status}",
        f"one of {', '.join(known)}, the number of IEEE 2030.5 (0 to 5), or nothing",
    )
    refuse(
        file,
        rows.filter(status.is_in(list(CANCELLED)) & pl.col("out_at").is_null()),
        "superseded_or_cancelled_at",
        "nothing",
        "the time of the cancellation, as status is {status}",
    )
    for column, words in (
        ("resumes", list(RESUMES)),
        ("approval", [str(d.value) for d in Decision]),
    ):
        refuse(
            file,
            rows.filter(~pl.col(column).is_in(words)),
            column,
            f"{{{column}}}",
            f"{' or '.join(words)}, or nothing",
        )
    still = status.is_in(list(OTHERS)) | status.is_null()
    refuse(
        file,
        rows.filter(still & pl.col("out_at").is_not_null()),
        "superseded_or_cancelled_at",
        "{out_at}",
        "nothing, as status is {status}; or the status cancelled or superseded",
    )


def read_event_documents(
    folder: Path, programs: Collection[str], as_of: datetime | None
) -> tuple[list[Window], set[str]]:
    """As ``read_event_rows``, from ``events/*.xml``: the event_id is the control's mRID.

    Where the case has several programs, the part of the file's name before the first point says to
    which one its controls belong. Of a control in several documents the one counts whose version, and
    of equal versions whose status, is the latest.

    Raises:
        CaseError: there is no document, one cannot be read, its program is unknown, its pages are not
            all there, or it contradicts another one.
    """
    latest: dict[str, tuple[Control, str, str]] = {}
    lists: dict[tuple[str, str], set[str]] = defaultdict(set)
    announced: dict[tuple[str, str], tuple[int, str]] = {}
    files = sorted(folder.glob("*.xml"))
    if not files:
        raise CaseError("events", "no *.xml", "DERControlList documents of IEEE 2030.5")
    for path in files:
        file = f"events/{path.name}"
        program = _program_of(path, file, programs)
        page = read_controls(read_bytes(path, file, FILE_MAX_BYTES), file)
        lists[program, page.href].update(one.mrid for one in page.controls)
        announced[program, page.href] = max(
            announced.get((program, page.href), (0, file)), (page.all, file)
        )
        for one in page.controls:
            # A version that was not created yet does not hide the one before it.
            if as_of is None or one.created_at <= as_of:
                _keep_latest(latest, one, program, file)
    for key, (number_of, file) in announced.items():
        if len(lists[key]) < number_of:
            raise CaseError(
                file,
                f"{len(lists[key])} of the {number_of} controls of {quoted(key[1])}",
                "all pages of the list",
            )
    windows = (
        Window(
            event_id=one.mrid,
            program=program,
            started_at=one.started_at,
            ended_at=one.ended_at,
            created_at=one.created_at,
            cancelled_at=_known(one.cancelled_at, as_of),
            modes=tuple(sorted(one.modes)),
            randomize_start_s=one.randomize_start_s,
            randomize_duration_s=one.randomize_duration_s,
            cancelled_randomly=one.status_word == CANCELLED_RANDOMLY,
        )
        for one, program, _ in latest.values()
    )
    # Documents do not say when they came: only what was created after its own end is too late.
    counting = (outcome([Version(1, window, None)]).window for window in windows)
    known = sorted((w for w in counting if w is not None), key=lambda w: w.event_id)
    return known, set().union(*lists.values())


def _keep_latest(
    latest: dict[str, tuple[Control, str, str]], one: Control, program: str, file: str
) -> None:
    other, its_program, its_file = latest.get(one.mrid, (one, program, file))
    if its_program != program:
        raise CaseError(
            file,
            f"{quoted(one.mrid)} for {program}",
            f"one program, as {its_file} has it for {its_program}",
            row=one.line,
            column="mRID",
        )
    order, its_order = (one.version, one.status_at), (other.version, other.status_at)
    if order == its_order and _said(one) != _said(other):
        raise CaseError(
            file,
            f"another content of {quoted(one.mrid)}",
            f"that of {its_file}, as version and status are of the same time",
            row=one.line,
            column="mRID",
        )
    latest[one.mrid] = (one, program, file) if order >= its_order else (other, program, its_file)


def _said(one: Control) -> tuple[object, ...]:
    return (
        one.created_at,
        one.started_at,
        one.ended_at,
        one.cancelled,
        one.modes,
        one.randomize_start_s,
        one.randomize_duration_s,
    )


def _program_of(path: Path, file: str, programs: Collection[str]) -> str:
    if len(programs) == 1:
        return next(iter(programs))
    # Program names may hold points themselves.
    for name in sorted(programs, key=len, reverse=True):
        if path.name.startswith(f"{name}."):
            return name
    raise CaseError(
        file,
        "a name that begins with no program",
        f"one of {', '.join(f'{name}.xml' for name in sorted(programs))}",
    )


def _known(at: datetime | None, as_of: datetime | None) -> datetime | None:
    """The time of a cancellation, or None while it is not known."""
    return None if as_of is not None and at is not None and at > as_of else at
