"""What the utility hears of each event, and when; first as a function of what is said, then over the wire."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from py20305.models.sep.sep import DercontrolResponse, MRidtype, TimeType
from py20305.xml.serialization import to_xml, validate_xml

from grid.feeds import ResponseDue, ResponseSent
from grid.sep2.controls import Control
from grid.sep2.responses import Assigned, Code, body, due
from simulators.sep2 import FaultKind
from tests.grid.sep2.site import Utility

AT = datetime(2026, 11, 23, 18, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
LFDI = "A" * 40
TARGET = ("opModTargetW",)
ALL = 7


def control(name: str, start: float = 0, end: float = 60, **more) -> Control:
    """An event from ``start`` to ``end`` minutes after ``AT``, created an hour before it."""
    given: dict[str, Any] = {
        "mrid": name,
        "version": 0,
        "created_at": AT - 60 * MINUTE,
        "started_at": AT + start * MINUTE,
        "duration_s": int((end - start) * 60),
        "status": 0,
        "status_at": AT - 60 * MINUTE,
        "randomize_start_s": 0,
        "randomize_duration_s": 0,
        "href": f"/{name}",
        "reply_to": "/rsp",
        "response_required": 3,
        "description": "",
        "line": 1,
        "raw": b"",
        "modes": TARGET,
        "setpoints": (),
        "disabled": (),
        "device_category": "",
    }
    return Control(**(given | more))


def assigned(one: Control, *, program: str = "p", primacy: int = 1) -> Assigned:
    return Assigned(one, program, primacy)


def life(*seen: Assigned, edition: int = 2018, until: float = 120, first: float = -30, left=None):
    """What is answered of each event, in order, read every minute; (event, minute, code)."""
    answered: set[tuple[str, str, int]] = set()
    told = []
    for minute in range(int(first), int(until) + 1):
        now = AT + minute * MINUTE
        owed, _ = due(
            {LFDI: seen},
            feed="f",
            edition=edition,
            now=now,
            answered=answered,
            opted_out=left,
        )
        for one in owed:
            assert one.due_at <= now
            answered.add((one.mrid, one.lfdi, one.status))
            told.append((one.mrid, (one.due_at - AT) / MINUTE, Code(one.status)))
    return told


def test_an_event_is_received_started_and_completed():
    assert life(assigned(control("a"))) == [
        ("a", -30, Code.RECEIVED),
        ("a", 0, Code.STARTED),
        ("a", 60, Code.COMPLETED),
    ]


def test_the_next_thing_to_come_is_named():
    one = {LFDI: [assigned(control("a"))]}
    later: dict[str, Any] = {"feed": "f", "edition": 2018, "answered": ()}
    assert due(one, now=AT - MINUTE, **later)[1] == AT
    assert due(one, now=AT, **later)[1] == AT + 60 * MINUTE
    assert due(one, now=AT + 60 * MINUTE, **later)[1] is None


@pytest.mark.parametrize(
    ("required", "codes"),
    [
        (0, []),
        (1, [Code.RECEIVED]),
        (2, [Code.STARTED, Code.COMPLETED]),
        (3, [Code.RECEIVED, Code.STARTED, Code.COMPLETED]),
        (4, []),
    ],
)
def test_only_what_is_asked_for_is_answered(required, codes):
    told = life(assigned(control("a", response_required=required)))
    assert [code for _, _, code in told] == codes


def test_without_an_address_nothing_is_answered():
    assert life(assigned(control("a", reply_to=""))) == []


def test_a_randomised_start_counts_from_where_every_device_has_begun():
    told = life(assigned(control("a", randomize_start_s=300)))
    assert ("a", 5, Code.STARTED) in told
    assert told[-1] == ("a", 60, Code.COMPLETED)


@pytest.mark.parametrize("status", [2, 3])
def test_a_cancelled_event_is_told_of_once_cancelled_and_never_completes(status):
    cancelled = control("a", status=status, status_at=AT + 20 * MINUTE)
    assert life(assigned(cancelled))[1:] == [
        ("a", 0, Code.STARTED),
        ("a", 20, Code.CANCELLED),
    ]


def test_an_event_cancelled_before_its_start_never_starts():
    cancelled = control("a", status=2, status_at=AT - 10 * MINUTE)
    assert life(assigned(cancelled))[1:] == [("a", -10, Code.CANCELLED)]


def test_a_newer_event_of_the_same_program_supersedes_for_good_in_the_2018_edition():
    newer = control("b", 20, 40, created_at=AT - 50 * MINUTE)
    told = life(assigned(control("a")), assigned(newer))
    assert [one for one in told if one[0] == "a"] == [
        ("a", -30, Code.RECEIVED),
        ("a", 0, Code.STARTED),
        ("a", 20, Code.SUPERSEDED),
    ]
    assert [one for one in told if one[0] == "b"][1:] == [
        ("b", 20, Code.STARTED),
        ("b", 40, Code.COMPLETED),
    ]


def test_a_superseded_event_resumes_and_completes_in_the_2023_edition():
    newer = control("b", 20, 40, created_at=AT - 50 * MINUTE)
    told = life(assigned(control("a")), assigned(newer), edition=2023)
    assert [one for one in told if one[0] == "a"][1:] == [
        ("a", 0, Code.STARTED),
        ("a", 20, Code.SUPERSEDED),
        ("a", 40, Code.RESUMED),
        ("a", 60, Code.COMPLETED),
    ]


def test_an_event_of_a_program_that_comes_first_supersedes_by_another_number():
    other = assigned(control("b", -5, 40), program="q", primacy=0)
    told = life(assigned(control("a")), other)
    assert [one for one in told if one[0] == "a"][1:] == [
        ("a", 0, Code.SUPERSEDED_BY_PROGRAM),
        ("a", 40, Code.STARTED),
        ("a", 60, Code.COMPLETED),
    ]


def test_events_that_share_no_mode_run_beside_each_other():
    limit = assigned(control("b", modes=("opModMaxLimW",)), program="q", primacy=0)
    told = life(assigned(control("a")), limit)
    for name in ("a", "b"):
        assert [code for event, _, code in told if event == name] == [
            Code.RECEIVED,
            Code.STARTED,
            Code.COMPLETED,
        ]


def test_the_servers_word_that_an_event_is_superseded_is_no_reason_to_say_so():
    said = control("a", status=4, status_at=AT - 30 * MINUTE)
    assert [code for _, _, code in life(assigned(said))] == [
        Code.RECEIVED,
        Code.STARTED,
        Code.COMPLETED,
    ]


def test_an_event_that_was_over_when_first_heard_of_has_expired_and_nothing_else():
    assert life(assigned(control("a")), first=61) == [("a", 61, Code.EXPIRED)]


def test_an_event_that_ended_long_ago_or_was_cancelled_before_it_was_heard_of_is_left_in_silence():
    old = {LFDI: [assigned(control("a"))]}
    asked: dict[str, Any] = {"feed": "f", "edition": 2018, "answered": ()}
    assert due(old, now=AT + timedelta(days=2), **asked) == ([], None)
    cancelled = {LFDI: [assigned(control("a", status=2, status_at=AT - MINUTE))]}
    assert due(cancelled, now=AT + 61 * MINUTE, **asked) == ([], None)


def test_an_event_first_heard_of_midway_is_not_said_to_have_started_before():
    told = life(assigned(control("a")), first=10)
    assert told == [
        ("a", 10, Code.RECEIVED),
        ("a", 10, Code.STARTED),
        ("a", 60, Code.COMPLETED),
    ]


def test_an_event_that_sets_nothing_is_not_applicable():
    told = life(assigned(control("a", modes=())))
    assert [code for _, _, code in told] == [Code.RECEIVED, Code.NOT_APPLICABLE]


def test_a_user_who_left_is_told_of_where_that_is_asked_for():
    left = {("a", LFDI): AT + 15 * MINUTE}
    told = life(assigned(control("a", response_required=ALL)), left=left)
    assert told[1:] == [("a", 0, Code.STARTED), ("a", 15, Code.OPTED_OUT)]
    told = life(assigned(control("a", response_required=3)), left=left)
    assert [code for _, _, code in told] == [Code.RECEIVED, Code.STARTED]


def test_a_response_is_what_the_schema_asks_for_and_what_another_client_would_send():
    made = body(ResponseDue("f", "3f" * 16, "ab" * 20, 2, "/rsp", AT))
    model = DercontrolResponse(
        end_device_lfdi=bytes.fromhex("ab" * 20),
        status=2,
        subject=MRidtype(value=b"3f" * 16),
        created_date_time=TimeType(value=int(AT.timestamp())),
    )
    assert validate_xml(made) == []
    theirs = to_xml(model, server_2018_compat=True).partition(b"?>")[2].strip()
    ours = made.partition(b"?>")[2].strip()
    assert theirs.partition(b"<subject>")[0] == ours.partition(b"<subject>")[0]
    assert b"<subject>" + b"3F" * 16 + b"</subject>" in ours


# --- over the wire -----------------------------------------------------------------------------


class Follower:
    """Reads and answers as the system does: what was due before is told to the next reading."""

    def __init__(self, site: Utility, url: str, **more) -> None:
        self.site = site
        self.feed = site.feed(url, **more)
        self.answered: set[tuple[str, str, int]] = set()
        self.sent: list[ResponseSent] = []

    def turn(self):
        reading = self.feed.read(self.site.time.now, self.answered)
        self.answered |= {(one.mrid, one.lfdi, one.status) for one in reading.responses}
        self.sent = list(self.feed.respond(reading.responses, self.site.time.now))
        return reading

    def follow(self, until: datetime) -> None:
        """Read whenever the feed wants to be read."""
        while self.site.time.now() < until:
            self.site.time.sleep(self.turn().next_in.total_seconds())
        self.turn()


def test_whole_events_are_answered_by_every_device(site):
    soon = site.time.second + timedelta(minutes=5)
    program = site.world.add_program("Grid stress", primacy=1)
    first = site.world.add_control(
        program, start=soon, duration_s=1800, modes={"opModTargetW": 5_000}
    )
    newer = site.world.add_control(
        program,
        start=soon + timedelta(minutes=10),
        duration_s=600,
        modes={"opModTargetW": 7_000},
        created_at=soon - timedelta(minutes=1),
    )
    limit = site.world.add_control(
        program, start=soon, duration_s=1800, modes={"csipaus:opModExpLimW": 5_000}
    )
    site.world.cancel(limit, at=soon + timedelta(minutes=7))
    over = site.world.add_control(
        program,
        start=soon - timedelta(minutes=20),
        duration_s=600,
        created_at=soon - timedelta(minutes=30),
        modes={"opModTargetW": 7_000},
    )
    with site.serve() as server:
        follower = Follower(site, server.url)
        follower.follow(soon + timedelta(minutes=35))

    for lfdi in (site.client_pair.lfdi, *site.devices):
        assert site.world.statuses(first, lfdi) == [1, 2, 7]
        assert site.world.statuses(newer, lfdi) == [1, 2, 3]
        assert site.world.statuses(limit, lfdi) == [1, 2, 6]
        assert site.world.statuses(over, lfdi) == [254]
    at = {one.status: one.created_at for one in site.world.answers if one.subject == newer.mrid}
    assert at[2] == (soon + timedelta(minutes=10)).timestamp()
    assert at[3] == (soon + timedelta(minutes=20)).timestamp()


def test_what_the_server_cannot_take_now_is_still_due_and_what_it_refuses_is_not(site):
    program = site.world.add_program("Grid stress")
    site.world.add_control(
        program, start=site.time.second, duration_s=600, modes={"opModTargetW": 5_000}
    )
    with site.serve() as server:
        feed = site.feed(server.url)
        owed = feed.read(site.time.now).responses
        server.faults.add(FaultKind.ERROR, path="/rsps/*", method="POST", times=3)
        server.faults.add(FaultKind.ERROR, path="/rsps/*", method="POST", times=1, number=404)
        sent = feed.respond(owed[:3], site.time.now)

    assert [one.state for one in sent] == ["due", "refused", "posted"]
    assert "HTTP 503" in sent[0].detail
    assert "HTTP 404" in sent[1].detail


def test_nothing_is_answered_where_the_configuration_says_so(site):
    program = site.world.add_program("Grid stress")
    site.world.add_control(
        program, start=site.time.second, duration_s=600, modes={"opModTargetW": 5_000}
    )
    with site.serve() as server:
        assert site.read(server.url, respond=False).responses == []


def test_a_certificate_that_has_expired_meanwhile_leaves_all_answers_due(site):
    owed = [ResponseDue("f", "ab" * 16, LFDI, n, "/rsp", AT) for n in (1, 2)]
    late = site.authority.client("late-answer", expired=True)
    feed = site.feed("https://127.0.0.1:9", certificate=late.certificate, key=late.key)
    sent = feed.respond(owed, site.time.now)
    assert [one.state for one in sent] == ["due", "due"]
    assert all(one.detail.startswith("ERR_AUTH_EXPIRED") for one in sent)
