"""The runs of a pack as text, and back: what each settled and what it knew."""

from datetime import timedelta
from typing import Final

import polars as pl

from settlement.periods import EmptyPeriodError, Period
from settlement.timeline import Price
from statements.pack import KNOWN_FRAMES, PRICE_SCHEMA, Known, Run
from statements.texts import Fields, PackError, frame_of, frame_text, time_text

_US: Final = timedelta(microseconds=1)


def period_text(period: Period | None) -> dict[str, object] | None:
    if period is None:
        return None
    return {"started_at": time_text(period.started_at), "ended_at": time_text(period.ended_at)}


def period_or_none(value: object, where: str) -> Period | None:
    return None if value is None else _period(value, where)


def _period(value: object, where: str) -> Period:
    fields = Fields(value, where, ("started_at", "ended_at"))
    try:
        return Period(fields.time("started_at"), fields.time("ended_at"))
    except EmptyPeriodError as error:
        raise PackError(where, "an empty period", "its end after its start") from error


_RUN: Final = (
    "run_id", "period", "known_at", "programs", "stretch_us", "accounts", "known",
)  # fmt: skip


def run_text(one: Run) -> dict[str, object]:
    """A run as text."""
    return {
        "run_id": one.run_id,
        "period": period_text(one.period),
        "known_at": time_text(one.known_at),
        "programs": None if one.programs is None else sorted(one.programs),
        "stretch_us": None if one.stretch is None else str(one.stretch // _US),
        "accounts": [list(key) for key in one.accounts],
        "known": _known_text(one.known),
    }


def run(value: object, where: str) -> Run:
    fields = Fields(value, where, _RUN)
    accounts = []
    for item, place in fields.items("accounts"):
        match item:
            case [str(program), str(event), str(vehicle)]:
                accounts.append((program, event, vehicle))
            case _:
                raise PackError(place, "another list", "[program, event_id, vehicle_id]")
    stretch = None if fields.raw("stretch_us") is None else fields.integer("stretch_us")
    if stretch is not None and not 0 < stretch <= timedelta(days=36_500) // _US:
        raise PackError(f"{where}.stretch_us", f"{stretch}", "a positive number of µs")
    return Run(
        run_id=fields.text("run_id"),
        period=_period(fields.raw("period"), f"{where}.period"),
        known_at=fields.time("known_at"),
        programs=None if fields.raw("programs") is None else frozenset(fields.texts("programs")),
        stretch=None if stretch is None else timedelta(microseconds=stretch),
        accounts=tuple(accounts),
        known=_known(fields.raw("known"), f"{where}.known"),
    )


def _known_text(known: Known) -> dict[str, object]:
    prices = pl.DataFrame(
        [[getattr(one, name) for name in PRICE_SCHEMA] for one in known.prices],
        schema=PRICE_SCHEMA,
        orient="row",
    )
    frames = {name: getattr(known, name) for name in KNOWN_FRAMES}
    return {
        "programs": [[name, str(version)] for name, version in known.programs],
        "events": [[name, str(version)] for name, version in known.events],
        "prices": frame_text(prices),
        "temperatures": period_text(known.temperatures),
        **{name: None if one is None else frame_text(one) for name, one in frames.items()},
    }


def _known(value: object, where: str) -> Known:
    fields = Fields(value, where, ("programs", "events", "prices", "temperatures", *KNOWN_FRAMES))
    prices = frame_of(fields.raw("prices"), PRICE_SCHEMA, f"{where}.prices")
    frames = {
        name: None
        if name == "sites" and fields.raw(name) is None
        else frame_of(fields.raw(name), schema, f"{where}.{name}")
        for name, schema in KNOWN_FRAMES.items()
    }
    return Known(
        programs=_references(fields, "programs"),
        events=_references(fields, "events"),
        prices=tuple(Price(**row) for row in prices.iter_rows(named=True)),
        temperatures=period_or_none(fields.raw("temperatures"), f"{where}.temperatures"),
        **frames,  # type: ignore[arg-type]
    )


def _references(fields: Fields, name: str) -> tuple[tuple[str, int], ...]:
    found = []
    for item, place in fields.items(name):
        match item:
            case [str(of), str(version)] if version.isascii() and version.isdigit():
                found.append((of, int(version)))
            case _:
                raise PackError(place, "another list", "[name, version]")
    return tuple(found)
