"""Screening on disk: verdicts, totals, holds; what two screeners and what a posters' queue do to it."""

import multiprocessing
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg.errors import InsufficientPrivilege

from settlement.limits import DEFAULTS, Limit, Limits
from settlement.posting import State
from storage import holds, limits, outbox, payouts, screening
from storage.engine import Role, connect
from storage.errors import DatabaseUnavailableError
from storage.registry import Contract, put_contracts
from tasks.screening import ScreenSummary, screen
from tests.postings import NOON, outbox_database, posting

PARTNER = "clearinghouse"
USD = DEFAULTS.currencies["USD"]
LATER = NOON + timedelta(hours=1)


@pytest.fixture(scope="module")
def migrated(plain_postgres):
    with outbox_database(plain_postgres) as dsn:
        yield dsn


TABLES = """
    posting, posting_state, receipt, screening, account_hold, held_posting, payout_decision,
    payout_total, payout_recount, limit_version, settlement, line, program_version, contract_version,
    payout_file_line
"""


@pytest.fixture
def database(migrated):
    with psycopg.connect(migrated, user="v2g") as conn:
        conn.execute("set session_replication_role = replica")
        conn.execute(f"truncate {TABLES}")
    return migrated


@pytest.fixture
def ask(database):
    with psycopg.connect(database, user="v2g", autocommit=True) as conn:
        yield lambda query, *values: conn.execute(query, values).fetchall()


def money(**changes: int) -> Limits:
    """The defaults, with these limits on dollars."""
    return replace(DEFAULTS, currencies={**DEFAULTS.currencies, "USD": replace(USD, **changes)})


def set_limits(dsn: str, wanted: Limits, *, by="anna") -> int:
    with connect(dsn, Role.OPERATOR) as conn:
        return limits.put(conn, wanted, by=by, why="test", now=NOON).version


def book(dsn: str, *given: Any) -> None:
    with connect(dsn, Role.SETTLE) as conn:
        outbox.enqueue(conn, given, NOON)


def run(dsn: str, **given: Any) -> ScreenSummary:
    return screen(dsn, clock=lambda: LATER, **given)


def states(ask) -> dict[str, tuple[str, str]]:
    """State and the beginning of the detail, by settlement."""
    rows = ask(
        "select p.settlement_id, s.state, split_part(s.detail, ':', 1) from posting_state s join posting p using (posting_id)"
    )
    return {settled: (state, detail) for settled, state, detail in rows}


def to_alice(number: int, amount: int, **changes: Any) -> Any:
    return posting(number, account="alice", amount_minor=amount, **changes)


def ordered(*amounts: int, **changes: Any) -> list[Any]:
    """Postings to alice with these amounts, in the order in which they are screened."""
    made = [to_alice(n, 1, **changes) for n in range(1, len(amounts) + 1)]
    numbers = [
        int(one.settlement_id.split("-")[1]) for one in sorted(made, key=lambda p: p.posting_id)
    ]
    return [to_alice(n, amount, **changes) for n, amount in zip(numbers, amounts, strict=True)]


def test_what_is_within_the_limits_is_cleared_and_only_then_claimed(database, ask):
    # given a booked posting, which no poster may take yet
    book(database, posting(1))
    with connect(database, Role.POSTER) as poster:
        wait: dict[str, Any] = {"partner": PARTNER, "limit": 10, "lease": timedelta(seconds=30)}
        assert outbox.claim(poster, now=LATER, **wait) == []

        # when it is screened
        found = run(database)

        # then it is sent
        assert found == ScreenSummary(1, 0, 0, 0, (), 0)
        assert len(outbox.claim(poster, now=LATER, **wait)) == 1
    assert ask("select verdict, limits_version, findings, day::text from screening") == [
        ("clear", 0, [], "2026-07-01")
    ]
    assert run(database).screened == 0


