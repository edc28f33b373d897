"""On a real Prefect server: what a run leaves on its page, and what is told as an event."""

import base64
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from prefect import flow

from settlement.limits import DEFAULTS
from settlement.periods import Period
from settlement.reconciling import Kind
from storage.lane_figures import LaneFigures
from storage.reconciliations import Difference, Reconciliation
from tasks.payouts import Payout, Waiting
from tasks.posting.expiry import Watched
from tasks.prefect_tasks import announcing
from tasks.prefect_tasks.telling import Fact, backfill_resource, tell
from tasks.quality import QualitySummary
from tasks.reconciling.comparing import Compared
from tasks.screening import ScreenSummary
from tasks.true_up import CalendarRun, TrueUpSummary
from tests.expectations.stored import POWER_W, STEP, STEP_MILLIWH, Row, quarantined, reading, store
from tests.flows.evening import END, EVENT_STARTS, START, discharged, latest_table
from tests.flows.told import newest, wait_for
from tests.tasks.pages.pictured import read

# The first test waits for the server, whose first start makes its database.
pytestmark = [pytest.mark.timeout(600), pytest.mark.usefixtures("here")]

PERIOD = Period(START, END)
EARLY = 10
"""Readings before the event, at half the power of those in it."""
CHECKS = [
    {
        "check": "a share | of rows",
        "severity": "critical",
        "passed": False,
        "observed": "9",
        "limit": "1",
    }
]


@pytest.fixture
def since() -> datetime:
    return datetime.now(UTC)


def early() -> list[Row]:
    """Five minutes of discharge before the event, with registers that go on in it."""
    rows = []
    for number in range(EARLY):
        started_at = EVENT_STARTS - (EARLY - number) * STEP
        register = 1_000_000 - (EARLY - number) * STEP_MILLIWH // 2
        rows.append(
            reading(number)
            | {
                "sequence": 1_000 + number,
                "started_at": started_at,
                "ended_at": started_at + STEP,
                "received_at": started_at + STEP,
                "power_start_w": POWER_W // 2,
                "power_end_w": POWER_W // 2,
                "export_start_milliwh": register,
                "export_end_milliwh": register + STEP_MILLIWH // 2,
            }
        )
    return rows


def settle_and_publish(hold: str = ""):
    """The steps of a settling run, without the gate, which takes seconds to load."""
    from tasks.prefect_tasks import publishing
    from tasks.prefect_tasks import settling as steps

    @flow(name="settle-without-gate", persist_result=False)
    def run():
        summary = steps.settle(PERIOD, hold=hold, dry_run=False, by_hand=True)
        checks = CHECKS if hold else []
        quality = QualitySummary("quality-1", "critical" if hold else "none", checks)
        publishing.publish_settled(summary, quality)
        return summary

    return run()


