"""What each charger does on the evening: when the car is there, how hard it works, its habits."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from random import Random
from typing import Final

from simulators.grid import CALLED_OFF, CLOSES, OPENS, PROGRAM, THERMAL_PROGRAM, at

EVSES_MIN: Final = 10
EVSES_MAX: Final = 5_000
OFF_BEAT_S: Final = 7
"""Chargers that do not tick with the clock begin their intervals this many seconds late."""

OUTAGE_MAX: Final = timedelta(minutes=20)
STRAGGLER_OUT: Final = (time(17, 12), time(17, 34))
"""When the packets of a straggler are kept back: in the midst of the first event."""

LEAVES: Final = time(19, 32)
"""When those leave who stay for both events and no longer."""

LIAR_MAX_W: Final = 4_000
"""At this power a lying meter counts no more than a charger of its rating could have delivered, so the
reading after its lies follows well from those before: only its powers give it away."""

THERMAL_MIN: Final = 4
"""Vehicles of the thermal program, however small the fleet, so that each kind of battery occurs."""

RATES: Final = ("0.85", "0.90", "0.80", "1.00")

Stay = tuple[datetime, datetime]


class Battery(StrEnum):
    """What is known of a battery's temperature, and how warm it gets."""

    COOL = "cool"
    WARM = "warm"
    """Warm enough in the events to be derated."""
    HOT = "hot"
    """Reaches the limit in the first event, and cools down before the second."""
    UNMEASURED = "unmeasured"
    """No sensor."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One EVSE, its vehicle and their evening.

    Attributes:
        base_w: discharge power around which the real one varies, W.
        stays: half-open times in which the car is plugged in.
        charges: it charges before the first event.
        eager: it begins this long before each event and ends this long after.
        between: it discharges a little between the events too.
        pauses: it idles in the middle of each event.
        off_beat: its intervals straddle the edges of the windows.
        reboots: its stream begins a new epoch in the middle.
        lies: its meter counts several times too much for a while.
        contracted: its vehicle has a contract.
        outage: packets whose interval ends in here are buffered and come at the end; None has none.
        straggles: what is buffered comes days later, when the evening has been settled.
        program: of its contract.
        battery: None where the program does not ask for temperatures.
        interrupts: it charges for ten minutes in the midst of the first event.
        site_host: account that shares in what the vehicle earns; empty where the owner gets all.
        aggregator: likewise.
    """

    evse_id: str
    vehicle_id: str
    site_id: str
    latitude_microdeg: int
    longitude_microdeg: int
    account: str
    incentive_rate: str
    base_w: int
    stays: tuple[Stay, ...]
    charges: bool = False
    eager: timedelta = timedelta(0)
    between: bool = False
    pauses: bool = False
    off_beat: bool = False
    reboots: bool = False
    lies: bool = False
    contracted: bool = True
    outage: Stay | None = None
    straggles: bool = False
    program: str = PROGRAM
    battery: Battery | None = None
    interrupts: bool = False
    site_host: str = ""
    aggregator: str = ""


def _stays(rng: Random, day: date, step: timedelta) -> tuple[Stay, ...]:
    """When the car is there: for both events, for one, or twice with an errand between."""
    opens = at(day, OPENS)

    def around(minutes: int, spread: int) -> datetime:
        offset = timedelta(minutes=minutes + rng.randrange(spread))
        return opens + offset // step * step

    first = (around(0, 40), around(80, 28))
    second = (around(92, 30), around(172, 38))
    kind = rng.choices(("both", "first", "second", "twice"), weights=(30, 25, 25, 20))[0]
    if kind == "both":
        return ((around(0, 20), around(186, 24)),)
    return {"first": (first,), "second": (second,), "twice": (first, second)}[kind]


