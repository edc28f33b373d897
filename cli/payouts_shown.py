"""How payouts, holds and limits are shown."""

from collections.abc import Sequence
from dataclasses import asdict, fields
from datetime import UTC, datetime

from cli.output import console, show_fields, show_json, table
from settlement.limits import CurrencyLimits, Limits, plain
from storage.holds import Event
from storage.limits import Standing
from storage.payouts import Decided, Payout
from tasks import words


def _time(at: datetime | None) -> str:
    return "" if at is None else f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}"


def _facts(one: Payout, limits: Limits) -> dict[str, object]:
    return asdict(one) | {"amount": words.payout(one, limits)}


def show_payouts(found: Sequence[Payout], limits: Limits, *, json: bool) -> None:
    """Payouts, one line each, with what stands between each and its account."""
    if json:
        show_json({"payouts": [_facts(one, limits) for one in found]})
        return
    rows = [
        (
            one.posting_id, one.account, one.state, one.detail, _time(one.changed_at),
            words.payout(one, limits),
        )
        for one in found
    ]  # fmt: skip
    columns = ("posting", "account", "state", "why", "since", "amount")
    console.print(table(f"{len(rows)} payouts", columns, rows, numbers=1))


def show_payout(
    one: Payout,
    limits: Limits,
    decisions: Sequence[Decided],
    held: Sequence[Event],
    *,
    json: bool,
) -> None:
    """Everything that stands between a payout and its account."""
    if json:
        show_json(
            _facts(one, limits)
            | {
                "decisions": [asdict(decided) for decided in decisions],
                "account_history": [asdict(event) for event in held],
            }
        )
        return
    show_fields(
        f"Payout {one.posting_id}",
        {
            "amount": words.payout(one, limits),
            "account": f"{one.account}{', held' if one.account_held else ''}",
            "settlement": one.settlement_id,
            "kind": one.kind,
            "state": one.state,
            "why": one.detail,
            "attempts": one.attempts,
            "screened at": _time(one.screened_at) or "not yet",
            "limits": f"version {one.limits_version}",
        },
    )
    broken = [
        (
            finding.limit, finding.of,
            _amount(finding.found, finding.places, finding.unit),
            _amount(finding.allowed, finding.places, finding.unit),
        )
        for finding in one.broken
    ]  # fmt: skip
    if broken:
        columns = ("limit", "of", "found", "allowed")
        console.print(table("Limits that it does not keep", columns, broken, numbers=2))
    if decisions:
        rows = [(_time(d.at), d.decision, d.by, d.why) for d in decisions]
        console.print(table("Decisions", ("when", "what", "who", "why"), rows))
    if held:
        _show_events(f"Account {one.account}", held)


def _amount(value: int, places: int, unit: str) -> str:
    return words.money(value, places, unit)


def show_holds(found: Sequence[Event], *, json: bool) -> None:
    """Accounts that are held."""
    if json:
        show_json({"holds": [asdict(one) for one in found]})
        return
    _show_events(f"{len(found)} accounts are held", found)


def _show_events(title: str, events: Sequence[Event]) -> None:
    rows = [
        (one.account, one.event, _time(one.at), one.by, one.why, one.posting_id or "")
        for one in events
    ]
    columns = ("account", "event", "when", "who", "why", "posting")
    console.print(table(title, columns, rows))


def show_limits(one: Standing, *, json: bool) -> None:
    """One version of the limits."""
    if json:
        show_json(
            {
                "version": one.version,
                "set_by": one.set_by,
                "set_at": one.set_at,
                "why": one.why,
                "document": plain(one.limits),
            }
        )
        return
    by = f", set by {one.set_by} at {_time(one.set_at)}" if one.version else ""
    names = [field.name for field in fields(CurrencyLimits) if field.name != "minor_units"]
    rows = [
        (code, *(words.money(getattr(money, name), money.minor_units, "") for name in names))
        for code, money in sorted(one.limits.currencies.items())
    ]
    columns = ("currency", *(name.removesuffix("_minor").replace("_", " ") for name in names))
    title = f"Limits, version {one.version}{by}: {one.why}"
    console.print(table(title, columns, rows, numbers=len(names)))
    rest = {name: value for name, value in asdict(one.limits).items() if name != "currencies"}
    show_fields(
        "In every currency", {name.replace("_", " "): value for name, value in rest.items()}
    )


def show_versions(found: Sequence[Standing], *, json: bool) -> None:
    """Who set which version."""
    if json:
        show_json(
            {
                "versions": [
                    {"version": v.version, "set_by": v.set_by, "set_at": v.set_at, "why": v.why}
                    for v in found
                ]
            }
        )
        return
    rows = [(str(v.version), v.set_by, _time(v.set_at), v.why) for v in found]
    console.print(table(f"{len(rows)} versions", ("version", "who", "when", "why"), rows))