def test_a_page_says_what_came_in_was_paid_and_refused_and_draws_the_event(
    client, enrolled, utility, monkeypatch, since
):
    from flows.sync_grid_events import sync_grid_events

    # given a car that discharged through an event and for five minutes before it, and a bad packet
    monkeypatch.setenv("V2G_OPERATOR_URL", "https://v2g.example/")
    metered = early() + discharged()
    store(enrolled, metered, [quarantined(claimed_export_milliwh=60_000)])
    judged = "insert into judged_batch (batch_id, judged_at, readings, quarantined)"
    as_administrator(enrolled, f"{judged} values (1, '{END}', 0, 1)")

    # when the feeds are read and the period is settled
    sync_grid_events(return_state=True)
    summary = settle_and_publish()

    # then the page tells it, with money
    page = newest(client, "settlement")
    assert page.startswith("# settled: 2026-07-01 16:30 to 2026-07-01 18:00 UTC\n")
    for line in (
        "| readings | 130 |",
        "| packets refused | 1 |",
        "| exported by their registers | 7.500 kWh |",
        "| example-energy | 1 | 1 | 7.200 kWh | 3.25 USD | 3.25 USD |",
        "| OUTSIDE\\_WINDOW | energy not paid | 1 pieces of 1 vehicles | 0.300 kWh |",
    ):
        assert line in page, page

    # and the table of reasons says the same as the run
    unpaid, refused = latest_table(client, "unpaid-reasons")
    assert (unpaid["reason"], unpaid["energy"]) == ("OUTSIDE_WINDOW", "0.300 kWh")
    assert sum(one.energy_milliwh for one in summary.unpaid) == EARLY * STEP_MILLIWH // 2
    assert (refused["reason"], refused["count"], refused["energy"]) == (
        "BAD_SIGNATURE",
        "1 packets",
        "0.060 kWh claimed",
    )

    # and it links to what it speaks of
    assert "](https://v2g.example/operator/quality/quality-1)" in page
    assert re.search(
        r"statement of car, event-1: 3.25 USD booked\]\(https://v2g.example/operator/statements/\w",
        page,
    )

    # and the picture of the event shows what its readings and its price say
    picture = newest(client, "event-picture-example-energy")
    ((words, data),) = re.findall(r"!\[(.*)\]\(data:image/svg\+xml;base64,([^)]*)\)", picture)
    assert "highest power 7.2 kW at 2026-07-01 10:00; price 0.42 USD per kWh" in words
    seen = read(base64.b64decode(data).decode())
    quarter, minutes = timedelta(minutes=15), 90
    began = EVENT_STARTS - quarter
    levels = sorted({row["power_start_w"] / 1_000 for row in metered})
    starts = [
        min(r["started_at"] for r in metered if r["power_start_w"] == w * 1_000) for w in levels
    ]
    assert [level.value for level in seen.power] == pytest.approx(levels, abs=0.01)
    assert [level.start * minutes for level in seen.power] == pytest.approx(
        [(one - began) / timedelta(minutes=1) for one in starts], abs=0.01
    )
    assert [level.value for level in seen.price] == pytest.approx([0.42], abs=0.001)
    assert seen.effective == [pytest.approx((15 / 90, 75 / 90), abs=1e-4)]

    # and the feeds' run has a page, and what was settled is told
    assert "| lab | 1 | 1 | 1 | 1 | 0 |  |" in newest(client, "grid-feeds")
    found = wait_for(
        client, since, lambda all_: any(one["event"] == Fact.PERIOD_SETTLED for one in all_)
    )
    (told,) = (one for one in found if one["event"] == Fact.PERIOD_SETTLED)
    assert told["resource"]["prefect.resource.id"] == f"v2g.period.{PERIOD}"
    assert (told["payload"]["booked_minor"], told["payload"]["currency"]) == (325, "USD")
    assert any(
        one["prefect.resource.id"].startswith("prefect.flow-run.") for one in told["related"]
    )


def as_administrator(dsn: str, statement: str) -> None:
    with psycopg.connect(dsn, user="v2g") as conn:
        conn.execute(statement)


def test_a_held_period_says_why_and_what_it_would_have_been_and_is_told(client, enrolled, since):
    # given readings, and a gate that found something critical
    store(enrolled, discharged())

    # when the period is settled
    settle_and_publish(hold="a share | of rows: 9, expected 1")

    # then its page says so, and has no links where nobody said whereto
    page = newest(client, "settlement")
    assert page.startswith("# held: ")
    assert "* the whole period is held: a share \\| of rows: 9, expected 1" in page
    assert "| critical | a share \\| of rows | 9 | 1 |" in page
    assert "Look at" not in page

    # and an event says it to automations
    found = wait_for(
        client, since, lambda all_: any(one["event"] == Fact.PERIOD_HELD for one in all_)
    )
    (told,) = (one for one in found if one["event"] == Fact.PERIOD_HELD)
    assert told["payload"]["reason"] == "a share | of rows: 9, expected 1"
    assert isinstance(told["payload"]["would_have_been_micros"], int)


def test_a_posting_run_tells_its_queue_and_has_a_page(client, enrolled, clearinghouse, since):
    from flows.post_pending import post_pending
    from storage import outbox
    from storage.engine import Role, connect
    from tests.postings import posting

    with connect(enrolled, Role.SETTLE) as conn:
        outbox.enqueue(conn, [posting(1), posting(2, amount_minor=250)], now=since)

    ended = post_pending(return_state=True)

    assert ended.name == "AllPosted"
    page = newest(client, "posting")
    assert "| USD | 3.51 USD |" in page
    assert "| clearinghouse | 0 |  |  | 0 | 2 | 2 |  |" in page
    found = wait_for(
        client, since, lambda all_: any(one["event"] == Fact.QUEUE_MEASURED for one in all_)
    )
    (told,) = (one for one in found if one["event"] == Fact.QUEUE_MEASURED)
    assert told["resource"]["prefect.resource.id"] == "v2g.lane.clearinghouse"
    assert (told["payload"]["queued"], told["payload"]["added"]) == (0, 2)
    assert Fact.QUEUE_GROWING not in {one["event"] for one in found}


