"""What must come of the evening, reckoned from what was injected and from nothing else.

    exported = paid + unpaid (verified, by reason) + unverified (its only packet is refused)

holds to the thousandth of a watt-hour. An interval that straddles an edge is divided in proportion
to time, its earlier part rounded down, the rest to the last part (docs/settlement.md). Energy that
earns nothing because of heat, netting or charging is ``netting``'s. This shares no code with the
settlement that it is compared with.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Final, TypeVar

from settlement.packets import Content
from simulators import netting
from simulators.driving import Step
from simulators.grid import THERMAL_PROGRAM, GridEvent
from simulators.heat import Temperature
from simulators.labels import ALREADY_LANDED, READING, Delivery, Label
from simulators.netting import Metered
from simulators.signing import rfc3339
from simulators.tariff import cents, line_micros, plain_micros
from simulators.terms import Terms

ERR_DATA_INCONSISTENCY: Final = "ERR_DATA_INCONSISTENCY"
NO_CONTRACT: Final = "NO_CONTRACT"
OUTSIDE_WINDOW: Final = "OUTSIDE_WINDOW"
EVENT_CANCELLED: Final = "EVENT_CANCELLED"
NOT_YET_SENT: Final = "NOT_YET_SENT"
"""No reason of the rules: exported, and still in the charger's buffer."""

Key = tuple[str, int, int]
K = TypeVar("K")

_MICROSECOND: Final = timedelta(microseconds=1)


@dataclass(frozen=True)
class Truth:
    """The evening's outcome, known on the simulator's side only. Energy in thousandths of a Wh.

    Attributes:
        exported: by vehicle, what its meter's export register rose by.
        paid: by (vehicle, event); net of what was charged where the program says so.
        paid_cents: by (vehicle, event) of the plain program: what its energy earns.
        unpaid_of_event: by (vehicle, event, reason), for EVENT_CANCELLED and THERMAL_LIMIT_REACHED.
        worth_micros: what that energy would have been.
        paid_by_price: by (vehicle, event, start of the price's interval); sums to ``paid``, and may be
            negative where a vehicle drew more than it gave.
        unpaid: by (vehicle, reason of ``settlement.reasons.UnpaidReason``).
        unverified: by (vehicle, reason of ``PacketReason``, or NOT_YET_SENT): exported, but no packet
            proves it.
        deliveries: by label.
        refused: packets that must be quarantined, by reason; every one is different bytes.
        readings: packets that must become readings.
        already_landed: deliveries of bytes that came before, on their own topic.
    """

    exported: Mapping[str, int]
    paid: Mapping[tuple[str, str], int]
    paid_cents: Mapping[tuple[str, str], int]
    unpaid_of_event: Mapping[tuple[str, str, str], int]
    worth_micros: Mapping[tuple[str, str, str], int]
    paid_by_price: Mapping[tuple[str, str, datetime], int]
    unpaid: Mapping[tuple[str, str], int]
    unverified: Mapping[tuple[str, str], int]
    deliveries: Mapping[Label, int]
    refused: Mapping[str, int]
    readings: int
    already_landed: int

    @property
    def unpaid_by_reason(self) -> dict[str, int]:
        """``unpaid`` of all vehicles together."""
        return _by_second(self.unpaid)

    @property
    def unverified_by_reason(self) -> dict[str, int]:
        """``unverified`` of all vehicles together."""
        return _by_second(self.unverified)

    def as_json(self) -> dict[str, object]:
        """Everything, as a JSON object."""
        return {
            "exported_milliwh": dict(self.exported),
            "paid_milliwh": [
                {"vehicle_id": vehicle, "event_id": event, "energy_milliwh": energy}
                for (vehicle, event), energy in self.paid.items()
            ],
            "paid_milliwh_by_price": [
                {
                    "vehicle_id": vehicle,
                    "event_id": event,
                    "started_at": rfc3339(start),
                    "energy_milliwh": energy,
                }
                for (vehicle, event, start), energy in self.paid_by_price.items()
            ],
            "paid_cents": [
                {"vehicle_id": vehicle, "event_id": event, "cents": amount}
                for (vehicle, event), amount in self.paid_cents.items()
            ],
            "unpaid_of_event": [
                {
                    "vehicle_id": vehicle,
                    "event_id": event,
                    "reason": reason,
                    "energy_milliwh": energy,
                    "would_have_been_micros": self.worth_micros.get((vehicle, event, reason), 0),
                }
                for (vehicle, event, reason), energy in self.unpaid_of_event.items()
            ],
            "unpaid_milliwh": _as_rows(self.unpaid),
            "unverified_milliwh": _as_rows(self.unverified),
            "deliveries": {label.value: count for label, count in self.deliveries.items()},
            "refused": dict(self.refused),
            "readings": self.readings,
            "already_landed": self.already_landed,
        }

    def write(self, path: Path) -> None:
        """Write ``as_json`` to a file."""
        path.write_text(json.dumps(self.as_json(), indent=1) + "\n", encoding="utf-8")


