"""The pages of runs that settle no period: each says what came of it and what waits, with money."""

from datetime import UTC, datetime, timedelta
from typing import Any

from settlement.periods import Period
from settlement.posting import Outcome, State
from settlement.reasons import PacketReason
from settlement.reconciling import Kind, Total
from storage.claims import Total as PostingTotal
from storage.lane_figures import LaneFigures
from storage.reconciliations import Difference, Reconciliation
from tasks.grid import FeedOutcome, GridSummary
from tasks.judge import JudgeSummary
from tasks.notices.deliver import DeliverySummary
from tasks.pages import others
from tasks.posting.expiry import Watched
from tasks.posting.run import PostSummary, Progress
from tasks.quality import QualitySummary
from tasks.reconciling.comparing import Compared
from tasks.screening import ScreenSummary
from tasks.settle import SettleSummary
from tasks.true_up import CalendarRun, TrueUpSummary

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)
PERIOD = Period(NOON, NOON + timedelta(hours=1))
URL = "https://v2g.example"
USD = {"USD": 2}


def settled(**changes: Any) -> SettleSummary:
    given: dict[str, Any] = {
        "run_id": "run",
        "period": str(PERIOD),
        "state": "settled",
        "reason": "",
        "currency": "USD",
        "minor_units": 2,
        "vehicles": 7,
        "discharged_milliwh": 9_000_000,
        "paid_milliwh": 7_200_000,
        "amount_minor": 325,
        "booked_minor": -25,
        "revisions": 1,
        "held": 0,
        "unpaid": [],
        "quarantined": [],
    }
    return SettleSummary(**(given | changes))


def test_judging_tells_its_reasons_the_most_frequent_first():
    refused = {PacketReason.UNKNOWN_KEY: 3, PacketReason.BAD_SIGNATURE: 40}

    page = others.judged(JudgeSummary(100, 57, refused, records=5, temperatures=9))

    assert "| packets judged | 100 |" in page
    assert page.index("| BAD\\_SIGNATURE | 40 |") < page.index("| UNKNOWN\\_KEY | 3 |")


def test_the_calendar_tells_what_it_booked_and_what_is_held():
    runs = [
        CalendarRun("tariff", "2026-07-01", "final", "", "settled", "", settled(), []),
        CalendarRun("tariff", "2026-07-02", "true_up", "", "held", "too few | readings", None, []),
    ]

    page = others.trued_up(TrueUpSummary(runs, left=3), operator_url=URL)

    assert "| tariff | 2026-07-01 | final | settled | 7 | 7.200 kWh | -0.25 USD |  |" in page
    assert "* tariff, 2026-07-02: too few \\| readings" in page
    assert "* 3 more runs are due" in page
    assert f"]({URL}/operator/periods)" in page
    assert "Look at" not in others.trued_up(TrueUpSummary(runs, left=0), operator_url="")


def test_posting_tells_its_money_by_outcome_by_state_and_by_queue():
    summary = PostSummary(
        Progress(3, {Outcome.ACKNOWLEDGED: 2, Outcome.NO_ANSWER: 1}, {"USD": 325, "XTS": 9}),
        (PostingTotal(State.UNKNOWN, "USD", 1, 200),),
        None,
    )
    lane = LaneFigures(
        "bank", 1, {"USD": 200}, NOON, 2, {"USD": 5}, 4, 1, NOON + timedelta(hours=2)
    )
    screened = ScreenSummary(3, 1, 0, 0, (), 1)

    page = others.posted(screened, summary, [lane], USD, now=NOON + timedelta(minutes=90))

    for line in (
        "3 cleared; 1 wait for approval.",
        "| USD | 3.25 USD |",
        "| XTS | 9 minor units of XTS |",
        "| no\\_answer | 1 |",
        "| unknown | 1 | 2.00 USD |",
        "| bank | 1, growing | 2.00 USD | 90 min | 2: 0.05 USD | 4 | 1 | 2026-07-01 14:00 UTC |",
    ):
        assert line in page


def test_the_feeds_tell_what_could_not_be_used():
    bad = FeedOutcome(
        "lab", "json", events=2, events_new=1, refused_count=1, refused=("prices[0]: x",)
    )
    down = FeedOutcome("utility", "sep2", error="no answer within 30 s")

    page = others.synced(GridSummary((bad, down), ("public",)))

    assert "| lab | 2 | 1 | 0 | 0 | 1 |  |" in page
    assert "| utility | 0 | 0 | 0 | 0 | 0 | no answer within 30 s |" in page
    assert "* lab: prices\\[0\\]: x" in page
    assert "* public wants to be read later" in page


def test_quality_tells_which_checks_failed_and_where_the_reports_are():
    check = {"check": "few gaps", "severity": "warning", "observed": "7 %", "limit": "5 %"}
    found = [
        (PERIOD, QualitySummary("q-1", "warning", [check | {"passed": False}])),
        (PERIOD, QualitySummary("q-2", "none", [check | {"passed": True}])),
    ]

    page = others.doubted(found, operator_url=URL)

    assert "2 periods, 0 of them held by it." in page
    assert page.count("| warning | few gaps | 7 % | 5 % |") == 1
    assert f"]({URL}/operator/quality/q-1)" in page


def test_reconciling_tells_what_is_at_stake_the_differences_first():
    totals = (
        Total(Kind.MATCHED, "USD", 9, 9, 900, 900, 0),
        Total(Kind.AMOUNT_DIFFERS, "USD", 1, 1, 500, 300, 200),
    )
    made = Reconciliation("r", "bank", "file", PERIOD, totals, "anna", NOON)
    differs = Difference(
        *("r", "d", "bank", Kind.AMOUNT_DIFFERS, "p", None, None, "a", "USD", 500, "USD", 300, 200),
        *(NOON, ""),
    )

    page = others.reconciled([Compared(made, [differs], True, 0, 0)], USD)

    differing = page.index("| amount\\_differs | USD | 1 | 1 | 5.00 USD | 3.00 USD | 2.00 USD |")
    assert differing < page.index("| matched | USD | 9 | 9 |")
    assert "* 1 differences: v2g reconcile differences" in page


def test_keys_and_notices_tell_what_is_to_be_done():
    soon = Watched("settlement key", "file", "thumb", not_after=NOON, seconds_left=86_400.0)

    assert (
        "| settlement key thumb | EXPIRES SOON | 1 | 2026-07-01 12:00 UTC |  |"
        in others.watched([soon])
    )
    assert "* the settlement key is to be renewed" in others.watched([soon])
    assert "| given up | 2 |" in others.noticed(
        DeliverySummary(1, 1, 0, 2, False, 0, 2, "https://x")
    )


def test_no_page_outgrows_its_reader():
    runs = [
        CalendarRun("tariff", f"day {n}", "final", "", "held", "x" * 10_000, None, [])
        for n in range(5_000)
    ]

    assert len(others.trued_up(TrueUpSummary(runs, 0), operator_url=URL)) < 60_000
