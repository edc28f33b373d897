"""What must come of the evening, reckoned from what was injected and from nothing else.

    exported = paid + unpaid (verified, by reason) + unverified (its only packet is refused)

holds to the thousandth of a watt-hour. An interval that straddles an edge is divided in proportion
to time, its earlier part rounded down, the rest to the last part (docs/settlement.md). This shares
no code with the settlement it is compared with.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Final, TypeVar

from settlement.packets import Content
from simulators.driving import Step
from simulators.grid import GridEvent, Price
from simulators.labels import ALREADY_LANDED, READING, Delivery, Label
from simulators.signing import rfc3339

ERR_DATA_INCONSISTENCY: Final = "ERR_DATA_INCONSISTENCY"
NO_CONTRACT: Final = "NO_CONTRACT"
OUTSIDE_WINDOW: Final = "OUTSIDE_WINDOW"

Key = tuple[str, int, int]
K = TypeVar("K")

_MICROSECOND: Final = timedelta(microseconds=1)


@dataclass(frozen=True)
class Truth:
    """The evening's outcome, known on the simulator's side only. Energy in thousandths of a Wh.

    Attributes:
        exported: by vehicle, what its meter's export register rose by.
        paid: by (vehicle, event).
        paid_by_price: by (vehicle, event, start of the price's interval); sums to ``paid``.
        unpaid: by (vehicle, reason of ``settlement.reasons.UnpaidReason``).
        unverified: by (vehicle, reason of ``PacketReason``): exported, but no packet proves it.
        deliveries: by label.
        refused: packets that must be quarantined, by reason; every one is different bytes.
        readings: packets that must become readings.
        already_landed: deliveries of bytes that came before, on their own topic.
    """

    exported: Mapping[str, int]
    paid: Mapping[tuple[str, str], int]
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


def divide(content: Content, edges: Sequence[datetime]) -> list[tuple[datetime, int]]:
    """The export of an interval, cut at these edges: start and energy of each part, in order."""
    cuts = [
        content.started_at,
        *(edge for edge in edges if content.started_at < edge < content.ended_at),
        content.ended_at,
    ]
    energy = left = content.export_end_milliwh - content.export_start_milliwh
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


def reckon(
    steps: Iterable[Step],
    deliveries: Sequence[Delivery],
    *,
    contracted: frozenset[str],
    events: Sequence[GridEvent],
    prices: Sequence[Price],
) -> Truth:
    """The truth of an evening.

    Args:
        steps: everything the meters saw.
        deliveries: everything that is sent.
        contracted: vehicles that have a contract.
        events: half-open windows; they do not overlap.
        prices: half-open, without a gap in any window.
    """
    proven = {key_of(one.content) for one in deliveries if one.expected == READING}
    conflicted = {key_of(one.content) for one in deliveries if one.label is Label.CONFLICTED}
    why_not = {key_of(one.content): one.expected for one in deliveries}
    starts = {one.started_at for one in events} | {one.started_at for one in prices}
    ends = {one.ended_at for one in events} | {one.ended_at for one in prices}
    edges = sorted(starts | ends)
    exported: Counter[str] = Counter()
    paid_by_price: Counter[tuple[str, str, datetime]] = Counter()
    unpaid: Counter[tuple[str, str]] = Counter()
    unverified: Counter[tuple[str, str]] = Counter()
    for step in steps:
        content, key = step.content, key_of(step.content)
        vehicle = content.vehicle_id
        energy = content.export_end_milliwh - content.export_start_milliwh
        exported[vehicle] += energy
        if key not in proven:
            unverified[vehicle, why_not[key]] += energy
        elif step.lies or key in conflicted:
            unpaid[vehicle, ERR_DATA_INCONSISTENCY] += energy
        else:
            for start, part in divide(content, edges):
                event = next((e for e in events if e.started_at <= start < e.ended_at), None)
                if event is None:
                    unpaid[vehicle, OUTSIDE_WINDOW] += part
                elif vehicle not in contracted:
                    unpaid[vehicle, NO_CONTRACT] += part
                else:
                    price = next(one for one in prices if one.started_at <= start < one.ended_at)
                    paid_by_price[vehicle, event.event_id, price.started_at] += part
    paid: Counter[tuple[str, str]] = Counter()
    for (vehicle, event_id, _), energy in paid_by_price.items():
        paid[vehicle, event_id] += energy
    expected = Counter(one.expected for one in deliveries)
    readings, already_landed = expected.pop(READING, 0), expected.pop(ALREADY_LANDED, 0)
    return Truth(
        exported=dict(sorted(exported.items())),
        paid=_in_order(paid),
        paid_by_price=_in_order(paid_by_price),
        unpaid=_in_order(unpaid),
        unverified=_in_order(unverified),
        deliveries=Counter(one.label for one in deliveries),
        refused=dict(sorted(expected.items())),
        readings=readings,
        already_landed=already_landed,
    )
