"""A world from a YAML file: what is served, and when it changes.

    edition: 2018                    # or 2023
    manner: standard                 # or early: superseded events are marked too early
    registers_itself: true
    page_max: 10
    poll_rates_s: {derp: 60, tp: 60}
    clock: {offset_s: 0.2, drift_ppm: 30}
    devices:
      - {lfdi: 3E4F45AB31EDFE5B67E343E5E4562E31984E23E5, max_w: 11000}
    programs:
      - description: Grid stress V2G
        primacy: 0
        controls:
          - start: +2m
            duration_s: 300
            modes: {opModTargetW: 7000}
            cancel: {at: +3m, randomized: false}
            edits: [{at: +4m, duration_s: 600}]
    tariffs:
      - description: RTP export
        export: [{start: +0m, duration_s: 300, price: "0.2145"}]
    faults: ["stall:/derp/1/derc:times=2"]

A time is RFC 3339 with its zone, or +90s, -5m, +2h from the start of the server, by its clock.
"""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from simulators.sep2.clock import ServerClock
from simulators.sep2.faults import Fault
from simulators.sep2.modes import ModeValue
from simulators.sep2.records import Control, Edition, Flow, Manner, Program, Settings, Tariff
from simulators.sep2.world import World

RELATIVE: Final = re.compile(r"([+-]\d{1,6})([smh])")
UNIT_S: Final = {"s": 1, "m": 60, "h": 3_600}


class UnusableScriptError(ValueError):
    """A script that cannot be followed: the file, the place, what was found and expected."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Clock(_Part):
    offset_s: float = 0.0
    drift_ppm: float = 0.0


class _Device(_Part):
    lfdi: str
    manager: str | None = None
    pin: int = 11111
    max_w: int | None = None
    max_charge_w: int | None = None
    max_discharge_w: int | None = None


class _Cancel(_Part):
    at: str
    randomized: bool = False
    reason: str | None = None


class _Edit(_Part):
    at: str
    start: str | None = None
    duration_s: int | None = None
    modes: dict[str, ModeValue] | None = None


class _Control(_Part):
    start: str
    duration_s: int
    modes: dict[str, ModeValue]
    created_at: str = "+0s"
    mrid: str | None = None
    description: str | None = None
    randomize_start_s: int | None = None
    randomize_duration_s: int | None = None
    extensions: str = ""
    cancel: _Cancel | None = None
    withdraw_at: str | None = None
    edits: list[_Edit] = []


class _Program(_Part):
    description: str
    primacy: int = 1
    mrid: str | None = None
    devices: list[str] | None = None
    controls: list[_Control] = []


class _Revision(_Part):
    at: str
    price: str


class _Price(_Part):
    start: str
    duration_s: int
    price: str | None
    created_at: str = "+0s"
    revisions: list[_Revision] = []


class _Tariff(_Part):
    description: str
    currency: str | int = "USD"
    multiplier: int = -4
    unit: Literal["Wh", "kWh", "MWh"] = "kWh"
    export: list[_Price] = []
    import_: list[_Price] = Field(default=[], alias="import")


class _Script(_Part):
    edition: Literal[2018, 2023] = 2018
    manner: Literal["standard", "early"] = "standard"
    registers_itself: bool = True
    page_max: int = 255
    poll_rates_s: dict[str, int] = {}
    clock: _Clock = _Clock()
    aggregators: list[str] = []
    devices: list[_Device] = []
    programs: list[_Program] = []
    tariffs: list[_Tariff] = []
    faults: list[str] = []


def read_script(path: Path) -> tuple[World, list[Fault]]:
    """The world and the faults that a file describes; times are taken from now.

    Raises:
        UnusableScriptError: no YAML, a key that is not known, a value that does not fit.
        OSError: the file cannot be read.
    """
    try:
        script = _Script.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")) or {})
        return _world(script), [Fault.parse(text) for text in script.faults]
    except ValidationError as error:
        places = "; ".join(
            f"{'.'.join(str(part) for part in one['loc'])}: {one['msg']}, found {one['input']!r}"
            for one in error.errors()
        )
        raise UnusableScriptError(f"{path}: {places}") from error
    except (ValueError, yaml.YAMLError) as error:
        raise UnusableScriptError(f"{path}: {error}") from error


def _world(script: _Script) -> World:
    clock = ServerClock(offset_s=script.clock.offset_s, drift_ppm=script.clock.drift_ppm)
    world = World(
        clock=clock,
        edition=Edition(script.edition),
        manner=Manner(script.manner),
        poll_rates_s=script.poll_rates_s,
        page_max=script.page_max,
        registers_itself=script.registers_itself,
    )
    now = clock.now().replace(microsecond=0)
    for lfdi in script.aggregators:
        world.add_aggregator(lfdi)
    for device in script.devices:
        settings = (
            None
            if device.max_w is None
            else Settings(device.max_w, device.max_charge_w, device.max_discharge_w)
        )
        world.add_device(device.lfdi, manager=device.manager, pin=device.pin, settings=settings)
    for one in script.programs:
        program = world.add_program(
            one.description, primacy=one.primacy, mrid=one.mrid, devices=one.devices
        )
        for control in one.controls:
            _add_control(world, program, control, now)
    for tariff in script.tariffs:
        added = world.add_tariff(
            tariff.description, currency=tariff.currency, multiplier=tariff.multiplier
        )
        for flow, prices in ((Flow.EXPORT, tariff.export), (Flow.IMPORT, tariff.import_)):
            _add_prices(world, added, flow, tariff.unit, prices, now)
    return world


def _add_control(world: World, program: Program, one: _Control, now: datetime) -> Control:
    control = world.add_control(
        program,
        start=_moment(one.start, now),
        duration_s=one.duration_s,
        modes=one.modes,
        created_at=_moment(one.created_at, now),
        mrid=one.mrid,
        description=one.description,
        randomize_start_s=one.randomize_start_s,
        randomize_duration_s=one.randomize_duration_s,
        extensions=one.extensions,
    )
    for edit in one.edits:
        changes: dict[str, object] = edit.model_dump(exclude={"at", "start"}, exclude_none=True)
        if edit.start is not None:
            changes["start"] = _moment(edit.start, now)
        world.edit(control, at=_moment(edit.at, now), **changes)
    if one.cancel is not None:
        world.cancel(
            control,
            at=_moment(one.cancel.at, now),
            randomized=one.cancel.randomized,
            reason=one.cancel.reason,
        )
    if one.withdraw_at is not None:
        world.withdraw(control, at=_moment(one.withdraw_at, now))
    return control


def _add_prices(
    world: World, tariff: Tariff, flow: Flow, unit: str, prices: list[_Price], now: datetime
) -> None:
    if not prices:
        return
    rate = world.add_rate(tariff, flow=flow, unit=unit)
    for one in prices:
        interval = world.add_price(
            rate,
            start=_moment(one.start, now),
            duration_s=one.duration_s,
            price=one.price,
            created_at=_moment(one.created_at, now),
        )
        for revision in one.revisions:
            world.revise_price(rate, interval, revision.price, at=_moment(revision.at, now))


def _moment(text: str, now: datetime) -> datetime:
    relative = RELATIVE.fullmatch(text)
    if relative:
        return now + timedelta(seconds=int(relative[1]) * UNIT_S[relative[2]])
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"time {text!r}: expected RFC 3339, or +90s, -5m, +2h") from error
    if moment.tzinfo is None:
        raise ValueError(f"time {text!r}: expected its zone, such as 2026-07-01T17:00:00Z")
    return moment.astimezone(UTC)
