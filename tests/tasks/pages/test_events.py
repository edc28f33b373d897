"""Which event of a period is drawn, and when it counts."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from grid.records import EventSaid
from settlement.periods import Period
from storage import registry
from storage.engine import Role, connect
from storage.grid import put_events
from storage.pages import reading
from tasks.pages.events import Drawn, events_of

ROOT = Path(__file__).parents[3]
NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
DAY = Period(NOON, NOON + timedelta(hours=12))
KNOWN = NOON + timedelta(days=1)


@pytest.fixture
def enrolled(plain_database: str) -> str:
    tariff = yaml.safe_load((ROOT / "programs" / "example-energy.yaml").read_text())
    since = datetime(2026, 1, 1, tzinfo=UTC)
    with connect(plain_database, Role.SETTLE) as conn:
        registry.put_program(conn, tariff, valid_from=since, source="test", now=since)
    return plain_database


def event(name: str, start: int, end: int, **changes: Any) -> EventSaid:
    """An event between two minutes after noon."""
    given: dict[str, Any] = {
        "event_id": name,
        "program": "example-energy",
        "started_at": NOON + start * MINUTE,
        "ended_at": NOON + end * MINUTE,
        "created_at": NOON - timedelta(days=1),
        "status": "scheduled",
        "document": name.encode(),
        "received_at": NOON - timedelta(hours=20),
    }
    return EventSaid(**(given | changes))


def drawn(dsn: str, *said: EventSaid) -> list[Drawn]:
    with connect(dsn, Role.SETTLE) as conn:
        put_events(conn, said)
    with reading(dsn) as conn:
        return events_of(conn, DAY, known_at=KNOWN)


def test_of_a_program_the_last_event_that_counts_is_drawn_and_the_others_are_counted(enrolled):
    (one,) = drawn(
        enrolled,
        event("first", 0, 60),
        event("second", 120, 180),
        event("cancelled", 240, 300, status="cancelled"),
        event("unknown program", 0, 60, program="another"),
    )

    assert (one.program, one.event_id, one.others) == ("example-energy", "second", 2)
    assert one.scene.shown == Period(NOON + 105 * MINUTE, NOON + 195 * MINUTE)
    assert one.scene.effective == [Period(NOON + 120 * MINUTE, NOON + 180 * MINUTE)]
    assert one.scene.zone.key == "America/Los_Angeles"


def test_what_another_event_took_over_is_not_shaded(enrolled):
    (one,) = drawn(enrolled, event("long", 60, 120, primacy=5), event("strong", 30, 90, primacy=1))

    assert one.event_id == "long"
    assert one.scene.effective == [Period(NOON + 90 * MINUTE, NOON + 120 * MINUTE)]


def test_an_event_of_odd_seconds_is_shown_in_whole_minutes(enrolled):
    (one,) = drawn(enrolled, event("odd", 0, 60, started_at=NOON + timedelta(seconds=7)))

    assert one.scene.shown == Period(NOON - 15 * MINUTE, NOON + 75 * MINUTE)


def test_a_period_without_events_has_no_picture(enrolled):
    assert drawn(enrolled) == []
