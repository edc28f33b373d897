"""`v2g quarantine …`: packets that are no readings: why, with what evidence, and judged again."""

import getpass
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.options import Database, Json
from cli.output import console, errors, fail, show_fields, show_json, table
from settlement.reasons import PacketReason

if TYPE_CHECKING:
    from storage.quarantine import Evidence, Quarantined, Selection
    from tasks.quarantine import RetrySummary

app = typer.Typer(
    help="Quarantined packets: list them, look at the evidence, judge them again.",
    no_args_is_help=True,
)

Reason = Annotated[
    list[PacketReason] | None,
    typer.Option(help="Only for this reason; may be given several times.", show_choices=False),
]
Evse = Annotated[str, typer.Option(help="Only packets that claim this EVSE.")]
Since = Annotated[str, typer.Option(help="Only packets received since then: 2026-07-01T00:00:00Z.")]

_SHOWN_DIGITS = 16
"""Of a digest in a table: enough for `show` and `retry` to find the packet by."""


@app.command("list")
def list_(
    database: Database,
    reason: Reason = None,
    evse: Evse = "",
    since: Since = "",
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="At most so many.")] = 50,
    json: Json = False,
) -> None:
    """List what is quarantined, newest first, and count it by reason.

    What a retry has released is not listed any more. Exit 0, also when there is nothing; 1 when the
    database refuses; 2 on a time that cannot be read.

    Example: v2g quarantine list --reason UNKNOWN_KEY --since 2026-07-01T00:00:00Z
    """
    from tasks import quarantine

    with _refusals():
        found = quarantine.listed(database, _selection(reason, evse, since), limit=limit)
    if json:
        packets = [_plain(one) for one in found.packets]
        show_json({"by_reason": found.by_reason, "packets": packets})
        return
    rows = [(name, f"{count}") for name, count in found.by_reason.items()]
    console.print(table("In quarantine", ("reason", "packets"), rows, numbers=1))
    columns = ("packet", "reason", "EVSE", "vehicle", "claims from", "received", "retries", "mWh")
    listed = [
        (
            one.packet_digest.hex()[:_SHOWN_DIGITS],
            one.reason,
            one.evse_id or "not readable",
            one.vehicle_id or "not stated",
            _time(one.started_at),
            _time(one.received_at),
            f"{one.retries}",
            "" if one.claimed_export_milliwh is None else f"{one.claimed_export_milliwh}",
        )
        for one in found.packets
    ]
    if listed:
        console.print(table("The newest", columns, listed, numbers=2))


@app.command()
def show(
    packet: Annotated[
        str, typer.Argument(help="Its SHA-256, or the first 8 digits or more, as listed.")
    ],
    database: Database,
    json: Json = False,
) -> None:
    """Show a quarantined packet: the reason, what it claims, the bytes, how it came, what was tried.

    Exit 0; 1 when there is no such packet or the database refuses.

    Example: v2g quarantine show 3f9a1c02
    """
    from tasks import quarantine

    with _refusals():
        found = quarantine.show(database, packet)
    if json:
        show_json(_evidence(found))
        return
    one = found.quarantined
    show_fields(
        "A quarantined packet",
        {
            "packet": one.packet_digest.hex(),
            "reason": one.reason,
            "detail": one.detail,
            "first reason": one.first_reason,
            "claims EVSE": one.evse_id or "not readable",
            "claims vehicle": one.vehicle_id or "not stated",
            "claims from": _time(one.started_at),
            "claims to": _time(one.ended_at),
            "claims mWh": "not readable"
            if one.claimed_export_milliwh is None
            else one.claimed_export_milliwh,
            "names key": one.key_id or "none",
            "received": _time(one.received_at),
            "came by": f"{found.source or 'raw data removed'}, topic {found.topic or 'none'}",
            "set aside as": found.why_aside or "not set aside",
            "batch": f"{one.batch_id}, landed {_time(found.landed_at)}, judged {_time(found.judged_at)}",
        },
    )
    tried = [
        (f"{r.retry}", _time(r.retried_at), r.retried_by, r.outcome, r.detail)
        for r in found.retries
    ]
    if tried:
        console.print(table("Retries", ("", "at", "by", "outcome", "detail"), tried))
    console.print("The packet, as received:", markup=False)
    name, text = _bytes(found.packet)
    console.print(f"{name}: {text}", markup=False, soft_wrap=True)


