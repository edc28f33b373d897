"""`v2g thermal …`: batteries' temperatures, and the limits commanded because of them."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Final

import typer

from cli.options import Database, Json
from cli.output import console, doing, fail, show_json, table
from cli.spans import moment_option

if TYPE_CHECKING:
    from storage.thermal_samples import Sample
    from storage.throttling import Command, Numbered, Standing

app = typer.Typer(
    help="Batteries' temperatures, and the limits commanded because of them.", no_args_is_help=True
)

KNOWN_FOR: Final = timedelta(days=7)
"""An EVSE of which nothing was measured for longer, and that has no command, is not shown."""
WITHIN: Final = timedelta(minutes=5)
NOT_ACKNOWLEDGED: Final = 3


@app.callback()
def thermal() -> None:
    """Batteries' temperatures, and the limits commanded because of them."""


@app.command()
def status(
    database: Database,
    evse: Annotated[str, typer.Option(help="Only this EVSE.")] = "",
    json: Json = False,
) -> None:
    """Show every EVSE: its battery's temperature, the limit commanded, and whether it was acknowledged.

    `battery` is the hottest of the battery's sensors at their last reading, `age` how old the oldest of
    those readings is. The guard (python -m thermal_guard) decides; this only shows. Exit 0; 3 when a
    command in force is not acknowledged by its charger; 1 when the database refuses.

    Example: v2g thermal status
    """
    from storage import thermal_terms, throttling
    from storage.engine import Role, StorageError, connect

    now = datetime.now(UTC)
    since = now - KNOWN_FOR
    try:
        with doing() as say, connect(database, Role.READ) as conn:
            say("looking for what was commanded")
            standing = throttling.standing(conn, evses=[evse] if evse else None)
            evses = [evse] if evse else thermal_terms.measured(conn, since=since)
            say("reading the last temperatures")
            samples = thermal_terms.last_samples(conn, evses, since=since, within=WITHIN)
    except StorageError as error:
        raise fail(str(error), status=1) from error
    shown = [
        _place(one, [s for s in samples if s.evse_id == one], standing.get(one), now)
        for one in sorted({s.evse_id for s in samples} | set(standing))
    ]
    if json:
        show_json({"at": now.isoformat(), "evses": shown})
    elif not shown:
        typer.echo("nothing was measured in the last seven days, and nothing was ever commanded")
    else:
        columns = ("EVSE", "state", "since", "acknowledged", "quality", "battery", "age")
        console.print(table("Batteries", columns, [_row(one) for one in shown], numbers=2))
    if any(one["acknowledged"] is False for one in shown):
        raise typer.Exit(NOT_ACKNOWLEDGED)


@app.command()
def limits(
    database: Database,
    evse: Annotated[str, typer.Option(help="Only this EVSE.")] = "",
    since: Annotated[
        str, typer.Option(help="Only commands since then: a time with its zone.")
    ] = "",
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")] = 50,
    json: Json = False,
) -> None:
    """Show what was commanded, why, and what chargers answered; the newest first.

    `answers` are the attempts and answers in their order: sent, obeyed, refused, failed (no answer in
    time), replaced (by a newer command, before it was obeyed). --json has all of them with their times,
    and what each command was decided on. Exit 0, also when there is none; 1 when the database refuses;
    2 when an option will not do.

    Example: v2g thermal limits --evse DE*ABC*E7 --since 2026-07-01T00:00:00+02:00
    """
    from storage import throttling
    from storage.engine import Role, StorageError, connect

    begins = moment_option("--since", since)
    try:
        with doing() as say, connect(database, Role.READ) as conn:
            say("reading commands and answers")
            found = throttling.audit(conn, evse_id=evse, since=begins, most=limit + 1)
    except StorageError as error:
        raise fail(str(error), status=1) from error
    more, found = len(found) > limit, found[:limit]
    if json:
        show_json({"commands": [_audited(*one) for one in found], "more": more})
        return
    if not found:
        typer.echo("nothing was commanded")
        return
    columns = ("EVSE", "commanded", "why", "answers", "limit", "filtered")
    rows = [
        (
            one.evse_id,
            _time(one.recorded_at),
            one.reason,
            _story(said),
            "none" if one.limit_w is None else f"{one.limit_w} W",
            _filtered(one),
        )
        for one, said in found
    ]
    console.print(table("Limits, the newest first", columns, rows, numbers=2))
    if more:
        typer.echo(f"there are more; --limit {min(10_000, 2 * limit)} shows more of them")


