"""`v2g grid status`, `sync`, `events`, `approve` and `reject`: what they print, and how they end."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console
from typer.testing import CliRunner

from cli.main import app
from cli.output import table
from grid.feeds import ResponseDue
from grid.records import ClockReading, EventSaid
from storage import feeds
from storage.engine import Role, connect
from storage.grid import put_events

NOW = datetime.now(UTC).replace(microsecond=0)
HOUR = timedelta(hours=1)
CSV = "started_at,ended_at,price_per_kwh,currency\n2026-07-01T17:00:00Z,2026-07-01T18:00:00Z,0.42,USD\n"


def run(*words: str, dsn: str, grid_file: Path | None = None, status: int = 0) -> str:
    environment = {"COLUMNS": "200", "V2G_DATABASE_URL": dsn}
    if grid_file is not None:
        environment["V2G_GRID_FILE"] = str(grid_file)
    result = CliRunner().invoke(app, ["grid", *words], env=environment)
    assert result.exit_code == status, result.output
    return result.output


@pytest.fixture
def grid_file(tmp_path: Path) -> Path:
    """A file of prices that is there, and a server that is not."""
    (tmp_path / "prices.csv").write_text(CSV)
    day = {"name": "day", "kind": "file", "path": "prices.csv", "program": "p"}
    down = {"name": "down", "kind": "json", "url": "http://127.0.0.1:1"}
    path = tmp_path / "grid.yaml"
    path.write_text(yaml.safe_dump({"feeds": [day, down]}))
    return path


def test_syncing_tells_feed_by_feed_what_it_came_to(plain_database, grid_file):
    told = run("sync", dsn=plain_database, grid_file=grid_file, status=1)
    again = run("sync", "--feed", "day", dsn=plain_database, grid_file=grid_file)
    later = run("sync", dsn=plain_database, grid_file=grid_file)

    assert "day: 0 events, 0 of them new or changed, 1 prices, 1 of them new or changed" in told
    assert "down failed: GET http://127.0.0.1:1/v1/events: ConnectError" in told
    assert "1 prices, 0 of them new or changed" in again
    assert later == "nothing is due; day, down to be read later, or now with --all\n"
    everything = json.loads(
        run("sync", "--all", "--json", dsn=plain_database, grid_file=grid_file, status=1)
    )
    assert [one["feed"] for one in everything["feeds"]] == ["day", "down"]


def test_an_item_that_was_refused_is_told_and_is_no_success(plain_database, grid_file):
    bad = CSV + "soon,2026-07-01T19:00:00Z,0.42,USD\n" + "2026-07-01T18:00:00Z,later,0.42,USD\n"
    (grid_file.parent / "prices.csv").write_text(bad)

    told = run("sync", "--feed", "day", dsn=plain_database, grid_file=grid_file, status=1)

    assert "2 items refused, such as prices.csv:3.started_at: 'soon'" in told
    assert "refused: prices.csv:4.ended_at: 'later'; expected a time such as" in told


def test_a_feed_or_a_file_that_cannot_be_used_ends_with_2(plain_database, grid_file):
    told = run("sync", "--feed", "dya", dsn=plain_database, grid_file=grid_file, status=2)
    assert "no feed is called 'dya'; configured: day, down" in told

    grid_file.write_text("feeds: [{name: day, kind: fiel}]")
    for word in ("sync", "status"):
        told = run(word, dsn=plain_database, grid_file=grid_file, status=2)
        assert "feeds[0] (day): kind 'fiel'; expected one of comed, file," in told


def test_no_feeds_are_told_as_such(plain_database):
    for word in ("sync", "status"):
        assert run(word, dsn=plain_database).startswith("no feeds: V2G_GRID_FILE (--grid-file)")


def test_the_status_shows_age_clock_trouble_and_answers_of_every_feed(plain_database, grid_file):
    now = datetime.now(UTC)
    # given one feed that was read an hour ago and wants to be read soon, and one that fails
    with connect(plain_database, Role.SETTLE) as conn:
        feeds.put_read(
            conn,
            "day",
            "file",
            asked_at=now - HOUR,
            next_at=now + HOUR,
            clock=ClockReading(-12_300, 24_800),
            events=3,
            prices=48,
            refused=3,
            refusals=["prices.csv:3.started_at: 'soon'; expected a time"],
            notes=["DERProgram 'Other': left out"],
            whole=False,
        )
        feeds.put_failed(
            conn, "down", "json", asked_at=now, next_at=now + HOUR, error="GET /: HTTP 503"
        )
        due = [ResponseDue("day", "ab", "CD", status, "/rsp", now) for status in (1, 2)]
        feeds.put_responses(conn, due, now=now)

    # when it is asked for
    told = run("status", dsn=plain_database, grid_file=grid_file, status=1)
    plain = json.loads(run("status", "--json", dsn=plain_database, grid_file=grid_file, status=1))

    # then it says so, with zones and units
    day, down = (line for line in told.splitlines() if line.split("│")[1:2] and "│" in line)
    for shown in ("incomplete", f"{now - HOUR:%Y-%m-%d %H:%M:%SZ}", "1:0", "-12.3 ± 24.8 ms", "48"):
        assert shown in day
    assert "failing" in down
    for shown in (
        "day: the last reading was not whole",
        "day, refused: prices.csv:3.started_at: 'soon'; expected a time",
        "day: 2 more refused",
        "day, note: DERProgram 'Other': left out",
    ):
        assert shown in told
    assert f"down, {now:%Y-%m-%d %H:%M:%SZ}: GET /: HTTP 503" in told
    first, second = plain["feeds"]
    assert (first["state"], first["clock_offset_us"], first["clock_uncertainty_us"]) == (
        "incomplete",
        -12_300,
        24_800,
    )
    assert 3600 <= first["age_s"] < 3700
    assert first["responses"] == {"due": 2, "posted": 0, "refused": 0}
    assert (second["state"], second["read_at"], second["error"]) == (
        "failing",
        None,
        "GET /: HTTP 503",
    )
    assert (plain["good"], plain["events_waiting_for_approval"]) == (False, 0)


@pytest.mark.parametrize(
    ("read", "wanted", "state", "status"),
    [
        (-HOUR, HOUR, "good", 0),
        (-HOUR, timedelta(minutes=-4), "good", 0),
        (-HOUR, timedelta(minutes=-6), "late", 1),
    ],
)
def test_a_feed_is_late_when_several_turns_have_passed_without_it(
    plain_database, grid_file, read, wanted, state, status
):
    now = datetime.now(UTC)
    feed = {"name": "day", "kind": "file", "path": "prices.csv"}
    grid_file.write_text(yaml.safe_dump({"feeds": [feed]}))
    with connect(plain_database, Role.SETTLE) as conn:
        feeds.put_read(
            conn, "day", "file", asked_at=now + read, next_at=now + wanted, clock=None, events=0, prices=0,
            refused=0,
        )  # fmt: skip

    told = run("status", "--json", dsn=plain_database, grid_file=grid_file, status=status)

    assert json.loads(told)["feeds"][0]["state"] == state


def test_a_feed_that_was_never_read_is_no_good_one(plain_database, grid_file):
    told = run("status", "--json", dsn=plain_database, grid_file=grid_file, status=1)

    assert [one["state"] for one in json.loads(told)["feeds"]] == ["never read"] * 2


# --- events ---------------------------------------------------------------------------------------------


def event(name: str, **changes: Any) -> EventSaid:
    said: dict[str, Any] = {
        "event_id": name,
        "program": "example-energy",
        "started_at": NOW - 3 * HOUR,
        "ended_at": NOW - 1 * HOUR,
        "created_at": NOW - 10 * HOUR,
        "status": "scheduled",
        "document": name.encode(),
        "received_at": NOW - 9 * HOUR,
        "feed": "utility",
        "source": b"s" * 32,
    }
    return EventSaid(**(said | changes))


@pytest.fixture
def announced(plain_database: str) -> str:
    """One that stands, one of lower number that takes its second hour, one that was edited too late."""
    with connect(plain_database, Role.SETTLE) as conn:
        put_events(conn, [event("stands"), event("other", program="other")])
        put_events(conn, [event("prior", primacy=-0, started_at=NOW - 2 * HOUR, status="active")])
        put_events(conn, [event("edited", program="late")])
        longer = {"ended_at": NOW - HOUR / 2, "document": b"longer"}
        put_events(conn, [event("edited", program="late", received_at=NOW - HOUR / 4, **longer)])
    return plain_database


def test_events_are_told_with_every_version_and_when_they_are_in_force(announced):
    told = json.loads(run("events", "--program", "example-energy", "--json", dsn=announced))

    found = {one["event_id"]: one for one in told["events"]}
    assert set(found) == {"stands", "prior"}
    (version,) = found["stands"]["versions"]
    assert (version["feed"], version["source"], version["status"]) == (
        "utility",
        (b"s" * 32).hex(),
        "scheduled",
    )
    # of equal primacy and creation the greater id is in force, where both are
    assert found["stands"]["counts"] == 1
    (piece,) = found["stands"]["in_force"]
    assert datetime.fromisoformat(piece["started_at"]) == NOW - 3 * HOUR
    total = sum(
        (
            datetime.fromisoformat(one["ended_at"]) - datetime.fromisoformat(one["started_at"])
            for event in found.values()
            for one in event["in_force"]
        ),
        timedelta(),
    )
    assert total == 2 * HOUR
    assert told["more"] is False


def test_what_waits_for_a_person_is_told_approved_and_then_counts(announced):
    # given an edit that came after the event had ended
    told = run("events", "--pending", dsn=announced)
    assert "edited, version 2 waits, received" in told
    assert "ended_at" in told
    before = json.loads(run("events", "--pending", "--json", dsn=announced))["events"]
    assert [(one["event_id"], one["counts"]) for one in before] == [("edited", 1)]

    # when a person approves it
    done = run("approve", "edited", "--version", "2", "--by", "Anna Berg", dsn=announced)
    assert done.startswith("event edited, version 2: approved by Anna Berg, ")

    # then it counts, and nothing waits any more
    assert run("events", "--pending", dsn=announced) == "nothing waits for a person\n"
    found = json.loads(run("events", "--program", "late", "--json", dsn=announced))["events"]
    ((after, late),) = [(one, one["late"]) for one in found]
    assert after["counts"] == 2
    assert datetime.fromisoformat(after["window"]["ended_at"]) == NOW - HOUR / 2
    assert [(one["version"], one["decision"], one["decided_by"]) for one in late] == [
        (2, "approved", "Anna Berg")
    ]

    # and a decision stands
    told = run("reject", "edited", "--version", "2", "--by", "Bo", dsn=announced, status=1)
    assert "approved by Anna Berg already" in told


def test_what_is_rejected_leaves_what_stood(announced):
    words = ("edited", "--version", "2", "--by", "Bo", "--note", "typing error", "--json")
    told = json.loads(run("reject", *words, dsn=announced))

    assert (told["decision"], told["by"], told["note"]) == ("rejected", "Bo", "typing error")
    (found,) = json.loads(run("events", "--program", "late", "--json", dsn=announced))["events"]
    assert found["counts"] == 1
    assert found["late"][0]["note"] == "typing error"


@pytest.mark.parametrize(
    ("words", "status", "complaint"),
    [
        (("approve", "none", "--version", "1", "--by", "A"), 1, "an event that was ever received"),
        (("approve", "stands", "--version", "1", "--by", "A"), 1, "one that waits for a decision"),
        (("approve", "edited", "--version", "2", "--by", " "), 2, "a decision by nobody"),
        (("events", "--from", "yesterday"), 2, "yesterday"),
        (("events", "--from", "2026-07-01T17:00:00"), 2, "expected a time with its zone"),
        (
            ("events", "--from", "2026-07-02T00:00:00Z", "--to", "2026-07-01T00:00:00Z"),
            2,
            "expected the end after the start",
        ),
    ],
)
def test_what_cannot_be_done_says_why(announced, words, status, complaint):
    assert complaint in run(*words, dsn=announced, status=status)


def test_more_events_than_asked_for_are_announced(announced):
    told = run("events", "--limit", "1", dsn=announced)

    assert "there are more; --limit 2 shows more of them" in told
    assert run("events", "--program", "none", dsn=announced).startswith("no event in 20")


def test_no_table_cuts_the_name_that_an_approval_needs():
    narrow = Console(width=30, record=True)
    narrow.print(table("Events", ("event", "counts"), [("0123456789abcdef" * 2, "none of it")]))
    told = narrow.export_text()
    assert "…" not in told
    shown = "".join(line.split("│")[1].strip() for line in told.splitlines() if "│" in line)
    assert shown == "0123456789abcdef" * 2