def test_what_breaks_a_limit_is_parked_and_holds_its_account(database, ask):
    # given three postings to alice, of which the second is too large, and one to somebody else
    first, second, third = ordered(100, USD.posting_minor + 1, 100)
    book(database, first, second, third, posting(9))

    # when they are screened
    found = run(database)

    # then alice's are all parked, also what was cleared before, and each says why
    assert (found.cleared, found.breached, found.held, found.accounts) == (2, 1, 2, ("alice",))
    assert states(ask) == {
        first.settlement_id: ("parked", "ACCOUNT_HELD"),
        second.settlement_id: ("parked", "LIMIT"),
        third.settlement_id: ("parked", "ACCOUNT_HELD"),
        "settlement-9": ("pending", ""),
    }
    ((event, by, posting_id),) = ask("select event, by, posting_id from account_hold")
    assert (event, by, posting_id) == ("held", "screening", second.posting_id)

    # and the limit is told, with what was found and allowed
    with connect(database, Role.OPERATOR) as conn:
        one = payouts.find(conn, second.posting_id)
    assert one is not None
    assert [(f.limit, f.found, f.allowed) for f in one.broken] == [
        (Limit.POSTING, 500_001, 500_000),
        (Limit.VEHICLE_DAY, 500_001, 500_000),
        (Limit.APPROVAL, 500_001, 100_000),
    ]


def test_what_is_large_waits_while_its_account_goes_on(database, ask):
    first, second = ordered(USD.approval_above_minor + 1, 100, vehicle_id="car")
    book(database, first, second)

    found = run(database)

    assert (found.cleared, found.waiting, found.held) == (1, 1, 0)
    assert states(ask)[first.settlement_id] == ("parked", "APPROVAL")
    assert states(ask)[second.settlement_id] == ("pending", "")


def test_the_day_is_that_of_the_programs_zone_and_begins_at_its_midnight(database, ask):
    # given a program in Los Angeles, and periods around its midnight
    with psycopg.connect(database, user="v2g") as conn:
        conn.execute(
            "insert into program_version values ('pge', 1, '{\"timezone\": \"America/Los_Angeles\"}', now(), now())"
        )
    midnight = datetime(2026, 7, 2, 7, tzinfo=UTC)
    for number, start in enumerate((midnight - timedelta(microseconds=1), midnight), start=1):
        book(
            database,
            to_alice(
                number, 60, program="pge", period_started_at=start, period_ended_at=midnight + timedelta(hours=1)
            ),
        )  # fmt: skip
    set_limits(
        database,
        money(approval_above_minor=100, line_minor=100, posting_minor=100, vehicle_day_minor=100,
              account_day_minor=100, account_month_minor=1_000),
    )  # fmt: skip

    # when they are screened
    found = run(database)

    # then each counts on its own day: together they would be too much
    assert found.cleared == 2
    assert ask("select day::text from screening order by day") == [("2026-07-01",), ("2026-07-02",)]


def test_what_is_queued_is_parked_with_its_account_and_what_may_have_taken_effect_is_not(
    database, ask
):
    # given postings of alice in every open state, and one that breaks a limit
    book(database, *(to_alice(n, 100) for n in range(1, 6)))
    run(database)
    for number, state in enumerate(("pending", "queued", "unknown", "disputed", "sent"), start=1):
        ask(
            "update posting_state s set state = %s, attempts = %s from posting p"
            " where p.posting_id = s.posting_id and p.settlement_id = %s returning 1",
            state, int(state != "pending"), f"settlement-{number}",
        )  # fmt: skip
    book(database, to_alice(9, USD.posting_minor + 1))

    # when that is screened
    run(database)

    # then what is surely without effect is parked, and the rest goes its way
    assert {settled: state for settled, (state, _) in states(ask).items()} == {
        "settlement-1": "parked",
        "settlement-2": "parked",
        "settlement-3": "unknown",
        "settlement-4": "disputed",
        "settlement-5": "sent",
        "settlement-9": "parked",
    }

    # and what becomes queued later is parked by the next screening
    ask("update posting_state set state = 'queued' where state = 'sent' returning 1")
    assert run(database).held == 1


