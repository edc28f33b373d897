"""Hours with an event each, and a gate that wants a number of readings in each of them."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from settlement.periods import Period
from storage import held, quality
from storage.engine import Role, connect
from storage.held import Held
from storage.quality import QualityRow
from tasks.held import Tried, try_held
from tasks.quality import QualitySummary
from tasks.releasing import release_period, word
from tasks.settle import SettleSummary
from tests.tasks.scene import HOUR, START, WHOLE, Scene, now

EVSE = "DE*V2G*E00001"
EXPECTED = 4
"""Readings that the gate wants in each hour."""
PER_HOUR = 240
CHECK = "every reading is there"


def hour(number: int) -> Period:
    """The hours of the evening, from 0."""
    return Period(START + number * HOUR, START + (number + 1) * HOUR)


def complete(dsn: str, period: Period, at: datetime, *, found: int | None = None) -> QualitySummary:
    """A gate that costs no library: critical where readings are missing; stored as the real one's is.

    ``found`` is what it finds; not given: as many readings as there are.
    """
    with connect(dsn, Role.READ) as conn:
        row = conn.execute(
            "select count(*) from reading where started_at >= %s and started_at < %s",
            [period.started_at, period.ended_at],
        ).fetchone()
    assert row is not None
    found = row[0] if found is None else found
    missing = EXPECTED - found
    check: dict[str, object] = {
        "suite": "test",
        "check": CHECK,
        "column": "",
        "severity": "critical",
        "passed": missing <= 0,
        "observed": f"{found} readings",
        "limit": f"{EXPECTED}",
        "unexpected": max(missing, 0),
        "rows": EXPECTED,
    }
    worst = "critical" if missing > 0 else "none"
    with connect(dsn, Role.SETTLE) as conn:
        quality_id = quality.record_quality(conn, QualityRow("test", 1, period, at, worst, [check]))
    return QualitySummary(quality_id, worst, [check])


@dataclass
class Hours:
    """A scene of hours, and a clock that can be put forward."""

    dsn: str
    hours: int = 1
    ahead: timedelta = timedelta()
    scene: Scene = field(init=False)

    def __post_init__(self) -> None:
        self.scene = Scene(self.dsn)
        self.scene.enrol(EVSE)
        self.scene.price(WHOLE.started_at, START + (self.hours + 1) * HOUR, 420_000)
        for number in range(self.hours):
            self.scene.event(f"event-{number}", hour(number).started_at, hour(number).ended_at)

    def clock(self) -> datetime:
        return now() + self.ahead

    def deliver(self, number: int, readings: Iterable[int]) -> None:
        """Some of an hour's readings, which may come again."""
        packets = [self.scene.packet(EVSE, number * PER_HOUR + one) for one in readings]
        self.scene.deliver(packets)

    def settle(self, number: int) -> SettleSummary:
        """An hour as the scheduled run settles what is due."""
        period = hour(number)
        found = complete(self.dsn, period, self.clock())
        said = word(self.dsn, period, found)
        return self.scene.settle(
            period,
            kind="scheduled",
            hold=said.hold,
            released=said.released,
            excused=said.excused,
        )

    def run(self, *, most: int = 8) -> list[Tried]:
        """What a scheduled run does with held periods."""
        return try_held(
            self.dsn,
            clock=self.clock,
            doubt=lambda period: complete(self.dsn, period, self.clock()),
            most=most,
        )

    def release(self, number: int, by: str = "Ada", why: str = "looked at") -> None:
        release_period(self.dsn, hour(number), by=by, why=why, now=self.clock())

    def held(self) -> list[Held]:
        with connect(self.dsn, Role.READ) as conn:
            return held.held(conn)

    def states(self, number: int) -> list[tuple[str, str]]:
        """State and reason of each run over an hour, in their order."""
        return [
            (state, reason)
            for started_at, state, reason in self.scene.rows(
                "select period_started_at, state, reason from settlement_run order by known_at"
            )
            if started_at == hour(number).started_at
        ]
