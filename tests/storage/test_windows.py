"""Versions of events that come too late: kept, told, and counted once a person says so."""

from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest

from settlement.windows import Decision
from storage import calendar, event_decisions, fence
from storage.engine import Role, connect
from storage.event_decisions import (
    DecidedError,
    LateVersion,
    NotPendingError,
    UnknownVersionError,
    late_versions,
)
from storage.windows import ended_events, event_versions
from tests.storage.made import NOON
from tests.storage.test_grid import HOUR, TODAY, event, say, windows

END = NOON + 2 * HOUR
LATE = NOON + 5 * HOUR
TICK = timedelta(microseconds=1)


def late(dsn: str, **how: Any) -> list[LateVersion]:
    with connect(dsn, Role.READ) as conn:
        return late_versions(conn, **how)


def decide(
    dsn: str, version: int, decision: Decision = Decision.APPROVED, now: datetime = LATE + HOUR
) -> datetime:
    with connect(dsn, Role.SETTLE) as conn:
        return event_decisions.decide(
            conn, "e", version, decision, by="Ada", note="phoned them", now=now
        )


@pytest.fixture
def edited(plain_database: str) -> str:
    """An event from 13:00 to 14:00 that is longer by an hour, as was said at 17:00."""
    say(plain_database, event(NOON))
    say(plain_database, event(LATE, ended_at=END + HOUR))
    return plain_database


def ends(dsn: str, known_at: datetime) -> list[datetime]:
    return [window.ended_at for window in windows(dsn, known_at)]


def test_a_change_after_the_end_waits_and_tells_what_it_would_change(edited: str) -> None:
    # when
    [one] = late(edited)
    # then
    assert (one.event_id, one.version, one.received_at, one.status) == ("e", 2, LATE, "scheduled")
    assert one.changed == {"ended_at": (END, END + HOUR)}
    assert (one.waits, one.decision, one.decided_by) == (True, None, "")
    assert one.paid_before is not None
    assert one.paid_after is not None
    assert (one.paid_before.ended_at, one.paid_after.ended_at) == (END, END + HOUR)
    # and what stood before stands, everywhere
    assert ends(edited, LATE) == [END]
    with connect(edited, Role.READ) as conn:
        assert event_versions(conn, ["e"], known_at=LATE) == {"e": 1}
        assert ended_events(conn, TODAY, known_at=LATE)["e"].ended_at == END
        assert [one.ended_at for one in calendar.endings(conn, until=LATE)] == [END]
    assert late(edited, known_at=LATE - TICK) == []


def test_an_approval_counts_for_those_who_look_after_it(edited: str) -> None:
    # when
    decided_at = decide(edited, 2)
    # then
    assert decided_at == LATE + HOUR
    assert ends(edited, decided_at - TICK) == [END]
    assert ends(edited, decided_at) == [END + HOUR]
    assert late(edited) == []
    [one] = late(edited, decided=True)
    assert (one.decision, one.decided_by, one.note) == (Decision.APPROVED, "Ada", "phoned them")
    assert (one.decided_at, one.waits) == (decided_at, False)
    with connect(edited, Role.READ) as conn:
        assert event_versions(conn, ["e"], known_at=decided_at) == {"e": 2}
        assert [one.ended_at for one in calendar.endings(conn, until=LATE)] == [END + HOUR]


def test_a_rejection_leaves_all_as_it_was(edited: str) -> None:
    decided_at = decide(edited, 2, Decision.REJECTED)
    assert ends(edited, decided_at) == [END]
    assert late(edited) == []
    # and the same said again needs no other word
    say(edited, event(LATE + 2 * HOUR, ended_at=END + HOUR, status="completed"))
    assert late(edited) == []
    assert ends(edited, LATE + 3 * HOUR) == [END]


def test_an_event_created_after_its_own_end_counts_in_whole_once_approved(
    plain_database: str,
) -> None:
    # given
    say(plain_database, event(LATE, created_at=END + HOUR))
    assert windows(plain_database, LATE) == []
    [one] = late(plain_database)
    assert (one.before, one.changed, one.paid_before) == (None, {}, None)
    # when
    decided_at = decide(plain_database, 1)
    # then
    [window] = windows(plain_database, decided_at)
    assert window.certain is not None
    assert (window.certain.started_at, window.certain.ended_at) == (NOON + HOUR, END)


def test_a_decision_that_a_run_cannot_have_seen_counts_after_it(edited: str) -> None:
    # given a run that has fixed its time later than the clock of whoever decides
    with connect(edited, Role.SETTLE) as conn:
        conn.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ)
        known_at = fence.moment(conn, lambda: LATE + 9 * HOUR)
    # when, then
    assert decide(edited, 2, now=LATE) == known_at + TICK
    assert ends(edited, known_at) == [END]


def test_only_what_waits_can_be_decided_and_once(edited: str) -> None:
    with pytest.raises(UnknownVersionError, match="expected 1 to 2"):
        decide(edited, 3)
    with pytest.raises(NotPendingError, match="that is version 2"):
        decide(edited, 1)
    decide(edited, 2)
    with pytest.raises(DecidedError, match="approved by Ada"):
        decide(edited, 2, Decision.REJECTED)
    with connect(edited, Role.SETTLE) as conn:
        with pytest.raises(UnknownVersionError, match="an event that was ever received"):
            event_decisions.decide(conn, "x", 1, Decision.APPROVED, by="Ada", now=LATE)
        with pytest.raises(ValueError, match="nobody"):
            event_decisions.decide(conn, "e", 2, Decision.APPROVED, by=" ", now=LATE)


def test_what_the_utility_takes_back_itself_needs_no_decision(edited: str) -> None:
    # when it says again what it had said first
    say(edited, event(LATE + HOUR))
    # then
    assert late(edited) == []
    assert [one.waits for one in late(edited, decided=True)] == [False]
    with pytest.raises(NotPendingError, match="no version of it"):
        decide(edited, 2)


def test_a_late_version_is_found_by_its_event(edited: str) -> None:
    say(edited, event(NOON, event_id="other"))
    say(edited, event(LATE - HOUR, event_id="other", primacy=4))
    assert [one.event_id for one in late(edited)] == ["other", "e"]
    assert [one.event_id for one in late(edited, event_id="e")] == ["e"]
    assert late(edited, event_id="nobody") == []


def test_decisions_are_neither_changed_nor_deleted(edited: str) -> None:
    decide(edited, 2)
    for statement in ("update event_decision set note = ''", "delete from event_decision"):
        with (
            psycopg.connect(edited, user="v2g") as conn,
            pytest.raises(psycopg.Error, match="event_decision"),
        ):
            conn.execute(statement)
