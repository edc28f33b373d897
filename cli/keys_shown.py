"""How keys, their changes and an import are shown."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime

import typer

from cli.output import console, show_fields, show_json, table
from storage.enrolment_records import Enrolment
from storage.key_changes import Change, plain
from storage.keys import Registered
from tasks.keys import ImportReport


def _time(at: datetime | None) -> str:
    return "" if at is None else f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}"


def _facts(one: Registered, now: datetime) -> dict[str, object]:
    return plain({**asdict(one.key), "enrolled_at": one.enrolled_at, "state": one.state(now)})


def show_keys(found: Sequence[Registered], now: datetime, *, json: bool) -> None:
    """Keys, one line each."""
    if json:
        show_json({"keys": [_facts(one, now) for one in found]})
        return
    rows = [
        (
            one.key.key_id, one.key.evse_id, one.key.meter_id, one.state(now),
            _time(one.key.valid_from), _time(one.key.valid_to), _time(one.key.revoked_at),
        )
        for one in found
    ]  # fmt: skip
    columns = ("key", "EVSE", "meter", "state", "valid from", "valid to", "revoked at")
    console.print(table(f"{len(rows)} keys", columns, rows))


def show_key(one: Registered, now: datetime, *, json: bool) -> None:
    """Everything about one key."""
    facts = _facts(one, now)
    show_json(facts) if json else show_fields(f"Key {one.key.key_id}", facts)


def show_changes(changes: Sequence[Change], *, json: bool) -> None:
    """Changes, the latest first; what differs between before and after in words."""
    if json:
        show_json({"changes": [plain(asdict(one)) for one in changes]})
        return
    rows = [
        (_time(c.changed_at), c.changed_by, c.change, c.evse_id, c.key_id or "", _difference(c), c.reason)
        for c in changes
    ]  # fmt: skip
    columns = ("when", "who", "what", "EVSE", "key", "difference", "reason")
    console.print(table(f"{len(rows)} changes", columns, rows))


def _difference(change: Change) -> str:
    if change.before is None:
        return ""
    return ", ".join(
        f"{name}: {change.before.get(name) or 'none'} → {value or 'none'}"
        for name, value in change.after.items()
        if change.before.get(name) != value and name != "public_key"
    )


def show_import(report: ImportReport, *, json: bool) -> None:
    """What became of every row; on a terminal only those that were refused, and the sums."""
    counts = {outcome: report.count(outcome) for outcome in ("new", "already", "refused")}
    if json:
        show_json({"dry_run": report.dry_run, **counts, "rows": [asdict(r) for r in report.rows]})
        return
    refused = [row for row in report.rows if row.outcome == "refused"]
    if refused:
        rows = [(row.place, row.where, row.found, row.expected) for row in refused]
        console.print(table("Refused", ("row", "where", "found", "expected"), rows))
    would = "would be " if report.dry_run else ""
    typer.echo(
        f"{counts['new']} {would}enrolled, {counts['already']} stood already, {counts['refused']} refused"
    )


def show_enrolments(found: Sequence[Enrolment], *, json: bool) -> None:
    """Enrolments, the latest first."""
    if json:
        show_json({"enrolments": [plain(asdict(one)) for one in found]})
        return
    rows = [
        (
            one.enrolment_id, one.state, one.evse_id, one.meter_id, one.key_id or "", one.invited_by,
            _time(one.expires_at), one.decided_by or "",
        )
        for one in found
    ]  # fmt: skip
    columns = ("enrolment", "state", "EVSE", "meter", "key", "invited by", "expires", "decided by")
    console.print(table(f"{len(rows)} enrolments", columns, rows))