def test_what_is_rejected_counts_no_longer(database, ask):
    set_limits(database, money(line_minor=100, approval_above_minor=100, posting_minor=100,
               vehicle_day_minor=10_000, account_day_minor=100, account_month_minor=10_000))  # fmt: skip
    book(database, to_alice(1, 100))
    run(database)

    # given that the clearinghouse has rejected what filled the day
    ask("update posting_state set state = 'rejected' returning 1")
    book(database, to_alice(2, -100))

    # when the next one is screened, then it finds room
    assert run(database).cleared == 1
    assert ask("select amount_minor, postings from payout_total where scope = 'account_day'") == [
        (100, 1)
    ]


def test_the_totals_are_what_is_cleared_or_waits_whatever_happened_meanwhile(database, ask):
    # given many postings, screened in several runs of small chunks, some rejected between
    for start in range(0, 60, 20):
        book(
            database,
            *(
                posting(n, account=f"account-{n % 4}", vehicle_id=f"car-{n % 7}",
                        amount_minor=(-1) ** n * (n + 1) * 2_000)
                for n in range(start, start + 20)
            ),
        )  # fmt: skip
        run(database, chunk=7)
        ask(
            "update posting_state set state = 'rejected' where posting_id in"
            " (select posting_id from posting_state where state = 'pending' order by 1 limit 3) returning 1"
        )
    run(database)

    # when they are summed up anew
    summed = """
        select sum(abs(amount_minor))::bigint, count(*)
        from screening v join posting p using (posting_id) join posting_state s using (posting_id)
        where v.verdict in ('clear', 'approval') and s.state <> 'rejected'
    """

    # then they are the same, in every scope
    assert ask(
        "select distinct sum(amount_minor)::bigint, sum(postings)::bigint from payout_total group by scope"
    ) == ask(summed)


def test_what_a_chunk_holds_does_not_change_what_is_cleared(database, ask):
    amounts = [USD.approval_above_minor - n for n in range(60)]
    given_ = [to_alice(n, amount, vehicle_id=f"car-{n}") for n, amount in enumerate(amounts)]
    outcomes = []
    for chunk in (1, 7, 1_000):
        with psycopg.connect(database, user="v2g") as conn:
            conn.execute("set session_replication_role = replica")
            conn.execute(f"truncate {TABLES}")
        book(database, *given_)
        found = run(database, chunk=chunk)
        outcomes.append((replace(found, cleared=0, held=0), Counter(v for (v,) in ask("select verdict from screening"))))  # fmt: skip

    # 25,000 dollars a day hold 25 postings of nearly 1,000
    assert outcomes[0] == outcomes[1] == outcomes[2]
    assert outcomes[0][1] == {"clear": 25, "breach": 1}


def _screen(dsn: str, results: Any) -> None:
    results.put(screen(dsn, clock=lambda: LATER, chunk=3))


def test_two_screeners_do_not_both_find_the_last_room_of_a_day(database, ask):
    # given a day that has room for ten of a hundred postings
    set_limits(database, money(line_minor=100, approval_above_minor=100, posting_minor=100,
               vehicle_day_minor=10**6, account_day_minor=1_000, account_month_minor=10**6))  # fmt: skip
    book(database, *(to_alice(n, 100) for n in range(100)))

    # when two processes screen them at once
    forked = multiprocessing.get_context("spawn")
    results = forked.Queue()
    both = [forked.Process(target=_screen, args=(database, results)) for _ in range(2)]
    for one in both:
        one.start()
    found = [results.get(timeout=60) for _ in both]
    for one in both:
        one.join(timeout=60)

    # then ten were cleared between them, one broke the limit, and the account was held once
    assert ask("select verdict, count(*) from screening group by 1 order by 1") == [("breach", 1), ("clear", 10)]  # fmt: skip
    assert sum(one.breached for one in found) == 1
    assert ask("select count(*) from account_hold") == [(1,)]
    assert ask("select state, count(*) from posting_state group by 1") == [("parked", 100)]


