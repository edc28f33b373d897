"""`v2g keys …`: who may sign. Looking, importing, rotating and revoking.

Enrolment is in cli.enrolments, the key that signs what is posted in cli.settlement_key.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from cli import enrolments as of_devices
from cli import settlement_key, tokens
from cli.keys_options import By, DatabaseOfKey, Reason, now, refusals, required
from cli.options import Database, Json
from cli.output import fail, show_json
from cli.spans import moment_option, span

app = typer.Typer(
    help="Keys: who may sign packets and meter records, every change with its author; and the"
    " settlement key, which signs what is posted.",
    no_args_is_help=True,
)
invite = app.command()(of_devices.invite)
enrolments = app.command()(of_devices.enrolments)
approve = app.command()(of_devices.approve)
reject = app.command()(of_devices.reject)
init = app.command()(settlement_key.init)
token = app.command()(tokens.token)

Key = Annotated[
    str, typer.Argument(help="The key's id (its thumbprint), as `v2g keys list` shows it.")
]
SUFFIXES = (".csv", ".pem", ".crt", ".cer", ".der")
FILES_MAX = 10_000


@app.command(name="list")
def list_(
    database: Database,
    evse: Annotated[str, typer.Option(help="Only keys of this EVSE.")] = "",
    meter: Annotated[str, typer.Option(help="Only keys of this meter.")] = "",
    json: Json = False,
) -> None:
    """Show the enrolled keys: whose they are, and whether they stand now.

    Example: v2g keys list --evse 'DE*ABC*E1001'
    """
    from cli.keys_shown import show_keys
    from storage import keys
    from storage.key_changes import registry

    found: list[keys.Registered] = []
    with refusals(), registry(database) as conn:
        after = ""
        while page := keys.listed(conn, evse_id=evse, meter_id=meter, after=after):
            found += page
            after = page[-1].key.key_id
    show_keys(found, now(), json=json)


@app.command()
def show(
    key: settlement_key.KeyOrOurs = "",
    database: DatabaseOfKey = "",
    json: Json = False,
) -> None:
    """Show everything about one key; without KEY, about the settlement key and the clearinghouse's.

    Exit 1 when the key is not enrolled; for the settlement key when it is over or badly kept
    (ERR_AUTH_EXPIRED, with what to do), 2 when there is none.
    """
    from cli.keys_shown import show_key
    from storage import keys
    from storage.key_changes import registry

    if not key:
        settlement_key.show_settlement_key(json=json)
        return
    required("--database", database)
    with refusals(), registry(database) as conn:
        found = keys.find(conn, key)
    show_key(found, now(), json=json)


@app.command()
def history(
    database: Database,
    key: Annotated[str, typer.Argument(help="One key's; without it, all, the latest first.")] = "",
    evse: Annotated[str, typer.Option(help="Only changes of this EVSE.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many.")] = 100,
    json: Json = False,
) -> None:
    """Show who changed what and when, with what the record said before and after.

    Example: v2g keys history --evse 'DE*ABC*E1001' --json
    """
    from cli.keys_shown import show_changes
    from storage import key_changes

    with refusals(), key_changes.registry(database) as conn:
        changes = key_changes.history(conn, key_id=key, evse_id=evse, limit=limit)
    show_changes(changes, json=json)


@app.command(name="import")
def import_(
    source: Annotated[
        Path, typer.Argument(help="CSV, PEM, DER or certificate, or a folder of them.")
    ],
    by: By,
    database: Database,
    evse: Annotated[
        str, typer.Option(help="Whose a key is that does not say so (PEM and DER).")
    ] = "",
    meter: Annotated[str, typer.Option(help="The meter whose records it signs.")] = "",
    client: Annotated[str, typer.Option(help="The MQTT identity that brings its packets.")] = "",
    valid_from: Annotated[str, typer.Option(help="From when it stands; default: now.")] = "",
    valid_to: Annotated[str, typer.Option(help="Until when it stands; default: open.")] = "",
    allow_curve: Annotated[
        list[str] | None, typer.Option(help="Allow a curve beside secp256r1, for these keys.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would happen, change nothing.")
    ] = False,
    json: Json = False,
) -> None:
    """Enrol keys that somebody brings, such as those of meters. A bad row never stops the good ones.

    CSV: a header with evse_id and public_key, and where wanted meter_id, client_id, valid_from,
    valid_to, curve. Certificates give EVSE (common name) and validity. In a folder a PEM or DER file
    is named for its EVSE. Exit 0 when all are enrolled, 1 when a row was refused, 2 on a file that
    cannot be read.

    Example: v2g keys import meters.csv --by anna --dry-run
    """
    from cli.keys_shown import show_import
    from tasks import key_files
    from tasks.keys import import_rows

    said = key_files.Said(
        now(),
        evse_id=evse,
        meter_id=meter,
        client_id=client,
        valid_from=moment_option("--valid-from", valid_from),
        valid_to=moment_option("--valid-to", valid_to),
        curves=frozenset(allow_curve or ()),
    )
    rows: list[key_files.Row | key_files.BadRow] = []
    for path in _files(source):
        named = said
        if source.is_dir() and not evse and path.suffix.lower() in {".pem", ".der"}:
            named = key_files.named_for(said, path.stem)
        rows += key_files.read(path.name, _content(path), named)
    with refusals():
        report = import_rows(database, rows, by=by, source=source.name, clock=now, dry_run=dry_run)
    show_import(report, json=json)
    if report.count("refused"):
        raise typer.Exit(1)


def _files(source: Path) -> list[Path]:
    if not source.is_dir():
        return [source]
    found = sorted(one for one in source.iterdir() if one.suffix.lower() in SUFFIXES)
    if not found or len(found) > FILES_MAX:
        raise fail(
            f"{source}: {len(found)} files; expected 1 to {FILES_MAX} named {', '.join(SUFFIXES)}",
            status=2,
        )
    return found


def _content(path: Path) -> bytes:
    from tasks.key_files import FILE_MAX_BYTES

    try:
        with path.open("rb") as stream:
            return stream.read(FILE_MAX_BYTES + 1)
    except OSError as error:
        raise fail(
            f"{path}: {error.strerror}; expected a file that can be read", status=2
        ) from error


@app.command()
def rotate(
    old: settlement_key.OldOrOurs = "",
    new: Annotated[
        Path | None, typer.Argument(help="File with the new public key, in any form.")
    ] = None,
    by: Annotated[str, typer.Option(help="Who does this; it stands in the history.")] = "",
    database: DatabaseOfKey = "",
    overlap: Annotated[
        str, typer.Option(help="How long both stand: 90m, 12h, 7d; at most 90d.")
    ] = "7d",
    valid_to: Annotated[str, typer.Option(help="Until when the new one stands.")] = "",
    allow_curve: Annotated[str, typer.Option(help="Allow a curve beside secp256r1.")] = "",
    switch: settlement_key.Switch = False,
    days: settlement_key.Days = 397,
    rsa: settlement_key.Rsa = False,
    json: Json = False,
) -> None:
    """Give an EVSE a new key in place of an old one; without OLD, rotate the settlement key.

    The new key counts from now, for the same EVSE, meter and client; both stand while they overlap.
    Where the device can prove the new key itself, prefer `v2g keys invite --replaces`. Repeating it
    changes nothing.

    Without OLD a new settlement key is made beside the old one, with a statement by which the partner
    can tell that it is ours; --switch puts it in the old one's place. --days and --rsa are for it.

    Example: v2g keys rotate CbR4…uX0 new.pem --overlap 7d --by anna
    """
    from settlement.packets.keys import UnreadableKeyError
    from storage import keys
    from storage.key_changes import registry
    from tasks import key_files

    if not old:
        settlement_key.rotate_settlement_key(switch=switch, days=days, rsa=rsa, json=json)
        return
    if new is None:
        raise fail("NEW: nothing; expected the file with the new public key", status=2)
    required("--by", by)
    required("--database", database)
    until = moment_option("--valid-to", valid_to)
    try:
        record = key_files.replacement(_content(new), allow_curve, valid_to=until, now=now())
    except UnreadableKeyError as error:
        raise fail(f"{new}: {error}", status=2) from error
    with refusals(), registry(database) as conn:
        done = keys.rotate(conn, old, record, overlap=span("--overlap", overlap), by=by, clock=now)
        found = keys.find(conn, record.key_id)
    _changed(found, done=done, said=f"replaces {old}", json=json)


@app.command()
def shorten(
    key: Key,
    by: By,
    reason: Reason,
    database: Database,
    to: Annotated[
        str, typer.Option(help="From when packets signed with it are refused; not in the past.")
    ],
    json: Json = False,
) -> None:
    """Let a key end at a time. A key's time is never made longer.

    Example: v2g keys shorten CbR4…uX0 --to 2026-12-31T00:00:00Z --by anna --reason 'contract ends'
    """
    from storage import keys
    from storage.key_changes import registry

    end = moment_option("--to", to)
    if end is None:
        raise fail("--to: nothing; expected a time with its zone", status=2)
    with refusals(), registry(database) as conn:
        done = keys.shorten(conn, key, to=end, by=by, reason=reason, clock=now)
        found = keys.find(conn, key)
    _changed(found, done=done, said=f"ends at {end.isoformat()}", json=json)


@app.command()
def revoke(
    key: Key,
    by: By,
    reason: Reason,
    database: Database,
    at: Annotated[str, typer.Option(help="From when; default: now. Not in the past.")] = "",
    json: Json = False,
) -> None:
    """Refuse, for ever, what is received under a key from now on, whatever time it claims.

    What was received before stands, and may have been paid. This is never taken back: enrol a new key.

    Example: v2g keys revoke CbR4…uX0 --by anna --reason 'controller stolen'
    """
    from storage import keys
    from storage.key_changes import registry

    when = moment_option("--at", at)
    with refusals(), registry(database) as conn:
        done = keys.revoke(conn, key, by=by, reason=reason, clock=now, revoked_at=when)
        found = keys.find(conn, key)
    since = found.key.revoked_at.isoformat() if found.key.revoked_at else ""
    _changed(found, done=done, said=f"revoked from {since}", json=json)


def _changed(found: object, *, done: bool, said: str, json: bool) -> None:
    from storage.key_changes import plain
    from storage.keys import Registered

    assert isinstance(found, Registered)
    if json:
        show_json({"changed": done, **plain(asdict(found.key)), "state": found.state(now())})
    else:
        typer.echo(f"key {found.key.key_id}: {said}" + ("" if done else " (it was so already)"))
