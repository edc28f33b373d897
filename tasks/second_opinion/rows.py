"""What a run knew about some vehicles, as the plain rows that the oracle takes: units are changed here,
and nothing else.

Two things are added, because a run looks at a part of what it knows and the oracle at all of it:

* Around the period, an event of no energy price that was cancelled as it began. Time outside of every
  event then ends where the period does, and what lies beyond is told apart by that event's name.
* A vehicle without a contract that stood idle before and after everything else, so that rows reach as
  far as the run's do.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import polars as pl

from oracle import Case
from settlement.facts import Facts
from settlement.periods import Period
from settlement.windows import CANCELLED, CANCELLED_RANDOMLY, Window

BEYOND: Final = ("~before the period", "~after the period")
"""Names of the events around the period; whatever is said under them is not this run's."""

Row = dict[str, Any]
Body = Mapping[str, Any]

_BYSTANDER: Final = "~nobody"
_FIRST_OF_ALL: Final = (
    -1
)  # primacy of the events around the period: below all that an event may have
_SECOND: Final = timedelta(seconds=1)
_REGISTERS: Final = ("export_start", "export_end", "import_start", "import_end")


@dataclass(frozen=True, slots=True)
class Known:
    """Everything about some vehicles of one program.

    Attributes:
        bodies: the program's versions as they are stored, ascending.
        readings: ``schemas.READING`` and ``conflicted``: theirs, and of others at the same EVSEs.
    """

    program: str
    bodies: Sequence[Body]
    vehicles: Sequence[str]
    facts: Facts
    readings: pl.DataFrame
    period: Period


def case_of(known: Known) -> Case:
    """The case of these vehicles."""
    facts, vehicles = known.facts, known.vehicles
    readings = list(_readings(known.readings))
    events = [_event(window) for window in facts.windows if window.program == known.program]
    times = [known.period.started_at, known.period.ended_at]
    times += [row[edge] for row in (*readings, *events) for edge in ("started_at", "ended_at")]
    first, last = min(times) - _SECOND, max(times) + _SECOND
    return Case(
        programs=_programs(known.bodies),
        contracts=[*map(_contract, _of(facts.contracts, vehicles)), *_of_neighbours(known)],
        readings=[_idle(first, 1), *readings, _idle(last - _SECOND, 2)],
        events=[
            *events,
            _around(BEYOND[0], known.program, first, known.period.started_at),
            _around(BEYOND[1], known.program, known.period.ended_at, last),
        ],
        thermal=[
            {
                "evse_id": row["evse_id"],
                "vehicle_id": row["vehicle_id"],
                "measured_at": row["measured_at"],
                "battery_c": _decimal(row["battery_millicelsius"], 3),
            }
            for row in _of(facts.temperatures, vehicles)
        ],
        prices=[
            {
                "started_at": price.started_at,
                "ended_at": price.ended_at,
                "price_per_kwh": _decimal(price.price_micros_per_kwh, 6),
                "received_at": price.received_at,
            }
            for price in sorted(facts.prices, key=lambda one: (one.received_at, one.started_at))
            if price.program == known.program
        ],
        baselines=[
            _interval(row) | {"baseline_kw": _decimal(row["baseline_w"], 3)}
            for row in _of(facts.baselines, vehicles)
        ],
        orders=[
            _interval(row)
            | {"event_id": row["event_id"], "ordered_kw": _decimal(row["ordered_w"], 3)}
            for row in _of(facts.orders, vehicles)
        ],
        sites=None if facts.sites is None else [_site(row) for row in _rows(facts.sites)],
        since=known.period.started_at,
    )


def _programs(bodies: Sequence[Body]) -> list[Row]:
    """The first version counts also before it begins to."""
    first, *later = bodies
    return [
        {name: value for name, value in first.items() if name != "valid_from"},
        *map(dict, later),
    ]


def _decimal(number: int | None, places: int) -> Decimal | None:
    return None if number is None else Decimal(number).scaleb(-places)


def _rows(frame: pl.DataFrame) -> Iterable[Row]:
    return frame.iter_rows(named=True)


def _of(frame: pl.DataFrame, vehicles: Sequence[str]) -> Iterable[Row]:
    return _rows(frame.filter(pl.col("vehicle_id").is_in(sorted(vehicles))))