def test_what_somebody_holds_is_parked_and_screened_after_all_when_it_is_released(database, ask):
    # given one cleared posting, one queued, and one that is not screened yet
    book(database, to_alice(1, 100), to_alice(2, 100))
    run(database)
    ask(
        "update posting_state s set state = 'queued', attempts = 1 from posting p"
        " where p.posting_id = s.posting_id and settlement_id = 'settlement-2' returning 1"
    )
    book(database, to_alice(3, 100), posting(4))

    # when an operator holds the account, and lets it go again
    with connect(database, Role.OPERATOR) as conn:
        assert holds.hold(conn, "alice", by="bob", why="asks questions", now=LATER) == 3
        assert [one.account for one in holds.held(conn)] == ["alice"]
        held = states(ask)
        assert holds.unhold(conn, "alice", by="bob", why="answered", now=LATER) == 3
        assert holds.held(conn) == []
        assert [one.event for one in holds.history(conn, "alice")] == ["released", "held"]

    # then everything goes on from where it was: what was sent before as unknown
    assert {state for settled, (state, _) in held.items() if settled != "settlement-4"} == {"parked"}  # fmt: skip
    assert {settled: state for settled, (state, _) in states(ask).items()} == {
        "settlement-1": "pending",
        "settlement-2": "unknown",
        "settlement-3": "pending",
        "settlement-4": "pending",
    }
    assert ask("select count(*) from posting_state where screened_at is null") == [(2,)]
    assert run(database).cleared == 2


def booked_lines(conn: psycopg.Connection, number: int, *lines: dict[str, Any]) -> None:
    """A settlement of the postings' vehicle with these lines, past every other rule."""
    conn.execute("set session_replication_role = replica")
    conn.execute(
        """
        insert into settlement (settlement_id, program, program_version, event_id, vehicle_id, contract_id,
            currency, energy_milliwh, lines_micros, amount_minor, rounding_difference_micros, state, reason,
            revision, run_id, adjustment_minor, known_at, contract_version, allocations)
        values (%s, 'example-energy', 1, %s, %s, 'contract', 'USD', 0, 0, 0, 0, 'booked', '', 1, 'run', 0,
                %s, 1, '[]')
        """,
        (f"settlement-{number}", f"event-{number}", "car", LATER),
    )
    for line in lines:
        made = {
            "settlement_id": f"settlement-{number}", "started_at": NOON, "ended_at": NOON + timedelta(minutes=15),
            "term": "energy", "exported_milliwh": 0, "imported_milliwh": 0, "energy_milliwh": 0, "avg_w": 0,
            "readings": 1, "incentive_rate_ppm": 1, "tier_multiplier_ppm": 1, "tiered_nanowh": 0,
            "thermal_factor_ppm": 1, "amount_micros": 0,
        } | line  # fmt: skip
        conn.execute(
            f"insert into line ({', '.join(made)}) values ({', '.join(['%s'] * len(made))})",
            list(made.values()),
        )


# 500 kW × 15 min × 1.02, and one step of a register
MOST = 127_500_000 + 1_000


@pytest.mark.parametrize(("milliwh", "verdict"), [(MOST, "clear"), (MOST + 1, "breach")])
@pytest.mark.parametrize("rated_w", [None, 7_000])
def test_energy_is_bounded_by_power_and_time_where_the_contract_names_no_power(
    database, ask, milliwh, verdict, rated_w
):
    """Where it names one, metering holds every reading against it already."""
    with psycopg.connect(database, user="v2g") as conn:
        small = {"started_at": NOON + timedelta(minutes=15), "ended_at": NOON + timedelta(hours=2)}
        booked_lines(
            conn, 1, {"exported_milliwh": milliwh, "energy_milliwh": milliwh}, small | {"energy_milliwh": 5}
        )  # fmt: skip
    with connect(database, Role.SETTLE) as conn:
        contract = Contract("contract", "car", "example-energy", 1, "alice", NOON, rated_w=rated_w)
        put_contracts(conn, [contract], now=NOON)
    book(database, posting(1, vehicle_id="car"))

    run(database)

    assert ask("select verdict from screening") == [("clear" if rated_w else verdict,)]


