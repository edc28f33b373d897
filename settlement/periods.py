"""Half-open periods of time, [started_at, ended_at), always in UTC."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

QUARTER_HOUR: Final = timedelta(minutes=15)


class EmptyPeriodError(ValueError):
    """A period that ends before, or as, it starts; or whose times carry no zone."""


@dataclass(frozen=True, slots=True, order=True)
class Period:
    """A half-open period. A settling run covers one: the events that end in it, and the discharge
    outside of every event in it.

    >>> Period.parse("2026-07-01T17:00:00Z", "2026-07-01T18:00:00+00:00")
    Period(2026-07-01T17:00:00+00:00/2026-07-01T18:00:00+00:00)
    """

    started_at: datetime
    ended_at: datetime

    def __post_init__(self) -> None:
        if self.started_at.tzinfo is None or self.ended_at.tzinfo is None:
            raise EmptyPeriodError(
                f"{self}: expected times with a zone, such as 2026-07-01T17:00:00Z"
            )
        if self.started_at >= self.ended_at:
            raise EmptyPeriodError(f"{self}: expected the end after the start")

    @classmethod
    def parse(cls, started_at: str, ended_at: str) -> "Period":
        """From two ISO 8601 texts with a zone. Raises EmptyPeriodError."""
        return cls(_moment(started_at), _moment(ended_at)).in_utc()

    def in_utc(self) -> "Period":
        """The same period with both times in UTC."""
        return Period(self.started_at.astimezone(UTC), self.ended_at.astimezone(UTC))

    def __repr__(self) -> str:
        return f"Period({self})"

    def __str__(self) -> str:
        return f"{self.started_at.isoformat()}/{self.ended_at.isoformat()}"


def _moment(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise EmptyPeriodError(
            f"{text!r}: expected a time with its zone, such as 2026-07-01T17:00:00Z"
        ) from error


def floor(moment: datetime, step: timedelta = QUARTER_HOUR) -> datetime:
    """The latest multiple of ``step`` since the epoch that is not after ``moment``.

    >>> floor(datetime(2026, 7, 1, 17, 44, 59, tzinfo=UTC))
    datetime.datetime(2026, 7, 1, 17, 30, tzinfo=datetime.timezone.utc)
    """
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    return epoch + (moment - epoch) // step * step