def _readings(frame: pl.DataFrame) -> Iterator[Row]:
    for row in _rows(frame):
        reading = {
            "evse_id": row["evse_id"],
            "vehicle_id": row["vehicle_id"],
            # A sequence counts within an epoch, which a case folder has no column for.
            "session_id": f"{row['session_id']} {row['stream_epoch']}",
            "sequence": row["sequence"],
            "started_at": row["started_at"],
            "ended_at": row["ended_at"],
            **{f"{name}_wh": _decimal(row[f"{name}_milliwh"], 3) for name in _REGISTERS},
            "power_start_w": _decimal(row["power_start_w"], 0),
            "power_end_w": _decimal(row["power_end_w"], 0),
            "soc_start_pct": _decimal(row["soc_start_ppm"], 4),
            "soc_end_pct": _decimal(row["soc_end_ppm"], 4),
            "lat": _decimal(row["latitude_microdeg"], 6),
            "lon": _decimal(row["longitude_microdeg"], 6),
            "received_at": row["received_at"],
        }
        yield reading
        if row["conflicted"]:
            # The other content is in quarantine. That there is one is all that counts of it.
            still = {"export_end_wh": "export_start_wh", "import_end_wh": "import_start_wh"}
            other = {end: reading[start] for end, start in still.items()}
            yield reading | other | {"power_start_w": None, "power_end_w": None, "lat": None}


def _idle(started_at: datetime, sequence: int) -> Row:
    return {
        "evse_id": _BYSTANDER,
        "vehicle_id": _BYSTANDER,
        "session_id": _BYSTANDER,
        "sequence": sequence,
        "started_at": started_at,
        "ended_at": started_at + _SECOND,
        **{f"{name}_wh": Decimal(0) for name in _REGISTERS},
    }


def _event(window: Window) -> Row:
    return {
        "event_id": window.event_id,
        "program": window.program,
        "started_at": window.started_at,
        "ended_at": window.ended_at,
        "created_at": window.created_at,
        "status": _status(window),
        "primacy": window.primacy,
        "group": window.group or None,
        "superseded_or_cancelled_at": window.cancelled_at,
        "modes": " ".join(window.modes) or None,
        "randomize_start_s": window.randomize_start_s,
        "randomize_duration_s": window.randomize_duration_s,
        "resumes": "yes" if window.resumes else "no",
        # It counts: whoever had to has approved it, and says from when.
        "approval": "approved",
        "noticed_at": window.since,
    }


def _status(window: Window) -> str:
    if window.cancelled_at is None:
        return "completed"
    return CANCELLED_RANDOMLY if window.cancelled_randomly else CANCELLED


def _around(name: str, program: str, started_at: datetime, ended_at: datetime) -> Row:
    return {
        "event_id": name,
        "program": program,
        "started_at": started_at,
        "ended_at": ended_at,
        "created_at": started_at,
        "status": "cancelled",
        "primacy": _FIRST_OF_ALL,
        "group": None,
        "superseded_or_cancelled_at": started_at,
    }


def _contract(row: Row) -> Row:
    return {
        "vehicle_id": row["vehicle_id"],
        "evse_id": row["evse_id"],
        "site_id": row["site_id"],
        "program": row["program"],
        "incentive_rate": _decimal(row["incentive_rate_ppm"], 6),
        "valid_from": row["valid_from"],
        "valid_to": row["valid_to"],
        "capacity_kwh": _decimal(row["capacity_milliwh"], 6),
        "rated_kw": _decimal(row["rated_w"], 3),
    }


def _of_neighbours(known: Known) -> Iterator[Row]:
    """Contracts of others at the same EVSEs, for what they say of a battery and its power; they stand
    under the case's program, as its only one. What comes of it is not looked at.
    """
    others = set(known.readings["vehicle_id"] if known.readings.width else ()) - set(known.vehicles)
    for row in _of(known.facts.contracts, sorted(others)):
        yield _contract(row) | {"program": known.program}


def _interval(row: Row) -> Row:
    return {name: row[name] for name in ("vehicle_id", "started_at", "ended_at")}


def _site(row: Row) -> Row:
    return {
        "site_id": row["site_id"],
        "lat": _decimal(row["latitude_microdeg"], 6),
        "lon": _decimal(row["longitude_microdeg"], 6),
        "group": row["site_group"] or None,
    }
