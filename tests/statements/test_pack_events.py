"""Events in a pack: all that decides where they are in force comes back, and old packs are read."""

from datetime import UTC, datetime, timedelta

import pytest

from settlement.windows import Window
from statements.pack import EventVersion
from statements.packing_evidence import event, event_text

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
PLAIN = Window("e", "p", NOON, NOON + HOUR, NOON - HOUR)
FULL = Window(
    "e",
    "p",
    NOON,
    NOON + HOUR,
    NOON - HOUR,
    primacy=3,
    group="north",
    cancelled_at=NOON + HOUR / 2,
    modes=("csipaus:opModExpLimW", "opModFixedW"),
    randomize_start_s=-60,
    randomize_duration_s=30,
    resumes=False,
    cancelled_randomly=True,
    noticed_at=NOON - 2 * HOUR,
)


@pytest.mark.parametrize("window", [PLAIN, FULL], ids=["what it must say", "all it can say"])
def test_an_event_comes_back_as_it_was(window: Window) -> None:
    one = EventVersion(window, 2, "scheduled", NOON, b"d" * 32, b"<xml/>")
    assert event(event_text(one), "event") == one


def test_an_event_that_says_no_more_is_written_as_in_packs_of_before() -> None:
    text = event_text(EventVersion(PLAIN, 1, "scheduled", NOON, b"d" * 32, b""))
    assert list(text) == [
        "event_id",
        "program",
        "started_at",
        "ended_at",
        "created_at",
        "primacy",
        "group",
        "cancelled_at",
        "version",
        "status",
        "received_at",
        "digest",
        "document",
    ]
