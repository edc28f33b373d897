"""Samples on their way to the database: bounded, in whole polls, and never lost without a word.

While the database is away the outbox fills; when it is full the oldest polls go, because the newest
temperature is the one that protects a battery. What went is counted at once, and said by device in a
sample of its own as soon as the database takes samples again: how many, from when, until when.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from settlement.sensors import Quality
from storage.thermal_samples import Sample

LOST_SENSOR: Final = "-"
"""The name under which it is said that samples of a device were lost."""


@dataclass(frozen=True, slots=True)
class Lost:
    """Samples of one device that were dropped."""

    evse_id: str
    samples: int
    first: datetime
    last: datetime

    def with_more(self, polls: Sequence[Sample]) -> "Lost":
        times = [one.measured_at for one in polls]
        return Lost(
            self.evse_id,
            self.samples + len(polls),
            min(self.first, *times),
            max(self.last, *times),
        )


class Outbox:
    """First in, first out; used from one thread.

    Args:
        samples_max: how many are held at most, the batch that is being landed included.
    """

    def __init__(self, *, samples_max: int) -> None:
        self._samples_max = samples_max
        self._polls: deque[Sequence[Sample]] = deque()
        self._taken: list[Sequence[Sample]] = []
        self._lost: dict[str, Lost] = {}
        self.samples = 0
        self.dropped = 0

    def put(self, poll: Sequence[Sample]) -> int:
        """Take the samples of one poll. How many older ones had to go for them."""
        self._polls.append(poll)
        self.samples += len(poll)
        dropped = 0
        while self.samples > self._samples_max and self._polls:
            gone = self._polls.popleft()
            self.samples -= len(gone)
            dropped += len(gone)
            self._lose(gone)
        self.dropped += dropped
        return dropped

    def take(self, samples: int) -> list[Sequence[Sample]]:
        """Up to about so many samples, in whole polls, and word of what was lost; they stay here
        until ``landed`` or ``kept``.
        """
        taken = 0
        while self._polls and (taken < samples):
            poll = self._polls.popleft()
            taken += len(poll)
            self._taken.append(poll)
        if self._lost and self._taken:
            self._taken.append([_word(device, one) for device, one in self._lost.items()])
            self.samples += len(self._lost)
            self._lost = {}
        return self._taken

    def landed(self) -> None:
        """What was taken is committed."""
        self.samples -= sum(map(len, self._taken))
        self._taken = []

    def give_up(self, poll: Sequence[Sample]) -> None:
        """A poll of what was taken cannot be landed at all."""
        self.dropped += len(poll)
        self._lose(poll)

    @property
    def pressing(self) -> bool:
        """Whether it is half full: time to land, whoever might still come."""
        return 2 * self.samples >= self._samples_max

    @property
    def oldest(self) -> datetime | None:
        """When the oldest sample held was measured."""
        polls = self._taken or self._polls
        return polls[0][0].measured_at if polls else None

    def __len__(self) -> int:
        return len(self._polls) + len(self._taken)

    def _lose(self, poll: Sequence[Sample]) -> None:
        for sample in poll:
            if sample.sensor == LOST_SENSOR:
                continue
            at, device = sample.measured_at, sample.device_id
            before = self._lost.get(device, Lost(sample.evse_id, 0, at, at))
            self._lost[device] = before.with_more([sample])


def _word(device_id: str, lost: Lost) -> Sample:
    detail = (
        f"{lost.samples} samples from {lost.first.isoformat()} to {lost.last.isoformat()} were not kept:"
        " the database was away, and the outbox full"
    )
    return Sample(
        device_id,
        LOST_SENSOR,
        lost.evse_id,
        "",
        lost.last,
        b"",
        None,
        Quality.NO_ANSWER.value,
        battery=False,
        detail=detail,
    )