def _in_order(sums: Mapping[K, int]) -> dict[K, int]:
    """Sorted, and without those that came to nothing."""
    return {key: sums[key] for key in sorted(sums, key=str) if sums[key]}


def _by_second(energies: Mapping[tuple[str, str], int]) -> dict[str, int]:
    sums: Counter[str] = Counter()
    for (_, second), energy in energies.items():
        sums[second] += energy
    return dict(sorted(sums.items()))


def _as_rows(energies: Mapping[tuple[str, str], int]) -> list[dict[str, object]]:
    return [
        {"vehicle_id": vehicle, "reason": reason, "energy_milliwh": energy}
        for (vehicle, reason), energy in energies.items()
    ]


def divide(energy: int, content: Content, edges: Sequence[datetime]) -> list[tuple[datetime, int]]:
    """The energy of an interval, cut at these edges: start and energy of each part, in order."""
    cuts = [
        content.started_at,
        *(edge for edge in edges if content.started_at < edge < content.ended_at),
        content.ended_at,
    ]
    left = energy
    length = (content.ended_at - content.started_at) // _MICROSECOND
    parts = []
    for begins, ends in pairwise(cuts[:-1]):
        part = energy * ((ends - begins) // _MICROSECOND) // length
        parts.append((begins, part))
        left -= part
    return [*parts, (cuts[-2], left)]


def key_of(content: Content) -> Key:
    """EVSE, epoch and sequence: unique for every interval that a meter saw."""
    return content.evse_id, content.stream_epoch, content.sequence


def reckon(steps: Iterable[Step], deliveries: Sequence[Delivery], terms: Terms) -> Truth:
    """The truth of an evening, as far as it has been delivered.

    Args:
        steps: everything the meters saw.
        deliveries: everything that has been sent by the time that the truth is told of.
        terms: what it is settled by.
    """
    return _Reckoning(deliveries, terms).over(steps)


class _Reckoning:
    """One call of ``reckon``."""

    def __init__(self, deliveries: Sequence[Delivery], terms: Terms) -> None:
        self._terms = terms
        self._edges = terms.edges()
        self._deliveries = deliveries
        self._proven = {key_of(one.content) for one in deliveries if one.expected == READING}
        self._conflicted = {
            key_of(one.content) for one in deliveries if one.label is Label.CONFLICTED
        }
        self._why_not = {key_of(one.content): one.expected for one in deliveries}
        self._exported: Counter[str] = Counter()
        self._unpaid: Counter[tuple[str, str]] = Counter()
        self._unverified: Counter[tuple[str, str]] = Counter()
        self._metered: dict[tuple[str, str], dict[netting.Span, Metered]] = {}
        self._void: Counter[tuple[str, str, datetime]] = Counter()
        self._of_event: Counter[tuple[str, str, str]] = Counter()
        self._worth: Counter[tuple[str, str, str]] = Counter()
        self._cents: Counter[tuple[str, str]] = Counter()
        self._drawn: dict[str, Counter[datetime]] = defaultdict(Counter)

    def over(self, steps: Iterable[Step]) -> Truth:
        for step in steps:
            self._count(step)
        by_price = _in_order(self._paid())
        paid: Counter[tuple[str, str]] = Counter()
        for (vehicle, event_id, _), energy in by_price.items():
            paid[vehicle, event_id] += energy
        expected = Counter(one.expected for one in self._deliveries)
        readings, already_landed = expected.pop(READING, 0), expected.pop(ALREADY_LANDED, 0)
        return Truth(
            exported=dict(sorted(self._exported.items())),
            paid=_in_order(paid),
            paid_cents=_in_order(self._cents),
            unpaid_of_event=_in_order(self._of_event),
            worth_micros=_in_order(self._worth),
            paid_by_price=by_price,
            unpaid=_in_order(self._unpaid),
            unverified=_in_order(self._unverified),
            deliveries=Counter(one.label for one in self._deliveries),
            refused=dict(sorted(expected.items())),
            readings=readings,
            already_landed=already_landed,
        )

    def _count(self, step: Step) -> None:
        content, key, vehicle = step.content, key_of(step.content), step.content.vehicle_id
        exported = content.export_end_milliwh - content.export_start_milliwh
        imported = content.import_end_milliwh - content.import_start_milliwh
        self._exported[vehicle] += exported
        if key not in self._proven:
            self._unverified[vehicle, self._why_not.get(key, NOT_YET_SENT)] += exported
        elif step.lies or key in self._conflicted:
            self._unpaid[vehicle, ERR_DATA_INCONSISTENCY] += exported
        else:
            given = divide(exported, content, self._edges)
            drawn = divide(imported, content, self._edges)
            ends = [*(start for start, _ in given[1:]), content.ended_at]
            for (start, part), (_, charged), end in zip(given, drawn, ends, strict=True):
                self._drawn[vehicle][start] += charged
                self._place(vehicle, start, Metered(part, charged, end - start))

    def _place(self, vehicle: str, start: datetime, part: Metered) -> None:
        event = self._terms.event_at(vehicle, start)
        if event is None:
            self._unpaid_at(vehicle, start, part.exported)
        elif vehicle not in self._terms.program:
            self._unpaid[vehicle, NO_CONTRACT] += part.exported
        else:
            intervals = self._metered.setdefault((vehicle, event.event_id), {})
            metered = intervals.setdefault(self._terms.interval_at(event, start), Metered())
            metered.exported += part.exported
            metered.imported += part.imported
            metered.discharged += part.discharged if part.exported else timedelta(0)

    def _unpaid_at(self, vehicle: str, start: datetime, exported: int) -> None:
        """Energy of a time in which no event is in force."""
        event = self._terms.called_off_at(vehicle, start)
        if event is None:
            self._unpaid[vehicle, OUTSIDE_WINDOW] += exported
            return
        self._unpaid[vehicle, EVENT_CANCELLED] += exported
        price = self._terms.price_at(event.program, start)
        self._void[vehicle, event.event_id, price.started_at] += exported

    def _paid(self) -> Counter[tuple[str, str, datetime]]:
        """Energy by price; what the thermal program does not pay of it goes to the unpaid."""
        events = {one.event_id: one for one in self._terms.events}
        sensed: dict[str, list[Temperature]] = defaultdict(list)
        for one in self._terms.temperatures:
            sensed[one.vehicle_id].append(one)
        paid: Counter[tuple[str, str, datetime]] = Counter()
        for (vehicle, event_id, start), energy in self._void.items():
            self._worthless(vehicle, events[event_id], EVENT_CANCELLED, start, energy)
        for (vehicle, event_id), intervals in self._metered.items():
            event = events[event_id]
            if event.program != THERMAL_PROGRAM:
                for (start, _), metered in intervals.items():
                    paid[vehicle, event_id, start] += metered.exported
                self._cents[vehicle, event_id] = self._earned(vehicle, event, intervals)
                continue
            since = event.started_at - netting.LOOK_BACK
            charged = sum(
                energy
                for at, energy in self._drawn[vehicle].items()
                if since <= at < event.started_at
            )
            hot = netting.too_hot(sensed[vehicle]) if vehicle in sensed else None
            outcome = netting.settle(intervals, charged, hot)
            for start, energy in outcome.paid.items():
                paid[vehicle, event_id, start] += energy
            for reason, energy in outcome.unpaid:
                self._unpaid[vehicle, reason] += energy
            for start, energy in outcome.heated.items():
                self._worthless(vehicle, event, netting.THERMAL_LIMIT_REACHED, start, energy)
        return paid

    def _earned(
        self, vehicle: str, event: GridEvent, intervals: Mapping[netting.Span, Metered]
    ) -> int:
        """What the plain program pays for one vehicle's event, cents."""
        discharged = sum((one.discharged for one in intervals.values()), timedelta(0))
        rate = self._terms.rate(vehicle)
        return cents(
            line_micros(
                one.exported,
                end - start,
                discharged,
                self._terms.price_at(event.program, start).price_micros_per_kwh,
                rate,
            )
            for (start, end), one in intervals.items()
        )

    def _worthless(
        self, vehicle: str, event: GridEvent, reason: str, start: datetime, energy: int
    ) -> None:
        """Count what energy that is not paid would have been, at the price of that moment."""
        price = self._terms.price_at(event.program, start).price_micros_per_kwh
        worth = plain_micros(energy, price, self._terms.rate(vehicle))
        self._of_event[vehicle, event.event_id, reason] += energy
        self._worth[vehicle, event.event_id, reason] += worth