@app.command()
def retry(
    database: Database,
    packet: Annotated[
        str, typer.Argument(help="One packet, by its digest; without it, all that are chosen.")
    ] = "",
    reason: Reason = None,
    evse: Evse = "",
    since: Since = "",
    by: Annotated[str, typer.Option(help="Who asks for it; recorded. You, if not given.")] = "",
    json: Json = False,
) -> None:
    """Judge quarantined packets again, after what was wrong has been put right: a key enrolled, say.

    What stands now becomes readings, known from now on; `v2g true-up` then books the difference on its
    original period. What does not stand stays, with the retry recorded. Safe to stop and to repeat.

    Exit 0 when done, whatever it came to; 1 when a judge is at work, there is no such packet, or the
    database refuses; 2 on a time or a setting that cannot be read.

    Example: v2g quarantine retry --reason UNKNOWN_KEY --evse "DE*V2G*E00001"
    """
    from tasks import quarantine
    from tasks.settings import Settings
    from tasks.vehicle_state import keeper

    selection = _selection(reason, evse, since)
    with _refusals():
        settings = Settings(database_url=database)
        if packet:
            selection = _only(selection, quarantine.find(database, packet))
        with _progress() as progress:
            done = quarantine.retry(
                database,
                selection,
                clock=_now,
                by=by or getpass.getuser(),
                threads=settings.judge_threads,
                progress=progress,
                after_commit=keeper(database, clock=_now),
            )
    if done.busy:
        raise fail(
            "another process is judging what has landed; run again when it has ended", status=1
        )
    show_json(asdict(done)) if json else _show_retried(done)


def _show_retried(done: "RetrySummary") -> None:
    rows = [(f"still {name}", f"{count}") for name, count in done.refused.items()]
    if done.missing:
        rows.append(("raw data removed: cannot be judged again", f"{done.missing}"))
    rows = [("released", f"{done.released}"), *rows]
    console.print(table(f"{done.packets} judged again", ("", "packets"), rows, numbers=1))
    if done.readings:
        typer.echo(
            f"{done.readings} new readings, {done.export_milliwh} mWh exported, from"
            f" {_time(done.started_at)} to {_time(done.ended_at)}: `v2g true-up` books them on their"
            " original period when its next run is due; `v2g settle --from … --to …` does so now"
        )
    elif done.released:
        typer.echo(
            "no new readings yet: the records of a meter wait for the ones before or after them"
        )


def _selection(reason: list[PacketReason] | None, evse: str, since: str) -> "Selection":
    from storage.quarantine import Selection

    try:
        moment = datetime.fromisoformat(since) if since else None
        if moment is not None and moment.tzinfo is None:
            raise ValueError("no zone")
    except ValueError as error:
        raise fail(
            f"--since {since!r}: {error}; expected a time with its zone, such as 2026-07-01T17:00:00Z",
            status=2,
        ) from error
    return Selection(
        reasons=frozenset(reason or ()),
        evse_id=evse,
        since=None if moment is None else moment.astimezone(UTC),
    )


def _only(selection: "Selection", digest: bytes) -> "Selection":
    from dataclasses import replace

    return replace(selection, digest=digest)


def _plain(one: "Quarantined") -> dict[str, Any]:
    return asdict(one) | {
        "packet_digest": one.packet_digest.hex(),
        **{
            name: None if (at := getattr(one, name)) is None else _time(at)
            for name in ("started_at", "ended_at", "received_at")
        },
    }


def _evidence(found: "Evidence") -> dict[str, Any]:
    name, text = _bytes(found.packet)
    return {
        **_plain(found.quarantined),
        "source": found.source,
        "topic": found.topic,
        "why_aside": found.why_aside,
        "landed_at": _time(found.landed_at),
        "judged_at": _time(found.judged_at),
        "retry_log": [asdict(r) | {"retried_at": _time(r.retried_at)} for r in found.retries],
        f"packet_{name}": text,
    }


def _bytes(packet: bytes | None) -> tuple[str, str]:
    """As text where it is printable ASCII, as every packet of a known format is; else as base64."""
    if packet is None:
        return "text", "removed with the raw data of its time"
    try:
        text = packet.decode("ascii")
    except UnicodeDecodeError:
        text = "\0"
    return ("text", text) if text.isprintable() else ("base64", b64encode(packet).decode())


@contextmanager
def _refusals() -> Iterator[None]:
    """Exit 1 on what the database refuses or does not hold, 2 on a value that cannot be used."""
    from storage.engine import StorageError

    try:
        yield
    except ValueError as error:
        raise fail(f"{error}", status=2) from error
    except StorageError as error:
        raise fail(f"{error}", status=1) from error


@contextmanager
def _progress() -> Iterator[Callable[[int], None]]:
    """On a terminal, how many packets were judged again; nothing elsewhere."""
    if not errors.is_terminal:
        yield lambda _: None
        return
    with errors.status("judging again") as status:
        yield lambda count: status.update(f"judging again: {count} packets")


def _time(at: datetime | None) -> str:
    return "not readable" if at is None else at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _now() -> datetime:
    return datetime.now(UTC)