@pytest.mark.parametrize(
    ("micros", "verdict"), [(2_500_000_000, "clear"), (2_500_000_001, "breach")]
)
def test_the_largest_line_is_what_is_held_against_its_limit(database, ask, micros, verdict):
    with psycopg.connect(database, user="v2g") as conn:
        booked_lines(conn, 1, {"amount_micros": -micros}, {"term": "delivery", "amount_micros": 5})
    book(database, posting(1, vehicle_id="car"))

    run(database)

    assert ask("select verdict from screening") == [(verdict,)]


@pytest.mark.parametrize(("milliwh", "verdict"), [(10**9, "clear"), (10**9 + 1, "breach")])
def test_the_energy_of_a_vehicles_day_is_that_of_all_its_events(database, ask, milliwh, verdict):
    # given two events of one day, and one of the next, each at half of what a day allows
    hour = {"started_at": NOON, "ended_at": NOON + timedelta(hours=3)}
    tomorrow = {name: at + timedelta(days=1) for name, at in hour.items()}
    with psycopg.connect(database, user="v2g") as conn:
        booked_lines(conn, 1, hour | {"energy_milliwh": 10**9}, {"term": "shortfall", "energy_milliwh": 10**9})  # fmt: skip
        booked_lines(conn, 2, hour | {"energy_milliwh": milliwh})
        booked_lines(conn, 3, tomorrow | {"energy_milliwh": 10**9})
        conn.execute("update settlement set energy_milliwh = %s", [10**9])
    set_limits(database, replace(DEFAULTS, unrated_kw=10_000))
    book(database, posting(1, vehicle_id="car"))

    # when one of them is to be paid
    run(database)

    # then the day's sum counts
    assert ask("select verdict from screening") == [(verdict,)]


@pytest.mark.parametrize(
    ("role", "before", "after"),
    [
        (Role.SETTLE, "pending", "sent"),
        (Role.SETTLE, "parked", "pending"),
        (Role.SETTLE, "unknown", "acknowledged"),
        (Role.OPERATOR, "pending", "sent"),
        (Role.OPERATOR, "pending", "acknowledged"),
        (Role.OPERATOR, "queued", "rejected"),
        (Role.OPERATOR, "rejected", "pending"),
        (Role.OPERATOR, "unknown", "rejected"),
    ],
)
def test_who_screens_and_who_decides_can_neither_send_nor_undo(database, ask, role, before, after):
    book(database, posting(1))
    ask("update posting_state set state = %s returning 1", before)

    with connect(database, role) as conn, pytest.raises(InsufficientPrivilege, match="may not move it"):  # fmt: skip
        conn.execute("update posting_state set state = %s", [after])


def test_limits_are_versions_and_the_same_again_is_none(database):
    assert set_limits(database, DEFAULTS) == 1
    assert set_limits(database, DEFAULTS, by="bob") == 1
    assert set_limits(database, money(line_minor=5), by="bob") == 2

    with connect(database, Role.OPERATOR) as conn:
        standing = limits.in_force(conn)
        versions = [(one.version, one.set_by) for one in limits.history(conn)]

    assert (standing.limits, standing.why) == (money(line_minor=5), "test")
    assert versions == [(2, "bob"), (1, "anna"), (0, "")]


def test_a_run_stops_at_its_limit_and_the_next_goes_on(database):
    book(database, *(posting(n) for n in range(10)))

    assert run(database, limit=4, chunk=3).cleared == 4
    assert run(database).cleared == 6


def test_a_screener_that_waits_too_long_says_so_and_has_done_nothing(database, monkeypatch):
    monkeypatch.setattr(screening, "LOCK_WAIT_S", 1)
    book(database, posting(1))
    with (
        connect(database, Role.SETTLE) as other,
        screening.alone(other),
        pytest.raises(DatabaseUnavailableError, match=r"screening: .*lock timeout"),
    ):
        run(database)

    assert run(database).cleared == 1


def test_only_what_was_never_judged_is_judged(database, ask):
    book(database, posting(1))
    run(database)
    ask("update posting_state set state = %s returning 1", State.ACKNOWLEDGED.value)

    assert run(database).screened == 0