def _place(
    evse: str, samples: "Sequence[Sample]", standing: "Standing | None", now: datetime
) -> dict[str, object]:
    battery = [one for one in samples if one.battery and one.quality != "not_implemented"]
    good = [one.value_millicelsius for one in battery if one.value_millicelsius is not None]
    oldest = min((one.measured_at for one in battery), default=None)
    command = standing.command if standing else None
    return {
        "evse_id": evse,
        "vehicle_id": command.evidence.get("vehicle_id", "") if command else "",
        "state": _state(command),
        "limit_w": command.limit_w if command else None,
        "reason": command.reason if command else None,
        "since": command.raised_at.isoformat() if command else None,
        "command_id": str(command.command_id) if command else None,
        "acknowledged": standing.acknowledged if standing else None,
        "ways": {way: _said(one) for way, one in standing.said.items()} if standing else {},
        "battery_millicelsius": max(good, default=None),
        "quality": ", ".join(sorted({one.quality for one in battery})),
        "age_s": (now - oldest).total_seconds() if oldest else None,
        "sensors": [
            {
                "device": one.device_id,
                "sensor": one.sensor,
                "battery": one.battery,
                "millicelsius": one.value_millicelsius,
                "quality": one.quality,
                "detail": one.detail,
                "measured_at": one.measured_at.isoformat(),
            }
            for one in samples
        ],
    }


def _state(command: "Command | None") -> str:
    if command is None:
        return "free"
    return "released" if command.limit_w is None else "limited"


def _row(place: dict[str, object]) -> tuple[str, ...]:
    acknowledged = {None: "", True: "yes", False: "NO"}[place["acknowledged"]]  # type: ignore[index]
    state = place["state"]
    if state == "limited":
        state = f"{place['limit_w']} W: {place['reason']}"
    since, celsius, age = place["since"], place["battery_millicelsius"], place["age_s"]
    return (
        str(place["evse_id"]),
        str(state),
        _time(datetime.fromisoformat(str(since))) if since else "",
        acknowledged,
        str(place["quality"]) or "no sensor",
        f"{celsius / 1000:.1f} °C" if isinstance(celsius, int) else "",
        f"{age:.0f} s" if isinstance(age, float) else "",
    )


def _audited(command: "Command", said: "Sequence[Numbered]") -> dict[str, object]:
    return {
        "command_id": str(command.command_id),
        "evse_id": command.evse_id,
        "number": command.number,
        "limit_w": command.limit_w,
        "reason": command.reason,
        "raised_at": command.raised_at.isoformat(),
        "recorded_at": command.recorded_at.isoformat(),
        "evidence": command.evidence,
        "outcomes": [_said(one) | {"number": one.number, "way": one.way} for one in said],
    }


def _said(one: "Numbered") -> dict[str, object]:
    return {"state": one.state, "detail": one.detail, "at": one.recorded_at.isoformat()}


def _story(said: "Sequence[Numbered]") -> str:
    """States in their order, each with how often it came: ``sent, failed ×3, obeyed``."""
    words: list[tuple[str, int]] = []
    for one in said:
        if words and words[-1][0] == one.state:
            words[-1] = one.state, words[-1][1] + 1
        else:
            words.append((one.state, 1))
    kept = words if len(words) <= 6 else [*words[:2], ("…", 1), *words[-3:]]  # noqa: PLR2004
    return ", ".join(word if times == 1 else f"{word} ×{times}" for word, times in kept)


def _filtered(command: "Command") -> str:
    """The filtered temperature at the decision: the highest under any of the terms."""
    terms = command.evidence.get("terms")
    found = [
        one["filtered_millicelsius"]
        for one in (terms if isinstance(terms, list) else [])
        if isinstance(one, dict) and isinstance(one.get("filtered_millicelsius"), int)
    ]
    return f"{max(found) / 1000:.1f} °C" if found else ""


def _time(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")
