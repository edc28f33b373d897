"""What `v2g grid read` prints: plain values, times with their zone, numbers as decimal text."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import sha256
from typing import Any

from grid.records import Refusal
from grid.sep2.errors import Sep2Error
from grid.sep2.price import TariffPrice
from grid.sep2.setpoints import Setpoint, Settings, watts
from grid.sep2.stored import Known, Placed, Stored
from grid.sep2.stored_prices import priced
from grid.sep2.tariffs import FORWARD, REVERSE
from settlement import units
from settlement.windows import CANCELLED_RANDOMLY, Effective, Window, effective


def shown_of(found: Stored, *, resumes: bool) -> dict[str, Any]:
    """All that was read, and what follows from it.

    Args:
        found: the documents; what does not make a price is added to its ``refused``.
        resumes: whether an event goes on after another one of its program that took over all its
            controls.
    """
    controls, contradictions = found.controls()
    settings = found.settings()
    programs = {one.control.mrid: _mrid(one) for one in controls}
    windows = effective([_window(one, resumes=resumes) for one in controls])
    prices = priced(found)
    found.refused += [*contradictions, *prices.refused]
    return {
        "documents": _documents(found),
        "programs": [_program(known) for known in found.programs()],
        "controls": [
            _control(one, settings[0] if len(settings) == 1 else None) for one in controls
        ],
        "windows": [{"program": programs[one.event_id], **_effective(one)} for one in windows],
        "prices": [_price(price, where) for price, where in prices.prices],
        "settings": [_plain(asdict(one)) for one in settings],
        "missing": [
            asdict(one) for one in (*found.missing(), *_without_program(controls), *prices.missing)
        ],
        "refused": [asdict(one) for one in found.refused],
    }


def _documents(found: Stored) -> list[dict[str, Any]]:
    each = {known.where: known for kind in found.items.values() for known in kind}
    return [
        {"file": where, "kind": known.kind, "addresses": sorted(known.at)}
        for where, known in sorted(each.items())
    ]


def _window(one: Placed, *, resumes: bool) -> Window:
    control = one.control
    return Window(
        event_id=control.mrid,
        program=_mrid(one),
        started_at=control.started_at,
        ended_at=control.ended_at,
        created_at=control.created_at,
        primacy=0 if one.program is None else one.program.item.primacy,
        cancelled_at=control.cancelled_at,
        modes=control.modes,
        randomize_start_s=control.randomize_start_s,
        randomize_duration_s=control.randomize_duration_s,
        resumes=resumes,
        cancelled_randomly=control.status_word == CANCELLED_RANDOMLY,
    )


def _without_program(controls: Sequence[Placed]) -> list[Refusal]:
    return [
        Refusal(
            f"{one.known.where}, line {one.control.line}",
            f"control {one.control.mrid} of no program among the files",
            "the DERProgram that links to its list; its primacy is taken as 0",
        )
        for one in controls
        if one.program is None
    ]


def _program(known: Known) -> dict[str, Any]:
    said = known.item
    return {
        "mrid": said.mrid,
        "description": said.description,
        "primacy": said.primacy,
        "href": said.href,
        "controls_href": said.controls_href,
        "controls_all": said.controls_all,
        "file": known.where,
    }


def _control(one: Placed, settings: Settings | None) -> dict[str, Any]:
    said = one.control
    return {
        "mrid": said.mrid,
        "program": _mrid(one),
        "version": said.version,
        "description": said.description,
        "created_at": _time(said.created_at),
        "started_at": _time(said.started_at),
        "ended_at": _time(said.ended_at),
        "status": said.status_word,
        "status_at": _time(said.status_at),
        "cancelled_at": _time(said.cancelled_at),
        "randomize_start_s": said.randomize_start_s,
        "randomize_duration_s": said.randomize_duration_s,
        "modes": list(said.modes),
        "disabled": list(said.disabled),
        "setpoints": [_setpoint(point, settings) for point in said.setpoints],
        "reply_to": said.reply_to,
        "response_required": said.response_required,
        "sha256": sha256(said.raw).hexdigest(),
        "file": one.known.where,
        "line": said.line,
    }


def _setpoint(one: Setpoint, settings: Settings | None) -> dict[str, str]:
    shown = {"mode": one.mode, "value": _number(one.value), "unit": one.unit}
    try:
        shown["watts"] = _number(watts(one, settings))
    except Sep2Error:
        return shown  # of no power, or of a device that is not known
    return shown


def _effective(window: Effective) -> dict[str, Any]:
    return {
        "event_id": window.event_id,
        "started_at": _time(window.started_at),
        "ended_at": _time(window.ended_at),
        "began": str(window.began),
        "ended": str(window.ended),
    }


def _price(price: TariffPrice, where: str) -> dict[str, Any]:
    per_kwh = Decimal(price.micros_per_kwh) / units.MICROS_PER_UNIT
    return {
        "direction": {FORWARD: "import", REVERSE: "export"}.get(price.flow, str(price.flow)),
        "price_per_kwh": _number(per_kwh),
        "currency": price.currency,
        "started_at": _time(price.started_at),
        "ended_at": _time(price.ended_at),
        "created_at": _time(price.created_at),
        "cancelled_at": _time(price.cancelled_at),
        "tariff": price.tariff,
        "component": price.component,
        "interval": price.interval,
        "file": where,
    }


def _mrid(one: Placed) -> str:
    return "" if one.program is None else str(one.program.item.mrid)


def _plain(fields: dict[str, Any]) -> dict[str, Any]:
    return {
        name: _number(value)
        if isinstance(value, Decimal)
        else _time(value)
        if isinstance(value, datetime)
        else value
        for name, value in fields.items()
    }


def _number(value: Decimal) -> str:
    """Decimals as text, without an exponent and without zeros at the end."""
    return f"{value.normalize():f}"


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