def _habits(plans: Sequence[Plan], rng: Random, day: date) -> list[Plan]:
    """Give out the habits so that each occurs, however small the fleet."""
    order = list(range(len(plans)))
    rng.shuffle(order)
    out = list(plans)
    # The first is without a contract, and has no other habit, so that its energy has one reason: it is
    # gone before an event is called off.
    out[order[0]] = replace(
        out[order[0]],
        contracted=False,
        account="",
        incentive_rate="",
        stays=((at(day, OPENS), at(day, CALLED_OFF[1])),),
    )
    heated = order[-max(THERMAL_MIN, len(plans) // 5) :]
    straggler, *rest = order[1 : -len(heated)]
    out[straggler] = replace(
        out[straggler],
        straggles=True,
        pauses=False,
        stays=((at(day, OPENS), at(day, LEAVES)),),
        outage=(at(day, STRAGGLER_OUT[0]), at(day, STRAGGLER_OUT[1])),
    )

    def some(one_in: int, skip: int) -> list[int]:
        count = max(1, len(plans) // one_in)
        return [rest[(skip + i) % len(rest)] for i in range(min(count, len(rest)))]

    for i in some(25, 0):
        out[i] = replace(
            out[i],
            lies=True,
            pauses=False,
            base_w=min(out[i].base_w, LIAR_MAX_W),
            stays=((at(day, OPENS), at(day, CLOSES)),),
        )
    for i in some(12, 1):
        out[i] = replace(out[i], off_beat=True)
    for i in some(5, 2):
        out[i] = replace(out[i], eager=timedelta(minutes=10), between=True)
    for i in some(25, 2):
        out[i] = replace(out[i], reboots=True)
    for i in some(12, 5):
        arrives, departs = out[i].stays[0]
        third = (departs - arrives) / 3
        out[i] = replace(out[i], outage=(arrives + third, arrives + third + min(third, OUTAGE_MAX)))
    for number, i in enumerate(heated):
        out[i] = _heated(out[i], number, day)
    return [
        replace(plan, site_host=f"host-{plan.site_id}", aggregator="aggregator-1")
        if plan.contracted and number % 3 == 0
        else plan
        for number, plan in enumerate(out)
    ]


def _heated(plan: Plan, number: int, day: date) -> Plan:
    """One of the thermal program, plugged in all evening: the charger's interface reads its battery.

    The first four have a particularity each; the others alternate.
    """
    particular = (
        {"battery": Battery.HOT, "charges": False},
        {"battery": Battery.UNMEASURED, "charges": False},
        {"battery": Battery.COOL, "charges": False, "interrupts": True},
        {"battery": Battery.WARM, "charges": True},
    )
    plain = {"battery": (Battery.COOL, Battery.WARM)[number % 2], "charges": False}
    return replace(
        plan,
        program=THERMAL_PROGRAM,
        stays=((at(day, OPENS), at(day, LEAVES)),),
        pauses=False,
        **(particular[number] if number < len(particular) else plain),
    )


def make_plans(seed: int, day: date, *, evses: int, step: timedelta) -> list[Plan]:
    """The whole fleet's plans, EVSES_MIN of them or more, so that each habit has room."""
    rng = Random(f"plans {seed} {day}")
    plans = [
        Plan(
            evse_id=f"US*V2G*E{number:05d}",
            vehicle_id=f"VEHICLE-{number:05d}",
            site_id=f"SITE-{(number - 1) // 2 + 1:05d}",
            latitude_microdeg=37_300_000 + (number - 1) // 2 * 1_100,
            longitude_microdeg=-121_900_000 + (number - 1) // 2 * 700,
            account=f"owner-{number:05d}",
            incentive_rate=rng.choice(RATES),
            base_w=rng.randrange(3_100, 10_700),
            stays=_stays(rng, day, step),
            charges=rng.random() < 0.3,  # noqa: PLR2004 - three in ten charge first
            pauses=rng.random() < 0.2,  # noqa: PLR2004 - one in five pauses
        )
        for number in range(1, evses + 1)
    ]
    return _habits(plans, rng, day)
