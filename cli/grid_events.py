"""`v2g grid events`, `approve` and `reject`: what was said of each event, and what a person decides."""

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.options import Database, Json
from cli.output import console, doing, fail, show_json, table

if TYPE_CHECKING:
    from settlement.windows import Effective, Window
    from storage.event_decisions import LateVersion
    from tasks.grid_events import ListedEvent

Event = Annotated[str, typer.Argument(help="The event, as `v2g grid events` names it.")]
Version = Annotated[int, typer.Option(min=1, help="The version that waits.")]
By = Annotated[str, typer.Option("--by", help="Who decides: a person's name. It is recorded.")]
Note = Annotated[str, typer.Option(help="Why. It is recorded.")]


def events(
    database: Database,
    program: Annotated[str, typer.Option(help="Only this program's.")] = "",
    since: Annotated[
        str, typer.Option("--from", help="Start, with its zone; default: a week ago.")
    ] = "",
    until: Annotated[
        str, typer.Option("--to", help="End, with its zone; default: in a week.")
    ] = "",
    pending: Annotated[
        bool, typer.Option("--pending", help="Only what waits for a person, of any time.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="At most so many.")] = 100,
    json: Json = False,
) -> None:
    """Show events: every version that was said, the one that counts, and when it is in force.

    `in force` is computed from all events of the program (primacy, creation, modes, cancellation), as
    settlement does; `status` is what the utility says, and evidence only. A version that came after
    its event had ended waits until a person approves or rejects it; till then what stood before
    stands. --json prints all versions, with the digests of the documents that said them.

    Exit 0; 1 when the database refuses; 2 on a time that cannot be read.

    Example: v2g grid events --program example-energy --from 2026-07-01T00:00:00Z --to 2026-07-02T00:00:00Z
    """
    from settlement import units
    from settlement.periods import Period
    from storage.engine import Role, StorageError, connect
    from tasks.grid_events import listed_events

    now = datetime.now(UTC)
    try:
        first = _moment(since) if since else (units.EARLIEST if pending else now - timedelta(7))
        last = _moment(until) if until else (units.LATEST if pending else now + timedelta(7))
        period = Period(first, last)
    except ValueError as error:
        raise fail(str(error), status=2) from error
    try:
        with doing() as say, connect(database, Role.READ) as conn:
            say("looking for events, and for what of each counts")
            found = listed_events(
                conn, period, program=program, known_at=now, most=limit + 1, waiting_only=pending
            )
    except StorageError as error:
        raise fail(str(error), status=1) from error
    more, found = len(found) > limit, found[:limit]
    if json:
        show_json({"events": [_plain(one) for one in found], "more": more})
        return
    if not found:
        typer.echo("nothing waits for a person" if pending else f"no event in {period}")
        return
    columns = (
        "event", "program", "group", "start", "end", "primacy", "status", "in force", "versions",
        "counts",
    )  # fmt: skip
    console.print(table("Events", columns, [_row(one) for one in found], numbers=2))
    for one in found:
        for late in one.waiting:
            console.print(_waits(late), markup=False, soft_wrap=True)
    if more:
        typer.echo(f"there are more; --limit {2 * limit} shows more of them")


def approve(
    event: Event, database: Database, version: Version, by: By, note: Note = "", json: Json = False
) -> None:
    """Let a version of an event count that came after the event had ended.

    The next run over the event's day books the difference, as an adjustment; runs of before can still
    be told again as they were. A decision stands: what the utility says anew is another version.

    Exit 0 when recorded; 1 when nothing was decided, because there is no such version, it does not
    wait, or it was decided already; 2 without a name.

    Example: v2g grid approve 2000A001 --version 3 --by "Anna Berg" --note "confirmed by the utility"
    """
    _decide(database, event, version, approved=True, by=by, note=note, json=json)


def reject(
    event: Event, database: Database, version: Version, by: By, note: Note = "", json: Json = False
) -> None:
    """Decide that a version of an event that came after the event had ended does not count.

    What stood before stands. The version is kept, with who rejected it and why.

    Exit 0 when recorded; 1 when nothing was decided; 2 without a name.

    Example: v2g grid reject 2000A001 --version 3 --by "Anna Berg" --note "typing error of the utility"
    """
    _decide(database, event, version, approved=False, by=by, note=note, json=json)


def _decide(
    database: str, event: str, version: int, *, approved: bool, by: str, note: str, json: bool
) -> None:
    from storage.engine import Role, StorageError, connect
    from storage.event_decisions import Decision, decide

    decision = Decision.APPROVED if approved else Decision.REJECTED
    try:
        with connect(database, Role.SETTLE) as conn:
            at = decide(conn, event, version, decision, by=by, note=note, now=datetime.now(UTC))
    except StorageError as error:
        raise fail(str(error), status=1) from error
    except ValueError as error:
        raise fail(str(error), status=2) from error
    told = {"event_id": event, "version": version, "decision": decision.value, "by": by}
    if json:
        show_json(told | {"note": note, "recorded_at": at.isoformat()})
    else:
        typer.echo(f"event {event}, version {version}: {decision.value} by {by}, {_time(at)}")


def _row(one: "ListedEvent") -> tuple[str, ...]:
    latest, window = one.latest, one.window
    return (
        one.event_id,
        latest.program,
        latest.site_group,
        _time(window.started_at if window else latest.started_at),
        _time(window.ended_at if window else latest.ended_at),
        str(latest.primacy),
        latest.status,
        ", ".join(_piece(piece) for piece in one.in_force) or "never",
        str(len(one.versions)),
        str(one.counts or "none"),
    )


def _piece(piece: "Effective") -> str:
    start, end = piece.started_at.astimezone(UTC), piece.ended_at.astimezone(UTC)
    ends = f"{end:%H:%M:%SZ}" if start.date() == end.date() else _time(end)
    return f"{start:%H:%M:%S} ({piece.began}) to {ends} ({piece.ended})"


def _waits(late: "LateVersion") -> str:
    changed = "; ".join(
        f"{name} {_value(before)} to {_value(after)}"
        for name, (before, after) in late.changed.items()
    )
    return (
        f"{late.event_id}, version {late.version} waits, received {_time(late.received_at)}:"
        f" {changed or 'an event not heard of before'}"
    )


def _value(value: object) -> str:
    return _time(value) if isinstance(value, datetime) else str(value)


def _plain(one: "ListedEvent") -> dict[str, Any]:
    return {
        "event_id": one.event_id,
        "program": one.latest.program,
        "counts": one.counts or None,
        "window": _window(one.window),
        "in_force": [
            {
                "started_at": piece.started_at.isoformat(),
                "ended_at": piece.ended_at.isoformat(),
                "began": str(piece.began),
                "ended": str(piece.ended),
            }
            for piece in one.in_force
        ],
        "versions": [_isoformatted(asdict(version)) for version in one.versions],
        "late": [
            {
                "version": late.version,
                "waits": late.waits and late.decision is None,
                "changed": {
                    name: [_value(before), _value(after)]
                    for name, (before, after) in late.changed.items()
                },
                "decision": late.decision.value if late.decision else None,
                "decided_by": late.decided_by,
                "note": late.note,
                "decided_at": late.decided_at.isoformat() if late.decided_at else None,
            }
            for late in one.late
        ],
    }


def _window(window: "Window | None") -> dict[str, Any] | None:
    return None if window is None else _isoformatted(asdict(window))


def _isoformatted(fields: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in fields.items()
    }


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r}: expected a time with its zone, such as 2026-07-01T17:00:00Z")
    return moment.astimezone(UTC)


def _time(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")
