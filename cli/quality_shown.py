"""How held periods and verdicts are shown."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime

from cli.output import console, show_fields, show_json, table
from storage.held import Held
from storage.quality_releases import Release
from storage.quality_verdicts import Verdict
from tasks import words


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%SZ}"


def _plain(one: Held) -> dict[str, object]:
    return asdict(one) | {"differing": sorted(one.differing)}


def _withheld(one: Held) -> str:
    return (
        f"{words.kwh(one.energy_milliwh)}, {words.micros(one.would_have_been_micros, one.currency)}"
    )


def show_held(found: Sequence[Held], *, json: bool) -> None:
    """Held periods, one line each, with what each withholds."""
    if json:
        show_json({"held": [_plain(one) for one in found]})
        return
    rows = [
        (f"{one.period}", _time(one.since), f"{one.tries}", _withheld(one), one.reason)
        for one in found
    ]
    columns = ("period", "held since", "tries", "withheld", "why")
    console.print(table(f"{len(rows)} periods are held", columns, rows, numbers=1))


def show_verdicts(found: Sequence[Verdict], *, json: bool) -> None:
    """Verdicts, one line each."""
    if json:
        show_json({"verdicts": [asdict(one) for one in found]})
        return
    rows = [
        (
            one.quality_id, f"{one.period}", _time(one.checked_at), one.worst,
            "; ".join(str(check["check"]) for check in one.failed),
        )
        for one in found
    ]  # fmt: skip
    columns = ("verdict", "period", "checked", "worst", "failed")
    console.print(table(f"{len(rows)} verdicts", columns, rows))


def show_verdict(one: Verdict, *, json: bool) -> None:
    """Each check of a verdict; those that failed first."""
    if json:
        show_json(asdict(one))
        return
    show_fields(
        f"Verdict {one.quality_id}",
        {
            "period": f"{one.period}",
            "checked": _time(one.checked_at),
            "suite": f"{one.suite} {one.suite_version}",
            "worst": one.worst,
        },
    )
    console.print(_checks(one))


def _checks(one: Verdict) -> object:
    ordered = sorted(one.checks, key=lambda check: bool(check["passed"]))
    rows = [
        (
            str(check["check"]),
            "passed" if check["passed"] else str(check["severity"]),
            str(check["observed"]),
            str(check["limit"]),
        )
        for check in ordered
    ]
    return table(
        f"{len(one.failed)} of {len(rows)} checks failed",
        ("check", "is", "found", "expected"),
        rows,
    )


def show_period(
    verdict: Verdict,
    waiting: Sequence[Held],
    news: str,
    releases: Sequence[Release],
    *,
    json: bool,
) -> None:
    """A period: whether it is held, what the gate found last, what came since, who released it."""
    if json:
        show_json(
            {
                "verdict": asdict(verdict),
                "held": [_plain(one) for one in waiting],
                "news": news,
                "releases": [asdict(one) for one in releases],
            }
        )
        return
    fields = {"verdict": verdict.quality_id, "checked": _time(verdict.checked_at)}
    for one in waiting:
        fields |= {
            "held since": _time(one.since),
            "tries": f"{one.tries}",
            "withheld": _withheld(one),
            "why": one.reason,
        }
    fields |= {
        "came since": news or "nothing",
        "released": "; ".join(f"{one.by}: {one.why} ({_time(one.released_at)})" for one in releases)
        or "by nobody",
    }
    show_fields(f"Period {verdict.period}, {'held' if waiting else 'not held'}", fields)
    console.print(_checks(verdict))