def test_every_fact_arrives_on_the_server_with_its_figures(client, since):
    # given one outcome of each step, in which something is to be told
    summary_free = CalendarRun("tariff", "2026-07-01", "final", "", "held", "a doubt", None, [])
    lane = LaneFigures("bank", 3, {"USD": 303}, since, 1, {"USD": 5}, 4, 1, None)
    key = Watched("settlement key", "file", key_id="thumb", seconds_left=86_400.0, not_after=END)
    payout = Payout(
        *(
            "posting-1",
            "account",
            "clearinghouse",
            "payout",
            "settlement-1",
            "USD",
            900,
            "parked",
            0,
        ),
        *("", since, "approval", False, False, [], 1, since),
    )
    made = Reconciliation("r", "bank", "api", PERIOD, (), "anna", since)
    differs = Difference(
        "r",
        "d",
        "bank",
        Kind.AMOUNT_DIFFERS,
        "p",
        None,
        None,
        "a",
        "USD",
        5,
        "USD",
        3,
        2,
        since,
        "",
    )

    # when they are told
    announcing.doubted(PERIOD, QualitySummary("quality-1", "critical", CHECKS))
    announcing.trued_up(TrueUpSummary([summary_free], 0))
    announcing.screened(ScreenSummary(0, 1, 2, 0, ("account",), 1))
    announcing.waiting(Waiting((payout,), DEFAULTS))
    announcing.measured([lane], now=since + timedelta(seconds=90), window_s=3600)
    announcing.watched([key])
    announcing.reconciled([Compared(made, [differs], True, 0, 0)])
    tell(Fact.PERIOD_RELEASED, f"v2g.period.{PERIOD}", {"by": "anna"})
    tell(Fact.BACKFILL_WAITING, backfill_resource("b-1"), {"amount_minor": 5})
    tell(Fact.BACKFILL_DONE, backfill_resource("b-1"), {"amount_minor": 5, "share": 0.5})

    # then all of them are on the server, once each, with the period that the calendar holds
    wanted = set(Fact) - {Fact.PERIOD_SETTLED}
    found = wait_for(client, since, lambda all_: {one["event"] for one in all_} >= wanted)
    told = {one["event"]: (one["resource"]["prefect.resource.id"], one["payload"]) for one in found}
    assert len(found) == len(wanted)
    assert told[Fact.PERIOD_HELD][0] == "v2g.period.tariff/2026-07-01"
    assert told[Fact.QUALITY_CHECKED][1]["failed"] == ["a share | of rows"]
    assert told[Fact.PAYOUTS_WAITING][1]["amount_minor"] == {"USD": 900}
    assert told[Fact.QUEUE_GROWING][0] == "v2g.lane.bank"
    assert told[Fact.QUEUE_GROWING][1]["oldest_s"] == 90
    assert told[Fact.CERTIFICATE_EXPIRING][1]["not_after"] == END.isoformat()
    assert told[Fact.RECONCILIATION_DIFFERS][1]["at_stake_minor"] == {"USD": 2}
    assert told[Fact.BACKFILL_DONE][1]["share"] == "0.5"


def test_a_page_that_cannot_be_made_does_not_fail_the_run(client, enrolled, caplog):
    # given a database that does not let pages be read from it
    store(enrolled, discharged())
    as_administrator(enrolled, "revoke select on raw_packet from v2g_read")

    # when a period is settled
    summary = settle_and_publish()

    # then it is settled, its totals are there, and the log says what is missing
    assert summary.state == "settled"
    assert latest_table(client, "settlement-totals")
    assert "not on the run's page" in caplog.text


def test_the_document_names_every_event_and_every_key():
    root = Path(__file__).parents[2]
    document = (root / "docs" / "run-pages.md").read_text()
    source = (root / "tasks" / "prefect_tasks" / "publishing.py").read_text()

    for fact in Fact:
        assert f"`{fact.value}`" in document
    for key in re.findall(r'key="([a-z-]+)"', source):
        assert f"`{key}`" in document
